//! How much memory a run will take, roughly.

use std::fmt;

use super::Recipe;
use super::choices::Stage;
use super::network::{Network, Shape};
use crate::train::Precision;
use crate::train::memory::show_bytes;

/// An estimate in bytes, parameters in f32. Buffers of single operations, the allocator's reserves and the
/// program itself come on top, which counts where the network is small: `docs/results.md` has the estimates of
/// some runs beside their peaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// Parameters, those that are frozen too, and the copy in half precision that is computed with.
    pub weights: u64,
    /// Their gradients, once for each batch that is worked on at once, and once for the sum.
    pub gradients: u64,
    /// The optimiser's moments: two a parameter of `AdamW`, one of Muon.
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
        let threads = if recipe.train.gradient_checkpointing { 1 } else { recipe.threads_of_steps(config) };
        let at_once = threads.min(recipe.batch.accumulation) as u64;
        let half = recipe.train.precision != Precision::F32;
        // Of a number of the network that a step computes.
        let width = if half { 2 } else { 4 };
        let bytes = |floats: usize| 4 * floats as u64;
        // One batch's own gradient becomes the sum.
        let own = if recipe.batch.accumulation > 1 { at_once * width * trained as u64 } else { 0 };
        let matrices = recipe.train.muon.as_ref().map_or(0, |_| matrices(recipe, config));
        let (states, logits) = floats(recipe, config, positions, len);
        Self {
            weights: bytes(trained + frozen) + if half { width * trained as u64 } else { 0 },
            gradients: bytes(trained) + own,
            moments: bytes(2 * trained - matrices),
            average: bytes(if recipe.train.ema > 0.0 { trained } else { 0 }),
            // Losses are computed in f32 whatever the network is in.
            activations: (width * states as u64 + bytes(logits)) * at_once,
            data,
        }
    }

    /// The sum.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.moments + self.average + self.activations + self.data
    }
}

/// What the backward pass needs of one batch: numbers of the network, and numbers of the loss.
fn floats(recipe: &Recipe, config: &Network, positions: usize, len: usize) -> (usize, usize) {
    let stage = recipe.stage;
    let doubled = stage.diffuses() && recipe.diffusion.coupled;
    let positions = positions * if doubled { 2 } else { 1 };
    let Shape { width, inner, layers, heads, .. } = config.shape();
    let layer = OF_WIDTH * width + OF_INNER * inner + OF_SCORES * heads * len;
    let states = match stage {
        // A frozen network keeps nothing, and its head of one layer is trained.
        Stage::Length => layer,
        // The inputs of all layers, and one layer's own.
        _ if recipe.train.gradient_checkpointing => layers * width + layer,
        _ => layers * layer,
    };
    let noisy = match stage {
        Stage::Length => 0,
        Stage::Mlm => (positions as f64 * recipe.mlm.ratio) as usize,
        Stage::Diffusion | Stage::ArToDiffusion => positions / 2,
        Stage::Autoregressive => positions,
    };
    let at_a_time = match recipe.diffusion.chunk {
        chunk if chunk > 0 && stage.diffuses() => noisy.min(chunk),
        _ => noisy,
    };
    (positions * (states + 4 * width) + noisy * 4 * width, at_a_time * OF_LOGITS * config.words())
}

/// Numbers of the matrices that Muon takes, of which it keeps one moment where `AdamW` keeps two.
fn matrices(recipe: &Recipe, config: &Network) -> usize {
    let Shape { width, inner, matrices, .. } = config.shape();
    match recipe.stage {
        Stage::Length => 4 * width * width + 3 * width * inner + inner * recipe.length.classes,
        _ => matrices,
    }
}

/// The network whose memory is estimated.
pub(super) struct Sizes<'a> {
    pub(super) config: &'a Network,
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
