//! The forward process against its definition: who may become noise, how often, and given what.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use dlm_core::schedule::{Cosine, Linear, Polynomial};
use dlm_core::{
    Batch, CounterRng, Error, Forward, Noised, Prior, Purpose, Schedule, Sequence, Times, Vocabulary,
};
use proptest::prelude::*;

const MASK: u32 = 19;
const PRIOR: Prior = Prior::Absorbing { mask: MASK };

fn vocabulary() -> Vocabulary {
    Vocabulary::new(20, 0, 1, 2, MASK).unwrap()
}

fn whole(rows: usize, len: usize) -> Batch {
    let rows: Vec<_> = (0..rows).map(|_| Sequence::whole(vec![5; len])).collect();
    Batch::new(&rows, &vocabulary()).unwrap()
}

/// |observed − expected| within 4.5 standard deviations of a binomial share.
fn close(observed: usize, trials: usize, p: f64) -> bool {
    let sd = (p * (1.0 - p) / trials as f64).sqrt();
    (observed as f64 / trials as f64 - p).abs() <= 4.5 * sd + 1e-12
}

#[test]
fn noise_comes_at_the_rate_of_the_schedule() {
    fn check(schedule: impl Schedule) {
        let batch = whole(20, 1000);
        for t in [0.0, 0.02, 0.3, 0.5, 0.9, 1.0] {
            let expected = 1.0 - schedule.alpha(t);
            let forward = Forward::new(&schedule, PRIOR);
            let noised = forward.noise(&batch, &[t; 20], &CounterRng::new(3)).unwrap();
            assert!(close(noised.at().len(), 20_000, expected), "t = {t}: {}", noised.at().len());
        }
    }
    check(Linear);
    check(Cosine);
    check(Polynomial::new(2.0).unwrap());
}

#[test]
fn coupled_rows_have_the_right_marginals_and_nested_noise() {
    let (rows, len) = (40, 1000);
    let batch = whole(rows, len);
    let forward = Forward::new(Linear, PRIOR);
    for (t1, t2) in [(0.8, 0.2), (1.0, 0.02), (0.6, 0.6)] {
        let noised = forward.noise_coupled(&batch, &vec![(t1, t2); rows], &CounterRng::new(5)).unwrap();
        assert_eq!(noised.shape(), [2 * rows, len]);
        assert_eq!(noised.times()[0], t1);
        assert_eq!(noised.times()[rows], t2);
        let (late, early) = noised.xt().split_at(rows * len);
        let count = |xt: &[u32]| xt.iter().filter(|&&id| id == MASK).count();
        let both = late.iter().zip(early).filter(|(a, b)| **a == MASK && **b == MASK).count();
        assert!(close(count(late), rows * len, t1), "t1 = {t1}");
        assert!(close(count(early), rows * len, t2), "t2 = {t2}");
        if t1 == t2 {
            assert!(close(both, rows * len, t1 * t2), "equal times draw independently: {both}");
        } else {
            assert_eq!(both, count(early), "x_t2's noise is part of x_t1's");
        }
    }
}

#[test]
fn the_posterior_is_what_bayes_says() {
    // Enumerate x_s and x_t of one token under the absorbing process; state 1 is noise.
    let (t, s) = (0.7, 0.4);
    let schedule = Cosine;
    let forward = Forward::new(schedule, PRIOR);
    let posterior = forward.posterior(t, s, 5).unwrap();
    let (a_t, a_s) = (schedule.alpha(t), schedule.alpha(s));
    let p_s = [a_s, 1.0 - a_s];
    let p_t_given_s = [[a_t / a_s, 1.0 - a_t / a_s], [0.0, 1.0]];
    let joint = |s: usize, t: usize| p_s[s] * p_t_given_s[s][t];
    let clean_given = |t: usize| joint(0, t) / (joint(0, t) + joint(1, t));
    assert!((posterior.lambda1 - clean_given(0)).abs() < 1e-12);
    assert!((posterior.lambda2 - clean_given(1)).abs() < 1e-12);
    // Linear: λ₂ = k/t for a skip of k (paper.md 1.4); a step of 1/50 at t = 10/50 is 1/10.
    let linear = Forward::new(Linear, PRIOR).posterior(0.2, 0.18, 5).unwrap();
    assert!((linear.lambda2 - 0.1).abs() < 1e-12);
    assert!(forward.posterior(0.4, 0.4, 5).is_err());
}

#[test]
fn two_steps_of_the_process_are_one_by_the_posterior() {
    // Noise at t, then undo to s by the posterior: the rate at s must be 1 − α(s).
    let (t, s) = (0.9, 0.35);
    let forward = Forward::new(Cosine, PRIOR);
    let batch = whole(30, 1000);
    let noised = forward.noise(&batch, &[t; 30], &CounterRng::new(11)).unwrap();
    let lambda2 = forward.posterior(t, s, MASK).unwrap().lambda2;
    let mut rng = CounterRng::new(11).row(Purpose::Rule, 0);
    let left = noised.at().iter().filter(|&&i| rng.uniform(i) >= lambda2).count();
    assert!(close(left, 30_000, 1.0 - Cosine.alpha(s)), "{left}");
}

proptest! {
    #[test]
    fn prompt_and_padding_never_become_noise_and_eos_does(
        lengths in prop::collection::vec((0_usize..6, 0_usize..6), 1..6),
        t in 0.0..=1.0_f64,
        seed in any::<u64>(),
    ) {
        let rows: Vec<_> = lengths
            .iter()
            .map(|&(prompt, response)| Sequence::prompt_response(&vec![MASK; prompt], &vec![7; response], &vocabulary()))
            .collect();
        let batch = Batch::new(&rows, &vocabulary()).unwrap();
        let forward = Forward::new(Linear, PRIOR);
        let noised = forward.noise(&batch, &vec![t; rows.len()], &CounterRng::new(seed)).unwrap();
        for &i in noised.at() {
            let (row, position) = (i / batch.len(), i % batch.len());
            prop_assert!(position > lengths[row].0, "the prompt of row {} became noise", row);
            prop_assert!(position < rows[row].len(), "padding of row {} became noise", row);
        }
        let all = forward.noise(&batch, &vec![1.0; rows.len()], &CounterRng::new(seed)).unwrap();
        let maskable: usize = lengths.iter().map(|(_, response)| response + 1).sum();
        prop_assert_eq!(all.at().len(), maskable, "response and EOS, all of it, at t = 1");
        prop_assert_eq!(all.maskable().iter().sum::<usize>(), maskable);
    }

    #[test]
    fn a_row_gets_the_same_noise_in_any_batch(
        lengths in prop::collection::vec(1_usize..9, 2..6),
        t in 0.1..0.9_f64,
        seed in any::<u64>(),
    ) {
        let rows: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(key, &len)| Sequence::whole(vec![4; len]).with_key(100 + key as u64))
            .collect();
        let rng = CounterRng::new(seed).at_step(9);
        let times = Times::uniform(1e-3).unwrap();
        let forward = Forward::new(Linear, PRIOR);
        let noise = |rows: &[Sequence]| -> Vec<(f64, Vec<u32>)> {
            let batch = Batch::new(rows, &vocabulary()).unwrap();
            let times = times.sample(&batch, &rng);
            let noised = forward.noise_coupled(&batch, &vec![(1.0, t); rows.len()], &rng).unwrap();
            let early = noised.xt().chunks_exact(batch.len()).skip(rows.len());
            times.into_iter().zip(rows.iter().zip(early).map(|(row, xt)| xt[..row.len()].to_vec())).collect()
        };
        let together = noise(&rows);
        let mut backwards = noise(&rows.iter().rev().cloned().collect::<Vec<_>>());
        backwards.reverse();
        prop_assert_eq!(&together, &backwards);
        for (row, expected) in rows.iter().zip(&together) {
            prop_assert_eq!(&noise(std::slice::from_ref(row))[0], expected);
        }
    }
}

#[test]
fn times_lie_where_they_should() {
    let batch = whole(4000, 1);
    let rng = CounterRng::new(1);
    let grid = Times::grid(50).unwrap().sample(&batch, &rng);
    let mut counts = [0_usize; 51];
    for t in grid {
        let k = t * 50.0;
        assert!((k - k.round()).abs() < 1e-9 && (1.0..=50.0).contains(&k.round()), "{k}");
        counts[k.round() as usize] += 1;
    }
    // Chi-square with 49 degrees of freedom; 99.99 % lie below 93.
    let chi: f64 = counts[1..].iter().map(|&n| (n as f64 - 80.0).powi(2) / 80.0).sum();
    assert!(chi < 93.0, "{chi}");

    let stratified = Times::stratified(0.1).unwrap().sample(&batch, &rng);
    for (row, t) in stratified.iter().enumerate() {
        let stratum = (t - 0.1) / 0.9 * 4000.0;
        assert!((row as f64 - 1e-6..row as f64 + 1.0 + 1e-6).contains(&stratum), "row {row}: {t}");
    }
    let uniform = Times::uniform(0.25).unwrap().sample(&batch, &rng);
    assert!(uniform.iter().all(|t| (0.25..1.0).contains(t)));
    let pairs = Times::uniform(0.0).unwrap().sample_pairs(&batch, &rng);
    assert!(pairs.iter().all(|(late, early)| late > early));
    // The larger of two uniforms has mean 2/3.
    let mean = pairs.iter().map(|pair| pair.0).sum::<f64>() / 4000.0;
    assert!((mean - 2.0 / 3.0).abs() < 0.02, "{mean}");
    assert_eq!(Times::fixed(0.3).unwrap().sample(&batch, &rng), vec![0.3; 4000]);
}

#[test]
fn bad_input_is_named() {
    let batch = whole(2, 3);
    let forward = Forward::new(Linear, PRIOR);
    let rng = CounterRng::new(0);
    let error = |result: Result<Noised, Error>| result.unwrap_err().to_string();
    assert_eq!(error(forward.noise(&batch, &[0.5], &rng)), "times of a batch: expected 2, got 1");
    assert_eq!(error(forward.noise(&batch, &[0.5, 1.5], &rng)), "t must be in [0, 1], got 1.5");
    assert_eq!(error(forward.noise(&batch, &[f64::NAN, 0.5], &rng)), "t must be in [0, 1], got NaN");
    assert_eq!(
        error(forward.noise_coupled(&batch, &[(0.5, 0.6), (0.5, 0.4)], &rng)),
        "t2 of a coupled pair must be at most t1, got 0.6"
    );
    assert_eq!(Batch::new(&[], &vocabulary()).unwrap_err(), Error::Empty { what: "the batch" });
    assert_eq!(
        Batch::new(&[Sequence::whole(vec![1]), Sequence::whole(vec![3, 20])], &vocabulary())
            .unwrap_err()
            .to_string(),
        "row 1, position 1: token id 20 is not below the vocabulary size 20"
    );
    assert_eq!(
        Vocabulary::new(20, 0, 1, 2, 20).unwrap_err().to_string(),
        "the mask id 20 is not below the vocabulary size 20"
    );
    assert!(Sequence::new(vec![1, 2], vec![true]).is_err());
    assert!(Times::grid(0).is_err());
    assert!(Times::uniform(1.0).is_err());
    assert!(Times::stratified(-0.1).is_err());
    assert!(Times::fixed(0.0).is_err());
}
