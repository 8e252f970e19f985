//! What holds for every strategy on every canvas.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

mod common;

use common::{MASK, Tiny, hashed, vocabulary};
use dlm_core::schedule::{Cosine, Polynomial};
use dlm_core::{Denoiser, TokenId};
use dlm_sampling::plan::{blocks, cosine};
use dlm_sampling::strategy::{Ancestral, Rate, Remask, Strategy, Ties};
use dlm_sampling::wrap::Counted;
use dlm_sampling::{Candidate, Canvas, Change, ReverseStep, Route, Snapshot, Step, reverse, uniform};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

const NAMES: [&str; 9] = [
    "cmlm",
    "ar",
    "llada-low-confidence",
    "llada-random",
    "reparam-uncond-deterministic-cosine",
    "reparam-cond-deterministic-linear",
    "reparam-uncond-stochastic1.5-linear",
    "reparam-cond-stochastic0.5-cosine",
    "reparam-never-deterministic-cosine",
];

/// Every named strategy with every kind of candidate, and some that have no name.
fn strategies() -> Vec<(String, Box<dyn ReverseStep>)> {
    let mut all: Vec<(String, Box<dyn ReverseStep>)> = Vec::new();
    for name in NAMES {
        for temperature in [0.0, 0.4, 1.0] {
            let candidate = Candidate::at_temperature(temperature).unwrap();
            let strategy = name.parse::<Strategy>().unwrap().with_candidate(candidate);
            all.push((format!("{name} at {temperature}"), Box::new(strategy)));
        }
    }
    for remask in [Remask::Never, Remask::IfLessSure, Remask::Always] {
        let route = Route::new(remask, Rate::Cosine).with_ties(Ties::Strict);
        all.push((format!("{route}, strict"), Box::new(route)));
    }
    all.push(("ancestral cosine".into(), Box::new(Ancestral::new(Cosine, Candidate::SAMPLED))));
    let steep = Polynomial::new(200.0).unwrap();
    all.push(("ancestral steep".into(), Box::new(Ancestral::new(steep, Candidate::SAMPLED))));
    all
}

type Row = (Vec<TokenId>, Vec<bool>);

/// Rows of 0 to 9 tokens, any of them editable, any of them the literal mask token.
fn row() -> impl prop::strategy::Strategy<Value = Row> {
    prop::collection::vec((0..=MASK, any::<bool>()), 0..10).prop_map(|cells| cells.into_iter().unzip())
}

fn plan(kind: usize, steps: usize, canvas: &Canvas) -> Vec<Step> {
    match kind {
        0 => uniform(steps).collect(),
        1 => cosine(steps).collect(),
        _ => blocks(canvas.longest(), kind - 1, uniform(steps)).unwrap().collect(),
    }
}

fn run(model: &dyn Denoiser, strategy: &dyn ReverseStep, canvas: &Canvas, plan: &[Step]) -> Vec<Snapshot> {
    let run = reverse(model, strategy, canvas.clone(), plan.to_vec(), 5);
    run.collect::<Result<_, _>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn context_stays_and_no_noise_is_left(
        rows in prop::collection::vec(row(), 0..4), kind in 0_usize..5, steps in 1_usize..14, salt: u64,
    ) {
        let start = Canvas::infill(&rows, &vocabulary()).unwrap();
        let plan = plan(kind, steps, &start);
        for (name, strategy) in strategies() {
            let snapshots = run(&hashed(salt, false), &strategy, &start, &plan);
            prop_assert_eq!(snapshots.len(), plan.len());
            for snapshot in &snapshots {
                for (index, (ids, editable)) in rows.iter().enumerate() {
                    for position in (0..ids.len()).filter(|&position| !editable[position]) {
                        prop_assert_eq!(snapshot.canvas.ids(index)[position], ids[position], "{}", &name);
                        prop_assert_eq!(snapshot.canvas.scores(index)[position], 0.0, "{}", &name);
                        prop_assert!(!snapshot.canvas.noisy(index)[position], "{}", &name);
                    }
                }
            }
            let end = snapshots.last().map_or(&start, |snapshot| &snapshot.canvas);
            prop_assert!(end.is_done(), "{}", &name);
            for (index, (_, editable)) in rows.iter().enumerate() {
                for position in (0..editable.len()).filter(|&position| editable[position]) {
                    prop_assert!(end.ids(index)[position] != MASK, "{}", &name);
                    prop_assert!(end.scores(index)[position].is_finite(), "{}", &name);
                    prop_assert!(end.scores(index)[position] <= 0.0, "{}", &name);
                }
            }
        }
    }

    #[test]
    fn events_tell_exactly_what_changed(row in row(), steps in 1_usize..8, salt: u64) {
        let start = Canvas::infill(&[row], &vocabulary()).unwrap();
        for (name, strategy) in strategies() {
            let mut before = start.clone();
            for snapshot in run(&hashed(salt, true), &strategy, &start, &plan(0, steps, &start)) {
                let mut ids = before.ids(0).to_vec();
                for event in &snapshot.events {
                    ids[event.position] = match event.change {
                        Change::Committed { token, .. } => token,
                        Change::Remasked { .. } => MASK,
                        _ => unreachable!(),
                    };
                }
                prop_assert_eq!(&ids, snapshot.canvas.ids(0), "{}", &name);
                before = snapshot.canvas;
            }
        }
    }

    #[test]
    fn memory_changes_nothing_but_the_number_of_forwards(
        rows in prop::collection::vec(row(), 0..4), kind in 0_usize..4, steps in 1_usize..20,
        salt: u64, time_free: bool, max_rows in 0_usize..4,
    ) {
        let start = Canvas::infill(&rows, &vocabulary()).unwrap();
        let plan = plan(kind, steps, &start);
        for (name, strategy) in strategies() {
            let (with, without) = (Counted::new(hashed(salt, time_free)), Counted::new(hashed(salt, time_free)));
            let remembering = reverse(&with, &strategy, start.clone(), plan.clone(), 3).with_max_rows(max_rows);
            let asking = reverse(&without, &strategy, start.clone(), plan.clone(), 3).without_memo();
            let mut totals = (0, 0);
            for (one, other) in remembering.zip(asking) {
                let (one, other) = (one.unwrap(), other.unwrap());
                prop_assert_eq!(&one.canvas, &other.canvas, "{}", &name);
                prop_assert_eq!(&one.events, &other.events, "{}", &name);
                prop_assert!(one.evaluated <= other.evaluated, "{}", &name);
                totals = (totals.0 + one.forwards, totals.1 + one.evaluated);
            }
            prop_assert_eq!(totals, (with.forwards(), with.rows()), "{}", &name);
            if !time_free {
                prop_assert_eq!(with.rows(), without.rows(), "{}", &name);
            }
        }
    }

    #[test]
    fn a_run_that_was_interrupted_goes_on_as_if_nothing_had_happened(
        row in row(), kind in 0_usize..4, steps in 1_usize..8, stop in 0_usize..8, salt: u64,
    ) {
        let start = Canvas::infill(&[row], &vocabulary()).unwrap();
        let plan = plan(kind, steps, &start);
        let model = hashed(salt, true);
        for (name, strategy) in strategies() {
            let whole = reverse(&model, &strategy, start.clone(), plan.clone(), 9).finish().unwrap();
            let head = plan.iter().take(stop).cloned();
            let tail = plan.iter().skip(stop).cloned();
            let half = reverse(&model, &strategy, start.clone(), head, 9).finish().unwrap();
            let resumed = reverse(&model, &strategy, half, tail, 9).finish().unwrap();
            prop_assert_eq!(whole, resumed, "{}", &name);
        }
    }
}

/// Rows of different lengths, with different parts editable.
fn ragged() -> Vec<Row> {
    let row = |len: usize, from: usize, to: usize| {
        let ids = (0..len).map(|i| 3 + (i % 7) as TokenId).collect();
        (ids, (0..len).map(|i| (from..to).contains(&i)).collect())
    };
    vec![row(9, 3, 8), row(4, 1, 3), row(12, 0, 12), row(1, 0, 1), row(6, 6, 6), row(10, 2, 9)]
}

/// The final canvases of rows that were decoded together: (ids, scores) by key.
fn together(
    model: &dyn Denoiser,
    strategy: &dyn ReverseStep,
    rows: &[Row],
    keys: &[u64],
    steps: usize,
) -> Vec<(u64, Vec<TokenId>, Vec<f32>)> {
    let canvas = Canvas::infill(rows, &vocabulary()).unwrap().with_keys(keys).unwrap();
    let end = reverse(model, strategy, canvas, uniform(steps), 11).finish().unwrap();
    (0..rows.len()).map(|row| (end.key(row), end.ids(row).to_vec(), end.scores(row).to_vec())).collect()
}

#[track_caller]
fn same(
    name: &str,
    one: &(u64, Vec<TokenId>, Vec<f32>),
    other: &(u64, Vec<TokenId>, Vec<f32>),
    tolerance: f32,
) {
    assert_eq!((one.0, &one.1), (other.0, &other.1), "{name}");
    for (a, b) in one.2.iter().zip(&other.2) {
        assert!((a - b).abs() <= tolerance, "{name}: {:?} against {:?}", one.2, other.2);
    }
}

/// A row alone, in any batch, in any order, and again.
fn check_batch_invariance(model: &dyn Denoiser, tolerance: f32) {
    let rows = ragged();
    let keys: Vec<u64> = (0..rows.len() as u64).map(|key| 100 + 7 * key).collect();
    for (name, strategy) in strategies() {
        let all = together(model, &strategy, &rows, &keys, 5);
        assert_eq!(all, together(model, &strategy, &rows, &keys, 5), "{name}: a second run");
        for (row, expected) in all.iter().enumerate() {
            let alone = together(model, &strategy, &rows[row..=row], &keys[row..=row], 5);
            same(&name, &alone[0], expected, tolerance);
        }
        let (mut rows, mut keys) = (rows.clone(), keys.clone());
        rows.reverse();
        keys.reverse();
        for (turned, expected) in together(model, &strategy, &rows, &keys, 5).iter().rev().zip(&all) {
            same(&name, turned, expected, tolerance);
        }
    }
}

#[test]
fn a_row_does_not_see_its_batch() {
    check_batch_invariance(&hashed(1, true), 0.0);
    check_batch_invariance(&hashed(2, false), 0.0);
}

#[test]
fn a_row_does_not_see_its_batch_with_a_real_network() {
    // The network's own arithmetic may round differently in another batch.
    check_batch_invariance(&Tiny::new(4), 1e-4);
}

#[test]
fn padding_on_either_side_changes_nothing() {
    let model = hashed(3, true);
    let keys: Vec<u64> = (0..ragged().len() as u64).collect();
    let pad = |left: bool| -> Vec<(Vec<TokenId>, Vec<bool>, Vec<bool>)> {
        let pad = |(mut ids, mut editable): Row| {
            let (len, extra) = (ids.len(), 12 - ids.len());
            let mut flags = [vec![false; len], vec![true; extra]].concat();
            ids.resize(12, 1);
            editable.resize(12, false);
            if left {
                ids.rotate_right(extra);
                editable.rotate_right(extra);
                flags.rotate_right(extra);
            }
            (ids, editable, flags)
        };
        ragged().into_iter().map(pad).collect()
    };
    let plain = Canvas::infill(&ragged(), &vocabulary()).unwrap().with_keys(&keys).unwrap();
    for left in [false, true] {
        assert_eq!(Canvas::infill_padded(&pad(left), &vocabulary()).unwrap(), plain);
    }
    assert!(reverse(&model, &Route::paper(), plain, uniform(3), 0).finish().unwrap().is_done());
}

#[test]
fn seeds_and_keys_matter_to_what_is_drawn() {
    let rows = vec![ragged()[2].clone(), ragged()[2].clone()];
    let strategy = "cmlm".parse::<Strategy>().unwrap().with_candidate(Candidate::SAMPLED);
    let model = hashed(1, true);
    let end = together(&model, &strategy, &rows, &[1, 2], 5);
    assert_ne!(end[0].1, end[1].1);
    let same = together(&model, &strategy, &rows, &[1, 1], 5);
    assert_eq!(same[0], same[1]);
}
