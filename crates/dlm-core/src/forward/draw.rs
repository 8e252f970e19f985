//! Which tokens become noise, and what they become.

use super::{Forward, Noised};
use crate::prior::Prior;
use crate::rng::{CounterRng, Purpose};
use crate::schedule::Schedule;
use crate::sequence::{Batch, TokenId};

/// The first or the second noise of a row: they share no draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draw {
    First,
    Second,
}

impl Draw {
    /// Where noise falls.
    fn flags(self) -> Purpose {
        match self {
            Self::First => Purpose::Noise,
            Self::Second => Purpose::Coupling,
        }
    }

    /// The place of a position's draws of [`Purpose::NoiseToken`], [`STRIDE`] each: kind and word of the
    /// first noise, kind and word of the second, and whether the second lasts.
    fn token(self, position: usize) -> usize {
        STRIDE * position + if self == Self::First { 0 } else { 2 }
    }
}

/// α below which rates are no longer followed to infinity.
pub(crate) const LEAST_ALPHA: f64 = 1e-12;

const STRIDE: usize = 5;
const LASTS: usize = 4;

/// What one token is at a time: itself with `alpha`, noise with the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Level {
    /// Probability of itself.
    pub(crate) alpha: f64,
    /// Probability of noise that is the mask.
    pub(crate) mask: f64,
    /// Probability of noise that is a word.
    pub(crate) words: f64,
}

impl Level {
    /// Which part of the noise is the mask.
    pub(crate) fn mask_part(self) -> f64 {
        let noise = self.mask + self.words;
        if noise > 0.0 { self.mask / noise } else { 0.0 }
    }

    /// Probability of noise that is `id`.
    pub(crate) fn noise(self, prior: &Prior, id: TokenId) -> f64 {
        let mask = if prior.mask() == Some(id) { self.mask } else { 0.0 };
        mask + prior.words().map_or(0.0, |words| self.words * words.prob(id))
    }
}

/// Draws for each maskable token whether it becomes noise: not with probability `keep(row, flat position)`.
pub(super) fn flags(
    batch: &Batch,
    rng: &CounterRng,
    draw: Draw,
    keep: impl Fn(usize, usize) -> f64,
) -> Vec<bool> {
    let len = batch.len();
    let mut noisy = vec![false; batch.maskable().len()];
    for row in 0..batch.rows() {
        let mut row_rng = rng.row(draw.flags(), batch.key(row));
        for position in 0..len {
            let flat = row * len + position;
            noisy[flat] = batch.maskable()[flat] && row_rng.uniform(position) >= keep(row, flat);
        }
    }
    noisy
}

impl<S: Schedule> Forward<S> {
    /// What a token is at `t`.
    pub(crate) fn level(&self, t: f64) -> Level {
        let (alpha, [share, _]) = (self.schedule.alpha(t), self.prior.share(t));
        let noise = 1.0 - alpha;
        Level { alpha, mask: noise * (1.0 - share), words: noise * share }
    }

    /// What a token that was there at `s` is at a later `t`: what came between.
    pub(crate) fn between(&self, s: f64, t: f64) -> Level {
        let (early, late) = (self.level(s), self.level(t));
        // Once all is noise, nothing that was there is left.
        let alpha = if early.alpha > 0.0 { late.alpha / early.alpha } else { 0.0 };
        let came = |late: f64, early: f64| (late - alpha * early).max(0.0);
        Level { alpha, mask: came(late.mask, early.mask), words: came(late.words, early.words) }
    }

    /// How fast tokens become noise at `t`: the mask, and words. `alpha` is not used.
    ///
    /// ```text
    /// ρ = d/dt[(1 − α)·π] − α′/α·(1 − α)·π
    /// ```
    pub(crate) fn inflow(&self, t: f64) -> Level {
        let (alpha, [share, share_prime]) = (self.schedule.alpha(t), self.prior.share(t));
        // Infinite at t = 1; what it multiplies is then 0 at the same rate.
        let rate = -self.schedule.alpha_prime(t) / alpha.max(LEAST_ALPHA);
        let shift = if share_prime == 0.0 { 0.0 } else { (1.0 - alpha) * share_prime };
        Level { alpha, mask: (1.0 - share) * rate - shift, words: share * rate + shift }
    }

    /// What each noisy token becomes, `[B, L]`; empty if all noise is the mask.
    pub(super) fn tokens(
        &self,
        batch: &Batch,
        noisy: &[bool],
        rng: &CounterRng,
        draw: Draw,
        mask_part: impl Fn(usize) -> f64,
    ) -> Vec<TokenId> {
        if self.prior.words().is_none() {
            return Vec::new();
        }
        let len = batch.len();
        let mut tokens = batch.ids().to_vec();
        for row in 0..batch.rows() {
            let (mask, mut row_rng) = (mask_part(row), rng.row(Purpose::NoiseToken, batch.key(row)));
            for flat in (row * len..(row + 1) * len).filter(|&flat| noisy[flat]) {
                let at = draw.token(flat - row * len);
                tokens[flat] = self.prior.draw(mask, row_rng.uniform(at), row_rng.uniform(at + 1));
            }
        }
        tokens
    }

    /// The tokens at the later times of coupled pairs, given those at the earlier ones.
    pub(super) fn later_tokens(
        &self,
        batch: &Batch,
        pairs: &[(f64, f64)],
        [late, early]: [&[bool]; 2],
        early_tokens: &[TokenId],
        rng: &CounterRng,
    ) -> Vec<TokenId> {
        let len = batch.len();
        let between: Vec<Level> = pairs
            .iter()
            .map(
                |&(t1, t2)| {
                    if t2 < t1 { self.between(t2, t1) } else { Level { alpha: 0.0, ..self.level(t1) } }
                },
            )
            .collect();
        let mut tokens = self.tokens(batch, late, rng, Draw::First, |row| between[row].mask_part());
        if tokens.is_empty() {
            return tokens;
        }
        for (row, between) in between.iter().enumerate() {
            let mut row_rng = rng.row(Purpose::NoiseToken, batch.key(row));
            for flat in (row * len..(row + 1) * len).filter(|&flat| late[flat] && early[flat]) {
                if row_rng.uniform(STRIDE * (flat - row * len) + LASTS) < between.alpha {
                    tokens[flat] = early_tokens[flat];
                }
            }
        }
        tokens
    }

    /// `batch` with noise where `noisy` says so; `tokens` may be empty if all noise is the mask.
    pub(super) fn filled(
        &self,
        batch: &Batch,
        times: Vec<f64>,
        noisy: &[bool],
        tokens: &[TokenId],
    ) -> Noised {
        match (self.prior.words(), self.prior.mask()) {
            (None, Some(mask)) => Noised::corrupted(batch, times, noisy, |_| mask),
            _ => Noised::corrupted(batch, times, noisy, |flat| tokens[flat]).asking_maskable(batch),
        }
    }
}
