//! Ratios of probabilities, and score entropy over them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use burn::tensor::{Device, Tensor};
use common::{V, all, close, logits, numbers, one_hot, pairs, softmax, upload};
use dlm_core::Schedule;
use dlm_core::loss::{Elbo, LogScores, ScoreEntropy, TokenLoss, nll_per_token};
use dlm_core::schedule::Linear;

#[test]
fn score_entropy_of_converted_scores_is_the_bound_token_by_token() {
    for (name, forward) in all() {
        for t in [0.1, 0.5, 0.97] {
            let (noised, pairs) = pairs(&forward, t);
            let z = upload(&logits(pairs.len(), true), &Device::flex());
            let scores = LogScores::from_logits(z.clone(), &noised, &forward);
            let back = scores.probabilities(&noised, &forward).into_data();
            let back: Vec<f64> = back.iter::<f32>().map(f64::from).collect();
            let p: Vec<f64> = logits(pairs.len(), true).iter().flat_map(|z| softmax(z)).collect();
            let apart = p.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < 2e-5 / (1.0 - t), "{name} at {t}: {apart}");
            let got = numbers(ScoreEntropy::new(&forward).terms(scores, &noised));
            let expected = numbers(Elbo::new(&forward).terms(z.clone(), &noised));
            for ((got, expected), pair) in got.iter().zip(&expected).zip(&pairs) {
                assert!(close(*got, *expected, 5e-5), "{name} at {t}, {pair:?}: {got} {expected}");
            }
            if name == "absorbing" {
                let nll = numbers(nll_per_token(z, &noised.targets()));
                for (got, nll) in got.iter().zip(nll) {
                    assert!(close(*got, nll / t, 2e-5), "MDLM's loss: {got} {}", nll / t);
                }
            }
        }
    }
}

#[test]
fn score_entropy_is_never_negative_and_nothing_at_the_true_ratios() {
    for (name, forward) in all() {
        let t = 0.4;
        let (noised, pairs) = pairs(&forward, t);
        let alpha = forward.schedule().alpha(t);
        let law =
            |x0: u32, i: usize| alpha * one_hot(x0)[i] + (1.0 - alpha) * forward.prior().prob(i as u32, t);
        let ratio = |&(x0, xt): &(u32, u32)| -> Vec<f64> {
            (0..V).map(|i| (law(x0, i) / law(x0, xt as usize)).ln().max(-1e30)).collect()
        };
        let truth: Vec<Vec<f64>> = pairs.iter().map(ratio).collect();
        let loss = ScoreEntropy::new(&forward);
        let at_truth = numbers(loss.terms(LogScores(upload(&truth, &Device::flex())), &noised));
        assert!(at_truth.iter().all(|x| x.abs() < 1e-4), "{name}: {at_truth:?}");
        for scale in [-0.7, 0.3, 2.0] {
            let off: Vec<Vec<f64>> =
                truth.iter().map(|row| row.iter().map(|s| s + scale).collect()).collect();
            let off = numbers(loss.terms(LogScores(upload(&off, &Device::flex())), &noised));
            assert!(off.iter().all(|&x| x > 1e-3), "{name}: {off:?}");
        }
    }
}

#[test]
fn scaling_by_sigma_turns_zeros_into_even_scores() {
    let (_, forward) = all().swap_remove(0);
    let (noised, pairs) = pairs(&forward, 0.25);
    let zeros = Tensor::zeros([pairs.len(), V], &Device::flex());
    let LogScores(scores) = LogScores::scaled_by_sigma(zeros, &noised, &Linear);
    // α/(1 − α) = 3 shared by six words.
    assert!(scores.into_data().iter::<f32>().all(|s| (s - 0.5_f32.ln()).abs() < 1e-6));
}
