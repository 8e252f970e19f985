//! What noise makes of the asked positions: on the host position by position, on the device in columns.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use super::columns::{NEVER, add_at, column, index, row};
use crate::forward::{Forward, Level, Noised};
use crate::prior::Prior;
use crate::schedule::Schedule;
use crate::sequence::TokenId;

/// ln of a probability that may be 0.
pub(super) fn ln(p: f64) -> f64 {
    if p > 0.0 { p.ln() } else { NEVER }
}

/// One asked position, and what stands there at some time: S₀, which is x₀ with α and noise with the rest.
pub(super) struct Place {
    pub(super) x0: TokenId,
    pub(super) xt: TokenId,
    pub(super) level: Level,
    /// (1 − α)·π at x₀ and at `x_t`.
    pub(super) noise_x0: f64,
    pub(super) noise_xt: f64,
}

impl Place {
    pub(super) fn new(prior: &Prior, level: Level, x0: TokenId, xt: TokenId) -> Self {
        Self { x0, xt, level, noise_x0: level.noise(prior, x0), noise_xt: level.noise(prior, xt) }
    }

    pub(super) fn alpha(&self) -> f64 {
        self.level.alpha
    }

    /// α if `x_t` is x₀.
    pub(super) fn alpha_xt(&self) -> f64 {
        if self.x0 == self.xt { self.level.alpha } else { 0.0 }
    }

    /// S₀ at x₀.
    pub(super) fn truth_x0(&self) -> f64 {
        self.noise_x0 + self.level.alpha
    }

    /// S₀ at `x_t`.
    pub(super) fn truth_xt(&self) -> f64 {
        self.noise_xt + self.alpha_xt()
    }
}

/// All asked positions.
pub(super) struct Places<'a> {
    prior: &'a Prior,
    list: Vec<Place>,
}

impl<'a> Places<'a> {
    /// At the levels of `level(time)`.
    pub(super) fn new<S: Schedule>(
        forward: &'a Forward<S>,
        noised: &Noised,
        level: impl Fn(f64) -> Level,
    ) -> Self {
        let prior = forward.prior();
        let place =
            |&at: &usize| Place::new(prior, level(noised.time_at(at)), noised.x0()[at], noised.xt()[at]);
        Self { prior, list: noised.at().iter().map(place).collect() }
    }

    pub(super) fn list(&self) -> &[Place] {
        &self.list
    }

    /// Some of them, for tensors of a device.
    pub(super) fn piece(&self, rows: Range<usize>, device: &'a Device) -> Piece<'_> {
        Piece { prior: self.prior, places: &self.list[rows], device }
    }
}

/// Some rows of [`Places`], as columns of a device.
pub(super) struct Piece<'a> {
    pub(super) prior: &'a Prior,
    pub(super) places: &'a [Place],
    pub(super) device: &'a Device,
}

impl Piece<'_> {
    /// A number of each place, `[n, 1]`.
    pub(super) fn column(&self, value: impl Fn(&Place) -> f64) -> Tensor<2> {
        column(&self.places.iter().map(value).collect::<Vec<_>>(), self.device)
    }

    /// `matrix` with a number of each place added at the mask, if noise may be the mask.
    fn add_mask(&self, matrix: Tensor<2>, value: impl Fn(&Place) -> f64) -> Tensor<2> {
        let Some(mask) = self.prior.mask() else { return matrix };
        add_at(matrix, index(self.places.iter().map(|_| mask), self.device), self.column(value))
    }

    /// (1 − α)·π of every word, times a number of its place, `[n, V]`.
    ///
    /// # Panics
    /// If the prior is over another number of words.
    pub(super) fn noise(&self, vocabulary: usize, scale: impl Fn(&Place) -> f64) -> Tensor<2> {
        let noise = match self.prior.words() {
            None => Tensor::zeros([self.places.len(), vocabulary], self.device),
            Some(words) => {
                assert_eq!(words.probs().len(), vocabulary, "words of the prior against words of the logits");
                self.column(|place| place.level.words * scale(place)) * row(words.probs(), self.device)
            }
        };
        self.add_mask(noise, |place| place.level.mask * scale(place))
    }

    /// ln((1 − α)·π) of every word, `[n, V]`.
    pub(super) fn log_noise(&self, vocabulary: usize) -> Tensor<2> {
        // The two kinds side by side: a sum would lose a small number in ln 0.
        let is_mask = |id: usize| self.prior.mask() == Some(id as TokenId);
        let of =
            |value: &dyn Fn(usize) -> f64| row(&(0..vocabulary).map(value).collect::<Vec<_>>(), self.device);
        let word = |id: usize| self.prior.words().map_or(NEVER, |words| ln(words.prob(id as TokenId)));
        let words = self.column(|place| ln(place.level.words)) * of(&|id| f64::from(u8::from(!is_mask(id))));
        let masks = self.column(|place| ln(place.level.mask)) * of(&|id| f64::from(u8::from(is_mask(id))));
        words + masks + of(&|id| if is_mask(id) { 0.0 } else { word(id) })
    }
}

/// −n·ln(1 + f/n) of the words that are not x₀, with n = (1 − α)·π and f = α·p: what a token may be from noise,
/// against what the network adds.
pub(super) struct Others {
    /// Over all words but x₀, `[n, 1]`.
    pub(super) sum: Tensor<2>,
    /// The derivative with respect to ln p of every word, x₀ too, `[n, V]`.
    pub(super) slope: Tensor<2>,
}

impl Others {
    /// # Shapes
    /// - `from_text`: f, `[n, V]`
    pub(super) fn new(piece: &Piece<'_>, from_text: Tensor<2>) -> Self {
        // Small enough that f/n is as good as infinite, large enough that it is finite.
        let floor = 1e-30;
        let [rows, vocabulary] = from_text.dims();
        let masks = match piece.prior.words() {
            Some(_) => None,
            None => piece.prior.mask(),
        };
        let Some(mask) = masks else {
            let x0 = index(piece.places.iter().map(|place| place.x0), piece.device);
            let noise = piece.noise(vocabulary, |_| 1.0).clamp_min(floor);
            let logs = (from_text.clone() / noise.clone()).log1p() * noise.clone();
            let sum = logs.clone().gather(1, x0) - logs.sum_dim(1);
            let all = noise.clone() + from_text.clone();
            return Self { sum, slope: -(noise * from_text / all) };
        };
        // Only the mask may come of noise.
        let mask = index(piece.places.iter().map(|_| mask), piece.device);
        let noise = piece.column(|place| place.level.mask).clamp_min(floor);
        let text = from_text.gather(1, mask.clone());
        let is_x0 = piece.column(|place| f64::from(u8::from(piece.prior.mask() == Some(place.x0))));
        let sum = (text.clone() / noise.clone()).log1p() * noise.clone() * (is_x0 - 1.0);
        let slope = -(text.clone() * noise.clone() / (text + noise));
        Self { sum, slope: add_at(Tensor::zeros([rows, vocabulary], piece.device), mask, slope) }
    }
}
