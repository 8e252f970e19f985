//! Time and peak memory of `nll`, `nll_chunked` and `NllChunks`, forward and backward, at a decoder of XLM-R's size.
//!
//! ```sh
//! cargo run --release -p dlm-benches --bin chunked                  # 250 002 words, 4096 positions, width 768
//! cargo run --release -p dlm-benches --bin chunked -- 30522 512 384 # smaller
//! ```
//!
//! Each form runs in a process of its own, so that its peak is its own; what the process had before, with the
//! features and the decoder, is taken off.

use std::error::Error;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use dlm::core::loss::{Mlm, NllChunks, nll, nll_chunked};
use dlm::core::{Batch, Decoder, Noised, Prior, Sequence, Vocabulary};
use dlm::train::Memory;

/// The forms: rows at a time, 0 for all, and whether the decoder's gradient stays off the tape.
const FORMS: [(usize, bool); 6] =
    [(0, false), (128, false), (256, false), (128, true), (256, true), (512, true)];

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<usize> =
        std::env::args().skip(1).map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    if let [words, positions, width, chunk, untaped] = arguments[..] {
        return measure([words, positions, width], chunk, untaped == 1);
    }
    let sizes = if let [words, positions, width] = arguments[..] {
        [words, positions, width]
    } else {
        [250_002, 4096, 768]
    };
    println!("{} words, {} positions, width {}", sizes[0], sizes[1], sizes[2]);
    println!("| form | time | ratio | peak | ratio |\n|---|---|---|---|---|");
    let mut plain = None;
    for (chunk, untaped) in FORMS {
        let output = Command::new(std::env::current_exe()?)
            .args(sizes.into_iter().chain([chunk, usize::from(untaped)]).map(|size| size.to_string()))
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let name = match (chunk, untaped) {
            (0, _) => "`nll`".to_owned(),
            (chunk, false) => format!("`nll_chunked`, {chunk} rows at a time"),
            (chunk, true) => format!("`NllChunks`, {chunk} rows at a time"),
        };
        let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [seconds, mib] = numbers[..] else {
            println!("| {name} | failed: {} | | | |", String::from_utf8_lossy(&output.stderr).trim());
            continue;
        };
        let (all_seconds, all_mib) = *plain.get_or_insert((seconds, mib));
        let (slower, smaller) = (seconds / all_seconds, mib / all_mib);
        println!("| {name} | {seconds:.2} s | {slower:.2} | {mib:.0} MiB | {smaller:.3} |");
    }
    Ok(())
}

/// One form: the faster of two runs in seconds, and the peak in MiB.
#[allow(clippy::print_stdout)]
fn measure([words, positions, width]: [usize; 3], chunk: usize, untaped: bool) -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let mask = words as u32 - 1;
    let vocabulary = Vocabulary::new(words, 0, 1, 2, mask)?;
    let ids = (0..positions as u32).map(|i| 5 + i % 1000).collect();
    let batch = Batch::new(&[Sequence::whole(ids)], &vocabulary)?;
    let noised = Noised::with_noise(&batch, &[1.0], batch.maskable(), Prior::Absorbing { mask })?;
    let normal = |shape: [usize; 2], std| {
        Tensor::<2>::random(shape, Distribution::Normal(0.0, std), &device).require_grad()
    };
    let features = normal([noised.at().len(), width], 1.0);
    let decoder = Decoder { weight: normal([words, width], 0.02), bias: None };
    let before = Memory::now(&device).peak.unwrap_or(0);
    let mut fastest = f64::INFINITY;
    for _ in 0..2 {
        let began = Instant::now();
        let chunks = || NllChunks::new(features.clone(), &decoder, &noised, &Mlm, chunk);
        let gradients = match (chunk, untaped) {
            (0, _) => nll(decoder.forward(features.clone()), &noised, &Mlm).backward(),
            (_, false) => nll_chunked(features.clone(), &decoder, &noised, &Mlm, chunk).backward(),
            (_, true) => chunks().backward(&decoder),
        };
        black_box((features.grad(&gradients), decoder.weight.grad(&gradients)));
        fastest = fastest.min(began.elapsed().as_secs_f64());
    }
    let peak = Memory::now(&device).peak.unwrap_or(0) - before;
    println!("{fastest} {}", peak as f64 / f64::from(1 << 20));
    Ok(())
}
