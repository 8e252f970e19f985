//! `config.json` in Hugging Face's names.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::scaling::{self, Raw as RawScaling};
use super::{Biases, ExpertsConfig, LlamaConfig, LlamaFamily, Router};
use crate::Error;
use crate::config::Activation;

/// Nothing checked, optional fields optional.
#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    hidden_act: Option<String>,
    max_position_embeddings: Option<usize>,
    original_max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawScaling>,
    rope_parameters: Option<RawScaling>,
    partial_rotary_factor: Option<f64>,
    tie_word_embeddings: Option<bool>,
    attention_dropout: Option<f64>,
    initializer_range: Option<f64>,
}

/// What some families say.
#[derive(Deserialize)]
struct Particular {
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    use_qkv_bias: Option<bool>,
    use_bias: Option<bool>,
    use_qk_norm: Option<bool>,
}

pub(super) fn read(
    family: LlamaFamily,
    text: &str,
    fields: &Map<String, Value>,
) -> Result<LlamaConfig, Error> {
    let raw: Raw = serde_json::from_str(text).map_err(Error::ConfigJson)?;
    let plain = LlamaConfig::new(
        family,
        raw.vocab_size,
        raw.hidden_size,
        raw.num_hidden_layers,
        raw.num_attention_heads,
    );
    let longest = raw.max_position_embeddings.unwrap_or(plain.max_position_embeddings);
    let rope = raw.rope_parameters.or(raw.rope_scaling).unwrap_or_default();
    let config = LlamaConfig {
        intermediate_size: raw.intermediate_size,
        num_key_value_heads: raw.num_key_value_heads.unwrap_or(raw.num_attention_heads),
        head_dim: raw.head_dim.unwrap_or(plain.head_dim),
        hidden_act: raw.hidden_act.as_deref().map_or(Ok(plain.hidden_act), str::parse::<Activation>)?,
        max_position_embeddings: longest,
        sliding_window: window(family, fields)?,
        rms_norm_eps: raw.rms_norm_eps.unwrap_or(plain.rms_norm_eps),
        rope_theta: rope.rope_theta.or(raw.rope_theta).unwrap_or(plain.rope_theta),
        rope_scaling: rope.read(longest, raw.original_max_position_embeddings)?,
        partial_rotary_factor: (rope.partial_rotary_factor.or(raw.partial_rotary_factor))
            .unwrap_or(plain.partial_rotary_factor),
        tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(plain.tie_word_embeddings),
        attention_dropout: raw.attention_dropout.unwrap_or(plain.attention_dropout),
        initializer_range: raw.initializer_range.unwrap_or(plain.initializer_range),
        ..plain
    };
    with_particular(config, text, fields)
}

fn with_particular(
    config: LlamaConfig,
    text: &str,
    fields: &Map<String, Value>,
) -> Result<LlamaConfig, Error> {
    let said: Particular = serde_json::from_str(text).map_err(Error::ConfigJson)?;
    let attention = said.attention_bias.unwrap_or(false);
    Ok(match config.family {
        LlamaFamily::Llama => {
            let biases = Biases { qkv: attention, output: attention, mlp: said.mlp_bias.unwrap_or(false) };
            LlamaConfig { biases, ..config }
        }
        family if family.is_qwen3() => LlamaConfig {
            biases: Biases { qkv: attention, output: attention, mlp: false },
            experts: config.experts.map(|_| softmax_experts(text, fields)).transpose()?,
            ..config
        },
        LlamaFamily::Llada2 => LlamaConfig {
            biases: Biases {
                qkv: said.use_qkv_bias.unwrap_or(false),
                output: said.use_bias.unwrap_or(true),
                mlp: false,
            },
            qk_norm: said.use_qk_norm.unwrap_or(true),
            experts: experts(text, fields)?,
            ..config
        },
        _ => config,
    })
}

/// Mistral cuts attention unless told not to, the others if told to.
fn window(family: LlamaFamily, fields: &Map<String, Value>) -> Result<Option<usize>, Error> {
    let cut = match family {
        LlamaFamily::Mistral => true,
        LlamaFamily::Llama => false,
        _ => fields.get("use_sliding_window").is_some_and(|used| used == &Value::Bool(true)),
    };
    match fields.get("sliding_window") {
        _ if !cut => Ok(None),
        None => Ok(Some(4096)),
        Some(Value::Null) => Ok(None),
        Some(window) => match window.as_u64() {
            Some(window) => Ok(Some(window as usize)),
            None => Err(Error::Config {
                field: "sliding_window",
                expected: "a number of tokens or null",
                got: window.to_string(),
            }),
        },
    }
}

fn experts(text: &str, fields: &Map<String, Value>) -> Result<Option<ExpertsConfig>, Error> {
    for (field, expected) in [("score_function", json!("sigmoid")), ("norm_head", json!(false))] {
        if let Some(got) = fields.get(field).filter(|&got| *got != expected) {
            return Err(Error::Unsupported { field, got: got.to_string() });
        }
    }
    if fields.get("num_experts").is_some_and(Value::is_null) {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(Error::ConfigJson)
}

/// Qwen3's.
fn softmax_experts(text: &str, fields: &Map<String, Value>) -> Result<ExpertsConfig, Error> {
    #[derive(Deserialize)]
    struct Raw {
        num_experts: Option<usize>,
        num_experts_per_tok: Option<usize>,
        moe_intermediate_size: Option<usize>,
        norm_topk_prob: Option<bool>,
    }
    for (field, expected) in [("decoder_sparse_step", json!(1)), ("mlp_only_layers", json!([]))] {
        if let Some(got) = fields.get(field).filter(|&got| !got.is_null() && *got != expected) {
            return Err(Error::Unsupported { field, got: got.to_string() });
        }
    }
    let raw: Raw = serde_json::from_str(text).map_err(Error::ConfigJson)?;
    let plain = ExpertsConfig::softmax();
    Ok(ExpertsConfig {
        num_experts: raw.num_experts.unwrap_or(plain.num_experts),
        num_experts_per_tok: raw.num_experts_per_tok.unwrap_or(plain.num_experts_per_tok),
        moe_intermediate_size: raw.moe_intermediate_size.unwrap_or(plain.moe_intermediate_size),
        router: Router::Softmax { normalised: raw.norm_topk_prob.unwrap_or(false) },
        ..plain
    })
}

pub(super) fn fields(config: &LlamaConfig) -> Map<String, Value> {
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| all.insert(key.to_owned(), value);
    put("model_type", config.family.model_type().into());
    for (key, size) in [
        ("vocab_size", config.vocab_size),
        ("hidden_size", config.hidden_size),
        ("intermediate_size", config.intermediate_size),
        ("num_hidden_layers", config.num_hidden_layers),
        ("num_attention_heads", config.num_attention_heads),
        ("num_key_value_heads", config.num_key_value_heads),
        ("head_dim", config.head_dim),
        ("max_position_embeddings", config.max_position_embeddings),
    ] {
        put(key, size.into());
    }
    for (key, number) in [
        ("rms_norm_eps", config.rms_norm_eps),
        ("rope_theta", config.rope_theta),
        ("attention_dropout", config.attention_dropout),
        ("initializer_range", config.initializer_range),
    ] {
        put(key, number.into());
    }
    put("hidden_act", config.hidden_act.hidden_act().into());
    put("rope_scaling", scaling::write(&config.rope_scaling));
    if let Some(original) = scaling::original(&config.rope_scaling, config.max_position_embeddings) {
        put("original_max_position_embeddings", original.into());
    }
    put("tie_word_embeddings", config.tie_word_embeddings.into());
    all.extend(of_family(config));
    all
}

/// What some families can say.
fn of_family(config: &LlamaConfig) -> Map<String, Value> {
    let Biases { qkv, output, mlp } = config.biases;
    let mut said = match config.family {
        LlamaFamily::Llama => json!({ "attention_bias": qkv, "mlp_bias": mlp }),
        family if family.is_qwen3() => json!({ "attention_bias": qkv }),
        LlamaFamily::Llada2 => {
            json!({ "use_qkv_bias": qkv, "use_bias": output, "use_qk_norm": config.qk_norm, "num_experts": null })
        }
        _ => json!({}),
    };
    let partial = config.partial_rotary_factor;
    if config.family == LlamaFamily::Llada2 || partial < 1.0 {
        said["partial_rotary_factor"] = partial.into();
    }
    match config.family {
        LlamaFamily::Mistral => said["sliding_window"] = config.sliding_window.into(),
        LlamaFamily::Llama => {}
        _ if config.sliding_window.is_some() => {
            said["use_sliding_window"] = true.into();
            said["sliding_window"] = config.sliding_window.into();
        }
        _ => {}
    }
    let mut said = said.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(experts)) = config.experts.as_ref().map(experts_fields) {
        said.extend(experts);
    }
    said
}

fn experts_fields(experts: &ExpertsConfig) -> Value {
    match experts.router {
        // Numbers cannot fail to serialise.
        Router::Sigmoid => serde_json::to_value(experts).unwrap_or_default(),
        Router::Softmax { normalised } => json!({
            "num_experts": experts.num_experts,
            "num_experts_per_tok": experts.num_experts_per_tok,
            "moe_intermediate_size": experts.moe_intermediate_size,
            "norm_topk_prob": normalised,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
        }),
    }
}
