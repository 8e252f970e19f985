//! Every noise, positions that it made, and uneven logits about them: what tests of the losses of tokens share.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, unreachable_pub)] // each test binary uses a part of it

use burn::tensor::{Device, Tensor, TensorData};
use dlm_core::loss::{Confidence, D3pm, Elbo, FlowMatching, GenMd4, TokenLoss, forbid};
use dlm_core::prior::{Mixed, Words};
use dlm_core::schedule::{Cosine, Hybrid, Linear, PerToken};
use dlm_core::{Batch, Forward, Noised, Prior, Schedule, Sequence, Vocabulary};

pub const V: usize = 7;
pub const MASK: u32 = 6;

pub fn vocabulary() -> Vocabulary {
    Vocabulary::new(V, 0, 1, 2, MASK).unwrap()
}

pub type Any = Forward<Box<dyn Schedule>>;

pub fn all() -> Vec<(&'static str, Any)> {
    let forward = |schedule: Box<dyn Schedule>, prior| Forward::new(schedule, prior);
    let uniform = || Words::uniform(&vocabulary()).unwrap();
    let unigram = Words::unigram(&[0, 0, 0, 1, 8, 3, 0], &vocabulary(), 1.5).unwrap();
    let hybrid = Hybrid::new(0.2).unwrap();
    vec![
        ("absorbing", forward(Box::new(Linear), Prior::Absorbing { mask: MASK })),
        ("uniform", forward(Box::new(Linear), Prior::Words(uniform()))),
        ("unigram", forward(Box::new(Cosine), Prior::Words(unigram))),
        ("mixed", forward(Box::new(Cosine), Prior::Mixed(Mixed::new(MASK, uniform(), 0.3).unwrap()))),
        ("hybrid", forward(Box::new(hybrid), Prior::Mixed(Mixed::hybrid(MASK, uniform(), hybrid).unwrap()))),
    ]
}

/// Every pair of a clean word and what noise may have made of it, in one row; the words it was and became.
pub fn pairs(forward: &Any, t: f64) -> (Noised, Vec<(u32, u32)>) {
    let masks = forward.prior().words().is_none();
    let noise: Vec<u32> = (3..V as u32).filter(|&id| forward.prior().prob(id, t) > 0.0).collect();
    let all: Vec<(u32, u32)> = (3..6).flat_map(|x0| noise.iter().map(move |&xt| (x0, xt))).collect();
    let (x0, xt): (Vec<u32>, Vec<u32>) = all.iter().copied().unzip();
    let batch = Batch::new(&[Sequence::whole(x0)], &vocabulary()).unwrap();
    let noised = if masks {
        Noised::with_noise(&batch, &[t], &vec![true; xt.len()], forward.prior().clone()).unwrap()
    } else {
        Noised::with_tokens(&batch, &[t], &xt, forward.prior()).unwrap()
    };
    assert_eq!(noised.at().len(), all.len());
    (noised, all)
}

/// Uneven logits of the words 3, 4 and 5; special words are impossible, the mask where it is `forbidden`.
pub fn logits(rows: usize, forbidden: bool) -> Vec<Vec<f64>> {
    let value = |n: usize, v: usize| 1.7 * ((n * 7 + v * v + 3 * v) as f64 * 0.9).sin();
    let row = |n| (0..V).map(|v| if v < 3 || forbidden && v == 6 { -1e30 } else { value(n, v) }).collect();
    (0..rows).map(row).collect()
}

pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::MIN, f64::max);
    let exp: Vec<f64> = logits.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

pub fn upload(rows: &[Vec<f64>], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = rows.concat().iter().map(|&z| z as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows[0].len()]), device)
}

pub fn numbers(terms: Tensor<1>) -> Vec<f64> {
    terms.into_data().iter::<f32>().map(f64::from).collect()
}

pub fn one_hot(id: u32) -> Vec<f64> {
    (0..V as u32).map(|i| f64::from(u8::from(i == id))).collect()
}

/// KL(p ‖ q), summed so that nothing cancels.
pub fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let term = |(p, q): (&f64, &f64)| if *p > 0.0 { p * (p / q).ln() - p + q } else { *q };
    p.iter().zip(q).map(term).sum()
}

pub fn close(got: f64, expected: f64, tolerance: f64) -> bool {
    (got - expected).abs() <= tolerance * (1.0 + expected.abs())
}

/// The mask is impossible where it may be what stands there.
pub fn forbid_for(name: &str, z: Tensor<2>) -> Tensor<2> {
    if name == "uniform" || name == "unigram" { z } else { forbid(z, MASK) }
}

/// Every loss over logits, of every noise it is for.
pub fn losses<'a>(forward: &'a Any) -> Vec<(&'static str, Box<dyn TokenLoss<Output = Tensor<2>> + 'a>)> {
    let rates = PerToken::new(&[1.0, 1.0, 1.0, 0.5, 2.0, 3.0, 1.0]).unwrap();
    vec![
        ("elbo", Box::new(Elbo::new(forward))),
        ("d3pm", Box::new(D3pm::new(forward, 10).unwrap())),
        ("flow", Box::new(FlowMatching::new(Linear))),
        ("rates", Box::new(GenMd4::new(rates))),
        ("confidence", Box::new(Confidence)),
    ]
}

/// Whether counts follow a law: Pearson's statistic below its 99.99 % point, by Wilson and Hilferty.
pub fn follows(counts: &[usize], law: &[f64]) -> bool {
    let n = counts.iter().sum::<usize>() as f64;
    let possible = || counts.iter().zip(law).filter(|(_, p)| **p > 1e-12);
    let chi: f64 = possible().map(|(&count, &p)| (count as f64 - n * p).powi(2) / (n * p)).sum();
    let freedom = (possible().count() - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    let bound = freedom * (1.0 - spread + 3.719 * spread.sqrt()).powi(3);
    let impossible: usize =
        counts.iter().zip(law).filter(|(_, p)| **p <= 1e-12).map(|(&count, _)| count).sum();
    impossible == 0 && (freedom == 0.0 || chi < bound)
}
