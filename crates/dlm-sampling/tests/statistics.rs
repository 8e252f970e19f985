//! Draws against the laws they should follow. Seeds are fixed; bounds are stated.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{constant, vocabulary};
use dlm_core::RowRng;
use dlm_core::schedule::{Cosine, Linear, Schedule};
use dlm_sampling::strategy::{Ancestral, Strategy};
use dlm_sampling::wrap::Counted;
use dlm_sampling::{Candidate, Canvas, Needs, Proposal, ReverseStep, Row, Step, reverse, uniform};

const LOGITS: [f32; 12] =
    [0.3, -1.0, 2.0, 0.0, f32::NEG_INFINITY, 1.2, -2.5, 0.7, -0.1, 1.9, f32::NEG_INFINITY, 9.0];

/// softmax(LOGITS / T) without the mask, the last word.
fn law(temperature: f64) -> Vec<f64> {
    let weight = |&logit: &f32| (f64::from(logit) / temperature).exp();
    let weights: Vec<f64> = LOGITS[..11].iter().map(weight).chain([0.0]).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// Σ (observed − expected)² / expected over the possible words, and the number of possible words less one.
fn chi_square(counts: &[usize], law: &[f64]) -> (f64, usize) {
    let n = counts.iter().sum::<usize>() as f64;
    let terms = counts.iter().zip(law).filter(|(_, p)| **p > 0.0);
    let sum = terms.clone().map(|(&count, p)| (count as f64 - n * p).powi(2) / (n * p)).sum();
    (sum, terms.count() - 1)
}

#[test]
fn candidates_follow_the_tempered_distribution() {
    let model = constant(LOGITS.to_vec());
    for temperature in [0.25, 0.5, 1.0, 2.0] {
        let candidate = Candidate::at_temperature(temperature).unwrap();
        let strategy = "ar".parse::<Strategy>().unwrap().with_candidate(candidate);
        let canvas = Canvas::prompted(&[[3]; 40], &[1000; 40], &vocabulary()).unwrap();
        let end = reverse(&model, &strategy, canvas, uniform(1), 42).finish().unwrap();
        let mut counts = vec![0; 12];
        (0..40).flat_map(|row| end.response(row)).for_each(|id| counts[id as usize] += 1);
        let law = law(temperature);
        assert_eq!(law.iter().zip(&counts).filter(|(p, n)| **p == 0.0 && **n > 0).count(), 0);
        let (statistic, freedom) = chi_square(&counts, &law);
        // 8 degrees of freedom: P(χ² > 26.1) = 0.001.
        assert_eq!(freedom, 8);
        assert!(statistic < 26.1, "T = {temperature}: {statistic}, {counts:?}");
        let (wrong, _) = chi_square(&counts, &self::law(temperature * 1.1));
        assert!(wrong > 26.1, "T = {temperature}: the test would not notice a tenth more, {wrong}");
    }
}

#[test]
fn scores_of_drawn_candidates_are_not_tempered() {
    let model = constant(LOGITS.to_vec());
    let strategy = "ar".parse::<Strategy>().unwrap().with_candidate(Candidate::at_temperature(2.0).unwrap());
    let canvas = Canvas::prompted(&[[3]], &[200], &vocabulary()).unwrap();
    let end = reverse(&model, &strategy, canvas, uniform(1), 1).finish().unwrap();
    let law = law(1.0);
    for (&id, &score) in end.ids(0)[2..202].iter().zip(&end.scores(0)[2..202]) {
        assert!((f64::from(score) - law[id as usize].ln()).abs() < 1e-5);
    }
}

/// Commits all in the last step and nothing before.
struct Late;

impl ReverseStep for Late {
    fn needs(&self) -> Needs {
        Needs::new(Candidate::SAMPLED)
    }
    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, _: &mut RowRng) {
        for guess in said.guesses().iter().filter(|_| step.is_last()) {
            row.commit(guess.position, guess.token, guess.log_p);
        }
    }
}

#[test]
fn a_kept_row_is_drawn_anew_at_each_step() {
    let canvas = Canvas::prompted(&[[3]], &[50], &vocabulary()).unwrap();
    let after = |steps: usize| {
        let model = Counted::new(constant(LOGITS.to_vec()));
        let end = reverse(&model, &Late, canvas.clone(), uniform(steps), 1).finish().unwrap();
        (model.forwards(), end.response(0))
    };
    let ((once, first), (again, third)) = (after(1), after(3));
    assert_eq!((once, again), (1, 1));
    assert_ne!(first, third);
}

#[test]
fn ancestral_reveals_at_the_rate_of_the_schedule() {
    let model = constant(LOGITS.to_vec());
    let (rows, length, steps) = (20, 500, 4);
    let linear = Ancestral::new(Linear, Candidate::SAMPLED);
    let cosine = Ancestral::new(Cosine, Candidate::SAMPLED);
    let pairs: [(&dyn ReverseStep, &dyn Schedule); 2] = [(&linear, &Linear), (&cosine, &Cosine)];
    for (strategy, schedule) in pairs {
        let canvas = Canvas::prompted(&vec![[3]; rows], &vec![length; rows], &vocabulary()).unwrap();
        for snapshot in reverse(&model, strategy, canvas, uniform(steps), 8) {
            let snapshot = snapshot.unwrap();
            let n = (rows * length) as f64;
            let settled =
                |row| snapshot.canvas.noisy(row)[2..2 + length].iter().filter(|&&noisy| !noisy).count();
            let share = (0..rows).map(settled).sum::<usize>() as f64 / n;
            let p = schedule.alpha(snapshot.step.s);
            let bound = 4.0 * (p * (1.0 - p) / n).sqrt();
            assert!((share - p).abs() <= bound, "s = {}: {share} against {p} ± {bound}", snapshot.step.s);
        }
    }
}

#[test]
fn llada_random_commits_any_set_of_the_right_size_equally_often() {
    // Two of four positions in the first of two steps: six sets.
    let model = constant(LOGITS.to_vec());
    let strategy: Strategy = "llada-random".parse().unwrap();
    let canvas = Canvas::prompted(&vec![[3]; 6000], &vec![4; 6000], &vocabulary()).unwrap();
    let first = reverse(&model, &strategy, canvas, uniform(2), 3).next().unwrap().unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for row in 0..6000 {
        *counts.entry(first.canvas.noisy(row)[2..6].to_vec()).or_insert(0) += 1;
    }
    let counts: Vec<usize> = counts.into_values().collect();
    assert_eq!(counts.len(), 6);
    // 5 degrees of freedom: P(χ² > 20.5) = 0.001.
    assert!(chi_square(&counts, &[1.0 / 6.0; 6]).0 < 20.5, "{counts:?}");
}
