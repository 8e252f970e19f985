//! Bounds against the likelihoods that they bound, on spaces small enough to enumerate, and steps against the
//! processes that they undo.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::{Device, Tensor, TensorData};
use dlm_core::likelihood::any_order;
use dlm_core::loss::{
    D3pm, Elbo, LogScores, Nelbo, Reduction, ScoreEntropy, TokenLoss, Weighting, nll_per_token,
};
use dlm_core::prior::{Mixed, Words};
use dlm_core::schedule::{
    Cosine, CosineAlpha, CosineSquared, Geometric, Hybrid, Linear, LinearSigma, Polynomial,
};
use dlm_core::{
    Batch, Denoiser, DenoiserInput, Forward, Noised, Prior, Schedule, Sequence, TokenId, Vocabulary,
};

const WORDS: [TokenId; 3] = [4, 5, 6];
const MASK: TokenId = 3;
const V: usize = 7;
const N: usize = 3;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(V, 0, 1, 2, MASK).unwrap()
}

/// Every way to fill `N` places from `tokens`.
fn texts(tokens: &[TokenId]) -> Vec<Vec<TokenId>> {
    let longer = |text: Vec<TokenId>| tokens.iter().map(move |&id| [text.as_slice(), &[id]].concat());
    (0..N).fold(vec![vec![]], |texts, _| texts.into_iter().flat_map(longer).collect())
}

/// A joint distribution of uneven numbers.
fn joint() -> Vec<(Vec<TokenId>, f64)> {
    let uneven = |text: &[TokenId]| {
        let mixed = text.iter().fold(7_u32, |sum, &id| sum.wrapping_mul(31).wrapping_add(id * id));
        0.05 + f64::from(mixed % 97) / 97.0
    };
    let all = texts(&WORDS);
    let total: f64 = all.iter().map(|text| uneven(text)).sum();
    all.into_iter().map(|text| (text.clone(), uneven(&text) / total)).collect()
}

/// What a token is at `t`, given what it was.
fn law<S: Schedule>(forward: &Forward<S>, t: f64, x0: TokenId, xt: TokenId) -> f64 {
    let alpha = forward.schedule().alpha(t);
    (if x0 == xt { alpha } else { 0.0 }) + (1.0 - alpha) * forward.prior().prob(xt, t)
}

/// ln p(x₀ at a position | x_t elsewhere): the exact network. A bound's p says nothing of the token's own noise,
/// which the bound adds itself.
fn exact<S: Schedule>(forward: &Forward<S>, t: f64, xt: &[TokenId], position: usize) -> Vec<f64> {
    let mut p = [0.0; V];
    for (text, mass) in joint() {
        let others =
            (0..N).filter(|&i| i != position).map(|i| law(forward, t, text[i], xt[i])).product::<f64>();
        p[text[position] as usize] += mass * others;
    }
    p.iter().map(|&p| if p > 0.0 { p.ln() } else { -1e30 }).collect()
}

fn upload(rows: &[Vec<f64>]) -> Tensor<2> {
    let values: Vec<f32> = rows.concat().iter().map(|&z| z as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), V]), &Device::flex())
}

fn numbers(terms: Tensor<1>) -> Vec<f64> {
    terms.into_data().iter::<f32>().map(f64::from).collect()
}

/// All that may become of some texts at `t`, one row each, its probability, and what the exact network says.
struct Everything {
    noised: Noised,
    chances: Vec<f64>,
    logits: Tensor<2>,
}

impl Everything {
    fn new<S: Schedule>(forward: &Forward<S>, t: f64, of: &[(Vec<TokenId>, f64)]) -> Self {
        let mut tokens = WORDS.to_vec();
        tokens.extend(forward.prior().mask());
        let all = texts(&tokens);
        let said: Vec<Vec<Vec<f64>>> =
            all.iter().map(|xt| (0..N).map(|i| exact(forward, t, xt, i)).collect()).collect();
        let (mut rows, mut chances, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for (x0, mass) in of {
            for (source, xt) in all.iter().enumerate() {
                let chance = (0..N).map(|i| law(forward, t, x0[i], xt[i])).product::<f64>();
                if chance > 0.0 {
                    rows.push((Sequence::whole(x0.clone()), xt));
                    chances.push(mass * chance);
                    sources.push(source);
                }
            }
        }
        let (clean, noisy): (Vec<Sequence>, Vec<&Vec<TokenId>>) = rows.into_iter().unzip();
        let batch = Batch::new(&clean, &vocabulary()).unwrap();
        let xt: Vec<TokenId> = noisy.into_iter().flatten().copied().collect();
        let noised = Noised::with_tokens(&batch, &vec![t; chances.len()], &xt, forward.prior()).unwrap();
        let logits: Vec<Vec<f64>> =
            noised.at().iter().map(|&at| said[sources[at / N]][at % N].clone()).collect();
        Self { noised, chances, logits: upload(&logits) }
    }

    /// The expected sum of a loss.
    fn mean(&self, terms: &[f64]) -> f64 {
        self.noised.at().iter().zip(terms).map(|(&at, term)| self.chances[at / N] * term).sum()
    }
}

/// ∫₀¹ by the rule of Gauss with five points on each of some parts, closer together towards both ends.
fn integral(parts: usize, f: impl Fn(f64) -> f64) -> f64 {
    let nodes = [
        (0.0, 128.0 / 225.0),
        (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
        (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
        (0.906_179_845_938_664, 0.236_926_885_056_189_1),
        (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
    ];
    // t = u²(3 − 2u)
    let at = |u: f64| 6.0 * u * (1.0 - u) * f(u * u * (3.0 - 2.0 * u));
    let part = |i: usize| {
        let node = |&(x, w): &(f64, f64)| 0.5 * w * at((i as f64 + 0.5 + 0.5 * x) / parts as f64);
        nodes.iter().map(node).sum::<f64>() / parts as f64
    };
    (0..parts).map(part).sum()
}

fn schedules() -> Vec<(&'static str, Box<dyn Schedule>)> {
    vec![
        ("linear", Box::new(Linear)),
        ("cosine", Box::new(Cosine)),
        ("cosine of alpha", Box::new(CosineAlpha)),
        ("cosine squared", Box::new(CosineSquared)),
        ("cubic", Box::new(Polynomial::new(3.0).unwrap())),
        ("square root", Box::new(Polynomial::square_root())),
        ("geometric", Box::new(Geometric::new(0.05, 8.0).unwrap())),
        ("linear sigma", Box::new(LinearSigma::new(6.0).unwrap())),
    ]
}

/// Any table of conditionals will do for masks: here one that belongs to no joint distribution.
fn inconsistent(xt: &[TokenId], position: usize) -> Vec<f64> {
    let mixed = xt.iter().fold(position as u32 + 3, |sum, &id| sum.wrapping_mul(37).wrapping_add(id));
    (0..V as u32).map(|v| if v < 4 { -1e30 } else { f64::from((mixed * (v + 5)) % 23) / 7.0 }).collect()
}

struct Inconsistent;

impl Denoiser for Inconsistent {
    fn vocab_size(&self) -> usize {
        V
    }
    fn device(&self) -> Device {
        Device::flex()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let row = |&at: &usize| inconsistent(&input.ids[at / N * N..][..N], at % N);
        upload(&input.at.iter().map(row).collect::<Vec<_>>())
    }
}

#[test]
fn the_bound_of_masks_is_the_mean_over_orders_under_every_schedule() {
    let x0 = vec![4, 6, 6];
    let truth = any_order(&Inconsistent, &[Sequence::whole(x0.clone())], &vocabulary(), 9).unwrap()[0].nats;
    let subsets: Vec<Vec<bool>> =
        (1..1 << N).map(|set| (0..N).map(|i| set >> i & 1 == 1).collect()).collect();
    let batch = Batch::new(&vec![Sequence::whole(x0); subsets.len()], &vocabulary()).unwrap();
    let prior = Prior::Absorbing { mask: MASK };
    let at = |t: f64| {
        Noised::with_noise(&batch, &vec![t; subsets.len()], &subsets.concat(), prior.clone()).unwrap()
    };
    let noised = at(0.5);
    let costs = numbers(nll_per_token(Inconsistent.logits(&noised.input()), &noised.targets()));
    for (name, schedule) in schedules() {
        let weighting = Nelbo::new(&schedule, Reduction::Sum);
        let bound = integral(200, |t| {
            let (noised, alpha) = (at(t), schedule.alpha(t));
            let chance =
                |set: &Vec<bool>| set.iter().map(|&m| if m { 1.0 - alpha } else { alpha }).product::<f64>();
            let weights = weighting.weights(&noised).target;
            let terms = noised.at().iter().zip(weights).zip(&costs);
            terms.map(|((&at, weight), cost)| chance(&subsets[at / N]) * weight * cost).sum()
        });
        assert!((bound - truth).abs() < 3e-6 * truth, "{name}: {bound} {truth}");
    }
}

type Any = Forward<Box<dyn Schedule>>;

fn processes() -> Vec<(String, Any)> {
    let uniform = || Words::uniform(&vocabulary()).unwrap();
    let unigram = Words::unigram(&[0, 0, 0, 0, 1, 8, 3], &vocabulary(), 1.0).unwrap();
    let mixed = Prior::Mixed(Mixed::new(MASK, uniform(), 0.3).unwrap());
    let priors = [
        ("absorbing", Prior::Absorbing { mask: MASK }),
        ("uniform", Prior::Words(uniform())),
        ("unigram", Prior::Words(unigram)),
        ("mixed", mixed),
    ];
    let mut all = Vec::new();
    for (name, prior) in priors {
        for (curve, schedule) in schedules().into_iter().take(2) {
            all.push((format!("{name}, {curve}"), Forward::new(schedule, prior.clone())));
        }
    }
    let hybrid = Hybrid::new(0.2).unwrap();
    let prior = Prior::Mixed(Mixed::hybrid(MASK, uniform(), hybrid).unwrap());
    all.push(("hybrid".to_owned(), Forward::new(Box::new(hybrid), prior)));
    all
}

/// Parts of an integral over time: GIDD's rates are roots at both ends.
fn parts(name: &str) -> usize {
    if name == "hybrid" { 100 } else { 12 }
}

#[test]
fn bounds_of_the_exact_network_are_the_likelihood_under_every_noise() {
    for (name, forward) in processes() {
        for (text, p) in joint().into_iter().step_by(11) {
            let bound = integral(parts(&name), |t| {
                let all = Everything::new(&forward, t, &[(text.clone(), 1.0)]);
                all.mean(&numbers(Elbo::new(&forward).terms(all.logits.clone(), &all.noised)))
            });
            assert!((bound + p.ln()).abs() < 1e-3, "{name}, {text:?}: {bound} {}", -p.ln());
        }
    }
}

#[test]
fn score_entropy_of_the_exact_ratios_is_the_likelihood() {
    for (name, forward) in processes() {
        let (text, p) = joint().swap_remove(7);
        let bound = integral(parts(&name), |t| {
            let all = Everything::new(&forward, t, &[(text.clone(), 1.0)]);
            let scores = LogScores::from_logits(all.logits.clone(), &all.noised, &forward);
            all.mean(&numbers(ScoreEntropy::new(&forward).terms(scores, &all.noised)))
        });
        assert!((bound + p.ln()).abs() < 1e-3, "{name}: {bound} {}", -p.ln());
    }
}

#[test]
fn discrete_bounds_of_the_exact_network_fall_towards_the_likelihood() {
    for (name, forward) in processes() {
        // Of all texts: a model of few steps may favour a single one.
        let texts = joint();
        let entropy: f64 = texts.iter().map(|(_, p)| -p * p.ln()).sum();
        let bound = |steps: usize| -> f64 {
            let loss = D3pm::new(&forward, steps).unwrap();
            let at = |k: usize| {
                let all = Everything::new(&forward, k as f64 / steps as f64, &texts);
                all.mean(&numbers(loss.terms(all.logits.clone(), &all.noised))) / steps as f64
            };
            (1..=steps).map(at).sum()
        };
        let bounds = [1, 2, 4, 8, 16].map(bound);
        assert!(bounds.windows(2).all(|pair| pair[1] < pair[0]), "{name}: {bounds:?}");
        assert!(bounds[4] > entropy, "{name}: {bounds:?} {entropy}");
        // The gap of a first-order method: halved by twice as many steps.
        let ratio = (bounds[3] - entropy) / (bounds[4] - entropy);
        let first_order = if name == "hybrid" { 1.5..2.0 } else { 1.7..2.3 }; // its words come as √t
        assert!(first_order.contains(&ratio), "{name}: {bounds:?} {entropy}: {ratio}");
    }
}

fn one_hot(id: TokenId) -> Vec<f64> {
    (0..V as TokenId).map(|i| if i == id { 1.0 } else { 0.0 }).collect()
}

#[test]
fn undoing_keeps_the_marginal_whatever_is_taken_back_on_the_way() {
    for (name, forward) in processes() {
        for (t, s) in [(0.9, 0.3), (0.4, 0.39), (1.0, 0.5), (0.7, 0.0)] {
            let marginal =
                |t: f64| -> Vec<f64> { (0..V as TokenId).map(|i| law(&forward, t, 5, i)).collect() };
            let (early, late) = (marginal(s), marginal(t));
            // Ψ: the posterior, mixed with noise drawn afresh.
            for kappa in [1.0, 0.4, 0.0] {
                let mut undone = [0.0; V];
                for xt in (0..V as TokenId).filter(|&xt| late[xt as usize] > 0.0) {
                    let row = forward.posterior_row(t, s, xt, &one_hot(5)).unwrap();
                    for i in 0..V {
                        undone[i] += late[xt as usize] * (kappa * row[i] + (1.0 - kappa) * early[i]);
                    }
                }
                let apart = undone.iter().zip(&early).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(apart < 1e-12, "{name}, {t} to {s}, kappa {kappa}: {apart}");
            }
        }
    }
    // ReMDM: a clean token is masked again with probability σ, and more masks are undone for it.
    for schedule in [&Linear as &dyn Schedule, &Cosine, &CosineSquared] {
        for (t, s) in [(0.9, 0.3), (0.4, 0.39), (0.7, 0.2)] {
            let (a_t, a_s) = (schedule.alpha(t), schedule.alpha(s));
            for part in [0.0, 0.3, 1.0] {
                let sigma = part * ((1.0 - a_s) / a_t).min(1.0);
                let undone = (a_s - (1.0 - sigma) * a_t) / (1.0 - a_t);
                assert!((0.0..=1.0 + 1e-12).contains(&undone));
                if part == 0.0 {
                    assert!(
                        (undone - schedule.denoise_prob(t, s)).abs() < 1e-12,
                        "without it, the posterior"
                    );
                }
                assert!((a_t * (1.0 - sigma) + (1.0 - a_t) * undone - a_s).abs() < 1e-12);
            }
        }
    }
}

/// SEDD's analytic step: undo the noise of the interval in the ratios, then do it again to what comes of it.
fn analytic(forward: &Any, t: f64, s: f64, xt: TokenId, p: &[f64]) -> Vec<f64> {
    let alpha = |t| forward.schedule().alpha(t);
    let stays = alpha(t) / alpha(s);
    let prior: Vec<f64> = (0..V as TokenId).map(|i| forward.prior().prob(i, t)).collect();
    let mass = |i: usize| alpha(t) * p[i] + (1.0 - alpha(t)) * prior[i];
    let scores: Vec<f64> = (0..V).map(|i| mass(i) / mass(xt as usize)).collect();
    let total: f64 = scores.iter().sum();
    let undone: Vec<f64> = (0..V).map(|i| (scores[i] - (1.0 - stays) * prior[i] * total) / stays).collect();
    let step = |i: usize| (if i == xt as usize { stays } else { 0.0 }) + (1.0 - stays) * prior[xt as usize];
    (0..V).map(|i| undone[i] * step(i)).collect()
}

#[test]
fn one_step_is_the_same_by_every_road() {
    let p = [0.0, 0.0, 0.0, 0.0, 0.2, 0.5, 0.3];
    for (name, forward) in processes().into_iter().filter(|(name, _)| name != "hybrid") {
        for (t, s) in [(0.9, 0.3), (0.4, 0.39), (0.7, 0.2)] {
            for xt in [3, 4, 5, 6].into_iter().filter(|&xt| xt == MASK || !name.starts_with("absorbing")) {
                if xt == MASK && forward.prior().mask().is_none() {
                    continue;
                }
                let row = forward.posterior_row(t, s, xt, &p).unwrap();
                let road = analytic(&forward, t, s, xt, &p);
                let apart = row.iter().zip(&road).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(apart < 1e-12, "{name}, {t} to {s}, x_t = {xt}: {row:?} {road:?}");
            }
        }
    }
    let forward = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let row = forward.posterior_row(0.8, 0.6, MASK, &p).unwrap();
    // Dream's "origin": a mask is filled with probability 1 − s/t, from p.
    let filled = 1.0 - 0.6 / 0.8;
    let origin: Vec<f64> =
        (0..V).map(|i| if i == MASK as usize { 1.0 - filled } else { filled * p[i] }).collect();
    assert!(row.iter().zip(&origin).all(|(a, b)| (a - b).abs() < 1e-12), "{row:?} {origin:?}");
}

/// What comes of a text of masks in as many steps, all alike long: each mask is revealed with the chance of
/// the step, by the table, whatever becomes of the others.
fn revealed_in(steps: usize) -> Vec<f64> {
    let forward = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let all = texts(&[MASK, 4, 5, 6]);
    let mut law: Vec<f64> = all.iter().map(|text| f64::from(u8::from(*text == [MASK; N]))).collect();
    for k in (1..=steps).rev() {
        let [t, s] = [k, k - 1].map(|k| k as f64 / steps as f64);
        let mut next = vec![0.0; all.len()];
        for (from, mass) in all.iter().zip(&law).filter(|(_, mass)| **mass > 0.0) {
            let rows: Vec<Vec<f64>> = (0..N)
                .map(|i| {
                    let p: Vec<f64> = inconsistent(from, i).iter().map(|z| z.exp()).collect();
                    let p: Vec<f64> = p.iter().map(|e| e / p.iter().sum::<f64>()).collect();
                    if from[i] == MASK {
                        forward.posterior_row(t, s, MASK, &p).unwrap()
                    } else {
                        one_hot(from[i])
                    }
                })
                .collect();
            for (to, next) in all.iter().zip(&mut next) {
                *next += mass * (0..N).map(|i| rows[i][to[i] as usize]).product::<f64>();
            }
        }
        law = next;
    }
    assert!(
        all.iter().zip(&law).all(|(text, mass)| !text.contains(&MASK) || *mass < 1e-12),
        "masks are left"
    );
    all.into_iter().zip(law).filter(|(text, _)| !text.contains(&MASK)).map(|(_, mass)| mass).collect()
}

/// One mask after the other, each as likely the next: the order of the first-hitting sampler, which asks N times.
fn revealed_one_by_one(so_far: &[TokenId], mass: f64, law: &mut Vec<(Vec<TokenId>, f64)>) {
    let masks: Vec<usize> = (0..N).filter(|&i| so_far[i] == MASK).collect();
    if masks.is_empty() {
        law.push((so_far.to_vec(), mass));
    }
    for &i in &masks {
        let exp: Vec<f64> = inconsistent(so_far, i).iter().map(|z| z.exp()).collect();
        for id in WORDS {
            let mut longer = so_far.to_vec();
            longer[i] = id;
            let p = exp[id as usize] / exp.iter().sum::<f64>();
            revealed_one_by_one(&longer, mass * p / masks.len() as f64, law);
        }
    }
}

#[test]
fn revealing_one_at_a_time_is_the_limit_of_ever_finer_steps() {
    let mut leaves = Vec::new();
    revealed_one_by_one(&[MASK; N], 1.0, &mut leaves);
    let limit: Vec<f64> = texts(&WORDS)
        .iter()
        .map(|text| leaves.iter().filter(|(leaf, _)| leaf == text).map(|(_, mass)| mass).sum())
        .collect();
    let apart = |steps: usize| -> f64 {
        revealed_in(steps).iter().zip(&limit).map(|(a, b)| 0.5 * (a - b).abs()).sum()
    };
    let gaps = [1, 2, 4, 8, 16, 32].map(apart);
    assert!(gaps.windows(2).all(|pair| pair[1] < pair[0]), "{gaps:?}");
    // Two masks meet in a step of 1/S with a chance that falls as 1/S.
    let ratio = gaps[4] / gaps[5];
    assert!((1.8..2.2).contains(&ratio) && gaps[5] < 0.02, "{gaps:?}: {ratio}");
}
