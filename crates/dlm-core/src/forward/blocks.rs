//! Blocks of positions, each with a time of its own.

use super::draw::{Draw, flags};
use super::{Forward, Noised, check_time};
use crate::denoiser::{Attention, DenoiserInput};
use crate::error::{Error, in_domain, same_length};
use crate::rng::{CounterRng, Purpose};
use crate::schedule::Schedule;
use crate::sequence::{Batch, TokenId};

/// How rows are cut into blocks: from their first position, `len` positions each, the last one perhaps shorter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blocks {
    len: usize,
    band: [f64; 2],
}

/// Draws of a block's noise after which one is taken whose share of noise is outside the band.
const TRIES: usize = 1000;

impl Blocks {
    /// # Errors
    /// [`Error::OutOfDomain`] if `len` is 0.
    pub fn new(len: usize) -> Result<Self, Error> {
        in_domain(len > 0, "positions of a block", "at least 1", len as f64)?;
        Ok(Self { len, band: [0.0, 1.0] })
    }

    /// Draws the noise of a block again until from `low` to `high` of its maskable tokens are noise, as BD3LM
    /// does in training with times of such a band; a block that has no such number of tokens takes its first
    /// draw. The noise then is no longer that of the bound.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ low ≤ high ≤ 1`.
    ///
    /// # Source
    /// Arriola et al. 2025, arXiv:2503.09573, its code.
    pub fn redrawn_within(self, low: f64, high: f64) -> Result<Self, Error> {
        in_domain((0.0..=1.0).contains(&low), "low end of a band", "in [0, 1]", low)?;
        in_domain((low..=1.0).contains(&high), "high end of a band", "from the low end to 1", high)?;
        Ok(Self { band: [low, high], ..self })
    }

    /// Whether `noisy` of `maskable` tokens are within the band, or no number of them is.
    fn accepts(self, noisy: usize, maskable: usize) -> bool {
        let [low, high] = self.band;
        let within = |noisy: usize| (low..=high).contains(&(noisy as f64 / maskable as f64));
        maskable == 0 || within(noisy) || !(0..=maskable).any(within)
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
    /// Arriola et al. 2025, arXiv:2503.09573, Algorithm 1.
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
        let mut noisy = flags(batch, rng, Draw::First, |_, flat| keep[place(flat)]);
        for (block, &keep) in keep.iter().enumerate() {
            let (row, start) = (block / count, block % count * blocks.len);
            let span = row * len + start..row * len + (start + blocks.len).min(len);
            let mut row_rng = rng.row(Purpose::Redraw, batch.key(row));
            // Each block has room for all of its tries behind those of the blocks before it.
            let place = |number: usize, i: usize| start * (TRIES + 1) + number * blocks.len + i;
            let uniform = |number, i| row_rng.uniform(place(number, i));
            redraw(blocks, keep, &batch.maskable()[span.clone()], &mut noisy[span], uniform);
        }
        // A prior that does not vary mixes alike at every time; at t = 1 there is noise to see it by.
        let mask = 1.0 - self.prior.share(1.0)[0];
        let tokens = self.tokens(batch, &noisy, rng, Draw::First, |_| mask);
        let mean = |times: &[f64]| times.iter().sum::<f64>() / count as f64;
        let clock = (0..batch.ids().len()).map(|flat| times[place(flat)]).collect();
        Ok(self.filled(batch, times.chunks_exact(count).map(mean).collect(), &noisy, &tokens).clocked(clock))
    }
}

/// Draws the noise of a block again while the band does not accept it; `uniform` gives a try's draw of a position.
fn redraw(
    blocks: Blocks,
    keep: f64,
    maskable: &[bool],
    noisy: &mut [bool],
    mut uniform: impl FnMut(usize, usize) -> f64,
) {
    let all = maskable.iter().filter(|&&maskable| maskable).count();
    for number in 1..=TRIES {
        if blocks.accepts(noisy.iter().filter(|&&noisy| noisy).count(), all) {
            return;
        }
        for (i, (noisy, &maskable)) in noisy.iter_mut().zip(maskable).enumerate() {
            *noisy = maskable && uniform(number, i) >= keep;
        }
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
/// Arriola et al. 2025, arXiv:2503.09573, section 3.2 (vectorised training) and appendix B.6 (the attention).
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
