use super::Schedule;
use crate::error::{Error, in_domain};

/// α(t) = (1 − t) / (1 + c(t)) with c(t) = B·(t·(1 − t))^(γ/2): a share of the noise is words while it comes, and
/// none of it at either end.
///
/// Goes with [`Mixed::hybrid`](crate::prior::Mixed::hybrid); at B = 0 it is [`Linear`](super::Linear).
///
/// # Source
/// von Rütte et al. 2025, arXiv:2503.04482, section 4 (mixing schedule).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hybrid {
    peak: f64,
    gamma: f64,
}

impl Hybrid {
    /// A share `p_uniform` of all tokens is a random word at t = 1/2, where it is largest; γ = 1.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ p_uniform < 1`.
    ///
    /// # Example
    /// ```
    /// use dlm_core::schedule::{Hybrid, Schedule};
    /// // A fifth of all tokens is a random word; of the rest, half is clean.
    /// assert!((Hybrid::new(0.2)?.alpha(0.5) - 0.4).abs() < 1e-15);
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn new(p_uniform: f64) -> Result<Self, Error> {
        Self::with_gamma(p_uniform, 1.0)
    }

    /// With another γ, which says how fast the words come and go.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ p_uniform < 1` and `gamma` is finite and positive.
    pub fn with_gamma(p_uniform: f64, gamma: f64) -> Result<Self, Error> {
        in_domain((0.0..1.0).contains(&p_uniform), "p_uniform", "in [0, 1)", p_uniform)?;
        in_domain(gamma.is_finite() && gamma > 0.0, "gamma", "finite and positive", gamma)?;
        Ok(Self { peak: gamma.exp2() * p_uniform / (1.0 - p_uniform), gamma })
    }

    /// B, the factor of c(t).
    pub(crate) fn peak(&self) -> f64 {
        self.peak
    }

    /// γ.
    pub(crate) fn gamma(&self) -> f64 {
        self.gamma
    }

    /// c(t).
    fn words(&self, t: f64) -> f64 {
        self.peak * (t * (1.0 - t)).powf(0.5 * self.gamma)
    }

    /// (1 − t)·c′(t).
    fn words_change(&self, t: f64) -> f64 {
        if self.peak == 0.0 { 0.0 } else { 0.5 * self.gamma * (1.0 - 2.0 * t) * self.words(t) / t }
    }

    /// Which part of the noise is words, c / (t + c), and its derivative.
    pub(crate) fn share(&self, t: f64) -> [f64; 2] {
        let words = self.words(t);
        if words == 0.0 {
            return [0.0, 0.0];
        }
        let prime = self.words_change(t) / (1.0 - t);
        [words / (t + words), (prime * t - words) / (t + words).powi(2)]
    }
}

impl Schedule for Hybrid {
    fn alpha(&self, t: f64) -> f64 {
        (1.0 - t) / (1.0 + self.words(t))
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        let all = 1.0 + self.words(t);
        -(1.0 + self.words_change(t) / all) / all
    }
}
