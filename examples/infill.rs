//! What you learn: gaps anywhere in a text are filled from both sides. A gap, a prompt and a suffix are one
//! mechanism: a canvas knows of each position whether it may be written.
//!
//! ```sh
//! cargo run --release --example infill                              # "washington W AA SH [2] T AH N"
//! cargo run --release --example infill -- "rust R ___ S T"
//! cargo run --release --example infill -- --model assets/sapiens-vh "QVQLVQSGVEVKK[5]VKVSCKAS"
//! ```
//!
//! `___` is a gap of one token, `[3]` one of three. What was written is in brackets (green on a terminal);
//! steps in which nothing happens are not shown.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::Device;
use clap::Parser;
use dlm::core::TokenId;
use dlm::pipeline::Pipeline;
use dlm::sampling::trace::{Style, Trace};
use dlm::sampling::{Canvas, Strategy, reverse, uniform};

/// Fills the gaps of a text.
#[derive(Parser)]
struct Options {
    /// Text with gaps: `___` is one token, `[3]` are three.
    #[arg(default_value = "washington W AA SH [2] T AH N")]
    text: String,
    /// Hugging Face folder with a tokenizer.
    #[arg(long, default_value = "assets/g2p")]
    model: PathBuf,
    /// Decoder: reparam-<cond|uncond>-<deterministic|stochastic<tau>>-<linear|cosine>, cmlm, ar,
    /// llada-low-confidence or llada-random.
    #[arg(long, default_value = "reparam-uncond-deterministic-cosine")]
    strategy: Strategy,
    /// Steps of decoding.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Seed of all draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// A piece of the text.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    /// So many tokens.
    Gap(usize),
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

    let vocabulary = *pipeline.text.vocabulary();
    let (mut ids, mut editable) = (vec![vocabulary.bos], vec![false]);
    for piece in pieces(&options.text) {
        match piece {
            Piece::Text(text) => ids.extend(pipeline.encode(text)?),
            // Whatever stands in a gap becomes noise.
            Piece::Gap(tokens) => ids.resize(ids.len() + tokens, vocabulary.mask),
        }
        editable.resize(ids.len(), matches!(piece, Piece::Gap(_)));
    }
    if !editable.contains(&true) {
        return Err("the text has no gap: write ___ or [3]".into());
    }
    ids.push(vocabulary.eos);
    editable.push(false);

    let canvas = Canvas::infill(&[(&ids, &editable)], &vocabulary)?;
    let style = if stdout().is_terminal() { Style::Ansi } else { Style::Plain };
    let word = |id| pipeline.text.token(id).unwrap_or_else(|| id.to_string());
    let network = pipeline.denoiser();
    let run = reverse(&network, &options.strategy, canvas, uniform(options.steps as usize), options.seed);
    let mut shown = String::new();
    let (canvas, _) = Trace::watch(run, |trace| {
        let line = trace.lines(0, word, style).last().unwrap_or_default();
        if line != shown {
            println!("{:>3}  {line}", trace.len());
            shown = line;
        }
    })?;

    let filled = |(position, &id): (usize, &TokenId)| match (editable[position], style) {
        (false, _) => word(id),
        (true, Style::Plain) => format!("[{}]", word(id)),
        (true, Style::Ansi) => format!("\x1b[1;32m{}\x1b[0m", word(id)),
    };
    let words: Vec<String> = canvas.ids(0).iter().enumerate().map(filled).collect();
    println!("\n{}", words[1..words.len() - 1].join(" "));
    let untouched = (0..ids.len()).filter(|&at| !editable[at]).all(|at| canvas.ids(0)[at] == ids[at]);
    let score = canvas.mean_score(0).unwrap_or(f64::NAN);
    println!("given tokens untouched: {untouched}; mean log-probability of the others {score:.3}");
    println!("{}", pipeline.decode(canvas.ids(0))?);
    Ok(())
}

/// Cuts a text at its gaps.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut rest, mut from) = (text, 0);
    while let Some(at) = rest[from..].find(['_', '[']).map(|at| from + at) {
        match gap(&rest[at..]) {
            Some((tokens, length)) => {
                pieces.push(Piece::Text(&rest[..at]));
                pieces.push(Piece::Gap(tokens));
                (rest, from) = (&rest[at + length..], 0);
            }
            None => from = at + 1,
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// Tokens of the gap that a text begins with, and how long its sign is.
fn gap(text: &str) -> Option<(usize, usize)> {
    if text.starts_with("___") {
        return Some((1, 3));
    }
    let (number, _) = text.strip_prefix('[')?.split_once(']')?;
    let tokens = number.parse().ok().filter(|tokens| (1..=512).contains(tokens))?;
    Some((tokens, number.len() + 2))
}
