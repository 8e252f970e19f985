//! Copies of tied weights, as PyTorch's files hold them: known by upstream's names, and not read.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dlm_models::{AutoDenoiser, Checkpoint, Pretrained, Report};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize_to_file};
use serde_json::{Value, json};

const WORDS: usize = 9;

/// Sizes under the names of BERT, of GPT-2, and of DistilBERT; each family reads its own.
fn config(model_type: &str, more: &Value) -> String {
    let mut all = json!({
        "model_type": model_type, "vocab_size": WORDS, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 8, "max_position_embeddings": 9, "embedding_size": WORDS, "pad_token_id": 1,
        "mask_token_id": 2,
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all.to_string()
}

/// Writes a network, and tensors of zeros that its file does not hold.
fn write(folder: &Path, config: &str, copies: &[&str]) {
    let model = AutoDenoiser::from_config(config, &Device::default()).unwrap();
    Checkpoint::write(&model, folder, None).unwrap();
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(copies.iter().all(|copy| file.tensor(copy).is_err()), "tied weights are written once");
    let zeros = vec![0_u8; WORDS * 4];
    let copy = |name: &&str| ((*name).to_owned(), TensorView::new(Dtype::F32, vec![WORDS], &zeros).unwrap());
    let all = file.tensors().into_iter().chain(copies.iter().map(copy)).collect::<Vec<_>>();
    serialize_to_file(all, None, &path).unwrap();
}

fn report(folder: &Path) -> Report {
    Checkpoint::open(folder).unwrap().load::<AutoDenoiser>(&Device::default()).unwrap().1
}

#[test]
fn copies_of_tied_weights_are_told_from_weights_that_nobody_knows() {
    let none = json!({});
    let albert = json!({ "embedding_size": 4 });
    let gpt2 = json!({ "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 9 });
    let distilbert = json!({ "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 8 });
    let tied = json!({ "tie_word_embeddings": true });
    let llada = json!({ "d_model": 8, "n_layers": 1, "n_heads": 2, "block_type": "llama", "layer_norm_type": "rms",
        "rope": true, "activation_type": "silu", "weight_tying": true });
    // `_tied_weights_keys` of transformers 4.57; of LLaDA, what its file holds where it is not tied.
    let families: [(&str, &Value, &[&str]); 10] = [
        ("bert", &none, &["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"]),
        ("roberta", &none, &["lm_head.decoder.weight", "lm_head.decoder.bias"]),
        ("distilbert", &distilbert, &["vocab_projector.weight"]),
        ("albert", &albert, &["predictions.decoder.weight", "predictions.decoder.bias"]),
        ("modernbert", &none, &["decoder.weight"]),
        ("esm", &none, &["lm_head.decoder.weight"]),
        ("gpt2", &gpt2, &["lm_head.weight"]),
        ("llama", &tied, &["lm_head.weight"]),
        ("qwen2", &tied, &["lm_head.weight"]),
        ("llada", &llada, &["model.transformer.ff_out.weight"]),
    ];
    for (family, more, copies) in families {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tied").join(family);
        let mut config: Value = serde_json::from_str(&config(family, more)).unwrap();
        if family == "distilbert" {
            // Read as other names of the same fields.
            for field in ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"] {
                config.as_object_mut().unwrap().remove(field);
            }
        }
        write(&folder, &config.to_string(), &[copies, &["stray.weight"]].concat());
        let report = report(&folder);
        let found: Vec<&str> =
            report.tied.iter().map(String::as_str).filter(|key| copies.contains(key)).collect();
        assert_eq!(found, copies, "{family}");
        assert_eq!(report.unused, ["stray.weight"], "{family}");
        assert!(report.missing.is_empty(), "{family}: {report}");
    }
}

#[test]
fn an_untied_head_is_a_weight_of_its_own() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tied/untied");
    write(&folder, &config("llama", &json!({ "tie_word_embeddings": false })), &[]);
    let report = report(&folder);
    assert!(report.loaded.iter().any(|key| key == "lm_head.weight") && report.tied.is_empty(), "{report}");
}
