//! LLaDA's `config.json`, which has OLMo's names.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Biases, LlamaConfig, LlamaFamily};
use crate::Error;
use crate::config::Activation;

/// Nothing checked, optional fields optional.
#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    embedding_size: Option<usize>,
    d_model: usize,
    n_layers: usize,
    n_heads: usize,
    n_kv_heads: Option<usize>,
    mlp_ratio: Option<usize>,
    mlp_hidden_size: Option<usize>,
    activation_type: Option<String>,
    max_sequence_length: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    include_qkv_bias: Option<bool>,
    weight_tying: Option<bool>,
    attention_dropout: Option<f64>,
    init_std: Option<f64>,
}

pub(super) fn read(text: &str, fields: &Map<String, Value>) -> Result<LlamaConfig, Error> {
    refuse_variants(fields)?;
    let raw: Raw = serde_json::from_str(text).map_err(Error::ConfigJson)?;
    let words = raw.embedding_size.unwrap_or(raw.vocab_size).max(raw.vocab_size);
    let plain = LlamaConfig::new(LlamaFamily::Llada, words, raw.d_model, raw.n_layers, raw.n_heads);
    Ok(LlamaConfig {
        intermediate_size: raw.mlp_hidden_size.unwrap_or(raw.mlp_ratio.unwrap_or(4) * raw.d_model),
        num_key_value_heads: raw.n_kv_heads.unwrap_or(raw.n_heads),
        hidden_act: raw.activation_type.as_deref().unwrap_or("swiglu").parse::<Activation>()?,
        max_position_embeddings: raw.max_sequence_length.unwrap_or(plain.max_position_embeddings),
        rms_norm_eps: raw.rms_norm_eps.unwrap_or(plain.rms_norm_eps),
        rope_theta: raw.rope_theta.unwrap_or(plain.rope_theta),
        biases: Biases { qkv: raw.include_qkv_bias.unwrap_or(false), ..Biases::default() },
        tie_word_embeddings: raw.weight_tying.unwrap_or(plain.tie_word_embeddings),
        attention_dropout: raw.attention_dropout.unwrap_or(plain.attention_dropout),
        initializer_range: raw.init_std.unwrap_or(plain.initializer_range),
        ..plain
    })
}

/// OLMo is many architectures; LLaDA is the one that is like Llama.
fn refuse_variants(fields: &Map<String, Value>) -> Result<(), Error> {
    // The value needed, and what upstream takes where nothing is said.
    let plain: [(&'static str, Value, Value); 13] = [
        ("block_type", json!("llama"), json!("sequential")),
        ("layer_norm_type", json!("rms"), json!("default")),
        ("rope", json!(true), json!(false)),
        ("block_group_size", json!(1), json!(1)),
        ("alibi", json!(false), json!(false)),
        ("attention_layer_norm", json!(false), json!(false)),
        ("layer_norm_with_affine", json!(true), json!(true)),
        ("input_emb_norm", json!(false), json!(false)),
        ("include_bias", json!(false), json!(false)),
        ("bias_for_layer_norm", json!(false), json!(false)),
        ("scale_logits", json!(false), json!(false)),
        ("multi_query_attention", Value::Null, Value::Null),
        ("use_scheduler_head", json!(false), json!(false)),
    ];
    for (field, expected, default) in plain {
        let got = fields.get(field).filter(|got| !got.is_null()).unwrap_or(&default);
        if *got != expected {
            return Err(Error::Unsupported { field, got: got.to_string() });
        }
    }
    Ok(())
}

pub(super) fn fields(config: &LlamaConfig) -> Map<String, Value> {
    let all = json!({
        "model_type": config.family.model_type(),
        "vocab_size": config.vocab_size,
        "embedding_size": config.vocab_size,
        "d_model": config.hidden_size,
        "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads,
        "n_kv_heads": config.num_key_value_heads,
        "mlp_hidden_size": config.intermediate_size,
        "activation_type": config.hidden_act.hidden_act(),
        "max_sequence_length": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "include_qkv_bias": config.biases.qkv,
        "weight_tying": config.tie_word_embeddings,
        "attention_dropout": config.attention_dropout,
        "init_std": config.initializer_range,
        "block_type": "llama",
        "layer_norm_type": "rms",
        "rope": true,
    });
    all.as_object().cloned().unwrap_or_default()
}
