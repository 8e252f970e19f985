//! How much memory a run will take, roughly.

use std::fmt;

use super::Recipe;
use super::choices::Stage;
use crate::models::EncoderConfig;
use crate::train::memory::show_bytes;

/// An estimate in bytes, all numbers f32. Buffers of single operations, the allocator's reserves and the
/// program itself come on top, which counts where the network is small: `docs/results.md` has the estimates of
/// some runs beside their peaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// Parameters, those that are frozen too.
    pub weights: u64,
    /// Their gradients, once for each batch that is worked on at once, and once for the sum.
    pub gradients: u64,
    /// The optimiser's moments.
    pub moments: u64,
    /// The moving average.
    pub average: u64,
    /// What the backward pass needs of the forward pass, of the batches that are worked on at once.
    pub activations: u64,
    /// Texts, tokens and rows, in the process's memory.
    pub data: u64,
}

/// Numbers that a layer keeps for the backward pass, per position: so many of the width, so many of the inner
/// width, and so many a head and other position. Counted in burn's decompositions of attention, `LayerNorm`
/// and GELU, and rounded up to what a run was seen to take.
const OF_WIDTH: usize = 14;
const OF_INNER: usize = 5;
const OF_SCORES: usize = 4;
/// Numbers of a vocabulary's size, per noisy position: logits, their logarithm and their gradient.
const OF_LOGITS: usize = 3;

impl MemoryEstimate {
    /// For batches of `positions` in rows of `len`.
    pub(super) fn of(recipe: &Recipe, sizes: &Sizes<'_>, positions: usize, len: usize) -> Self {
        let Sizes { config, trained, frozen, data } = *sizes;
        let at_once = recipe.threads().min(recipe.batch.accumulation);
        let doubled = recipe.stage.diffuses() && recipe.diffusion.coupled;
        let positions = positions * if doubled { 2 } else { 1 };
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let layer = OF_WIDTH * width + OF_INNER * inner + OF_SCORES * config.num_attention_heads * len;
        // A frozen network keeps nothing, and its head of one layer is trained.
        let layers = if recipe.stage == Stage::Length { 1 } else { config.num_hidden_layers };
        let noisy = match recipe.stage {
            Stage::Length => 0,
            Stage::Mlm => (positions as f64 * recipe.mlm.ratio) as usize,
            Stage::Diffusion | Stage::ArToDiffusion => positions / 2,
            Stage::Autoregressive => positions,
        };
        let logits = if recipe.diffusion.chunk == 0 { noisy } else { noisy.min(recipe.diffusion.chunk) };
        let floats = positions * (layers * layer + 4 * width)
            + noisy * 4 * width
            + logits * OF_LOGITS * config.vocab_size;
        let bytes = |floats: usize| 4 * floats as u64;
        let copies = if recipe.batch.accumulation > 1 { at_once + 1 } else { 1 };
        Self {
            weights: bytes(trained + frozen),
            gradients: bytes(trained * copies),
            moments: bytes(2 * trained),
            average: bytes(if recipe.train.ema > 0.0 { trained } else { 0 }),
            activations: bytes(floats * at_once),
            data,
        }
    }

    /// The sum.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.moments + self.average + self.activations + self.data
    }
}

/// The network whose memory is estimated.
pub(super) struct Sizes<'a> {
    pub(super) config: &'a EncoderConfig,
    /// Parameters that are trained.
    pub(super) trained: usize,
    /// Parameters that are not.
    pub(super) frozen: usize,
    /// Bytes of the data.
    pub(super) data: u64,
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weights, gradients, moments, average, activations, data } = *self;
        write!(f, "about {} (an estimate: weights {}", show_bytes(self.total()), show_bytes(weights))?;
        for (name, bytes) in [
            ("gradients", gradients),
            ("moments", moments),
            ("average", average),
            ("activations", activations),
            ("data", data),
        ] {
            write!(f, ", {name} {}", show_bytes(bytes))?;
        }
        write!(f, ")")
    }
}
