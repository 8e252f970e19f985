//! Names of LLaDA, which are OLMo's, and of LLaDA2, which are Bailing's.

use super::llama::{LLAMA, Names};

pub(super) const LLADA: Names = Names {
    words: "model.transformer.wte.weight",
    layers: "model.transformer.blocks",
    norm: "model.transformer.ln_f",
    head: "model.transformer.ff_out.weight",
    attention_norm: "attn_norm",
    projections: ["q_proj", "k_proj", "v_proj"],
    output: "attn_out",
    feed_norm: "ff_norm",
    feed: ["ff_proj", "up_proj", "ff_out"],
    ..LLAMA
};

pub(super) const LLADA2: Names = Names {
    words: "model.word_embeddings.weight",
    fused: "attention.query_key_value",
    norms: ["attention.query_layernorm", "attention.key_layernorm"],
    output: "attention.dense",
    ..LLAMA
};
