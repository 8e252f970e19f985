//! The library without a network: noise, losses, and one reverse step over constant logits.

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dlm::core::loss::{nll, nll_chunked};
use dlm::core::schedule::Linear;
use dlm::core::{CounterRng, Decoder, Forward, Prior, Times, Vocabulary};
use dlm::sampling::strategy::{Ancestral, Llada};
use dlm::sampling::{Candidate, Canvas, ReverseStep, Route, reverse, uniform};
use dlm_benches::{Constant, MASK, batch, half_noised, loss};

fn noise(c: &mut Criterion) {
    let mut group = c.benchmark_group("noise");
    for (rows, len) in [(64, 64), (128, 512)] {
        let batch = batch(0..rows, len, 1000);
        let forward = Forward::new(Linear, Prior::Absorbing { mask: MASK });
        let times = Times::grid(50).unwrap();
        let rng = CounterRng::new(1);
        group.throughput(Throughput::Elements((rows * len) as u64));
        group.bench_function(BenchmarkId::new("coupled", format!("{rows}x{len}")), |b| {
            b.iter(|| forward.noise_coupled(&batch, &times.sample_pairs(&batch, &rng), &rng).unwrap());
        });
    }
}

fn losses(c: &mut Criterion) {
    let device = Device::default().autodiff();
    let mut group = c.benchmark_group("nll, forward and backward");
    group.sample_size(10);
    for (n, v, d) in [(512, 1000, 384), (512, 30_522, 384)] {
        let noised = half_noised(&batch(0..8, 2 * n / 8, 1000));
        let random = |shape| Tensor::<2>::random(shape, Distribution::Normal(0.0, 0.05), &device);
        let (features, weight) = (random([n, d]), random([v, d]));
        let decoder = |weight: Tensor<2>| Decoder { weight, bias: None };
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new("plain", format!("{n}x{v}")), |b| {
            b.iter(|| {
                let (features, weight) = (features.clone().require_grad(), weight.clone().require_grad());
                black_box(nll(decoder(weight).forward(features), &noised, &loss()).backward())
            });
        });
        group.bench_function(BenchmarkId::new("chunks of 128", format!("{n}x{v}")), |b| {
            b.iter(|| {
                let (features, weight) = (features.clone().require_grad(), weight.clone().require_grad());
                black_box(nll_chunked(features, &decoder(weight), &noised, &loss(), 128).backward())
            });
        });
    }
}

fn steps(c: &mut Criterion) {
    let device = Device::default();
    let strategies: [(&str, Box<dyn ReverseStep>); 3] = [
        ("route", Box::new(Route::paper())),
        ("ancestral", Box::new(Ancestral::new(Linear, Candidate::SAMPLED))),
        ("llada", Box::new(Llada::low_confidence())),
    ];
    let mut group = c.benchmark_group("one reverse step, constant logits");
    for (rows, len, v) in [(16, 32, 1000), (16, 32, 30_522)] {
        let vocabulary = Vocabulary::new(v, 2, 0, 3, MASK).unwrap();
        let network = Constant::new(rows * len, v, &device);
        let prompts = vec![vec![7; 8]; rows];
        let canvas = Canvas::prompted(&prompts, &vec![len; rows], &vocabulary).unwrap();
        group.throughput(Throughput::Elements((rows * len) as u64));
        for (name, strategy) in &strategies {
            group.bench_function(BenchmarkId::new(*name, format!("{rows}x{len}x{v}")), |b| {
                b.iter(|| reverse(&network, strategy, canvas.clone(), uniform(10), 1).next());
            });
        }
    }
}

criterion_group!(benches, noise, losses, steps);
criterion_main!(benches);
