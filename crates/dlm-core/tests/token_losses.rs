//! Losses that are no weighted cross-entropy, against the divergences that they are.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use dlm_core::loss::{
    Confidence, D3pm, Elbo, FlowMatching, GenMd4, LogScores, Nelbo, Reduction, Scaled, ScoreEntropy,
    TokenLoss, forbid, nll, nll_per_token,
};
use dlm_core::prior::{Mixed, Words};
use dlm_core::schedule::{Cosine, Hybrid, Linear, PerToken};
use dlm_core::{Batch, Forward, Noised, Prior, Schedule, Sequence, Vocabulary};

const V: usize = 7;
const MASK: u32 = 6;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(V, 0, 1, 2, MASK).unwrap()
}

type Any = Forward<Box<dyn Schedule>>;

fn all() -> Vec<(&'static str, Any)> {
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
fn pairs(forward: &Any, t: f64) -> (Noised, Vec<(u32, u32)>) {
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
fn logits(rows: usize, forbidden: bool) -> Vec<Vec<f64>> {
    let value = |n: usize, v: usize| 1.7 * ((n * 7 + v * v + 3 * v) as f64 * 0.9).sin();
    let row = |n| (0..V).map(|v| if v < 3 || forbidden && v == 6 { -1e30 } else { value(n, v) }).collect();
    (0..rows).map(row).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::MIN, f64::max);
    let exp: Vec<f64> = logits.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

fn upload(rows: &[Vec<f64>], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = rows.concat().iter().map(|&z| z as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows[0].len()]), device)
}

fn numbers(terms: Tensor<1>) -> Vec<f64> {
    terms.into_data().iter::<f32>().map(f64::from).collect()
}

fn one_hot(id: u32) -> Vec<f64> {
    (0..V as u32).map(|i| f64::from(u8::from(i == id))).collect()
}

/// KL(p ‖ q), summed so that nothing cancels.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let term = |(p, q): (&f64, &f64)| if *p > 0.0 { p * (p / q).ln() - p + q } else { *q };
    p.iter().zip(q).map(term).sum()
}

/// The divergence of the rates at which the process is undone: the truth's against the network's.
fn rates(forward: &Any, t: f64, (x0, xt): (u32, u32), p: &[f64]) -> f64 {
    let h = 1e-5;
    let [alpha, before, after] = [t, t - h, t + h].map(|t| forward.schedule().alpha(t));
    let mass = |t: f64, alpha: f64| (1.0 - alpha) * forward.prior().prob(xt, t);
    let rate = (mass(t + h, after) - mass(t - h, before)) / (2.0 * h)
        - forward.schedule().alpha_prime(t) / alpha * mass(t, alpha);
    let law = |given: &[f64]| -> Vec<f64> {
        (0..V).map(|i| alpha * given[i] + (1.0 - alpha) * forward.prior().prob(i as u32, t)).collect()
    };
    let (truth, said) = (law(&one_hot(x0)), law(p));
    let others = |law: &[f64]| -> Vec<f64> {
        (0..V).filter(|&i| i != xt as usize).map(|i| rate * law[i] / law[xt as usize]).collect()
    };
    divergence(&others(&truth), &others(&said))
}

fn close(got: f64, expected: f64, tolerance: f64) -> bool {
    (got - expected).abs() <= tolerance * (1.0 + expected.abs())
}

#[test]
fn the_bound_of_continuous_time_is_the_divergence_of_rates() {
    for (name, forward) in all() {
        for t in [0.05, 0.3, 0.8, 0.99] {
            let (noised, pairs) = pairs(&forward, t);
            let z = logits(pairs.len(), true);
            let got = numbers(Elbo::new(&forward).terms(upload(&z, &Device::flex()), &noised));
            for ((got, &pair), z) in got.iter().zip(&pairs).zip(&z) {
                let expected = rates(&forward, t, pair, &softmax(z));
                assert!(close(*got, expected, 2e-5), "{name} at {t}, {pair:?}: {got} {expected}");
            }
        }
    }
}

#[test]
fn the_bound_of_continuous_time_is_the_limit_of_posterior_divergences() {
    let (t, h) = (0.6, 1e-5);
    for (name, forward) in all() {
        let (noised, pairs) = pairs(&forward, t);
        let z = logits(pairs.len(), true);
        let got = numbers(Elbo::new(&forward).terms(upload(&z, &Device::flex()), &noised));
        for ((got, &(x0, xt)), z) in got.iter().zip(&pairs).zip(&z) {
            let row = |given: &[f64]| forward.posterior_row(t, t - h, xt, given).unwrap();
            let expected = divergence(&row(&one_hot(x0)), &row(&softmax(z))) / h;
            assert!(close(*got, expected, 3e-4), "{name}, {x0} {xt}: {got} {expected}");
        }
    }
}

#[test]
fn a_discrete_step_is_the_divergence_of_posteriors() {
    for (name, forward) in all() {
        for (steps, k) in [(1, 1), (4, 1), (4, 2), (4, 4), (50, 1), (50, 37), (1000, 500)] {
            let t = f64::from(k) / steps as f64;
            let (noised, pairs) = pairs(&forward, t);
            // The mask may have probability, unless there is nothing but the mask to explain it by.
            let z = logits(pairs.len(), name != "absorbing" && k == 1);
            let loss = D3pm::new(&forward, steps).unwrap();
            let got = numbers(loss.terms(upload(&z, &Device::flex()), &noised));
            for ((got, &(x0, xt)), z) in got.iter().zip(&pairs).zip(&z) {
                let row = |given: &[f64]| {
                    forward.posterior_row(t, f64::from(k - 1) / steps as f64, xt, given).unwrap()
                };
                let expected = steps as f64 * divergence(&row(&one_hot(x0)), &row(&softmax(z)));
                assert!(close(*got, expected, 2e-5), "{name}, {k}/{steps}, {x0} {xt}: {got} {expected}");
            }
        }
    }
}

#[test]
fn discrete_bounds_of_masks_are_their_cross_entropy() {
    let (steps, t) = (20, 0.35);
    let (_, forward) = all().swap_remove(0);
    let (noised, pairs) = pairs(&forward, t);
    let z = upload(&logits(pairs.len(), true), &Device::flex());
    let got = numbers(D3pm::new(&forward, steps).unwrap().terms(z.clone(), &noised));
    let weight = steps as f64 * Linear.denoise_prob(0.35, 0.3);
    for (got, nll) in got.iter().zip(numbers(nll_per_token(z, &noised.targets()))) {
        assert!(close(*got, weight * nll, 1e-5));
    }
}

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

#[test]
fn to_know_the_text_costs_nothing() {
    for (name, forward) in all() {
        for t in [0.02, 0.5, 1.0] {
            let (noised, pairs) = pairs(&forward, t);
            let sure =
                |&(x0, _): &(u32, u32)| (0..V as u32).map(|v| if v == x0 { 0.0 } else { -1e30 }).collect();
            let sure: Vec<Vec<f64>> = pairs.iter().map(sure).collect();
            let z = upload(&sure, &Device::flex());
            let bound = numbers(Elbo::new(&forward).terms(z.clone(), &noised));
            let steps = numbers(D3pm::new(&forward, 50).unwrap().terms(z, &noised));
            assert!(bound.iter().all(|x| x.abs() < 1e-4), "{name} at {t}: {bound:?}");
            assert!(steps.iter().all(|x| x.abs() < 1e-4), "{name} at {t}: {steps:?}");
        }
    }
}

#[test]
fn without_words_the_hybrid_is_mdlm() {
    let (t, hybrid) = (0.3, Hybrid::new(1e-7).unwrap());
    let words = Words::uniform(&vocabulary()).unwrap();
    let forward = Forward::new(hybrid, Prior::Mixed(Mixed::hybrid(MASK, words, hybrid).unwrap()));
    let batch = Batch::new(&[Sequence::whole(vec![3, 4, 5, 4])], &vocabulary()).unwrap();
    let noised = Noised::with_tokens(&batch, &[t], &[MASK, MASK, 5, MASK], forward.prior()).unwrap();
    let z = upload(&logits(4, true), &Device::flex());
    let got = numbers(Elbo::new(&forward).terms(z.clone(), &noised));
    let nll = numbers(nll_per_token(z, &noised.targets()));
    for (n, (got, nll)) in got.iter().zip(nll).enumerate() {
        let expected = if n == 2 { 0.0 } else { nll / t };
        assert!(close(*got, expected, 1e-5), "position {n}: {got} {expected}");
    }
    let linear = Hybrid::new(0.0).unwrap();
    assert!((1..10).all(|i| linear.alpha(f64::from(i) / 10.0) == Linear.alpha(f64::from(i) / 10.0)));
}

#[test]
fn training_weights_of_the_hybrid_are_its_bound_without_what_they_share() {
    let (t, hybrid) = (0.35, Hybrid::new(0.2).unwrap());
    let words = Words::uniform(&vocabulary()).unwrap();
    let forward = Forward::new(hybrid, Prior::Mixed(Mixed::hybrid(MASK, words, hybrid).unwrap()));
    let batch = Batch::new(&[Sequence::whole(vec![3, 3, 3])], &vocabulary()).unwrap();
    let noised = Noised::with_tokens(&batch, &[t], &[MASK, 4, 3], forward.prior()).unwrap();
    let z = upload(&logits(3, true), &Device::flex());
    let terms = |loss: Elbo<'_, Hybrid>| numbers(loss.terms(z.clone(), &noised));
    let (bound, dynamic) = (terms(Elbo::new(&forward)), terms(Elbo::new(&forward).dynamic()));
    let ratio: Vec<f64> = dynamic.iter().zip(&bound).map(|(d, b)| d / b).collect();
    // With γ = 1 the weights of noise are 2 and 1 times 1/(2·t·(1 − t)) exactly ..
    assert!(ratio[..2].iter().all(|r| close(*r, 2.0 * t * (1.0 - t), 1e-5)), "{ratio:?}");
    // .. and those of clean tokens up to the chance that a clean token is noise that hit it.
    let c = 0.5 * (t * (1.0 - t)).sqrt();
    assert!(close(ratio[2], 2.0 * t * (1.0 - t) * (1.0 - t + c / 3.0) / (1.0 - t), 1e-5), "{ratio:?}");
    let weight = 1.0 / (t * (1.0 - t));
    let clipped = terms(Elbo::new(&forward).clipped(2.0));
    assert!(close(clipped[0], bound[0] * 2.0 / weight, 1e-5), "{clipped:?}");
}

#[test]
fn flow_matching_of_masks_is_the_bound() {
    let (_, forward) = all().swap_remove(0);
    let (noised, pairs) = pairs(&forward, 0.3);
    let z = upload(&logits(pairs.len(), true), &Device::flex());
    let got = numbers(FlowMatching::new(Linear).terms(z.clone(), &noised));
    for (got, nll) in got.iter().zip(numbers(nll_per_token(z, &noised.targets()))) {
        assert!(close(*got, nll / 0.3, 1e-5));
    }
}

#[test]
fn even_rates_are_no_rates() {
    let (_, forward) = all().swap_remove(0);
    let (noised, pairs) = pairs(&forward, 0.3);
    let z = upload(&logits(pairs.len(), true), &Device::flex());
    let got = numbers(GenMd4::new(PerToken::new(&[2.0; V]).unwrap()).terms(z.clone(), &noised));
    for (got, nll) in got.iter().zip(numbers(nll_per_token(z.clone(), &noised.targets()))) {
        assert!(close(*got, 2.0 * nll / 0.3, 1e-5));
    }
    // Otherwise the divergence of the rates w(v)·p(v).
    let rates = [1.0, 1.0, 1.0, 0.5, 2.0, 3.0, 1.0];
    let got = numbers(GenMd4::new(PerToken::new(&rates).unwrap()).terms(z, &noised));
    for ((got, &(x0, _)), z) in got.iter().zip(&pairs).zip(logits(pairs.len(), true)) {
        let weigh = |p: &[f64]| -> Vec<f64> { (0..V).map(|v| p[v] * rates[v] / 0.3).collect() };
        let expected = divergence(&weigh(&one_hot(x0)), &weigh(&softmax(&z)));
        assert!(close(*got, expected, 1e-5), "{got} {expected}");
    }
}

/// Every loss over logits, of every noise it is for.
fn losses<'a>(forward: &'a Any) -> Vec<(&'static str, Box<dyn TokenLoss<Output = Tensor<2>> + 'a>)> {
    let rates = PerToken::new(&[1.0, 1.0, 1.0, 0.5, 2.0, 3.0, 1.0]).unwrap();
    vec![
        ("elbo", Box::new(Elbo::new(forward))),
        ("d3pm", Box::new(D3pm::new(forward, 10).unwrap())),
        ("flow", Box::new(FlowMatching::new(Linear))),
        ("rates", Box::new(GenMd4::new(rates))),
        ("confidence", Box::new(Confidence)),
    ]
}

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

/// The mask is impossible where it may be what stands there.
fn forbid_for(name: &str, z: Tensor<2>) -> Tensor<2> {
    if name == "uniform" || name == "unigram" { z } else { forbid(z, MASK) }
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
fn reductions_are_those_of_the_weighted_losses() {
    let vocabulary = vocabulary();
    let rows = [Sequence::whole(vec![3, 4, 5, 2]), Sequence::prompt_response(&[4], &[5], &vocabulary)];
    let batch = Batch::new(&rows, &vocabulary).unwrap();
    let flags = [true, false, true, true, false, false, true, false];
    let prior = Prior::Absorbing { mask: MASK };
    let noised = Noised::with_noise(&batch, &[0.5, 0.25], &flags, prior.clone()).unwrap();
    let z = upload(&logits(4, true), &Device::flex());
    let forward = Forward::new(Linear, prior);
    for reduction in [
        Reduction::Sum,
        Reduction::Rows,
        Reduction::Tokens,
        Reduction::RowTokens,
        Reduction::Positions,
        Reduction::Noisy,
    ] {
        let terms = Elbo::new(&forward).terms(z.clone(), &noised);
        let got = f64::from(reduction.reduce(terms, &noised).into_scalar::<f32>());
        let expected = nll(z.clone(), &noised, &Nelbo::new(Linear, reduction)).into_scalar::<f32>();
        assert!(close(got, f64::from(expected), 1e-5), "{reduction:?}: {got} {expected}");
    }
}

#[test]
fn a_row_counts_as_its_factor_says() {
    let batch = Batch::new(&[Sequence::whole(vec![3, 4]), Sequence::whole(vec![5])], &vocabulary()).unwrap();
    let forward = Forward::new(Linear, Prior::uniform(&vocabulary()).unwrap());
    let noised = Noised::with_tokens(&batch, &[0.5, 0.2], &[3, 5, 4, 1], forward.prior()).unwrap();
    let z = || upload(&logits(3, true), &Device::flex());
    let plain = numbers(Elbo::new(&forward).terms(z(), &noised));
    let scaled = numbers(Scaled::new(Elbo::new(&forward), vec![2.0, 0.25]).unwrap().terms(z(), &noised));
    for ((plain, scaled), factor) in plain.iter().zip(scaled).zip([2.0, 2.0, 0.25]) {
        assert!(close(scaled, plain * factor, 1e-6) && *plain > 0.0);
    }
}

#[test]
fn a_large_vocabulary_is_worked_through_in_pieces() {
    // Three pieces of 4 M entries; the words and what becomes of them differ from row to row.
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

#[test]
#[should_panic(expected = "the masked NELBO of tokens that may be no noise")]
fn the_masked_bound_refuses_noise_that_may_be_words() {
    let (_, forward) = all().swap_remove(1);
    let (noised, pairs) = pairs(&forward, 0.5);
    nll(upload(&logits(pairs.len(), true), &Device::flex()), &noised, &Nelbo::new(Linear, Reduction::Sum));
}

#[test]
#[should_panic(expected = "words of the prior against words of the logits")]
fn a_prior_over_other_words_is_refused() {
    let (_, forward) = all().swap_remove(1);
    let (noised, pairs) = pairs(&forward, 0.5);
    Elbo::new(&forward).terms(Tensor::zeros([pairs.len(), V + 1], &Device::flex()), &noised);
}
