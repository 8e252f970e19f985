//! Times against the distributions that they are said to have.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use dlm_core::time::Importance;
use dlm_core::{Batch, Blocks, CounterRng, Error, Sequence, Times, Vocabulary};

fn batch(rows: usize, len: usize) -> Batch {
    let vocabulary = Vocabulary::new(20, 0, 1, 2, 19).unwrap();
    let row = |key| Sequence::whole(vec![5; len]).with_key(key as u64);
    Batch::new(&(0..rows).map(row).collect::<Vec<_>>(), &vocabulary).unwrap()
}

fn all() -> Vec<(&'static str, Times, [f64; 2])> {
    vec![
        ("uniform", Times::uniform(1e-3).unwrap(), [1e-3, 1.0]),
        ("stratified", Times::stratified(0.1).unwrap(), [0.1, 1.0]),
        ("antithetic", Times::antithetic(0.0).unwrap(), [0.0, 1.0]),
        ("logarithmic", Times::log_uniform(1e-3).unwrap(), [1e-3, 1.0]),
        ("band", Times::uniform(0.0).unwrap().within(0.3, 0.8).unwrap(), [0.3, 0.8]),
        ("even band", Times::antithetic(0.0).unwrap().within(0.3, 0.8).unwrap(), [0.3, 0.8]),
        ("logarithmic band", Times::log_uniform(0.5).unwrap().within(0.2, 0.4).unwrap(), [0.2, 0.4]),
    ]
}

#[test]
fn factors_turn_a_mean_over_times_into_an_integral() {
    let batch = batch(50, 1);
    for (name, times, [low, high]) in all() {
        let drawn: Vec<f64> =
            (0..400).flat_map(|step| times.sample(&batch, &CounterRng::new(1).at_step(step))).collect();
        assert!(drawn.iter().all(|t| (low..high).contains(t)), "{name}");
        for (f, integral) in [
            ((|t| t) as fn(f64) -> f64, 0.5 * (high * high - low * low)),
            (f64::sqrt, 2.0 / 3.0 * (high.powf(1.5) - low.powf(1.5))),
        ] {
            let terms: Vec<f64> = drawn.iter().map(|&t| times.factor(t) * f(t)).collect();
            let mean = terms.iter().sum::<f64>() / terms.len() as f64;
            let variance = terms.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / terms.len() as f64;
            let error = (variance / terms.len() as f64).sqrt();
            assert!((mean - integral).abs() < 4.5 * error, "{name}: {mean} {integral} {error}");
        }
    }
    assert_eq!((Times::grid(7).unwrap().factor(0.5), Times::fixed(0.5).unwrap().factor(0.5)), (1.0, 1.0));
}

#[test]
fn spread_times_are_spread() {
    let (rows, rng) = (40, CounterRng::new(3));
    let mut even = Times::antithetic(0.0).unwrap().sample(&batch(rows, 1), &rng);
    even.sort_by(f64::total_cmp);
    assert!(even.windows(2).all(|pair| (pair[1] - pair[0] - 1.0 / rows as f64).abs() < 1e-12));
    let again = Times::antithetic(0.0).unwrap().sample(&batch(rows, 1), &rng.at_step(1));
    assert!(even.iter().all(|t| again.iter().all(|other| t != other)), "another step, another shift");

    let (blocks, batch) = (Blocks::new(3).unwrap(), batch(5, 10));
    let strata = Times::stratified(0.0).unwrap().sample_blocks(&batch, blocks, &rng);
    assert_eq!(strata.len(), 5 * 4, "the last block is short");
    assert!(strata.iter().enumerate().all(|(i, t)| (t * 20.0).floor() as usize == i), "{strata:?}");
    let mut even = Times::antithetic(0.0).unwrap().sample_blocks(&batch, blocks, &rng);
    even.sort_by(f64::total_cmp);
    assert!(even.windows(2).all(|pair| (pair[1] - pair[0] - 0.05).abs() < 1e-12), "{even:?}");
    let apart = Times::uniform(0.0).unwrap().sample_blocks(&batch, blocks, &rng);
    assert!((1..20).all(|i| apart[..i].iter().all(|t| *t != apart[i])), "each block has its own time");
}

#[test]
fn block_times_of_a_row_do_not_depend_on_its_batch() {
    let (all, blocks) = (batch(5, 10), Blocks::new(3).unwrap());
    let vocabulary = Vocabulary::new(20, 0, 1, 2, 19).unwrap();
    let alone = Batch::new(&[Sequence::whole(vec![5; 10]).with_key(3)], &vocabulary).unwrap();
    let times = Times::uniform(0.0).unwrap();
    let rng = CounterRng::new(6);
    assert_eq!(times.sample_blocks(&alone, blocks, &rng), times.sample_blocks(&all, blocks, &rng)[12..16]);
}

#[test]
fn importance_favours_costly_times_and_undoes_it() {
    let steps = 4;
    let grid: Vec<f64> = (1..=steps).map(|k| k as f64 / steps as f64).collect();
    let cost = |t: f64| 1.0 / t;
    let mut times = Importance::new(steps, 2, 0.1).unwrap();
    assert_eq!(times.probs(), [0.25; 4]);
    times.update(&grid, &[9.0; 4]).unwrap();
    assert_eq!(times.probs(), [0.25; 4], "uniform until every history is full");
    for _ in 0..2 {
        times.update(&grid, &grid.iter().map(|&t| cost(t)).collect::<Vec<_>>()).unwrap();
    }
    // Costs 4, 2, 4/3, 1 in all 25/3; the old ones are forgotten.
    let expected = [4.0, 2.0, 4.0 / 3.0, 1.0].map(|c| 0.9 * c / (25.0 / 3.0) + 0.025);
    assert!(times.probs().iter().zip(expected).all(|(p, e)| (p - e).abs() < 1e-12), "{:?}", times.probs());
    let (drawn, factors) = times.sample(&batch(20_000, 1), &CounterRng::new(0));
    for (t, p) in grid.iter().zip(expected) {
        let share = drawn.iter().filter(|drawn| *drawn == t).count() as f64 / 20_000.0;
        assert!((share - p).abs() < 4.5 * (p * (1.0 - p) / 20_000.0).sqrt(), "{t}: {share} {p}");
    }
    let mean: f64 = drawn.iter().zip(&factors).map(|(&t, w)| w * cost(t)).sum::<f64>() / 20_000.0;
    assert!((mean - 25.0 / 12.0).abs() < 0.02, "{mean}");
    let mut level = Importance::new(2, 1, 0.0).unwrap();
    level.update(&[0.5, 1.0], &[0.0, 0.0]).unwrap();
    assert_eq!(level.probs(), [0.5, 0.5], "no loss, no preference");
}

#[test]
fn bad_input_is_named() {
    assert!(Importance::new(0, 1, 0.0).is_err() && Importance::new(1, 0, 0.0).is_err());
    assert!(Importance::new(1, 1, 1.5).is_err());
    let mut times = Importance::new(4, 1, 0.0).unwrap();
    assert_eq!(
        times.update(&[0.3], &[1.0]).unwrap_err().to_string(),
        "t must be on the grid of the steps, got 0.3"
    );
    let error = times.update(&[0.5], &[f64::NAN]).unwrap_err().to_string();
    assert_eq!(error, "loss must be finite, got NaN");
    assert!(times.update(&[0.5, 0.25], &[1.0]).is_err());
    assert_eq!(times, Importance::new(4, 1, 0.0).unwrap(), "nothing was remembered");

    for eps in [-0.1, 1.0, f64::NAN] {
        assert!(
            Times::uniform(eps).is_err()
                && Times::stratified(eps).is_err()
                && Times::antithetic(eps).is_err()
        );
        assert!(Times::log_uniform(eps).is_err());
    }
    assert!(Times::log_uniform(0.0).is_err() && Times::log_uniform(0.1).unwrap().within(0.0, 0.5).is_err());
    let plain = Times::uniform(0.0).unwrap();
    for (low, high) in [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (f64::NAN, 1.0), (0.5, f64::NAN)] {
        assert!(plain.within(low, high).is_err(), "{low} {high}");
    }
    let error = Times::grid(5).unwrap().within(0.2, 0.5).unwrap_err();
    assert_eq!(error.to_string(), "a band of times does not go with a grid or a fixed time");
    assert!(matches!(Blocks::new(0), Err(Error::OutOfDomain { .. })));
}
