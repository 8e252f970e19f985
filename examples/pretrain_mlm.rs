//! What you learn: how a masked language model is trained with this library.
//!
//! Trains a small BERT on `letters phonemes` sequences of the CMU Pronouncing Dictionary with 30 % of the
//! tokens masked, and writes it as a Hugging Face folder. `assets/g2p-mlm`, where `quickstart` starts, was
//! made by it; a run that was stopped goes on from its last checkpoint.
//!
//! ```sh
//! cargo run --release --example pretrain_mlm -- [steps, default 300] [folder, default out/g2p-mlm]
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod g2p;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;
use dlm::core::{Sequence, Vocabulary};
use dlm::models::Checkpoint;
use dlm::train::{
    BatchSize, Batches, Better, Decay, Diffusion, Hooks, LrSchedule, TrainConfig, Trainer, Warmup,
    init_seeded, validation_loss,
};
use g2p::Pair;
use serde_json::json;

/// Training on a CPU allocates and frees a tensor an operation; the system allocator would return each to
/// the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MASK_RATIO: f64 = 0.3;
const BATCH_TOKENS: usize = 2048;
const PEAK_LR: f64 = 2e-3;
const SEED: u64 = 1;
/// The id of the unknown word.
const UNKNOWN: usize = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let steps: u64 = arguments.next().map_or(Ok(300), |steps| steps.parse())?;
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "out/g2p-mlm".into()));
    fs::create_dir_all(&folder)?;

    let vocabulary = g2p::vocabulary()?;
    let device = Device::default().autodiff();
    let config = g2p::network(vocabulary.size);
    println!(
        "{} words, {} parameters, {steps} steps of {BATCH_TOKENS} tokens",
        vocabulary.size,
        config.param_counts().total()
    );

    let batches = |split| -> Result<Batches, Box<dyn Error>> {
        Ok(Batches::new(
            rows(&g2p::pairs(split)?, &vocabulary)?,
            vocabulary,
            BatchSize::Tokens(BATCH_TOKENS),
            SEED,
        )?)
    };
    let valid = batches("valid")?;
    let objective = Diffusion::mlm(vocabulary.mask, MASK_RATIO)?;
    let run = TrainConfig {
        seed: SEED,
        lr: LrSchedule {
            peak: PEAK_LR,
            warmup: Warmup::Linear(steps / 40),
            decay: Decay::Cosine { end: steps, floor: 0.02 },
        },
        ..TrainConfig::paper(PEAK_LR, steps)
    };
    let model = config.init(&device)?;
    let model = init_seeded(|_| model, &device, SEED);
    let mut trainer = Trainer::new(model, objective.clone(), batches("train")?, run)?;
    let checkpoints = folder.join("checkpoints");
    if checkpoints.is_dir() {
        trainer.resume(&checkpoints)?;
        println!("goes on after step {}", trainer.steps_done());
    }
    let validate = |model: &_, _| {
        let loss = validation_loss(model, &objective, valid.epoch(0), SEED)?;
        Ok(vec![("valid_loss", loss)])
    };
    let hooks = Hooks::new()
        .progress()
        .log_every(50)
        .metrics(folder.join("log.jsonl"))
        .validate(1000, Better::Lower, validate)
        .checkpoints(&checkpoints, 1000, 1);
    let summary = trainer.run(hooks)?;

    let tokenizer = folder.join("tokenizer.json");
    fs::write(&tokenizer, tokenizer_json(&vocabulary))?;
    Checkpoint::write(&trainer.evaluated(), &folder, Some(&tokenizer))?;
    let nats = summary.best.map_or(f64::NAN, |(_, loss)| loss);
    println!("validation cross-entropy {nats:.3} nats a masked token; written to {}", folder.display());
    Ok(())
}

/// Letters and phonemes may both be masked, the special tokens not.
fn rows(pairs: &[Pair], vocabulary: &Vocabulary) -> Result<Vec<Sequence>, dlm::core::Error> {
    let row = |row: Sequence| {
        let maskable = row.ids().iter().map(|&id| !vocabulary.is_special(id)).collect();
        Sequence::new(row.ids().to_vec(), maskable)
    };
    g2p::task(pairs, vocabulary).into_iter().map(row).collect()
}

/// A `tokenizer.json` of the vocabulary: phonemes are separated by spaces, letters need none.
fn tokenizer_json(vocabulary: &Vocabulary) -> String {
    let words = g2p::words();
    let added: Vec<_> = (0..words.len())
        .filter(|&id| id == UNKNOWN || vocabulary.is_special(id as u32))
        .map(|id| {
            json!({"id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let vocab: serde_json::Map<_, _> =
        words.iter().enumerate().map(|(id, word)| (word.clone(), json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"},
            {"type": "Split", "pattern": {"Regex": "[a-z']"}, "behavior": "Isolated", "invert": false},
        ]}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": words[UNKNOWN]},
    })
    .to_string()
}
