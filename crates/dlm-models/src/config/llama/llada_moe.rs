//! LLaDA-MoE's `config.json`: LLaDA's `model_type`, the network of Qwen3 with experts, and names of its own.

use serde_json::{Map, Value, json};

use super::{LlamaConfig, LlamaFamily, hf};
use crate::Error;

/// What stands behind Qwen3's names.
const NAMES: [(&str, &str); 2] =
    [("intermediate_size", "dense_intermediate_size"), ("moe_intermediate_size", "expert_intermediate_size")];

/// Whether a configuration of LLaDA's `model_type` is this one.
pub(super) fn is_it(fields: &Map<String, Value>) -> bool {
    fields.contains_key("num_experts")
}

pub(super) fn read(fields: &Map<String, Value>) -> Result<LlamaConfig, Error> {
    refuse_variants(fields)?;
    let mut fields = fields.clone();
    // Upstream's code does not read it: the weights of a token's experts are never made to sum up to 1.
    fields.remove("norm_topk_prob");
    for (theirs, own) in NAMES {
        if let Some(size) = fields.remove(own) {
            fields.insert(theirs.to_owned(), size);
        }
    }
    let text = Value::Object(fields.clone()).to_string();
    hf::read(LlamaFamily::LladaMoe, &text, &fields)
}

fn refuse_variants(fields: &Map<String, Value>) -> Result<(), Error> {
    // The value needed, and what upstream takes where nothing is said.
    let plain: [(&'static str, Value, Value); 6] = [
        ("qk_layernorm", json!(true), Value::Null),
        ("clip_qkv", Value::Null, Value::Null),
        ("moe_router_score_function", json!("softmax"), json!("softmax")),
        ("moe_router_enable_expert_bias", json!(false), json!(false)),
        ("shared_expert_intermediate_size", Value::Null, Value::Null),
        ("router_num_group", Value::Null, Value::Null),
    ];
    for (field, expected, default) in plain {
        let got = fields.get(field).filter(|got| !got.is_null()).unwrap_or(&default);
        if *got != expected {
            return Err(Error::Unsupported { field, got: got.to_string() });
        }
    }
    // Which layers have experts: all, if it is a list of ones.
    let frequencies = fields.get("moe_layer_freq").filter(|got| !got.is_null());
    let is_one = |each: &Value| *each == json!(1);
    match frequencies {
        Some(got) if !got.as_array().map_or(is_one(got), |layers| layers.iter().all(is_one)) => {
            Err(Error::Unsupported { field: "moe_layer_freq", got: got.to_string() })
        }
        _ => Ok(()),
    }
}

pub(super) fn fields(config: &LlamaConfig) -> Map<String, Value> {
    let mut all = hf::fields(config);
    for (theirs, own) in NAMES {
        if let Some(size) = all.remove(theirs) {
            all.insert(own.to_owned(), size);
        }
    }
    for field in ["head_dim", "decoder_sparse_step", "mlp_only_layers", "norm_topk_prob"] {
        all.remove(field);
    }
    all.insert("qk_layernorm".to_owned(), true.into());
    all.insert("moe_layer_freq".to_owned(), vec![1; config.num_hidden_layers].into());
    all
}
