//! Configurations of decoders as files have them: published sizes, defaults, refusals, round trips.

use dlm_models::{Error, Gpt2Config, LlamaConfig, LlamaFamily, RopeScaling};
use serde_json::{Value, json};

/// `config.json` of GSAI-ML/LLaDA-8B-Base.
const LLADA_8B: &str = r#"{
  "activation_type": "silu", "alibi": false, "alibi_bias_max": 8.0, "architectures": ["LLaDAModelLM"],
  "attention_dropout": 0.0, "attention_layer_norm": false, "attention_layer_norm_with_affine": true,
  "bias_for_layer_norm": false, "block_group_size": 1, "block_type": "llama", "d_model": 4096,
  "embedding_dropout": 0.0, "embedding_size": 126464, "eos_token_id": 126081, "include_bias": false,
  "include_qkv_bias": false, "init_fn": "mitchell", "init_std": 0.02, "input_emb_norm": false,
  "layer_norm_type": "rms", "layer_norm_with_affine": true, "mask_token_id": 126336,
  "max_sequence_length": 4096, "mlp_hidden_size": 12288, "mlp_ratio": 4, "model_type": "llada",
  "multi_query_attention": null, "n_heads": 32, "n_kv_heads": 32, "n_layers": 32, "pad_token_id": 126081,
  "residual_dropout": 0.0, "rms_norm_eps": 1e-05, "rope": true, "rope_full_precision": true,
  "rope_theta": 500000.0, "scale_logits": false, "vocab_size": 126464, "weight_tying": false
}"#;

/// Sizes, fields beyond those, and the number of parameters that the publisher counts.
fn published() -> [(&'static str, Value, usize); 8] {
    let sizes = |model_type: &str, vocab: usize, [width, inner, layers, heads, groups]: [usize; 5]| {
        json!({
            "model_type": model_type, "vocab_size": vocab, "hidden_size": width, "intermediate_size": inner,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": groups,
        })
    };
    let llada2 = json!({
        "head_dim": 128, "num_experts": 256, "num_shared_experts": 1, "num_experts_per_tok": 8,
        "moe_intermediate_size": 512, "first_k_dense_replace": 1, "use_bias": false,
    });
    let qwen3_moe = json!({
        "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
        "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [],
    });
    // Published as 7.36 B.
    let llada_moe = json!({
        "model_type": "llada", "vocab_size": 157_184, "hidden_size": 2048, "dense_intermediate_size": 8192,
        "expert_intermediate_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 16,
        "num_key_value_heads": 16, "num_experts": 64, "num_experts_per_tok": 8, "norm_topk_prob": null,
        "moe_layer_freq": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "qk_layernorm": true,
    });
    let with = |mut sizes: Value, more: Value| {
        let more = more.as_object().cloned().unwrap_or_default();
        sizes.as_object_mut().expect("an object").extend(more);
        sizes
    };
    [
        ("Llama 3 8B", sizes("llama", 128_256, [4096, 14_336, 32, 32, 8]), 8_030_261_248),
        ("Mistral 7B", sizes("mistral", 32_000, [4096, 14_336, 32, 32, 8]), 7_241_732_096),
        ("Qwen2.5 7B", sizes("qwen2", 152_064, [3584, 18_944, 28, 28, 4]), 7_615_616_512),
        ("Dream 7B", sizes("Dream", 152_064, [3584, 18_944, 28, 28, 4]), 7_615_616_512),
        ("Qwen3 8B", sizes("qwen3", 151_936, [4096, 12_288, 36, 32, 8]), 8_190_735_360),
        ("Qwen3 30B", with(sizes("qwen3_moe", 151_936, [2048, 6144, 48, 32, 4]), qwen3_moe), 30_532_122_624),
        (
            "LLaDA2.0 mini",
            with(sizes("llada2_moe", 157_184, [2048, 5120, 20, 16, 4]), llada2),
            16_255_643_392,
        ),
        ("LLaDA-MoE 7B-A1B", llada_moe, 7_356_880_896),
    ]
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A small valid configuration with other fields.
fn with(model_type: &str, more: &Value) -> Result<LlamaConfig, Error> {
    let mut fields = if model_type == "llada" {
        json!({
            "vocab_size": 9, "d_model": 8, "n_layers": 1, "n_heads": 2, "block_type": "llama",
            "layer_norm_type": "rms", "rope": true, "activation_type": "silu",
        })
    } else {
        json!({
            "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 4, "moe_intermediate_size": 4,
        })
    };
    fields["model_type"] = model_type.into();
    fields.as_object_mut().expect("fields").extend(more.as_object().cloned().expect("fields"));
    LlamaConfig::from_json(&fields.to_string())
}

#[test]
fn published_networks_have_the_parameters_that_their_publishers_count() {
    for (name, text, expected) in published() {
        let config = LlamaConfig::from_json(&text.to_string()).expect("a published configuration");
        assert_eq!(config.param_counts().total(), expected, "{name}");
    }
    let llada = LlamaConfig::from_json(LLADA_8B).expect("a published configuration");
    assert_eq!(llada.param_counts().total(), 8_015_581_184);
    assert_eq!((llada.head_dim, llada.max_len()), (128, 4096));
    assert_eq!(Gpt2Config::new(50_257, 768, 12, 12).param_counts().total(), 124_439_808);
    assert_eq!(Gpt2Config::new(50_257, 1024, 24, 16).param_counts().total(), 354_823_168);
}

#[test]
fn saving_keeps_every_field() {
    let llada = LlamaConfig::from_json(LLADA_8B).expect("valid");
    let (written, original) = (read(&llada.to_json()), read(LLADA_8B));
    for (key, value) in original.as_object().expect("fields") {
        assert_eq!(written[key], *value, "{key}");
    }
    assert_eq!(LlamaConfig::from_json(&llada.to_json()).expect("valid"), llada);
    for (name, text, _) in published() {
        let config = LlamaConfig::from_json(&text.to_string()).expect("valid");
        assert_eq!(LlamaConfig::from_json(&config.to_json()).expect("valid"), config, "{name}");
        let written = read(&config.to_json());
        for (key, value) in text.as_object().expect("fields") {
            assert_eq!(written[key], *value, "{name}: {key}");
        }
    }
    let gpt2 =
        r#"{"model_type": "gpt2", "vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_ctx": 7}"#;
    let gpt2 = Gpt2Config::from_json(gpt2).expect("valid");
    assert_eq!(read(&gpt2.to_json())["n_ctx"], 7);
    assert_eq!(Gpt2Config::from_json(&gpt2.to_json()).expect("valid"), gpt2);
}

#[test]
fn what_is_left_out_has_the_default_of_its_family() {
    let config = |family: &str| with(family, &json!({})).expect("valid");
    assert_eq!((config("llama").rms_norm_eps, config("llada").rms_norm_eps), (1e-6, 1e-5));
    assert_eq!((config("qwen2").head_dim, config("qwen3").head_dim), (4, 128));
    assert!(config("qwen2").biases.qkv && !config("llama").biases.qkv && config("llada2_moe").biases.output);
    assert_eq!((config("llada").intermediate_size, config("llada2_moe").rotary_width()), (32, 2));
    assert!(config("llada").tie_word_embeddings && !config("qwen3").tie_word_embeddings);
    // Attention as far as a window: a row that fits into it is seen whole.
    assert_eq!((config("mistral").max_len(), config("llama").max_len()), (4096, 2048));
    let cut = with("qwen2", &json!({ "use_sliding_window": true, "sliding_window": 5 })).expect("valid");
    assert_eq!(cut.max_len(), 5);
    let free = with("mistral", &json!({ "sliding_window": null })).expect("valid");
    assert_eq!(free.max_len(), 131_072);
}

#[test]
fn ways_to_stretch_positions_are_read_and_written() {
    let llama3 = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    let config = with("llama", &json!({ "rope_theta": 5e5, "rope_scaling": llama3.clone() })).expect("valid");
    let expected = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192 };
    assert_eq!((&config.rope_scaling, config.rope_theta), (&expected, 5e5));
    assert_eq!(LlamaConfig::from_json(&config.to_json()).expect("valid"), config);
    // Newer folders say both in one place, older ones call the kind a type.
    let mut newer = llama3;
    newer["rope_theta"] = 5e5.into();
    let newer = with("llama", &json!({ "rope_parameters": newer })).expect("valid");
    assert_eq!(newer, config);
    let yarn = json!({ "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16 });
    let yarn = with("qwen2", &json!({ "rope_scaling": yarn })).expect("valid");
    assert!(matches!(yarn.rope_scaling, RopeScaling::Yarn { original: 16, sharpness: None, .. }));
    assert_eq!(LlamaConfig::from_json(&yarn.to_json()).expect("valid"), yarn);
    let dynamic =
        json!({ "max_position_embeddings": 32, "rope_scaling": { "type": "dynamic", "factor": 1.5 } });
    let dynamic = with("llama", &dynamic).expect("valid");
    assert_eq!((dynamic.max_position_embeddings, dynamic.max_len()), (32, 48));
    assert_eq!(LlamaConfig::from_json(&dynamic.to_json()).expect("valid"), dynamic);
}

#[test]
fn long_texts_have_factors_of_their_own() {
    let sizes = with("llama", &json!({})).expect("valid");
    let pairs = sizes.head_dim / 2;
    let factors = json!({ "type": "su", "short_factor": vec![1.0; pairs], "long_factor": vec![2.0; pairs] });
    let said = json!({
        "max_position_embeddings": 64, "original_max_position_embeddings": 16, "rope_scaling": factors.clone(),
    });
    let config = with("llama", &said).expect("valid");
    assert!(matches!(config.rope_scaling, RopeScaling::LongRope { factor: 4.0, original: 16, .. }));
    assert_eq!(LlamaConfig::from_json(&config.to_json()).expect("valid"), config);
    // Without the original length, the factor must be said, and nothing is a long text.
    let alone = with("llama", &json!({ "rope_scaling": factors.clone() })).expect_err("no factor");
    assert_eq!(alone.to_string(), "rope_scaling.factor must be given, got nothing");
    let mut short = factors;
    short["long_factor"] = json!([]);
    short["factor"] = 2.0.into();
    let short = with("llama", &json!({ "rope_scaling": short })).expect_err("no factors");
    assert_eq!(short.to_string(), "rope_scaling.long_factor must be one number for each pair, got 0");
}

#[test]
fn unknown_variants_are_refused_by_name() {
    let cases = [
        ("bert", json!({}), "model_type = bert is not supported"),
        ("llama", json!({ "hidden_act": "mish" }), "hidden_act = mish is not supported"),
        (
            "llama",
            json!({ "rope_scaling": { "rope_type": "xpos", "factor": 2.0 } }),
            "rope_scaling.rope_type = xpos is not supported",
        ),
        ("llada", json!({ "num_experts": 4 }), "qk_layernorm = null is not supported"),
        (
            "llada",
            json!({ "num_experts": 4, "qk_layernorm": true, "moe_layer_freq": [0, 1] }),
            "moe_layer_freq = [0,1] is not supported",
        ),
        ("llada", json!({ "block_type": "sequential" }), "block_type = \"sequential\" is not supported"),
        ("llada", json!({ "alibi": true }), "alibi = true is not supported"),
        ("llada", json!({ "activation_type": "swiglu" }), "hidden_act = swiglu is not supported"),
        (
            "llada2_moe",
            json!({ "score_function": "softmax" }),
            "score_function = \"softmax\" is not supported",
        ),
    ];
    for (family, more, message) in cases {
        let error = with(family, &more).expect_err(message);
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert_eq!(error.to_string(), message);
    }
    let gpt2 = |more: &str| {
        let sizes = r#""vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2"#;
        Gpt2Config::from_json(&format!("{{{sizes}, {more}}}")).expect_err("a variant").to_string()
    };
    assert_eq!(gpt2(r#""model_type": "gptj""#), "model_type = gptj is not supported");
    assert_eq!(
        gpt2(r#""model_type": "gpt2", "scale_attn_weights": false"#),
        "scale_attn_weights = false is not supported"
    );
}

#[test]
fn impossible_sizes_are_refused() {
    let cases = [
        ("llama", json!({ "num_key_value_heads": 0 }), "num_key_value_heads must be at least 1, got 0"),
        (
            "llama",
            json!({ "num_attention_heads": 3, "num_key_value_heads": 2 }),
            "num_attention_heads must be a multiple of num_key_value_heads, got 3",
        ),
        ("qwen3", json!({ "head_dim": 5 }), "partial_rotary_factor must be an even part of head_dim, got 1"),
        ("llama", json!({ "rms_norm_eps": 0.0 }), "rms_norm_eps must be a positive number, got 0"),
        (
            "llama",
            json!({ "rope_scaling": { "rope_type": "linear" } }),
            "rope_scaling.factor must be given, got nothing",
        ),
        (
            "llada2_moe",
            json!({ "num_experts": 8 }),
            "num_experts must be a multiple of n_group, at least twice it, got 8",
        ),
        (
            "llada2_moe",
            json!({ "num_experts_per_tok": 9 }),
            "num_experts_per_tok must be from 1 to the experts of topk_group groups, got 9",
        ),
    ];
    for (family, more, message) in cases {
        assert_eq!(with(family, &more).expect_err(message).to_string(), message);
    }
    assert!(matches!(LlamaConfig::from_json("{}"), Err(Error::NoFamily)));
    assert!(matches!(with("llama", &json!({ "vocab_size": "many" })), Err(Error::ConfigJson(_))));
    // What the family's file cannot say.
    let mut config = LlamaConfig::new(LlamaFamily::Qwen2, 9, 8, 1, 2);
    config.biases.qkv = false;
    assert!(matches!(config.validate(), Err(Error::Config { field: "biases", .. })));
}
