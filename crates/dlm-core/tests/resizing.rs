//! Texts that change their length, against what was done to them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use dlm_core::forward::Resizing;
use dlm_core::loss::{Nelbo, Rdm, Reduction, Resized, Weighting};
use dlm_core::schedule::Linear;
use dlm_core::{
    Batch, CounterRng, Error, Forward, Noised, Prior, Purpose, Sequence, TokenId, Vocabulary, prior::Words,
};
use proptest::prelude::*;

const MASK: TokenId = 9;
const EXPAND: TokenId = 10;
const DELETE: TokenId = 11;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(12, 0, 1, 2, MASK).unwrap()
}

fn resizing() -> Resizing {
    Resizing::new(EXPAND, DELETE, &vocabulary()).unwrap()
}

/// Whether `short` is `long` with some parts left out.
fn is_part(short: &[TokenId], long: &[TokenId]) -> bool {
    let mut rest = long.iter();
    short.iter().all(|id| rest.any(|other| other == id))
}

proptest! {
    #[test]
    fn what_is_not_merged_stays_in_its_order_and_the_context_as_it_was(
        tokens in prop::collection::vec((3..9_u32, any::<bool>()), 1..40),
        pick in 0.0..=1.0_f64,
        merge in 0.0..=1.0_f64,
        most in 0..9_usize,
        seed in any::<u64>(),
    ) {
        let (ids, maskable): (Vec<TokenId>, Vec<bool>) = tokens.into_iter().unzip();
        let row = Sequence::new(ids, maskable).unwrap().with_key(5);
        let draw = || CounterRng::new(seed).row(Purpose::Length, 5);
        let resized = resizing().augment(&row, pick, merge, most, &mut draw()).unwrap();
        prop_assert_eq!(&resized, &resizing().augment(&row, pick, merge, most, &mut draw()).unwrap());
        prop_assert_eq!(resized.key(), Some(5));
        let context = |row: &Sequence| -> Vec<TokenId> {
            (0..row.len()).filter(|&i| !row.maskable()[i]).map(|i| row.ids()[i]).collect()
        };
        prop_assert_eq!(context(&row), context(&resized), "context is neither merged nor deleted");
        let next = |i: usize| resized.maskable().get(i + 1).copied();
        let before_text = (0..resized.len()).all(|i| resized.ids()[i] != DELETE || next(i) == Some(true));
        prop_assert!(before_text, "places are inserted before maskable tokens");
        let count = |id| resized.ids().iter().filter(|&&other| other == id).count();
        let words: Vec<TokenId> = resized.ids().iter().copied().filter(|&id| id < EXPAND).collect();
        prop_assert!(is_part(&words, row.ids()));
        prop_assert!(count(DELETE) <= most && 2 * count(EXPAND) <= row.len() - words.len());
    }
}

#[test]
fn spans_are_merged_and_places_inserted_as_often_as_is_said() {
    // One span of two: picked with chance 1/4, merged in 2/3 of these.
    let row = Sequence::whole(vec![3, 4]);
    let (trials, mut merged, mut inserted) = (30_000, 0.0, [0.0; 4]);
    for key in 0..trials {
        let mut rng = CounterRng::new(1).row(Purpose::Length, key);
        let resized = resizing().augment(&row, 0.5, 2.0 / 3.0, 3, &mut rng).unwrap();
        let count = |id| resized.ids().iter().filter(|&&other| other == id).count();
        merged += count(EXPAND) as f64;
        inserted[count(DELETE)] += 1.0;
    }
    let close = |count: f64, p: f64| (count / 3e4 - p).abs() < 4.5 * (p * (1.0 - p) / 3e4).sqrt();
    assert!(close(merged, 1.0 / 6.0), "{merged}");
    assert!(inserted.iter().all(|&count| close(count, 0.25)), "{inserted:?}");
}

#[test]
fn both_states_are_always_noise_and_words_at_their_rate() {
    let forward = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let ids = [3, EXPAND, 4, DELETE].repeat(5000);
    let maskable = (0..ids.len()).map(|i| i % 4 != 2).collect();
    let batch = Batch::new(&[Sequence::new(ids, maskable).unwrap()], &vocabulary()).unwrap();
    let noised = resizing().noise(&forward, &batch, &[0.3], &CounterRng::new(2)).unwrap();
    assert!(batch.ids().iter().zip(noised.xt()).all(|(&x0, &xt)| (x0 < EXPAND || xt == MASK) && xt < EXPAND));
    let words = noised.at().iter().filter(|&&at| at % 4 == 0).count() as f64;
    assert!((words / 5000.0 - 0.3).abs() < 4.5 * (0.21_f64 / 5000.0).sqrt(), "{words}");
    assert!(noised.at().iter().all(|at| at % 4 != 2), "a fixed token became noise");
    assert_eq!(noised.at().len() as f64, words + 10_000.0);
}

#[test]
fn what_is_deleted_counts_as_one_token_of_its_row() {
    let rows = [vec![3, DELETE, EXPAND, DELETE, DELETE], vec![3, 4, EXPAND, 5, 6], vec![DELETE; 5]];
    let batch = Batch::new(&rows.map(Sequence::whole), &vocabulary()).unwrap();
    let prior = Prior::Absorbing { mask: MASK };
    let noisy: Vec<bool> = (0..15).map(|i| i != 5).collect();
    let noised = Noised::with_noise(&batch, &[0.5, 0.25, 1.0], &noisy, prior).unwrap();
    let plain = Nelbo::new(Linear, Reduction::Sum);
    let (inner, weights) =
        (plain.weights(&noised).target, Resized::new(plain, resizing()).weights(&noised).target);
    let factors: Vec<f64> = weights.iter().zip(&inner).map(|(w, inner)| w / inner).collect();
    // Five tokens of which three are one: 5/3 for each of the three that are left.
    let (whole, third) = (5.0 / 3.0, 5.0 / 9.0);
    let expected = [&[whole, third, whole, third, third][..], &[1.0; 4], &[1.0; 5]].concat();
    assert!(factors.iter().zip(&expected).all(|(got, by_hand)| (got - by_hand).abs() < 1e-12), "{factors:?}");

    let smooth = Rdm::linear(4).unwrap().with_label_smoothing(0.1).unwrap();
    let (inner, both) = (smooth.weights(&noised), Resized::new(smooth, resizing()).weights(&noised));
    assert!((both.uniform[1] / inner.uniform[1] - third).abs() < 1e-12, "smoothing is weighed alike");
}

#[test]
fn bad_input_is_named() {
    let error = Resizing::new(12, DELETE, &vocabulary()).unwrap_err().to_string();
    assert_eq!(error, "the expand id 12 is not below the vocabulary size 12");
    assert!(matches!(Resizing::new(EXPAND, EXPAND, &vocabulary()), Err(Error::Incompatible { .. })));
    assert!(matches!(Resizing::new(EXPAND, MASK, &vocabulary()), Err(Error::Incompatible { .. })));
    let (row, rng) = (Sequence::whole(vec![3]), CounterRng::new(0));
    for (pick, merge) in [(-0.1, 0.5), (0.5, 1.1), (f64::NAN, 0.5), (0.5, f64::NAN)] {
        assert!(resizing().augment(&row, pick, merge, 1, &mut rng.row(Purpose::Length, 0)).is_err());
    }
    let fixed = Sequence::new(vec![3, 4], vec![false; 2]).unwrap();
    let same = resizing().augment(&fixed, 1.0, 1.0, 9, &mut rng.row(Purpose::Length, 0)).unwrap();
    assert_eq!(same, fixed, "there is nothing to resize");
    let words = Forward::new(Linear, Prior::Words(Words::uniform(&vocabulary()).unwrap()));
    let batch = Batch::new(&[row], &vocabulary()).unwrap();
    let error = resizing().noise(&words, &batch, &[0.5], &rng).unwrap_err();
    assert_eq!(error.to_string(), "noise given by flags does not go with noise that may be words");
    let masks = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    assert!(resizing().noise(&masks, &batch, &[1.5], &rng).is_err());
}
