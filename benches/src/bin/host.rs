//! The host side of a training step, noise and weights, beside a forward pass of XLM-R BASE on the same cores.
//!
//! ```sh
//! cargo run --release -p dlm-benches --bin host
//! ```
//!
//! 128 x 512 tokens are noised and weighed. The network, 12 layers of width 768 with random weights, passes 8 x 256 of
//! them, and that is taken times 32: generous to the network, whose attention costs more in rows of 512. It is asked
//! at the noisy positions, and its vocabulary is a thousand words, where XLM-R's 250 002 would make the pass twice
//! as long: both make the share look larger than it is.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use burn::tensor::Device;
use dlm::core::loss::{Cart, Flat, Mlm, Nelbo, Rdm, Reduction, Weighting};
use dlm::core::schedule::Linear;
use dlm::core::{Batch, CounterRng, Denoiser, Forward, Noised, Prior, Times, Vocabulary};
use dlm::models::EncoderConfig;
use dlm::sampling::wrap::Threads;
use dlm_benches::{MASK, batch};

const WORDS: usize = 1000;
const ROWS: usize = 128;
const LEN: usize = 512;
/// What the network passes.
const SLICE: [usize; 2] = [8, 256];

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn Error>> {
    let vocabulary = Vocabulary::new(WORDS, 2, 0, 3, MASK)?;
    let clean = batch(0..ROWS, LEN, WORDS);
    let masks = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let words = Forward::new(Linear, Prior::uniform(&vocabulary)?);
    let (pass, cores) = forward_pass(&masks)?;
    let pass = pass * (ROWS * LEN) as f64 / (SLICE[0] * SLICE[1]) as f64;
    println!("{ROWS} x {LEN} tokens; the forward pass: {pass:.1} s on {cores} cores");
    println!("| host side | ms | of the forward pass |\n|---|---|---|");
    let line = |what: &str, seconds: f64| {
        println!("| {what} | {:.2} | {:.4} % |", seconds * 1e3, 100.0 * seconds / pass);
    };
    for (name, forward) in [("masks", &masks), ("uniform words", &words)] {
        let times = Times::stratified(1e-3)?;
        let noise = |step: u64| noise(forward, &clean, times, step);
        line(&format!("noise, {name}"), median(|step| drop(black_box(noise(step)))));
        let noised = noise(0)?;
        for (name, weighting) in weightings(forward.prior().words().is_some())? {
            let weigh = |_| drop(black_box(weighting.weights(&noised)));
            line(&format!("weights, {name}"), median(weigh));
        }
    }
    let pairs = |step: u64| {
        let rng = CounterRng::new(1).at_step(step);
        let pairs = Times::grid(50)?.sample_pairs(&clean, &rng);
        masks.noise_coupled(&clean, &pairs, &rng)
    };
    line("noise, masks, coupled pairs (2 x the tokens)", median(|step| drop(black_box(pairs(step)))));
    Ok(())
}

fn noise(
    forward: &Forward<Linear>,
    clean: &Batch,
    times: Times,
    step: u64,
) -> Result<Noised, dlm::core::Error> {
    let rng = CounterRng::new(1).at_step(step);
    forward.noise(clean, &times.sample(clean, &rng), &rng)
}

type Weightings = Vec<(&'static str, Box<dyn Weighting>)>;

/// The cross-entropy losses of a kind of noise.
fn weightings(words: bool) -> Result<Weightings, dlm::core::Error> {
    let rdm: Box<dyn Weighting> = Box::new(Rdm::linear(50)?.with_label_smoothing(0.1)?);
    if words {
        return Ok(vec![("RDM", rdm)]);
    }
    Ok(vec![
        ("RDM", rdm),
        ("NELBO", Box::new(Nelbo::new(Linear, Reduction::RowTokens))),
        ("masked LM", Box::new(Mlm)),
        ("flat", Box::new(Flat::new(1.0, Reduction::Tokens)?)),
        ("CART", Box::new(Cart::new(0.3, Reduction::Positions)?)),
    ])
}

/// Seconds of the faster of three passes of the slice, its rows on all cores, and how many those are.
fn forward_pass(forward: &Forward<Linear>) -> Result<(f64, usize), Box<dyn Error>> {
    let device = Device::default();
    let model = EncoderConfig::new(WORDS, 768, 12, 12).init(&device)?;
    let cores = std::thread::available_parallelism()?.get();
    let model = Threads::new(&model, cores);
    let clean = batch(0..SLICE[0], SLICE[1], WORDS);
    let noised = noise(forward, &clean, Times::stratified(1e-3)?, 0)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..3 {
        let began = Instant::now();
        black_box(model.logits(&noised.input()).sum().into_scalar::<f32>());
        fastest = fastest.min(began.elapsed().as_secs_f64());
    }
    Ok((fastest, cores))
}

/// Seconds of the median of 21 runs, after one that does not count.
fn median(mut work: impl FnMut(u64)) -> f64 {
    work(0);
    let mut times: Vec<f64> = (1..=21)
        .map(|step| {
            let began = Instant::now();
            work(step);
            began.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[10]
}
