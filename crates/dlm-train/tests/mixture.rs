//! Mixtures: rates, order, resumption.

mod common;

use common::{toy, vocabulary};
use dlm_core::{Batch, CounterRng, Purpose, Sequence, TokenId};
use dlm_train::data::{BatchSource, FLAN_2022, Mixture, Origin, Pass, Source, TokenMixture};
use dlm_train::{Diffusion, Error, TrainConfig, Trainer};
use proptest::prelude::*;

/// Rows that tell their source and their place in it.
fn source(name: &str, weight: f64, rows: usize) -> Source {
    let row = |i: usize| Sequence::whole(vec![3 + (i % 8) as TokenId; 1 + i / 8]);
    Source { name: name.into(), weight, rows: (0..rows).map(row).collect() }
}

fn mixture(weights: &[(f64, usize)], rows: usize, seed: u64) -> Mixture {
    let sources = weights.iter().enumerate().map(|(i, &(weight, rows))| source(&i.to_string(), weight, rows));
    Mixture::new(sources.collect(), vocabulary(), rows, seed).expect("sources")
}

fn flan(seed: u64) -> Mixture {
    let sources = FLAN_2022.iter().zip(5..).map(|(&(name, weight), rows)| source(name, weight, rows));
    Mixture::new(sources.collect(), vocabulary(), 32, seed).expect("sources")
}

#[test]
fn the_rates_of_flan_2022_are_the_papers() {
    let group = |start: &str| {
        FLAN_2022.iter().filter(|(name, _)| name.starts_with(start)).map(|&(_, rate)| rate).sum::<f64>()
    };
    for (start, rate) in
        [("", 1.0), ("flan_", 0.4), ("t0_", 0.32), ("niv2_", 0.2), ("cot_", 0.05), ("dialog_", 0.03)]
    {
        assert!((group(start) - rate).abs() < 1e-12, "{start}: {}", group(start));
    }
    assert_eq!(FLAN_2022.iter().filter(|(name, _)| name.contains("_fs_")).count(), 6);
}

/// Pearson's statistic of the draw over the 13 sources: 12 degrees of freedom, whose 99.9 % point is 32.9.
#[test]
fn sources_are_drawn_at_their_rates() {
    for seed in [1, 2, 3] {
        let (mut mixture, samples) = (flan(seed), 100_000);
        let mut counts = [0.0_f64; 13];
        for sample in 0..samples {
            counts[mixture.origin(sample).source] += 1.0;
        }
        let cell = |(count, (_, rate)): (&f64, &(&str, f64))| {
            let expected = rate * samples as f64;
            (count - expected).powi(2) / expected
        };
        let statistic: f64 = counts.iter().zip(&FLAN_2022).map(cell).sum();
        assert!(statistic < 32.9, "seed {seed}: {statistic}, {counts:?}");
        // A draw that is too even is not random either; 1.6 is the 0.01 % point.
        assert!(statistic > 1.6, "seed {seed}: {statistic}, {counts:?}");
    }
}

/// Neighbours are independent: pairs of sources come at the product of their rates.
#[test]
fn the_draw_of_one_sample_tells_nothing_of_the_next() {
    let mut mixture = mixture(&[(1.0, 5), (2.0, 5), (5.0, 5)], 1, 4);
    let samples = 60_000;
    let mut pairs = [[0.0_f64; 3]; 3];
    let mut before = mixture.origin(0).source;
    for sample in 1..=samples {
        let source = mixture.origin(sample).source;
        pairs[before][source] += 1.0;
        before = source;
    }
    let rates = [0.125, 0.25, 0.625];
    let mut statistic = 0.0;
    for (first, row) in rates.iter().zip(&pairs) {
        for (second, count) in rates.iter().zip(row) {
            let expected = first * second * samples as f64;
            statistic += (count - expected).powi(2) / expected;
        }
    }
    // 99.9 % point of 8 degrees of freedom.
    assert!(statistic < 26.1, "{statistic}: {pairs:?}");
}

#[test]
fn a_source_gives_each_row_once_a_pass() {
    for pass in [Pass::AsGiven, Pass::Shuffled] {
        let mut mixture = mixture(&[(1.0, 7), (3.0, 11)], 4, 8).with_pass(pass);
        let mut rows: Vec<Vec<(u64, usize)>> = vec![Vec::new(); 2];
        for sample in 0..400 {
            let Origin { source, row, pass } = mixture.origin(sample);
            rows[source].push((pass, row));
        }
        for (rows, len) in rows.iter().zip([7, 11]) {
            let mut orders = Vec::new();
            for (number, order) in rows.chunks_exact(len).enumerate() {
                assert!(order.iter().all(|&(pass, _)| pass == number as u64));
                let order: Vec<usize> = order.iter().map(|&(_, row)| row).collect();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..len).collect::<Vec<_>>());
                orders.push(order);
            }
            assert!(orders.len() > 5);
            let same = orders.windows(2).filter(|pair| pair[0] == pair[1]).count();
            let expected = if pass == Pass::AsGiven { orders.len() - 1 } else { 0 };
            assert_eq!(same, expected, "{orders:?}");
        }
    }
}

#[test]
fn a_batch_is_its_samples_and_tells_where_they_come_from() {
    let mut mixture = flan(9);
    for index in [0, 7, 3] {
        let batch = mixture.batch(index).expect("a batch");
        for row in 0..batch.rows() {
            assert_eq!(batch.key(row), index * 32 + row as u64);
            let origin = mixture.origin(batch.key(row));
            let sequence = &mixture.rows(origin.source)[origin.row];
            assert_eq!(&batch.ids()[row * batch.len()..][..sequence.len()], sequence.ids());
            assert_eq!(mixture.name(origin.source), FLAN_2022[origin.source].0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Batches asked for in any order are those of a run from the start.
    #[test]
    fn a_batch_depends_on_its_index_alone(
        seed: u64, rows in 1_usize..6, as_given: bool,
        sources in prop::collection::vec((0.01_f64..5.0, 1_usize..9), 1..5),
        indexes in prop::collection::vec(0_u64..60, 1..6),
    ) {
        let pass = if as_given { Pass::AsGiven } else { Pass::Shuffled };
        let mut straight = mixture(&sources, rows, seed).with_pass(pass);
        let straight: Vec<Batch> = (0..60).map(|index| straight.batch(index).expect("a batch")).collect();
        let mut jumping = mixture(&sources, rows, seed).with_pass(pass);
        for index in indexes {
            prop_assert_eq!(&jumping.batch(index).expect("a batch"), &straight[index as usize]);
        }
    }
}

/// A trainer stopped at step 3 and started again learns from the batches that it would have seen.
#[test]
fn a_resumed_run_equals_one_that_was_not_stopped() {
    let _alone = common::alone();
    let trainer = || {
        let mixture = mixture(&[(1.0, 9), (2.0, 20)], 4, 6);
        let objective = Diffusion::paper(common::MASK, 10).expect("an objective");
        let config = TrainConfig { accumulation: 2, ..common::config(6) };
        Trainer::new(toy(0.0), objective, mixture, config).expect("a trainer")
    };
    let folder = common::Folder::new("mixture-resume");
    let mut straight = trainer();
    for _ in 0..3 {
        straight.step().expect("a step");
    }
    straight.save(&folder.0).expect("a checkpoint");
    let mut resumed = trainer();
    resumed.resume(&folder.0).expect("a checkpoint");
    for _ in 0..3 {
        straight.step().expect("a step");
        resumed.step().expect("a step");
    }
    assert_eq!(common::bits(&straight.evaluated()), common::bits(&resumed.evaluated()));
}

#[test]
fn the_fingerprint_changes_with_data_weights_and_order() {
    let base = || mixture(&[(1.0, 9), (2.0, 20)], 4, 6);
    let mut known = vec![base().fingerprint()];
    assert_eq!(known[0], base().fingerprint());
    let mut moved = base();
    let _ = moved.batch(50).expect("a batch");
    assert_eq!(known[0], moved.fingerprint(), "where it stands is no part of it");
    known.extend([
        mixture(&[(1.0, 9), (2.5, 20)], 4, 6).fingerprint(),
        mixture(&[(2.0, 9), (1.0, 20)], 4, 6).fingerprint(),
        mixture(&[(1.0, 10), (2.0, 20)], 4, 6).fingerprint(),
        mixture(&[(1.0, 20), (2.0, 9)], 4, 6).fingerprint(),
        mixture(&[(1.0, 9), (2.0, 20)], 5, 6).fingerprint(),
        mixture(&[(1.0, 9), (2.0, 20)], 4, 7).fingerprint(),
        base().with_pass(Pass::AsGiven).fingerprint(),
    ]);
    let mut distinct = known.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), known.len(), "{known:x?}");
}

#[test]
fn what_cannot_be_drawn_from_is_refused_by_name() {
    let new = |sources, rows| Mixture::new(sources, vocabulary(), rows, 0).expect_err("refused").to_string();
    let good = || source("good", 1.0, 2);
    assert_eq!(new(vec![good()], 0), "batch size must be at least 1, got 0");
    assert!(matches!(Mixture::new(Vec::new(), vocabulary(), 1, 0), Err(Error::Core(_))));
    let of = |what: &str| format!("source `bad` of the mixture: expected {what}");
    assert_eq!(new(vec![good(), source("bad", 1.0, 0)], 1), of("at least 1 row, got none"));
    for (weight, shown) in [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let got = new(vec![good(), source("bad", weight, 1)], 1);
        assert_eq!(got, of(&format!("a weight above 0 and finite, got {shown}")));
    }
    let foreign = Source { rows: vec![Sequence::whole(vec![3, 99])], ..source("bad", 1.0, 1) };
    let got = new(vec![good(), foreign], 1);
    assert!(got.starts_with(&of("ids below 12, got row 0, position 1: token id 99")), "{got}");
}

/// The batches of a mixture of rows of 1 to 13 tokens, at most 40 tokens each.
fn by_tokens(seed: u64) -> TokenMixture {
    mixture(&[(3.0, 100), (1.0, 40), (0.5, 7)], 1, seed).by_tokens(40).expect("short rows")
}

#[test]
fn token_batches_hold_each_sample_once_in_their_budget() {
    let (mut batches, mut samples) = (by_tokens(4), mixture(&[(3.0, 100), (1.0, 40), (0.5, 7)], 1, 4));
    let (mut seen, mut positions, mut tokens, mut index) = (Vec::new(), 0, 0, 0);
    // Two windows: 16 384 samples.
    while seen.len() < 16_384 {
        let batch = batches.batch(index).expect("a batch");
        assert!(batch.rows() * batch.len() <= 40);
        positions += batch.rows() * batch.len();
        tokens += batch.pad().iter().filter(|&&pad| !pad).count();
        seen.extend((0..batch.rows()).map(|row| batch.key(row)));
        if index % 500 == 0 {
            let sample = samples.sample(batch.key(0)).expect("a sample");
            assert_eq!(batch.ids()[..sample.len()], *sample.ids());
        }
        index += 1;
    }
    assert!(!seen.is_sorted());
    seen.sort_unstable();
    assert_eq!(seen, (0..16_384).collect::<Vec<u64>>());
    assert!(tokens * 20 > positions * 19, "{tokens} of {positions}");
}

/// Which source a sample comes from and in what order batches come are told apart: the numbers that shuffle the
/// batches of a window are none of those that chose its samples.
#[test]
fn a_windows_order_is_drawn_by_itself() {
    let rng = |purpose| CounterRng::new(4).row(purpose, 0);
    let (mut sources, mut windows) = (rng(Purpose::Mixture), rng(Purpose::Windows));
    assert!((0..64).all(|position| sources.bits(position) != windows.bits(position)));
    // With rows of one length the batches of a window are cut in the order of its samples, and then shuffled.
    let mut batches = mixture(&[(1.0, 8)], 1, 4).by_tokens(1).expect("short rows");
    let first = batches.batch(0).expect("a batch").key(0);
    let mut order: Vec<(u64, u64)> =
        (0..8192).map(|sample| (windows.bits(sample as usize), sample)).collect();
    order.sort_unstable();
    assert_eq!(first, order[0].1);
}

#[test]
fn a_token_batch_depends_on_its_index_alone() {
    let mut straight = by_tokens(4);
    let straight: Vec<Batch> = (0..4000).map(|index| straight.batch(index).expect("a batch")).collect();
    let mut other = by_tokens(4);
    for index in [3999, 0, 2100, 2101, 17, 3000] {
        assert_eq!(other.batch(index).expect("a batch"), straight[index as usize], "batch {index}");
    }
    assert_ne!(by_tokens(5).batch(0).expect("a batch"), straight[0]);
    assert_ne!(by_tokens(5).fingerprint(), by_tokens(4).fingerprint());
    assert_eq!(by_tokens(4).fingerprint(), other.fingerprint());
}

#[test]
fn a_row_beyond_the_budget_is_refused_by_its_source() {
    let refused = mixture(&[(1.0, 8), (1.0, 17)], 1, 0).by_tokens(2).expect_err("a row of 3");
    assert_eq!(
        refused.to_string(),
        "source `1` of the mixture: expected rows of at most 2 tokens, got 3 in row 16"
    );
}
