//! Every kind of noise against its transition matrices, and every draw against its law.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

mod common;

use common::follows;
use dlm_core::forward::noise_per_token;
use dlm_core::prior::{Mixed, Words};
use dlm_core::schedule::{Cosine, Hybrid, Linear, PerToken};
use dlm_core::{Batch, CounterRng, Error, Forward, Noised, Prior, Schedule, Sequence, Vocabulary};

const V: usize = 7;
const MASK: u32 = 6;
/// Words 3, 4 and 5 may be noise; 0, 1, 2 and 6 are special.
const CLEAN: u32 = 4;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(V, 0, 1, 2, MASK).unwrap()
}

fn uniform() -> Words {
    Words::uniform(&vocabulary()).unwrap()
}

fn unigram() -> Words {
    Words::unigram(&[9, 9, 9, 1, 8, 0, 9], &vocabulary(), 1.5).unwrap()
}

type Any = Forward<Box<dyn Schedule>>;

fn all() -> Vec<(&'static str, Any)> {
    let forward = |schedule: Box<dyn Schedule>, prior| Forward::new(schedule, prior);
    let hybrid = Hybrid::new(0.2).unwrap();
    let mixed = |words, share| Prior::Mixed(Mixed::new(MASK, words, share).unwrap());
    vec![
        ("absorbing", forward(Box::new(Linear), Prior::Absorbing { mask: MASK })),
        ("uniform", forward(Box::new(Linear), Prior::Words(uniform()))),
        ("unigram", forward(Box::new(Cosine), Prior::Words(unigram()))),
        ("mixed", forward(Box::new(Cosine), mixed(uniform(), 0.3))),
        ("hybrid", forward(Box::new(hybrid), Prior::Mixed(Mixed::hybrid(MASK, uniform(), hybrid).unwrap()))),
    ]
}

/// The law of a token at `t`, written from the definitions; row `x0` of the matrix.
fn marginal(name: &str, t: f64) -> Vec<Vec<f64>> {
    let (third, mask) =
        ([0.0, 0.0, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let flat = 8.0_f64.powf(2.0 / 3.0);
    let words = [0.0, 0.0, 0.0, 1.0 / (1.0 + flat), flat / (1.0 + flat), 0.0, 0.0];
    let cosine = 1.0 - (std::f64::consts::FRAC_PI_2 * t).sin();
    let mix = |a: [f64; V], p: f64, b: [f64; V], q: f64| -> Vec<f64> {
        (0..V).map(|i| p * a[i] + q * b[i]).collect()
    };
    let c = 0.5 * (t * (1.0 - t)).sqrt();
    let (alpha, noise) = match name {
        "absorbing" => (1.0 - t, mix(mask, t, third, 0.0)),
        "uniform" => (1.0 - t, mix(mask, 0.0, third, t)),
        "unigram" => (cosine, mix(words, 1.0 - cosine, third, 0.0)),
        "mixed" => (cosine, mix(mask, 0.7 * (1.0 - cosine), third, 0.3 * (1.0 - cosine))),
        _ => ((1.0 - t) / (1.0 + c), mix(mask, t / (1.0 + c), third, c / (1.0 + c))),
    };
    (0..V).map(|x0| (0..V).map(|i| noise[i] + if i == x0 { alpha } else { 0.0 }).collect()).collect()
}

/// The matrix M with marginal(s) · M = marginal(t): x_t given x_s.
fn transition(name: &str, s: f64, t: f64) -> Vec<Vec<f64>> {
    let (early, late) = (marginal(name, s), marginal(name, t));
    let alpha = |m: &Vec<Vec<f64>>| m[0][0] - m[1][0];
    let stays = alpha(&late) / alpha(&early);
    let noise = |m: &Vec<Vec<f64>>, i: usize| m[(i + 1) % V][i];
    let came: Vec<f64> = (0..V).map(|i| noise(&late, i) - stays * noise(&early, i)).collect();
    (0..V).map(|from| (0..V).map(|i| came[i] + if i == from { stays } else { 0.0 }).collect()).collect()
}

fn times(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let entry = |row: &Vec<f64>, j: usize| row.iter().zip(b).map(|(p, next)| p * next[j]).sum();
    a.iter().map(|row| (0..V).map(|j| entry(row, j)).collect()).collect()
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn one_hot(id: u32) -> Vec<f64> {
    (0..V as u32).map(|i| f64::from(u8::from(i == id))).collect()
}

#[test]
fn transition_matrices_compose_to_the_marginal() {
    for (name, _) in all() {
        let grid: Vec<f64> = (1..=20).map(|k| f64::from(k) / 21.0).collect();
        let mut product = marginal(name, grid[0]);
        for pair in grid.windows(2) {
            let step = transition(name, pair[0], pair[1]);
            assert!(step.iter().flatten().all(|&p| p > -1e-15), "{name}: {step:?}");
            product = times(&product, &step);
        }
        let end = marginal(name, grid[19]);
        assert!(product.iter().zip(&end).all(|(a, b)| apart(a, b) < 1e-12), "{name}");
    }
}

#[test]
fn posterior_rows_are_what_bayes_says_of_the_matrices() {
    let soft = [0.1, 0.0, 0.05, 0.3, 0.35, 0.2, 0.0];
    for (name, forward) in all() {
        for (t, s) in [(0.7, 0.4), (0.95, 0.9), (0.3, 0.001), (0.6, 0.0)] {
            let (early, step) = (marginal(name, s), transition(name, s, t));
            for (x0, xt) in (0..V as u32).flat_map(|x0| (0..=V as u32).map(move |xt| (xt, x0))) {
                let given = if x0 as usize == V { soft.to_vec() } else { one_hot(x0) };
                let joint = |i: usize| {
                    let at_s: f64 = (0..V).map(|x0| given[x0] * early[x0][i]).sum();
                    at_s * step[i][xt as usize]
                };
                let total: f64 = (0..V).map(joint).sum();
                let row = forward.posterior_row(t, s, xt, &given);
                if total < 1e-13 {
                    assert!(
                        matches!(row, Err(Error::OutOfDomain { .. })),
                        "{name}: x_t = {xt}, x0 = {x0}: {row:?}"
                    );
                    continue;
                }
                let row = row.unwrap();
                let bayes: Vec<f64> = (0..V).map(|i| joint(i) / total).collect();
                assert!(apart(&row, &bayes) < 1e-12, "{name}: x_t = {xt}, x0 = {x0}: {row:?} {bayes:?}");
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            }
        }
    }
}

#[test]
fn routing_is_the_posterior_row() {
    for (name, forward) in all() {
        let (t, s) = (0.7, 0.4);
        let alpha = |t| marginal(name, t)[0][0] - marginal(name, t)[1][0];
        let prior: Vec<f64> = (0..V as u32).map(|i| forward.prior().prob(i, t)).collect();
        for xt in 3..V as u32 {
            let Ok(routing) = forward.posterior(t, s, xt) else {
                assert_eq!(name, "hybrid");
                continue;
            };
            let beta = alpha(t) / alpha(s);
            for x0 in 3..6 {
                let Ok(row) = forward.posterior_row(t, s, xt, &one_hot(x0)) else { continue };
                let mixed = |i: usize| {
                    if x0 == xt {
                        routing.lambda1 * one_hot(xt)[i] + (1.0 - routing.lambda1) * prior[i]
                    } else {
                        let noise = beta * one_hot(xt)[i] + (1.0 - beta) * prior[i];
                        routing.lambda2 * one_hot(x0)[i] + (1.0 - routing.lambda2) * noise
                    }
                };
                let routed: Vec<f64> = (0..V).map(mixed).collect();
                assert!(apart(&row, &routed) < 1e-12, "{name}: x_t = {xt}, x0 = {x0}: {row:?} {routed:?}");
            }
        }
    }
}

fn whole(rows: usize, len: usize) -> Batch {
    Batch::new(&vec![Sequence::whole(vec![CLEAN; len]); rows], &vocabulary()).unwrap()
}

fn counts(ids: &[u32]) -> Vec<usize> {
    (0..V as u32).map(|id| ids.iter().filter(|&&xt| xt == id).count()).collect()
}

#[test]
fn draws_follow_the_marginal() {
    let batch = whole(20, 1000);
    for (name, forward) in all() {
        for t in [0.05, 0.5, 0.93, 1.0] {
            let noised = forward.noise(&batch, &[t; 20], &CounterRng::new(4)).unwrap();
            let (got, law) = (counts(noised.xt()), &marginal(name, t)[CLEAN as usize]);
            assert!(follows(&got, law), "{name} at {t}: {got:?} against {law:?}");
        }
    }
    assert!(!follows(&[0, 0, 0, 7000, 6000, 7000, 0], &marginal("uniform", 1.0)[4]), "the test has power");
}

#[test]
fn coupled_and_independent_pairs_follow_their_joint_laws() {
    let (rows, len) = (20, 1000);
    let batch = whole(rows, len);
    for (name, forward) in all() {
        for (t1, t2) in [(0.8, 0.35), (0.6, 0.6)] {
            let (early, late) = (marginal(name, t2), marginal(name, t1));
            for coupled in [true, false] {
                let (pairs, rng) = (vec![(t1, t2); rows], CounterRng::new(8));
                let noised = if coupled {
                    forward.noise_coupled(&batch, &pairs, &rng)
                } else {
                    forward.noise_twice(&batch, &pairs, &rng)
                };
                let noised = noised.unwrap();
                let (first, second) = noised.xt().split_at(rows * len);
                let mut joint = vec![0; V * V];
                first.iter().zip(second).for_each(|(&a, &b)| joint[a as usize * V + b as usize] += 1);
                let chained = coupled && t1 > t2;
                let step = if chained { transition(name, t2, t1) } else { vec![late[4].clone(); V] };
                let law: Vec<f64> = (0..V)
                    .flat_map(|a| (0..V).map(move |b| (a, b)))
                    .map(|(a, b)| early[4][b] * step[b][a])
                    .collect();
                assert!(follows(&joint, &law), "{name}, coupled: {coupled}, {t1} {t2}: {joint:?}");
            }
        }
    }
}

#[test]
fn complements_share_out_the_tokens() {
    let batch = whole(20, 1000);
    for (name, forward) in all() {
        let noised = forward.noise_complementary(&batch, &[0.3; 20], &CounterRng::new(2)).unwrap();
        assert_eq!(noised.shape(), [40, 1000]);
        let rest = noised.times()[20];
        let alpha = |t| marginal(name, t)[0][0] - marginal(name, t)[1][0];
        assert!((alpha(0.3) + alpha(rest) - 1.0).abs() < 1e-9, "{name}: {rest}");
        let (first, second) = noised.xt().split_at(20_000);
        for (xt, t) in [(first, 0.3), (second, rest)] {
            assert!(follows(&counts(xt), &marginal(name, t)[4]), "{name} at {t}");
        }
        if name == "absorbing" {
            assert!(first.iter().zip(second).all(|(&a, &b)| (a == MASK) != (b == MASK)), "each token once");
        }
    }
}

#[test]
fn special_words_neither_become_noise_nor_are_it() {
    let vocabulary = vocabulary();
    let row =
        Sequence::prompt_response(&[3, 4], &[5; 200], &vocabulary).fixing(|id| vocabulary.is_special(id));
    let batch = Batch::new(&[row, Sequence::whole(vec![3; 5])], &vocabulary).unwrap();
    for (name, forward) in all() {
        let noised = forward.noise(&batch, &[1.0, 1.0], &CounterRng::new(3)).unwrap();
        assert_eq!(noised.xt()[..3], [0, 3, 4], "{name}: the prompt stays");
        assert_eq!(noised.xt()[203], 2, "{name}: EOS stays");
        assert!(noised.xt()[209..].iter().all(|&id| id == 1), "{name}: padding stays");
        for &at in noised.at() {
            let id = noised.xt()[at];
            assert!(id == MASK || (3..6).contains(&id), "{name}: noise is {id}");
        }
    }
}

#[test]
fn noise_that_may_be_words_is_asked_wherever_it_may_be() {
    let batch = whole(2, 50);
    for (name, forward) in all() {
        let noised = forward.noise(&batch, &[0.4; 2], &CounterRng::new(3)).unwrap();
        assert_eq!(noised.asks_clean(), name != "absorbing");
        let changed: Vec<usize> = (0..100).filter(|&i| noised.xt()[i] != CLEAN).collect();
        assert_eq!(noised.at().len(), if name == "absorbing" { changed.len() } else { 100 }, "{name}");
        assert_eq!(noised.clone().changed().at(), changed, "{name}");
        let again = Noised::with_tokens(&batch, &[0.4; 2], noised.xt(), forward.prior()).unwrap();
        assert_eq!(again, noised, "{name}");
    }
}

#[test]
fn words_have_rates_of_their_own() {
    let rates = PerToken::new(&[1.0, 1.0, 1.0, 0.5, 2.0, 4.0, 1.0]).unwrap();
    let row = Sequence::whole([vec![3; 5000], vec![4; 5000], vec![5; 5000]].concat());
    let batch = Batch::new(&[row], &vocabulary()).unwrap();
    let noised = noise_per_token(&batch, &[0.25], &rates, MASK, &CounterRng::new(1)).unwrap();
    for (word, rate) in [0.5, 1.0 / 16.0, 1.0 / 256.0].into_iter().enumerate() {
        let masks = noised.xt()[word * 5000..][..5000].iter().filter(|&&id| id == MASK).count();
        assert!(follows(&[masks, 5000 - masks], &[rate, 1.0 - rate]), "word {word}: {masks}");
    }
    let few = PerToken::new(&[1.0; 5]).unwrap();
    let error = noise_per_token(&batch, &[0.25], &few, MASK, &CounterRng::new(1)).unwrap_err();
    assert_eq!(error, Error::Length { what: "rates of words", expected: 6, got: 5 });
}

#[test]
fn bad_input_is_named() {
    let error = |weights: &[f64]| Words::weighted(weights).unwrap_err().to_string();
    assert_eq!(error(&[1.0, -0.5]), "weight of a word must be finite, not negative, got -0.5");
    assert_eq!(error(&[1.0, f64::NAN]), "weight of a word must be finite, not negative, got NaN");
    assert_eq!(error(&[1.0, f64::INFINITY]), "weight of a word must be finite, not negative, got inf");
    assert_eq!(error(&[f64::MAX, f64::MAX]), "sum of the weights of words must be finite, got inf");
    assert_eq!(error(&[0.0, 0.0]), "the words that noise may be is empty");
    assert_eq!(error(&[]), "the words that noise may be is empty");
    let special = Vocabulary::new(4, 0, 1, 2, 3).unwrap();
    assert!(matches!(Prior::uniform(&special), Err(Error::Empty { .. })));
    assert!(Words::unigram(&[1, 2], &vocabulary(), 1.5).is_err());
    assert!(Words::unigram(&[1; V], &vocabulary(), 0.0).is_err());
    assert!(matches!(
        Mixed::new(7, uniform(), 0.5),
        Err(Error::UnknownSpecial { name: "mask", id: 7, size: 7 })
    ));
    assert!(Mixed::new(MASK, uniform(), 1.5).is_err());
    let error = Mixed::new(4, uniform(), 0.5).unwrap_err().to_string();
    assert_eq!(error, "the mask among the words does not go with a mixed prior");

    let forward = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    assert!(forward.posterior_row(0.5, 0.5, 4, &one_hot(4)).is_err());
    assert!(forward.posterior_row(1.5, 0.5, 4, &one_hot(4)).is_err());
    assert!(matches!(
        forward.posterior_row(0.5, 0.2, 9, &one_hot(4)),
        Err(Error::UnknownSpecial { name: "x_t", .. })
    ));
    assert!(forward.posterior_row(0.5, 0.2, 1, &[0.5, 0.5]).is_err(), "a mask outside the distribution");

    let batch = Batch::new(
        &[Sequence::prompt_response(&[3], &[4], &vocabulary()), Sequence::whole(vec![3])],
        &vocabulary(),
    );
    let batch = batch.unwrap();
    let noise = |noisy: [usize; 1], times: &[f64]| {
        let flags: Vec<bool> = (0..8).map(|i| noisy.contains(&i)).collect();
        Noised::with_noise(&batch, times, &flags, Prior::Absorbing { mask: MASK })
    };
    assert!(noise([2], &[0.5, 0.5]).is_ok());
    assert_eq!(noise([1], &[0.5, 0.5]), Err(Error::NotMaskable { row: 0, position: 1 }));
    assert_eq!(noise([6], &[0.5, 0.5]), Err(Error::NotMaskable { row: 1, position: 2 }), "padding");
    assert!(noise([2], &[0.5, 1.5]).is_err() && noise([2], &[0.5]).is_err());
    let words = Prior::uniform(&vocabulary()).unwrap();
    let error = Noised::with_noise(&batch, &[0.5; 2], &[false; 8], words.clone()).unwrap_err();
    assert_eq!(error.to_string(), "noise given by flags does not go with noise that may be words");
    let mut xt = batch.ids().to_vec();
    xt[1] = 5;
    let error = Noised::with_tokens(&batch, &[0.5; 2], &xt, &words).unwrap_err();
    assert_eq!(error.to_string(), "row 0, position 1: a token that must stay became noise");
    xt[1] = batch.ids()[1];
    xt[2] = 0;
    let error = Noised::with_tokens(&batch, &[0.5; 2], &xt, &words).unwrap_err();
    assert_eq!(error.to_string(), "row 0, position 2: noise is never the token 0");
}
