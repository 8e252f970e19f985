//! This library's side of `tools/peers`: the same shapes, weights and inputs, one JSON line a case.
//!
//! ```sh
//! cargo run --release -p dlm-benches --bin peers -- FOLDER > dlm.jsonl
//! cargo run --release -p dlm-benches --bin peers -- FOLDER train_step/encoder-12x384/8x64 [checkpointing]
//! ```
//!
//! With a case, that one alone, so that `peak_mib` is its own: the most memory the process had, less what it
//! had before it read the network. `checkpointing` computes each layer again in the backward pass.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use dlm::core::loss::nll;
use dlm::core::{Batch, CounterRng, Denoiser, DenoiserInput};
use dlm::models::{Checkpoint, Encoder};
use dlm::sampling::wrap::Threads;
use dlm::train::{LrSchedule, Memory, Objective, TrainConfig, Trainer};
use dlm_benches::{batch, half_noised, ids, loss};

const FORWARD: [(usize, usize); 4] = [(1, 64), (8, 64), (1, 256), (8, 256)];
const TRAIN: [(usize, usize); 5] = [(1, 64), (8, 64), (1, 256), (8, 256), (64, 24)];
/// Most tokens of a batch that a large network computes as one, and of the parts of others, each on one of the threads.
const ONE_PART: usize = 512;
const PART: usize = 256;
/// Parameters of a large network.
const LARGE: usize = 10_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().ok_or("name the folder that tools/peers/make_models.py filled")?;
    let case = arguments.next().unwrap_or_default();
    let checkpointing = arguments.next().is_some();
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    folders.retain(|folder| folder.join("config.json").is_file());
    folders.sort();
    let device = Device::default();
    let before = Memory::now(&device).resident;
    let run = Run { case, checkpointing, before };
    for folder in &folders {
        let load = || Ok::<_, dlm::models::Error>(Checkpoint::open(folder)?.load(&device)?.0);
        run.forward(folder, &load)?;
        run.train(folder, &load)?;
    }
    Ok(())
}

/// What is measured, and how.
struct Run {
    /// A part of the cases' names.
    case: String,
    checkpointing: bool,
    /// Memory before anything was read, bytes.
    before: Option<u64>,
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Run {
    fn forward(&self, folder: &Path, load: Load<'_>) -> Result<(), Box<dyn Error>> {
        for (rows, len) in FORWARD.into_iter().filter(|&shape| self.wanted("forward", folder, shape)) {
            let model = load()?;
            let model = Threads::new(&model, threads());
            let ids = ids(rows, len, model.vocab_size());
            let at: Vec<usize> = (0..rows * len).collect();
            let run = || model.logits(&DenoiserInput::new(&ids, [rows, len], &at));
            let check = run().abs().mean().into_scalar::<f32>();
            let ready = || {
                run().narrow(0, 0, 1).narrow(1, 0, 1).into_scalar::<f32>();
            };
            self.report("forward", folder, (rows, len), ready, check);
        }
        Ok(())
    }

    fn train(&self, folder: &Path, load: Load<'_>) -> Result<(), Box<dyn Error>> {
        for (rows, len) in TRAIN.into_iter().filter(|&shape| self.wanted("train_step", folder, shape)) {
            let mut trainer = self.trainer(load()?, rows, len)?;
            let check = trainer.step()?.loss()? as f32;
            // Reading the loss waits for the step before; a CPU computes it at once anyway.
            let step = || drop(trainer.step().and_then(|report| report.loss()));
            self.report("train_step", folder, (rows, len), step, check);
        }
        Ok(())
    }

    fn trainer(
        &self,
        model: Encoder,
        rows: usize,
        len: usize,
    ) -> Result<Trainer<Encoder, impl Objective<Encoder>>, Box<dyn Error>> {
        // Equal parts of one batch: the mean of their losses is the batch's. Some hundred tokens fill a product as well
        // as more and keep less, and few tokens are not worth a second gradient of a large network.
        let tokens = rows * len;
        let whole = tokens <= ONE_PART && model.num_params() >= LARGE;
        let most = if whole { 1 } else { tokens.div_ceil(PART) };
        let parts = (1..=most).rev().find(|&n| rows.is_multiple_of(n)).unwrap_or(1);
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
            gradient_checkpointing: self.checkpointing,
            ..TrainConfig::paper(1e-4, 1 << 32)
        };
        let source = move |index| Ok(parts[index as usize % parts.len()].clone());
        let device = model.device().autodiff();
        Ok(Trainer::new(model.fork(&device).train(), objective, source, config)?.with_threads(threads()))
    }

    fn wanted(&self, what: &str, folder: &Path, (rows, len): (usize, usize)) -> bool {
        format!("{what}/{}/{rows}x{len}", name(folder)).contains(&self.case)
    }

    /// The median over at least 10 runs and 3 seconds, after three that do not count.
    #[allow(clippy::print_stdout)]
    fn report(
        &self,
        what: &str,
        folder: &Path,
        (rows, len): (usize, usize),
        mut work: impl FnMut(),
        check: f32,
    ) {
        (0..3).for_each(|_| work());
        let (mut times, begin) = (Vec::new(), Instant::now());
        while times.len() < 10 || begin.elapsed().as_secs_f64() < 3.0 {
            let before = Instant::now();
            work();
            times.push(before.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let peak = Memory::now(&Device::default()).peak.zip(self.before);
        let peak = peak.filter(|_| !self.case.is_empty()).map(|(peak, before)| (peak - before) >> 20);
        let line = serde_json::json!({
            "peer": "dlm", "name": format!("{what}/{}", name(folder)), "batch": rows, "len": len,
            "median_ms": times[times.len() / 2], "threads": threads(), "runs": times.len(), "check": check,
            "peak_mib": peak, "version": env!("CARGO_PKG_VERSION"),
        });
        println!("{line}");
    }
}

/// Reads the network anew.
type Load<'a> = &'a dyn Fn() -> Result<Encoder, dlm::models::Error>;

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
