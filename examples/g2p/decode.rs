//! How well a network pronounces.

use std::error::Error;

use dlm::core::TokenId;
use dlm::models::Encoder;
use dlm::sampling::wrap::Threads;
use dlm::sampling::{Route, length, reverse, uniform};
use dlm::train::metrics::error_rate;

use crate::g2p::{Pair, vocabulary};

/// The lengths that may be chosen from, for each word.
pub(crate) type Lengths = Result<Vec<Vec<usize>>, Box<dyn Error>>;

/// How a network is asked: how many steps, and which lengths it may choose from for each word.
pub(crate) struct Decoding<'a> {
    pub(crate) steps: usize,
    pub(crate) lengths: &'a dyn Fn(&[Pair]) -> Lengths,
}

/// The reference's lengths: what the paper calls oracle length.
#[allow(clippy::unnecessary_wraps, reason = "predicted lengths can fail")]
pub(crate) fn oracle(pairs: &[Pair]) -> Lengths {
    Ok(pairs.iter().map(|pair| vec![pair.phonemes.len()]).collect())
}

/// Phoneme error rate of the paper's decoder: edits over reference phonemes.
pub(crate) fn phoneme_error_rate(
    model: &Encoder,
    pairs: &[Pair],
    decoding: &Decoding<'_>,
) -> Result<f64, Box<dyn Error>> {
    let spoken = pronounce(model, pairs, decoding)?;
    let pairs = spoken.iter().zip(pairs).map(|(spoken, pair)| (spoken.as_slice(), pair.phonemes.as_slice()));
    Ok(error_rate(pairs).rate())
}

/// The phonemes of each word, the surest among its lengths.
pub(crate) fn pronounce(
    model: &Encoder,
    pairs: &[Pair],
    decoding: &Decoding<'_>,
) -> Result<Vec<Vec<TokenId>>, Box<dyn Error>> {
    let vocabulary = vocabulary()?;
    let model = Threads::new(model, 2);
    let mut spoken = Vec::with_capacity(pairs.len());
    for pairs in pairs.chunks(250) {
        let prompts: Vec<&[TokenId]> = pairs.iter().map(|pair| pair.letters.as_slice()).collect();
        let (canvas, candidates) = length::expand(&prompts, &(decoding.lengths)(pairs)?, &vocabulary)?;
        let canvas = reverse(&model, &Route::paper(), canvas, uniform(decoding.steps), 0).finish()?;
        spoken.extend(candidates.best(&canvas)?.into_iter().map(|row| canvas.response(row)));
    }
    Ok(spoken)
}
