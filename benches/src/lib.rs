//! What benches and the peer comparison share.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use dlm::core::loss::{Nelbo, Reduction};
use dlm::core::schedule::Linear;
use dlm::core::{Batch, Denoiser, DenoiserInput, Noised, Prior, Sequence, TokenId, Vocabulary};

/// The mask id of the peers' models.
pub const MASK: TokenId = 4;

/// A network that answers with the same logits whatever it is asked, so that what is around it is
/// measured.
pub struct Constant {
    logits: Tensor<2>,
}

impl Constant {
    /// At most `positions` asked at once.
    pub fn new(positions: usize, vocab_size: usize, device: &Device) -> Self {
        let values = Tensor::arange(0..(positions * vocab_size) as i64, device).float();
        Self { logits: (values * 0.37).sin().reshape([positions, vocab_size]) * 4.0 }
    }
}

impl Denoiser for Constant {
    fn vocab_size(&self) -> usize {
        self.logits.dims()[1]
    }
    fn device(&self) -> Device {
        self.logits.device()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        self.logits.clone().narrow(0, 0, input.at.len())
    }
}

/// Row i, column j holds 5 + (7 i + 13 j) mod (vocab − 5): the input of `tools/peers`.
pub fn ids(rows: usize, len: usize, vocab_size: usize) -> Vec<TokenId> {
    (0..rows * len).map(|at| (5 + (7 * (at / len) + 13 * (at % len)) % (vocab_size - 5)) as TokenId).collect()
}

/// Some rows of [`ids`] as a batch, all maskable.
///
/// # Panics
/// If `vocab_size` is below 6.
#[allow(clippy::unwrap_used)]
pub fn batch(rows: Range<usize>, len: usize, vocab_size: usize) -> Batch {
    let vocabulary = Vocabulary::new(vocab_size, 2, 0, 3, MASK).unwrap();
    let ids = ids(rows.end, len, vocab_size);
    let rows: Vec<_> = ids.chunks(len).skip(rows.start).map(|row| Sequence::whole(row.to_vec())).collect();
    Batch::new(&rows, &vocabulary).unwrap()
}

/// The batch with every odd column noisy, at t = 1/2.
///
/// # Panics
/// Never: flags and times fit the batch.
#[allow(clippy::unwrap_used)]
pub fn half_noised(batch: &Batch) -> Noised {
    let noisy: Vec<bool> = (0..batch.ids().len()).map(|at| (at % batch.len()) % 2 == 1).collect();
    Noised::with_noise(batch, &vec![0.5; batch.rows()], &noisy, Prior::Absorbing { mask: MASK }).unwrap()
}

/// Σ 2·CE / (B·L) at t = 1/2: the loss of `tools/peers/train_step.py`.
pub fn loss() -> Nelbo<Linear> {
    Nelbo::new(Linear, Reduction::Positions)
}
