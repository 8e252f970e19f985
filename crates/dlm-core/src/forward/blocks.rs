//! Blocks of positions, each with a time of its own.

use super::draw::{Draw, flags};
use super::{Forward, Noised, check_time};
use crate::denoiser::{Attention, DenoiserInput};
use crate::error::{Error, in_domain, same_length};
use crate::rng::CounterRng;
use crate::schedule::Schedule;
use crate::sequence::{Batch, TokenId};

/// How rows are cut into blocks: from their first position, `len` positions each, the last one perhaps shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    len: usize,
}

impl Blocks {
    /// # Errors
    /// [`Error::OutOfDomain`] if `len` is 0.
    pub fn new(len: usize) -> Result<Self, Error> {
        in_domain(len > 0, "positions of a block", "at least 1", len as f64)?;
        Ok(Self { len })
    }

    /// Positions of a block.
    pub fn len(self) -> usize {
        self.len
    }

    /// Never true.
    pub fn is_empty(self) -> bool {
        false
    }

    /// Blocks of a row of `positions`.
    pub fn count(self, positions: usize) -> usize {
        positions.div_ceil(self.len)
    }

    /// The block of a position.
    pub fn of(self, position: usize) -> usize {
        position / self.len
    }
}

impl<S: Schedule> Forward<S> {
    /// Draws `x_t` with a time for each block of each row, `[B, blocks]`.
    ///
    /// # Errors
    /// As [`Forward::noise`], a time for each block; [`Error::Incompatible`] with a prior that varies.
    ///
    /// # Source
    /// Arriola et al. 2025, arXiv:2503.09573, section 3.
    pub fn noise_blocks(
        &self,
        batch: &Batch,
        blocks: Blocks,
        times: &[f64],
        rng: &CounterRng,
    ) -> Result<Noised, Error> {
        let (len, count) = (batch.len(), blocks.count(batch.len()));
        same_length("times of the blocks of a batch", batch.rows() * count, times.len())?;
        times.iter().try_for_each(|&t| check_time(t).map(drop))?;
        if self.prior.varies() {
            return Err(Error::Incompatible { what: "a time for each block", with: "a prior that varies" });
        }
        let place = |flat: usize| flat / len * count + blocks.of(flat % len);
        let keep: Vec<f64> = times.iter().map(|&t| self.schedule.alpha(t)).collect();
        let noisy = flags(batch, rng, Draw::First, |_, flat| keep[place(flat)]);
        // A prior that does not vary mixes alike at every time; at t = 1 there is noise to see it by.
        let mask = 1.0 - self.prior.share(1.0)[0];
        let tokens = self.tokens(batch, &noisy, rng, Draw::First, |_| mask);
        let mean = |times: &[f64]| times.iter().sum::<f64>() / count as f64;
        let clock = (0..batch.ids().len()).map(|flat| times[place(flat)]).collect();
        Ok(self.filled(batch, times.chunks_exact(count).map(mean).collect(), &noisy, &tokens).clocked(clock))
    }
}

/// What a network is asked when a row's blocks are noised apart: the row at its noise and, behind it, the row
/// as it was, so that each block sees the clean text before it and one pass serves all blocks.
///
/// ```text
/// query in x_t:  its own block of x_t, and the blocks of x₀ before it
/// query in x₀:   its own block of x₀, and those before it
/// ```
///
/// # Source
/// Arriola et al. 2025, arXiv:2503.09573, section 3.2 and appendix B.6.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockQuestion<'a> {
    noised: &'a Noised,
    ids: Vec<TokenId>,
    pad: Vec<bool>,
    documents: Option<Vec<u32>>,
    positions: Vec<usize>,
    pairs: Vec<bool>,
    at: Vec<usize>,
}

impl<'a> BlockQuestion<'a> {
    /// The question about `noised`, cut into `blocks`.
    pub fn new(noised: &'a Noised, blocks: Blocks) -> Self {
        let [_, len] = noised.shape();
        Self {
            noised,
            ids: twice(noised.xt(), noised.x0(), len),
            pad: twice(noised.pad(), noised.pad(), len),
            documents: noised.documents().map(|documents| twice(documents, documents, len)),
            positions: counted(noised),
            pairs: pairs(len, blocks),
            at: noised.at().iter().map(|&flat| flat + flat / len * len).collect(),
        }
    }

    /// Rows of 2L positions, of which the noisy half is asked.
    pub fn input(&self) -> DenoiserInput<'_> {
        let [rows, len] = self.noised.shape();
        let input = DenoiserInput::new(&self.ids, [rows, 2 * len], &self.at)
            .with_pad(&self.pad)
            .with_times(self.noised.times())
            .with_positions(&self.positions)
            .with_attention(Attention::Pairs(&self.pairs));
        match &self.documents {
            None => input,
            Some(documents) => input.with_documents(documents),
        }
    }
}

/// Each row of `first` with its row of `second` behind it.
fn twice<T: Copy>(first: &[T], second: &[T], len: usize) -> Vec<T> {
    first.chunks_exact(len).zip(second.chunks_exact(len)).flat_map(|(a, b)| [a, b].concat()).collect()
}

/// The place of each position in its document, the same in both halves.
fn counted(noised: &Noised) -> Vec<usize> {
    let [_, len] = noised.shape();
    let mut next = 0;
    let once: Vec<usize> = (0..noised.x0().len())
        .map(|flat| {
            let other = |documents: &[u32]| documents[flat] != documents[flat - 1];
            if flat % len == 0 || noised.documents().is_some_and(other) {
                next = 0;
            }
            if noised.pad()[flat] {
                return 0;
            }
            next += 1;
            next - 1
        })
        .collect();
    twice(&once, &once, len)
}

/// Who sees whom among the 2L positions, `[2L, 2L]`.
fn pairs(len: usize, blocks: Blocks) -> Vec<bool> {
    let sees = |query: usize, key: usize| {
        let (own, other) = (blocks.of(query % len), blocks.of(key % len));
        match (query < len, key < len) {
            (true, true) => own == other,
            (true, false) => other < own,
            (false, true) => false,
            (false, false) => other <= own,
        }
    };
    (0..2 * len).flat_map(|query| (0..2 * len).map(move |key| sees(query, key))).collect()
}
