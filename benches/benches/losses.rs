//! Losses over logits alone, forward and backward: what each costs beside the cross-entropy.
//!
//! ```sh
//! cargo bench -p dlm-benches --bench losses
//! ```

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dlm::core::loss::{
    Confidence, D3pm, Elbo, FlowMatching, GenMd4, LogScores, Mlm, ScoreEntropy, TokenLoss, nll,
};
use dlm::core::prior::{Mixed, Words};
use dlm::core::schedule::{Hybrid, Linear, PerToken};
use dlm::core::{CounterRng, Forward, Noised, Prior, Schedule, Vocabulary};
use dlm_benches::{MASK, batch};

const WORDS: usize = 32_000;
const ASKED: usize = 512;

/// All tokens as noise of some kind may have left them, each asked.
fn noised<S: Schedule>(forward: &Forward<S>) -> Noised {
    let clean = batch(0..ASKED / 64, 64, 1000);
    let noised = forward.noise(&clean, &vec![0.6; clean.rows()], &CounterRng::new(1)).unwrap();
    noised.everywhere(&clean).unwrap()
}

fn losses(c: &mut Criterion) {
    let vocabulary = Vocabulary::new(WORDS, 2, 0, 3, MASK).unwrap();
    let words = || Words::uniform(&vocabulary).unwrap();
    let hybrid = Hybrid::new(0.2).unwrap();
    let masks = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let uniform = Forward::new(Linear, Prior::Words(words()));
    let both = Forward::new(hybrid, Prior::Mixed(Mixed::hybrid(MASK, words(), hybrid).unwrap()));
    let rates = PerToken::new(&vec![1.5; WORDS]).unwrap();

    let device = Device::default().autodiff();
    let logits = Tensor::<2>::random([ASKED, WORDS], Distribution::Normal(0.0, 2.0), &device);
    let mut group = c.benchmark_group(format!("losses, forward and backward, {ASKED}x{WORDS}"));
    group.sample_size(10).throughput(Throughput::Elements(ASKED as u64));
    let mut measure = |name: &str, noise: &str, loss: &dyn Fn(Tensor<2>) -> Tensor<1>| {
        group.bench_function(BenchmarkId::new(name, noise), |b| {
            b.iter(|| {
                let leaf = logits.clone().require_grad();
                let loss = loss(leaf.clone()).sum();
                black_box(leaf.grad(&loss.backward()))
            });
        });
    };
    let (by_masks, by_words, by_both) = (noised(&masks), noised(&uniform), noised(&both));
    measure("nll", "masks", &|z| nll(z, &by_masks, &Mlm));
    measure("Elbo", "masks", &|z| Elbo::new(&masks).terms(z, &by_masks));
    measure("Elbo", "uniform", &|z| Elbo::new(&uniform).terms(z, &by_words));
    measure("Elbo", "GIDD", &|z| Elbo::new(&both).terms(z, &by_both));
    measure("D3pm", "uniform", &|z| D3pm::new(&uniform, 50).unwrap().terms(z, &by_words));
    measure("ScoreEntropy", "uniform", &|z| ScoreEntropy::new(&uniform).terms(LogScores(z), &by_words));
    let converted = |z| LogScores::from_logits(z, &by_words, &uniform);
    measure("ScoreEntropy", "uniform, of logits", &|z| {
        ScoreEntropy::new(&uniform).terms(converted(z), &by_words)
    });
    measure("FlowMatching", "uniform", &|z| FlowMatching::new(Linear).terms(z, &by_words));
    measure("GenMd4", "masks", &|z| GenMd4::new(rates.clone()).terms(z, &by_masks));
    measure("Confidence", "masks", &|z| Confidence.terms(z, &by_masks));
}

criterion_group!(benches, losses);
criterion_main!(benches);
