//! Names of RoBERTa and XLM-R in fairseq's `model.pt`, from those of transformers.

/// Where fairseq's encoder stands, in the older layout and in the newer.
const BODIES: [&str; 2] = ["decoder", "encoder"];

/// The word table, by which such a file is known.
pub(super) fn is_fairseq(has: &dyn Fn(&str) -> bool) -> bool {
    BODIES.iter().any(|body| has(&format!("{body}.sentence_encoder.embed_tokens.weight")))
}

/// What fairseq calls the parameter `key`.
pub(super) fn spellings(key: &str) -> Vec<String> {
    let name = if let Some(head) = key.strip_prefix("lm_head.") {
        format!("lm_head.{head}")
    } else {
        match key.strip_prefix("roberta.").and_then(inside) {
            Some(name) => format!("sentence_encoder.{name}"),
            None => return Vec::new(),
        }
    };
    let older = name.replace("layernorm_embedding", "emb_layer_norm");
    let names = if older == name { vec![name] } else { vec![older, name] };
    BODIES.iter().flat_map(|body| names.iter().map(move |name| format!("{body}.{name}"))).collect()
}

/// The same below `sentence_encoder`.
fn inside(key: &str) -> Option<String> {
    const TABLES: [(&str, &str); 4] = [
        ("embeddings.word_embeddings.", "embed_tokens."),
        ("embeddings.position_embeddings.", "embed_positions."),
        ("embeddings.LayerNorm.", "layernorm_embedding."),
        ("encoder.LayerNorm.", "layer_norm."),
    ];
    const LAYER: [(&str, &str); 10] = [
        ("attention.self.query.", "self_attn.q_proj."),
        ("attention.self.key.", "self_attn.k_proj."),
        ("attention.self.value.", "self_attn.v_proj."),
        ("attention.output.dense.", "self_attn.out_proj."),
        ("attention.output.LayerNorm.", "self_attn_layer_norm."),
        ("attention.self_attn_layer_norm.", "self_attn_layer_norm."),
        ("intermediate.dense.", "fc1."),
        ("output.dense.", "fc2."),
        ("output.LayerNorm.", "final_layer_norm."),
        ("LayerNorm.", "final_layer_norm."),
    ];
    let rename = |key: &str, table: &[(&str, &str)]| {
        table.iter().find_map(|(ours, theirs)| key.strip_prefix(ours).map(|end| format!("{theirs}{end}")))
    };
    match key.strip_prefix("encoder.layer.").and_then(|layer| layer.split_once('.')) {
        Some((index, rest)) => rename(rest, &LAYER).map(|name| format!("layers.{index}.{name}")),
        None => rename(key, &TABLES),
    }
}
