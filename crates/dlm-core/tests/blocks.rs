//! Noise by blocks: between one block a row, which is MDLM, and one a token, which is an autoregressive network.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use burn::tensor::{Device, Tensor, TensorData};
use dlm_core::loss::{Elbo, Flat, Nelbo, Reduction, TokenLoss, Weighting, nll, nll_per_token};
use dlm_core::schedule::{Clipped, Cosine, Linear};
use dlm_core::{
    Attention, Batch, BlockQuestion, Blocks, CounterRng, Denoiser, DenoiserInput, Error, Forward, Noised,
    Prior, Schedule, Sequence, Times, TokenId, Vocabulary,
};

const V: usize = 8;
const MASK: TokenId = 7;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(V, 0, 1, 2, MASK).unwrap()
}

/// A network whose answer depends on all that it sees and where that stands, and on nothing else.
struct Seeing;

impl Denoiser for Seeing {
    fn vocab_size(&self) -> usize {
        V
    }
    fn device(&self) -> Device {
        Device::flex()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let len = input.shape[1];
        let place = |flat: usize| input.positions.map_or(flat % len, |positions| positions[flat]) as u64;
        let mix = |a: u64, b: u64| {
            (a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
        };
        let logits = |&at: &usize| {
            let (row, query) = (at / len, at % len);
            let seen = (0..len).filter(|&key| input.sees(row, query, key)).map(|key| row * len + key);
            // A sum, as attention has no order but that of places.
            let seen = seen.fold(0_u64, |sum, flat| {
                sum.wrapping_add(mix(place(flat) + 1, u64::from(input.ids[flat]) + 1))
            });
            (0..V as u64).map(move |v| (mix(mix(seen, place(at)), v) >> 40) as f32 / 2e6)
        };
        let values: Vec<f32> = input.at.iter().flat_map(logits).collect();
        Tensor::from_data(TensorData::new(values, [input.at.len(), V]), &Device::flex())
    }
}

fn batch() -> Batch {
    let vocabulary = vocabulary();
    let rows = [
        Sequence::whole(vec![3, 4, 5, 6, 3, 4]),
        Sequence::prompt_response(&[4], &[5, 6], &vocabulary),
        Sequence::whole(vec![6, 5]),
    ];
    Batch::new(&rows, &vocabulary).unwrap()
}

fn forward() -> Forward<Linear> {
    Forward::new(Linear, Prior::Absorbing { mask: MASK })
}

fn numbers(terms: Tensor<1>) -> Vec<f32> {
    terms.into_data().iter().collect()
}

#[test]
fn one_block_a_row_is_the_loss_without_blocks() {
    let (batch, rng) = (batch(), CounterRng::new(4));
    let (times, blocks) = ([0.9, 0.5, 0.7], Blocks::new(6).unwrap());
    let plain = forward().noise(&batch, &times, &rng).unwrap();
    let blocked = forward().noise_blocks(&batch, blocks, &times, &rng).unwrap();
    assert_eq!((plain.xt(), plain.at(), plain.times()), (blocked.xt(), blocked.at(), blocked.times()));
    let question = BlockQuestion::new(&blocked, blocks);
    let loss = |logits: Tensor<2>, noised: &Noised| {
        nll(logits, noised, &Nelbo::new(Linear, Reduction::Tokens)).into_scalar::<f32>()
    };
    let expected = loss(Seeing.logits(&plain.input()), &plain);
    assert_eq!(loss(Seeing.logits(&question.input()), &blocked), expected);
    assert!(expected > 0.0);
}

#[test]
fn blocks_of_one_masked_token_are_an_autoregressive_network() {
    let batch = Batch::new(&[Sequence::whole(vec![3, 4, 5, 6, 3, 4])], &vocabulary()).unwrap();
    let blocks = Blocks::new(1).unwrap();
    let noised = forward().noise_blocks(&batch, blocks, &[1.0; 6], &CounterRng::new(0)).unwrap();
    assert_eq!(noised.xt(), [MASK; 6]);
    let question = BlockQuestion::new(&noised, blocks);
    let got = numbers(nll_per_token(Seeing.logits(&question.input()), &noised.targets()));
    // Each token after those before it, asked on its own.
    for (position, got) in got.iter().enumerate() {
        let text = [&batch.ids()[..position], &[MASK]].concat();
        let input = DenoiserInput::new(&text, [1, position + 1], std::slice::from_ref(&position));
        let alone = numbers(nll_per_token(Seeing.logits(&input), &batch.ids()[position..=position]));
        assert_eq!(*got, alone[0], "position {position}");
    }
    let loss = nll(Seeing.logits(&question.input()), &noised, &Nelbo::new(Linear, Reduction::Sum));
    let sum: f32 = got.iter().sum();
    assert!((loss.into_scalar::<f32>() - sum).abs() < 1e-5, "the bound is the likelihood");
}

#[test]
fn every_block_sees_itself_and_the_clean_text_before_it() {
    let (batch, blocks, rng) = (batch(), Blocks::new(4).unwrap(), CounterRng::new(9));
    let times = Times::uniform(0.3).unwrap().sample_blocks(&batch, blocks, &rng);
    let noised = forward().noise_blocks(&batch, blocks, &times, &rng).unwrap();
    let question = BlockQuestion::new(&noised, blocks);
    question.input().check(V, Some(6)).unwrap();
    let got = numbers(nll_per_token(Seeing.logits(&question.input()), &noised.targets()));
    assert!(got.len() > 4);
    for (&at, got) in noised.at().iter().zip(got) {
        let (row, position) = (at / 6, at % 6);
        let (start, end) = (position / 4 * 4, (position / 4 * 4 + 4).min(6));
        let text = [&noised.x0()[row * 6..][..start], &noised.xt()[row * 6 + start..row * 6 + end]].concat();
        let pad = &noised.pad()[row * 6..][..end];
        let input = DenoiserInput::new(&text, [1, end], std::slice::from_ref(&position)).with_pad(pad);
        let alone = numbers(nll_per_token(Seeing.logits(&input), &[noised.x0()[at]]));
        assert_eq!(got, alone[0], "row {row}, position {position}");
    }
}

#[test]
fn blocks_of_documents_stay_apart() {
    let rows = [vec![Sequence::whole(vec![3, 4, 5]), Sequence::whole(vec![6, 3, 4])]];
    let batch = Batch::packed(&rows, &vocabulary()).unwrap();
    let blocks = Blocks::new(2).unwrap();
    let noised = forward().noise_blocks(&batch, blocks, &[1.0; 3], &CounterRng::new(0)).unwrap();
    let question = BlockQuestion::new(&noised, blocks);
    let input = question.input();
    assert_eq!(input.positions, Some([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2].as_slice()));
    // The last token sees its noisy block, and the clean second document before it: position 3, not 2.
    let seen: Vec<usize> = (0..12).filter(|&key| input.sees(0, 5, key)).collect();
    assert_eq!(seen, [4, 5, 9]);
    let clean: Vec<usize> = (0..12).filter(|&key| input.sees(0, 10, key)).collect();
    assert_eq!(clean, [9, 10, 11]);
    question.input().check(V, Some(3)).unwrap();
    assert!(matches!(question.input().check(V, Some(2)), Err(Error::TooLong { got: 3, most: 2, .. })));
}

#[test]
fn each_block_has_its_own_time_and_weight() {
    let batch = Batch::new(&vec![Sequence::whole(vec![5; 3000]); 3], &vocabulary()).unwrap();
    let blocks = Blocks::new(1000).unwrap();
    let times = [0.1, 0.5, 0.9, 1.0, 0.2, 0.0, 0.3, 0.3, 0.3];
    let forward = Forward::new(Cosine, Prior::Absorbing { mask: MASK });
    let noised = forward.noise_blocks(&batch, blocks, &times, &CounterRng::new(1)).unwrap();
    for (block, t) in times.into_iter().enumerate() {
        let masks = noised.xt()[block * 1000..][..1000].iter().filter(|&&id| id == MASK).count() as f64;
        let p = 1.0 - Cosine.alpha(t);
        assert!((masks / 1000.0 - p).abs() <= 4.5 * (p * (1.0 - p) / 1000.0).sqrt() + 1e-12, "block {block}");
        assert_eq!(noised.time_at(block * 1000 + 999), t);
    }
    assert!((noised.times()[0] - 0.5).abs() < 1e-12, "a row's time is the mean of its blocks'");
    let weights = Nelbo::new(Cosine, Reduction::Sum).weights(&noised).target;
    for (&at, weight) in noised.at().iter().zip(weights) {
        assert_eq!(weight, Cosine.loss_weight(times[at / 1000]));
    }
}

#[test]
fn words_are_noise_in_blocks_too() {
    let vocabulary = Vocabulary::new(V, 0, 1, 2, MASK).unwrap();
    let batch = Batch::new(&[Sequence::whole(vec![5; 2000])], &vocabulary).unwrap();
    let forward = Forward::new(Linear, Prior::uniform(&vocabulary).unwrap());
    let blocks = Blocks::new(1000).unwrap();
    let noised = forward.noise_blocks(&batch, blocks, &[0.0, 0.8], &CounterRng::new(1)).unwrap();
    assert_eq!(noised.xt()[..1000], [5; 1000]);
    let changed = noised.xt()[1000..].iter().filter(|&&id| id != 5).count() as f64 / 1000.0;
    assert!((changed - 0.6).abs() < 0.07, "three of four words are others: {changed}");
    let logits = Tensor::zeros([2000, V], &Device::flex());
    let terms = numbers(Elbo::new(&forward).terms(logits, &noised));
    assert!(terms.iter().all(|x| x.is_finite()));
}

#[test]
fn a_narrow_band_of_times_needs_no_weights() {
    let band = Clipped::new(Linear, 0.45, 0.55).unwrap();
    assert!((band.loss_weight(0.0) / band.loss_weight(1.0) - 0.55 / 0.45).abs() < 1e-9);
    let batch = Batch::new(&vec![Sequence::whole(vec![5; 50]); 40], &vocabulary()).unwrap();
    let blocks = Blocks::new(10).unwrap();
    let times = Times::stratified(0.0).unwrap().within(0.45, 0.55).unwrap();
    let times = times.sample_blocks(&batch, blocks, &CounterRng::new(2));
    assert!(times.iter().all(|t| (0.45..0.55).contains(t)) && times.len() == 200);
    let noised = forward().noise_blocks(&batch, blocks, &times, &CounterRng::new(2)).unwrap();
    let weights = Flat::new(1.0, Reduction::Noisy).unwrap().weights(&noised).target;
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn blocks_are_drawn_again_until_their_noise_is_in_the_band() {
    let vocabulary = vocabulary();
    let batch = Batch::new(&vec![Sequence::whole(vec![5; 52]); 60], &vocabulary).unwrap();
    let blocks = Blocks::new(10).unwrap();
    let shares = |blocks: Blocks, times: f64| -> Vec<usize> {
        let noised = forward().noise_blocks(&batch, blocks, &[times; 360], &CounterRng::new(3)).unwrap();
        let rows = noised.xt().chunks_exact(52).flat_map(|row| row.chunks(10));
        rows.map(|block| block.iter().filter(|&&id| id == MASK).count()).collect()
    };
    let free = shares(blocks, 0.5);
    let held = shares(blocks.redrawn_within(0.4, 0.6).unwrap(), 0.5);
    assert!(free.iter().any(|&n| n < 3) && free.iter().any(|&n| n > 7));
    for (block, (&free, &held)) in free.iter().zip(&held).enumerate() {
        // The last block of a row has two tokens: one of them is in the band.
        let band = if block % 6 == 5 { 1..=1 } else { 4..=6 };
        assert!(band.contains(&held), "block {block}: {held}");
        assert!(!band.contains(&free) || free == held, "a draw within the band is kept");
    }
    // No number of two tokens is in this band, and ten never are at this time: what was drawn is taken.
    let two = Blocks::new(2).unwrap();
    let (times, rng) = ([0.5; 60 * 26], CounterRng::new(3));
    let held = forward().noise_blocks(&batch, two.redrawn_within(0.6, 0.9).unwrap(), &times, &rng).unwrap();
    assert_eq!(held, forward().noise_blocks(&batch, two, &times, &rng).unwrap());
    let never = shares(blocks.redrawn_within(0.4, 0.6).unwrap(), 0.0);
    assert_eq!(never, vec![0; 360]);
    for (low, high) in [(-0.1, 0.5), (0.6, 0.5), (0.5, 1.1), (f64::NAN, 1.0), (0.0, f64::NAN)] {
        assert!(blocks.redrawn_within(low, high).is_err(), "{low} {high}");
    }
}

#[test]
fn bad_input_is_named() {
    let (batch, blocks, rng) = (batch(), Blocks::new(4).unwrap(), CounterRng::new(0));
    let error = |times: &[f64]| forward().noise_blocks(&batch, blocks, times, &rng).unwrap_err().to_string();
    assert_eq!(error(&[0.5; 3]), "times of the blocks of a batch: expected 6, got 3");
    assert_eq!(error(&[0.5, 0.5, 0.5, 0.5, 0.5, 1.5]), "t must be in [0, 1], got 1.5");
    assert_eq!(Blocks::new(0).unwrap_err().to_string(), "positions of a block must be at least 1, got 0");
    let noised = forward().noise_blocks(&batch, blocks, &[1.0; 6], &rng).unwrap();
    let question = BlockQuestion::new(&noised, blocks);
    assert!(matches!(question.input().attention, Attention::Pairs(pairs) if pairs.len() == 144));
    assert!(Flat::new(f64::NAN, Reduction::Sum).is_err());
}
