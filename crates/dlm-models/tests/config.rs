//! Configurations as files have them: defaults, refusals, round trips.

use dlm_models::{Activation, EncoderConfig, Error, Family};

/// `config.json` of `xlm-roberta-base`.
const XLM_R_BASE: &str = r#"{
  "architectures": ["XLMRobertaForMaskedLM"], "attention_probs_dropout_prob": 0.1,
  "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
  "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
  "max_position_embeddings": 514, "model_type": "xlm-roberta", "num_attention_heads": 12,
  "num_hidden_layers": 12, "output_past": true, "pad_token_id": 1,
  "position_embedding_type": "absolute", "type_vocab_size": 1, "use_cache": true, "vocab_size": 250002
}"#;

/// Sizes alone: everything else is left to its default.
const SIZES: &str = r#""vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 4, "max_position_embeddings": 6"#;

fn sizes_and(more: &str) -> Result<EncoderConfig, Error> {
    EncoderConfig::from_json(&format!("{{{SIZES}, {more}}}"))
}

#[test]
fn xlm_r_base_has_the_parameters_that_the_paper_counts() {
    let config = EncoderConfig::from_json(XLM_R_BASE).expect("a published configuration");
    let counts = config.param_counts();
    assert_eq!(counts.layers, 85_054_464); // 85.05 M
    assert_eq!(counts.layers + counts.head, 85_646_592); // 85.65 M
    assert_eq!(counts.embeddings, 192_398_592);
    assert_eq!((config.first_position(), config.max_len()), (2, 512));
}

#[test]
fn the_larger_sizes_have_the_parameters_that_the_paper_counts() {
    let counts = |text: &str| {
        let config = EncoderConfig::from_json(text).expect("a published configuration");
        let counts = config.param_counts();
        [counts.layers, counts.layers + counts.head, counts.embeddings]
    };
    let large = XLM_R_BASE
        .replace("768", "1024")
        .replace("3072", "4096")
        .replace(r#""num_attention_heads": 12"#, r#""num_attention_heads": 16"#)
        .replace(r#""num_hidden_layers": 12"#, r#""num_hidden_layers": 24"#);
    let xl = |width, inner, layers| {
        format!(
            r#"{{"model_type": "xlm-roberta-xl", "vocab_size": 250880, "hidden_size": {width},
            "num_hidden_layers": {layers}, "num_attention_heads": 32, "intermediate_size": {inner},
            "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}}"#
        )
    };
    assert_eq!(counts(&large), [302_309_376, 303_361_024, 256_531_456]); // 0.3 B
    assert_eq!(counts(&xl(2560, 10_240, 36)), [2_832_358_400, 2_838_919_680, 643_571_200]); // 2.8 B
    assert_eq!(counts(&xl(4096, 16_384, 48)), [9_666_240_512, 9_683_030_016, 1_029_713_920]); // 9.7 B
}

#[test]
fn distilbert_keeps_its_own_names() {
    let text = r#"{"model_type": "distilbert", "vocab_size": 9, "dim": 8, "n_layers": 1, "n_heads": 2,
        "hidden_dim": 4, "max_position_embeddings": 6, "activation": "relu", "dropout": 0.2,
        "attention_dropout": 0.3, "pad_token_id": 0, "initializer_range": 0.02, "qa_dropout": 0.1}"#;
    let config = EncoderConfig::from_json(text).expect("valid");
    assert_eq!((config.hidden_size, config.intermediate_size, config.max_len()), (8, 4, 6));
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(read(&config.to_json()), read(text));
}

#[test]
fn what_is_left_out_has_the_default_of_its_family() {
    let bert = sizes_and(r#""model_type": "bert""#).expect("valid");
    assert_eq!((bert.pad_token_id, bert.type_vocab_size, bert.max_len()), (0, 2, 6));
    assert_eq!(bert.hidden_act, Activation::Gelu);
    let roberta = sizes_and(r#""model_type": "roberta""#).expect("valid");
    assert_eq!((roberta.pad_token_id, roberta.max_len()), (1, 4));
}

#[test]
fn saving_keeps_every_field() {
    let config = EncoderConfig::from_json(XLM_R_BASE).expect("valid");
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(read(&config.to_json()), read(XLM_R_BASE));
}

#[test]
fn a_missing_family_can_be_named() {
    let text = format!("{{{SIZES}}}");
    assert!(matches!(EncoderConfig::from_json(&text), Err(Error::NoFamily)));
    let config = EncoderConfig::from_json_as(Family::Bert, &text).expect("valid");
    assert_eq!(config.family, Family::Bert);
}

#[test]
fn unknown_variants_are_refused_by_name() {
    let cases = [
        (r#""model_type": "albert""#, "model_type = albert is not supported"),
        (r#""model_type": "bert", "hidden_act": "selu""#, "hidden_act = selu is not supported"),
        (
            r#""model_type": "bert", "position_embedding_type": "relative_key""#,
            "position_embedding_type = \"relative_key\" is not supported",
        ),
        (r#""model_type": "bert", "is_decoder": true"#, "is_decoder = true is not supported"),
        (
            r#""model_type": "bert", "tie_word_embeddings": false"#,
            "tie_word_embeddings = false is not supported",
        ),
    ];
    for (more, message) in cases {
        let error = sizes_and(more).expect_err(more);
        assert!(matches!(error, Error::Unsupported { .. }));
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn sizes_that_cannot_be_built_are_refused() {
    let base = || EncoderConfig::new(9, 8, 1, 2);
    let cases = [
        (EncoderConfig::new(0, 8, 1, 2), "vocab_size must be at least 1, got 0"),
        (EncoderConfig::new(9, 8, 1, 0), "num_attention_heads must be at least 1, got 0"),
        (EncoderConfig::new(9, 8, 1, 3), "hidden_size must be a multiple of num_attention_heads, got 8"),
        (base().with_pad_token_id(9), "pad_token_id must be below vocab_size, got 9"),
        (base().with_dropout(1.0), "hidden_dropout_prob must be in [0, 1), got 1"),
        (base().with_dropout(f64::NAN), "hidden_dropout_prob must be in [0, 1), got NaN"),
        (
            base().with_family(Family::Roberta).with_max_position_embeddings(1),
            "max_position_embeddings must be more than the first position, got 1",
        ),
        (base().with_initializer_range(0.0), "initializer_range must be a positive number, got 0"),
    ];
    for (config, message) in cases {
        assert_eq!(config.validate().expect_err(message).to_string(), message);
    }
}

#[test]
fn bad_json_says_where() {
    let error = EncoderConfig::from_json("{\"vocab_size\": -1}").expect_err("negative");
    assert!(matches!(error, Error::ConfigJson(_)));
    assert!(error.to_string().contains("line 1"), "{error}");
    assert!(EncoderConfig::from_json("{}").expect_err("empty").to_string().contains("missing field"));
}
