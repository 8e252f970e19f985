//! This library's side of `tools/peers`: the same shapes, weights and inputs, one JSON line a case.
//!
//! ```sh
//! cargo run --release -p dlm-benches --bin peers -- FOLDER > dlm.jsonl
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use dlm::core::loss::nll;
use dlm::core::{Batch, CounterRng, Denoiser, DenoiserInput};
use dlm::models::{Checkpoint, Encoder};
use dlm::sampling::wrap::Threads;
use dlm::train::{LrSchedule, TrainConfig, Trainer};
use dlm_benches::{batch, half_noised, ids, loss};

const FORWARD: [(usize, usize); 4] = [(1, 64), (8, 64), (1, 256), (8, 256)];
const TRAIN: [(usize, usize); 2] = [(8, 64), (64, 24)];

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("name the folder that tools/peers/make_models.py filled")?;
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    folders.retain(|folder| folder.join("config.json").is_file());
    folders.sort();
    let device = Device::default();
    for folder in &folders {
        let (model, _) = Checkpoint::open(folder)?.load(&device)?;
        forward(folder, &model);
        train(folder, &model)?;
    }
    Ok(())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn forward(folder: &Path, model: &Encoder) {
    let model = Threads::new(model, threads());
    for (rows, len) in FORWARD {
        let ids = ids(rows, len, model.vocab_size());
        let at: Vec<usize> = (0..rows * len).collect();
        let run = || model.logits(&DenoiserInput::new(&ids, [rows, len], &at));
        let check = run().abs().mean().into_scalar::<f32>();
        let ready = || {
            run().narrow(0, 0, 1).narrow(1, 0, 1).into_scalar::<f32>();
        };
        report("forward", folder, [rows, len], ready, check);
    }
}

fn train(folder: &Path, model: &Encoder) -> Result<(), Box<dyn Error>> {
    for (rows, len) in TRAIN {
        // Equal parts of one batch: the mean of their losses is the batch's.
        let parts = (1..=threads()).rev().find(|&n| rows.is_multiple_of(n)).unwrap_or(1);
        let share = rows / parts;
        let parts: Vec<Batch> =
            (0..parts).map(|i| batch(i * share..(i + 1) * share, len, model.vocab_size())).collect();
        let objective = |model: &Encoder, batch: &Batch, _: &CounterRng| {
            let noised = half_noised(batch);
            Ok(nll(model.logits(&noised.input()), &noised, &loss()))
        };
        let config = TrainConfig {
            accumulation: parts.len(),
            lr: LrSchedule::constant(1e-4),
            clip: None,
            ..TrainConfig::paper(1e-4, u64::MAX)
        };
        let source = move |index| Ok(parts[index as usize % parts.len()].clone());
        let mut trainer =
            Trainer::new(model.clone().train(), objective, source, config)?.with_threads(threads());
        let check = trainer.step()?.loss()? as f32;
        // Reading the loss waits for the step before; a CPU computes it at once anyway.
        let step = || drop(trainer.step().and_then(|report| report.loss()));
        report("train_step", folder, [rows, len], step, check);
    }
    Ok(())
}

/// The median over at least 10 runs and 3 seconds, after three that do not count.
#[allow(clippy::print_stdout)]
fn report(what: &str, folder: &Path, [rows, len]: [usize; 2], mut work: impl FnMut(), check: f32) {
    (0..3).for_each(|_| work());
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.len() < 10 || begin.elapsed().as_secs_f64() < 3.0 {
        let before = Instant::now();
        work();
        times.push(before.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let line = serde_json::json!({
        "peer": "dlm", "name": format!("{what}/{name}"), "batch": rows, "len": len,
        "median_ms": times[times.len() / 2], "threads": threads(), "runs": times.len(), "check": check,
        "version": env!("CARGO_PKG_VERSION"),
    });
    println!("{line}");
}
