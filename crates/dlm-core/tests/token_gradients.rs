//! Gradients in closed form against differences, and all losses of tokens at the edges of f32 and f16.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

mod common;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use common::{
    MASK, V, all, close, divergence, forbid_for, logits, losses, numbers, pairs, softmax, upload, vocabulary,
};
use dlm_core::loss::{Confidence, Elbo, LogScores, Reduction, ScoreEntropy, TokenLoss};
use dlm_core::schedule::Linear;
use dlm_core::{Batch, Forward, Noised, Prior, Sequence, Vocabulary};

#[test]
fn gradients_are_those_of_differences() {
    for (name, forward) in all() {
        for t in [0.3, 0.7] {
            let (noised, pairs) = pairs(&forward, t);
            let z = logits(pairs.len(), false);
            for (loss, terms) in losses(&forward) {
                let run = |z: &[Vec<f64>]| {
                    let z = upload(z, &Device::flex().autodiff()).require_grad();
                    (z.clone(), terms.terms(forbid_for(name, z), &noised))
                };
                let (leaf, value) = run(&z);
                // An uneven factor above: each term must be scaled by its own.
                let factors: Vec<f32> = (0..pairs.len()).map(|n| 1.0 + 0.1 * n as f32).collect();
                let factors = Tensor::<1>::from_floats(factors.as_slice(), &leaf.device());
                let gradient = leaf.grad(&(value * factors).sum().backward()).unwrap();
                let gradient: Vec<f32> = gradient.into_data().iter().collect();
                assert!(gradient.iter().all(|g| g.is_finite()), "{name}, {loss}");
                let h = 4e-3;
                for (n, v) in [(0, 3), (1, 4), (2, 5), (2, 3), (0, 6), (1, 0)] {
                    let moved = |sign: f64| {
                        let mut z = z.clone();
                        z[n][v] += sign * h;
                        numbers(run(&z).1.inner())[n]
                    };
                    let slope = (moved(1.0) - moved(-1.0)) / (2.0 * h) * (1.0 + 0.1 * n as f64);
                    let got = f64::from(gradient[n * V + v]);
                    assert!(
                        close(got, slope, 2e-3),
                        "{name}, {loss} at {t}, {:?}, {v}: {got} {slope}",
                        pairs[n]
                    );
                }
            }
        }
    }
}

#[test]
fn confidence_sharpens_right_guesses_alone() {
    let batch = Batch::new(&[Sequence::whole(vec![3, 4])], &vocabulary()).unwrap();
    let noised = Noised::with_noise(&batch, &[0.5], &[true; 2], Prior::Absorbing { mask: MASK }).unwrap();
    let p = [0.5_f64, 0.3, 0.2];
    let row = [vec![-1e30; 3], p.map(f64::ln).to_vec(), vec![-1e30]].concat();
    let z = upload(&[row.clone(), row], &Device::flex().autodiff()).require_grad();
    let terms = Confidence.terms(z.clone(), &noised);
    let entropy: f64 = p.iter().map(|p| -p * p.ln()).sum();
    let got = numbers(terms.clone().inner());
    assert!(close(got[0], entropy, 1e-6) && got[1] == 0.0, "{got:?}");
    let gradient: Vec<f32> = z.grad(&terms.sum().backward()).unwrap().into_data().iter().collect();
    for (got, p) in gradient[3..6].iter().zip(p) {
        // dH/dz = −p·(ln p + H)
        assert!(close(f64::from(*got), -p * (p.ln() + entropy), 1e-6), "{gradient:?}");
    }
    assert!(gradient[V..].iter().all(|&g| g == 0.0), "{gradient:?}");
}

#[test]
fn gradients_of_scores_are_those_of_differences() {
    for (name, forward) in all() {
        let (noised, pairs) = pairs(&forward, 0.6);
        let z = logits(pairs.len(), false);
        let run = |z: &[Vec<f64>]| {
            let z = upload(z, &Device::flex().autodiff()).require_grad();
            (z.clone(), ScoreEntropy::new(&forward).terms(LogScores(z), &noised))
        };
        let (leaf, value) = run(&z);
        let gradient: Vec<f32> = leaf.grad(&value.sum().backward()).unwrap().into_data().iter().collect();
        for (n, v) in [(0, 3), (1, 4), (2, 5), (0, 6), (1, 0)] {
            let moved = |sign: f64| {
                let mut z = z.clone();
                z[n][v] += sign * 4e-3;
                numbers(run(&z).1.inner())[n]
            };
            let slope = (moved(1.0) - moved(-1.0)) / 8e-3;
            assert!(close(f64::from(gradient[n * V + v]), slope, 2e-3), "{name}, {:?}, {v}", pairs[n]);
        }
        for (n, &(_, xt)) in pairs.iter().enumerate() {
            assert_eq!(gradient[n * V + xt as usize], 0.0, "{name}: the ratio of what stands there is 1");
        }
    }
}

#[test]
fn half_precision_logits_give_the_loss_of_their_values() {
    for (name, forward) in all() {
        let (noised, pairs) = pairs(&forward, 0.6);
        for half in [FloatDType::BF16, FloatDType::F16] {
            let z: Vec<Vec<f64>> = logits(pairs.len(), false)
                .iter()
                .map(|row| row.iter().map(|z| 20.0 * z.max(-1e3)).collect())
                .collect();
            let z = upload(&z, &Device::flex().autodiff()).cast(half).require_grad();
            for (loss, terms) in losses(&forward) {
                let value = terms.terms(forbid_for(name, z.clone()), &noised);
                let wide = forbid_for(name, z.clone()).inner().cast(FloatDType::F32);
                let (got, expected) = (numbers(value.clone().inner()), numbers(terms.terms(wide, &noised)));
                assert_eq!(got, expected, "{name}, {loss}");
                assert!(got.iter().all(|x| x.is_finite()), "{name}, {loss}: {got:?}");
                let gradient = z.grad(&value.sum().backward()).unwrap();
                assert_eq!(gradient.dtype(), half.into());
                assert!(gradient.is_finite().all().into_scalar::<bool>(), "{name}, {loss}");
            }
        }
    }
}

#[test]
fn extreme_logits_stay_finite() {
    for (name, forward) in all() {
        for t in [1e-6, 0.5, 1.0] {
            let (noised, pairs) = pairs(&forward, t);
            let z: Vec<Vec<f64>> = logits(pairs.len(), true)
                .iter()
                .map(|row| row.iter().map(|z| 60.0 * z.max(-1e9)).collect())
                .collect();
            for (loss, terms) in losses(&forward) {
                let leaf = upload(&z, &Device::flex().autodiff()).require_grad();
                let value = terms.terms(leaf.clone(), &noised);
                let got = numbers(value.clone().inner());
                assert!(got.iter().all(|x| x.is_finite()), "{name}, {loss} at {t}: {got:?}");
                let gradient = leaf.grad(&value.sum().backward()).unwrap();
                assert!(gradient.is_finite().all().into_scalar::<bool>(), "{name}, {loss} at {t}");
            }
        }
    }
}

#[test]
fn nothing_asked_costs_nothing() {
    let batch = Batch::new(&[Sequence::whole(vec![3])], &vocabulary()).unwrap();
    for (name, forward) in all().into_iter().take(1) {
        let noised = Noised::with_noise(&batch, &[0.5], &[false], forward.prior().clone()).unwrap();
        for (loss, terms) in losses(&forward) {
            let none = terms.terms(Tensor::zeros([0, V], &Device::flex()), &noised);
            assert_eq!(none.dims(), [0], "{name}, {loss}");
            assert_eq!(Reduction::Tokens.reduce(none, &noised).into_scalar::<f32>(), 0.0);
        }
        let scores = LogScores::from_logits(Tensor::zeros([0, V], &Device::flex()), &noised, &forward);
        assert_eq!(ScoreEntropy::new(&forward).terms(scores, &noised).dims(), [0]);
    }
}

#[test]
fn a_large_vocabulary_is_worked_through_in_pieces() {
    // Ten pieces of a million entries; the words and what becomes of them differ from row to row.
    let (words, rows) = (100_000_u32, 100);
    let vocabulary = Vocabulary::new(words as usize, 0, 1, 2, 3).unwrap();
    let text: Vec<u32> = (0..rows).map(|n| 10 + 977 * n).collect();
    let noise: Vec<u32> = (0..rows).map(|n| if n % 3 == 0 { 10 + 977 * n } else { 20 + 313 * n }).collect();
    let forward = Forward::new(Linear, Prior::uniform(&vocabulary).unwrap());
    let value = |n: u32, v: u32| ((n + 1) as f32 * 0.37 + v as f32 * 0.011).sin() * 3.0;
    let logits = |rows: &[u32]| {
        let values: Vec<f32> = rows.iter().flat_map(|&n| (0..words).map(move |v| value(n, v))).collect();
        let data = TensorData::new(values, [rows.len(), words as usize]);
        Tensor::<2>::from_data(data, &Device::flex().autodiff()).require_grad()
    };
    let run = |rows: &[u32]| {
        let pick = |of: &[u32]| rows.iter().map(|&n| of[n as usize]).collect::<Vec<_>>();
        let batch = Batch::new(&[Sequence::whole(pick(&text))], &vocabulary).unwrap();
        let noised = Noised::with_tokens(&batch, &[0.4], &pick(&noise), forward.prior()).unwrap();
        let z = logits(rows);
        let bound = Elbo::new(&forward).terms(z.clone(), &noised);
        let scores = ScoreEntropy::new(&forward).terms(LogScores(z.clone()), &noised);
        let (one, other) = (numbers(bound.clone().inner()), numbers(scores.clone().inner()));
        let gradient =
            z.grad(&(bound + scores).sum().backward()).unwrap().abs().sum_dim(1).squeeze_dim::<1>(1);
        [one, other, numbers(gradient)]
    };
    // The divergence of rates again, with p over words that are not special.
    let exact = |n: u32| {
        let p = softmax(&(0..words).map(|v| f64::from(value(n, v))).collect::<Vec<_>>());
        let (x0, xt) = (text[n as usize] as usize, noise[n as usize] as usize);
        let even = |i: usize| if i < 4 { 0.0 } else { 0.4 / f64::from(words - 4) };
        let truth = |i: usize| even(i) + if i == x0 { 0.6 } else { 0.0 };
        let said = |i: usize| even(i) + 0.6 * p[i];
        let others = |law: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..words as usize).filter(|&i| i != xt).map(|i| law(i) / law(xt)).collect()
        };
        divergence(&others(&truth), &others(&said)) / 0.6 / f64::from(words - 4)
    };
    let all = run(&(0..rows).collect::<Vec<_>>());
    for n in [0, 1, 2, 50, 98] {
        assert!(close(all[0][n as usize], exact(n), 2e-5), "row {n}: {} {}", all[0][n as usize], exact(n));
    }
    for part in [0..7, 40..45, 95..100] {
        let alone = run(&part.clone().collect::<Vec<_>>());
        for (all, alone) in all.iter().zip(&alone) {
            let all = &all[part.start as usize..part.end as usize];
            assert!(all.iter().zip(alone).all(|(a, b)| close(*a, *b, 1e-5)), "{part:?}: {all:?} {alone:?}");
        }
    }
}
