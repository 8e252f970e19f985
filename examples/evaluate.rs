//! What you learn: a task is a small file, a folder with a network is its subject, a report is the result.
//!
//! ```sh
//! cargo run --release --example evaluate                          # assets/g2p on tasks/g2p.toml, offline
//! cargo run --release --example evaluate -- --model FOLDER --task tasks/gsm8k.toml --task tasks/mmlu.toml
//! ```
//!
//! Prints a table, and writes `results.json` (the reports) and `outputs.jsonl` (every prompt, answer and
//! reference, with its scores).

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::Parser;
use dlm::evaluate::{Subject, Table, Task, evaluate};
use dlm::pipeline::Pipeline;
use dlm::sampling::wrap::Threads;

/// Measures a diffusion language model on tasks that small files describe.
#[derive(Parser)]
struct Options {
    /// Hugging Face folder with a tokenizer, and a length head if lengths are to be predicted.
    #[arg(long, default_value = "assets/g2p")]
    model: PathBuf,
    /// Task file; may be given several times.
    #[arg(long, default_value = "tasks/g2p.toml")]
    task: Vec<PathBuf>,
    /// At most so many cases of each task.
    #[arg(long)]
    limit: Option<usize>,
    /// Where results go.
    #[arg(long, default_value = "out/evaluate")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (pipeline, report) = Pipeline::load(&options.model, &Device::default())?;
    println!("{}: {report}", options.model.display());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let network = Threads::new(&pipeline.model, threads);
    let model = pipeline.view.of(network);
    let subject =
        Subject::new(&model, &pipeline.text).with_view(pipeline.view).with_lengths(pipeline.lengths());

    // All files are read before the first is run.
    let mut tasks = options.task.iter().map(Task::read).collect::<Result<Vec<_>, _>>()?;
    fs::create_dir_all(&options.out)?;
    let outputs = options.out.join("outputs.jsonl");
    let mut lines = BufWriter::new(File::create(&outputs)?);
    let mut reports = Vec::new();
    for task in &mut tasks {
        task.limit = options.limit.or(task.limit);
        let report = evaluate(&subject, task, |done, of| show(&task.name, done, of))?;
        report.complaints.iter().for_each(|complaint| eprintln!("left out: {complaint}"));
        report.write_outputs(&mut lines)?;
        reports.push(report);
    }
    println!("\n{}", Table(&reports));
    let results = options.out.join("results.json");
    fs::write(&results, serde_json::to_string_pretty(&reports)? + "\n")?;
    println!("written: {}, {}", results.display(), outputs.display());
    Ok(())
}

/// One line that is written over on a terminal, else only the last.
fn show(task: &str, done: usize, of: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{task}: {done} of {of} cases");
    }
    if done == of {
        eprintln!("\r{task}: {done} of {of} cases");
    }
}
