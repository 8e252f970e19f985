//! The encoder: forward passes and training steps.

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dlm::core::{Denoiser, DenoiserInput};
use dlm::models::EncoderConfig;
use dlm::train::{Diffusion, TrainConfig, Trainer};
use dlm_benches::{MASK, batch, ids};

const VOCAB: usize = 1000;

fn sizes() -> [(&'static str, EncoderConfig); 2] {
    [("3x128", EncoderConfig::new(VOCAB, 128, 3, 4)), ("6x384", EncoderConfig::new(VOCAB, 384, 6, 12))]
}

fn forward(c: &mut Criterion) {
    let device = Device::default();
    let mut group = c.benchmark_group("encoder forward");
    group.sample_size(10);
    for (name, config) in sizes() {
        let model = config.init(&device).unwrap();
        for (rows, len) in [(1, 64), (8, 64)] {
            let ids = ids(rows, len, VOCAB);
            let at: Vec<usize> = (0..rows * len).collect();
            group.throughput(Throughput::Elements((rows * len) as u64));
            group.bench_function(BenchmarkId::new(name, format!("{rows}x{len}")), |b| {
                b.iter(|| {
                    let logits = model.logits(&DenoiserInput::new(&ids, [rows, len], &at));
                    device.sync().unwrap();
                    logits
                });
            });
        }
    }
}

fn training(c: &mut Criterion) {
    let device = Device::default().autodiff();
    let mut group = c.benchmark_group("training step");
    group.sample_size(10);
    for (name, config) in sizes() {
        let clean = batch(0..16, 32, VOCAB);
        let model = config.with_dropout(0.0).init(&device).unwrap();
        let objective = Diffusion::paper(MASK, 50).unwrap();
        let source = move |_| Ok(clean.clone());
        let mut trainer = Trainer::new(model, objective, source, TrainConfig::paper(1e-4, 1)).unwrap();
        group.throughput(Throughput::Elements(2 * 16 * 32));
        group.bench_function(BenchmarkId::new(name, "16x32, coupled"), |b| {
            b.iter(|| trainer.step().unwrap().loss().unwrap());
        });
    }
}

/// Query, key and value as three products and as one whose result is cut, heads apart as attention wants them.
fn projections(c: &mut Criterion) {
    let device = Device::default();
    let random = |shape| Tensor::<2>::random(shape, Distribution::Default, &device);
    let mut group = c.benchmark_group("query, key and value");
    for (width, tokens) in [(384, 64), (384, 512), (768, 64), (768, 512)] {
        let (input, apart) = (random([tokens, width]), [(); 3].map(|()| random([width, width])));
        let joined = Tensor::cat(apart.to_vec(), 1);
        let heads = |part: Tensor<2>| part.reshape([1, tokens, width / 64, 64]).swap_dims(1, 2);
        let name = format!("{tokens} x {width}");
        group.bench_function(BenchmarkId::new("three", &name), |b| {
            b.iter(|| apart.clone().map(|weight| heads(input.clone().matmul(weight))));
        });
        group.bench_function(BenchmarkId::new("one", &name), |b| {
            b.iter(|| {
                input.clone().matmul(joined.clone()).chunk(3, 1).into_iter().map(heads).collect::<Vec<_>>()
            });
        });
    }
}

criterion_group!(benches, forward, training, projections);
criterion_main!(benches);
