//! What you learn: text in, text out, and what happens in between: noise turns into words, surest first.
//!
//! ```sh
//! cargo run --release --example generate                       # reads prompts, a line each
//! cargo run --release --example generate -- rust diffusion     # answers these and ends
//! echo burn | cargo run --release --example generate -- --steps 4 --strategy ar
//! ```
//!
//! The default model spells out how English words are spoken. Each step is a line: `[word]` was just
//! written, `~` was just taken back, `_` is noise (green, red and dim on a terminal). Several lengths are
//! tried; the surest answer is printed last, on standard output, and nothing else is.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::Parser;
use dlm::pipeline::Pipeline;
use dlm::sampling::trace::{Style, Trace};
use dlm::sampling::{Candidate, Canvas, Strategy, reverse, uniform};

/// Answers prompts by iterative denoising, and shows how.
#[derive(Parser)]
struct Options {
    /// Prompts to answer; without any, each line of standard input is one.
    prompts: Vec<String>,
    /// Hugging Face folder with a tokenizer, and a length head if lengths are to be predicted.
    #[arg(long, default_value = "assets/g2p")]
    model: PathBuf,
    /// Decoder: reparam-<cond|uncond>-<deterministic|stochastic<tau>>-<linear|cosine>, cmlm, ar,
    /// llada-low-confidence or llada-random.
    #[arg(long, default_value = "reparam-uncond-deterministic-cosine")]
    strategy: Strategy,
    /// Steps of decoding.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Answer lengths to try, in tokens: 4,5,6. Without, the folder's length head proposes them, or it is
    /// the prompt's length and one more or less.
    #[arg(long, value_delimiter = ',')]
    lengths: Vec<u16>,
    /// How many lengths the head proposes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    beam: u16,
    /// Draw words at this temperature instead of taking the likeliest.
    #[arg(long)]
    temperature: Option<f64>,
    /// Seed of all draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only answers, no traces.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> Result<(), Box<dyn Error>> {
    let (pipeline, report) = Pipeline::load(&options.model, &Device::default())?;
    eprintln!("{}: {report}", options.model.display());
    if let Some(temperature) = options.temperature {
        options.strategy = options.strategy.with_candidate(Candidate::at_temperature(temperature)?);
    }
    for prompt in &options.prompts {
        answer(&pipeline, prompt, &options)?;
    }
    if options.prompts.is_empty() {
        converse(&pipeline, &options)?;
    }
    Ok(())
}

/// Answers line by line; a prompt that cannot be answered does not end the conversation on a terminal.
fn converse(pipeline: &Pipeline, options: &Options) -> Result<(), Box<dyn Error>> {
    let talks = stdin().is_terminal();
    let ask = || {
        if talks {
            eprint!("> ");
        }
        stderr().flush()
    };
    ask()?;
    for line in stdin().lock().lines() {
        match answer(pipeline, line?.trim(), options) {
            Err(error) if talks => eprintln!("{error}"),
            other => other?,
        }
        ask()?;
    }
    Ok(())
}

/// Decodes one length after the other, each in sight, and prints the surest answer.
fn answer(pipeline: &Pipeline, prompt: &str, options: &Options) -> Result<(), Box<dyn Error>> {
    if prompt.is_empty() {
        return Ok(());
    }
    let ids = pipeline.encode(prompt)?;
    let mut best: Option<(f64, String)> = None;
    for (candidate, length) in lengths(pipeline, prompt, ids.len(), options)?.into_iter().enumerate() {
        // A candidate draws what it would draw beside the others.
        let canvas = Canvas::prompted(&[&ids], &[length], pipeline.text.vocabulary())?
            .with_keys(&[candidate as u64])?;
        let plan = uniform(options.steps as usize);
        let network = pipeline.denoiser();
        let run = reverse(&network, &options.strategy, canvas, plan, options.seed);
        let (canvas, _) = Trace::watch(run, |trace| show(pipeline, trace, options))?;
        let (text, score) = (pipeline.decode(&canvas.response(0))?, canvas.mean_score(0).unwrap_or(f64::NAN));
        eprintln!("{length} tokens, mean log-probability {score:.3}: {text}");
        if best.as_ref().is_none_or(|(surest, _)| score > *surest) {
            best = Some((score, text));
        }
    }
    println!("{}", best.map(|(_, text)| text).unwrap_or_default());
    Ok(())
}

fn lengths(
    pipeline: &Pipeline,
    prompt: &str,
    tokens: usize,
    options: &Options,
) -> Result<Vec<usize>, Box<dyn Error>> {
    if !options.lengths.is_empty() {
        return Ok(options.lengths.iter().copied().map(usize::from).collect());
    }
    match pipeline.lengths() {
        Some(_) => Ok(pipeline.predict_lengths(&[prompt], options.beam.into())?.swap_remove(0)),
        None => Ok((tokens.saturating_sub(1).max(1)..=tokens + 1).collect()),
    }
}

/// The newest line of a trace.
fn show(pipeline: &Pipeline, trace: &Trace, options: &Options) {
    if options.quiet {
        return;
    }
    let style = if stderr().is_terminal() { Style::Ansi } else { Style::Plain };
    let word = |id| pipeline.text.token(id).unwrap_or_else(|| id.to_string());
    let line = trace.lines(0, word, style).last().unwrap_or_default();
    eprintln!("{:>3}  {line}", trace.len());
}
