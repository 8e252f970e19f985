//! Losses that are no weighted cross-entropy, against the divergences that they are.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

mod common;

use burn::tensor::{Device, Tensor};
use common::{
    Any, MASK, V, all, close, divergence, logits, numbers, one_hot, pairs, softmax, upload, vocabulary,
};
use dlm_core::loss::{
    D3pm, Elbo, FlowMatching, GenMd4, Nelbo, Reduction, Scaled, TokenLoss, nll, nll_per_token,
};
use dlm_core::prior::{Mixed, Words};
use dlm_core::schedule::{Hybrid, Linear, PerToken};
use dlm_core::{Batch, Forward, Noised, Prior, Schedule, Sequence};

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
fn flow_matching_counts_what_a_token_should_jump_to() {
    let batch = Batch::new(&[Sequence::whole(vec![3, 4, 4])], &vocabulary()).unwrap();
    let prior = Prior::uniform(&vocabulary()).unwrap();
    let noised = Noised::with_tokens(&batch, &[0.25], &[4, 4, 5], &prior).unwrap();
    let row = |p: [f64; 3]| [vec![-1e30; 3], p.map(f64::ln).to_vec(), vec![-1e30]].concat();
    let z = [row([0.5, 0.3, 0.2]), row([0.5, 0.3, 0.2]), row([0.1, 0.2, 0.7])];
    let got = numbers(FlowMatching::new(Linear).terms(upload(&z, &Device::flex()), &noised));
    // 1/t is 4; where a token is clean, what matters is that it stays.
    let by_hand = [4.0 * (2.0_f64.ln() - 0.3), 4.0 * (1.0 - 0.3), 4.0 * (5.0_f64.ln() - 0.7)];
    for (got, by_hand) in got.iter().zip(by_hand) {
        assert!(close(*got, by_hand, 1e-6), "{got} {by_hand}");
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
