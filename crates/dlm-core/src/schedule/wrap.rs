use super::Schedule;
use crate::error::{Error, in_domain};

/// α̃(t) = ε₁ + (1 − ε₀ − ε₁)·α(t): the schedule starts at 1 − ε₀ and ends at ε₁.
///
/// The exact ends are what a sampler wants; this is what published models were trained with. A bound over it lacks
/// what happens beyond the ends: for the noise that is left at t = 0 MD4 adds (1 − α̃(0))·ln V a token (Shi et al.
/// 2024, arXiv:2406.04329, appendix D).
///
/// # Laws
/// As a [`Schedule`], but α̃(0) = 1 − ε₀ and α̃(1) = ε₁.
///
/// # Example
/// ```
/// use dlm_core::schedule::{Linear, Schedule, Truncated};
/// assert!((Truncated::end(Linear, 1e-3)?.alpha(1.0) - 1e-3).abs() < 1e-15);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truncated<S> {
    inner: S,
    start: f64,
    end: f64,
}

impl<S: Schedule> Truncated<S> {
    /// Some of the text stays clean at t = 1: ε₀ = 0, ε₁ = `eps`. Of [`Linear`](super::Linear) this is MDLM's
    /// "loglinear" schedule, of [`CosineAlpha`](super::CosineAlpha) its "cosine" (`eps` 1e-3).
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ eps < 0.5`.
    ///
    /// # Source
    /// Sahoo et al. 2024, arXiv:2406.07524: appendix E.1 without `eps`, its code with it.
    pub fn end(inner: S, eps: f64) -> Result<Self, Error> {
        Ok(Self { inner, start: 0.0, end: valid(eps)? })
    }

    /// Short of both ends alike: ε₀ = ε₁ = `eps`, MD4's form (`eps` 1e-4).
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ eps < 0.5`.
    ///
    /// # Source
    /// Shi et al. 2024, arXiv:2406.04329, its code; why not to reach the ends: appendix E.
    pub fn both(inner: S, eps: f64) -> Result<Self, Error> {
        let eps = valid(eps)?;
        Ok(Self { inner, start: eps, end: eps })
    }

    fn span(&self) -> f64 {
        1.0 - self.start - self.end
    }
}

fn valid(eps: f64) -> Result<f64, Error> {
    in_domain((0.0..0.5).contains(&eps), "eps", "in [0, 0.5)", eps)
}

impl<S: Schedule> Schedule for Truncated<S> {
    fn alpha(&self, t: f64) -> f64 {
        // Written from the end, so that an untruncated start is 1 exactly.
        1.0 - self.start - self.span() * (1.0 - self.inner.alpha(t))
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        self.span() * self.inner.alpha_prime(t)
    }
}

/// α̃(t) = α(β + (ω − β)·t): only the times of a band, in which every loss weight is moderate.
///
/// The weight of the NELBO becomes (ω − β)·w(β + (ω − β)·t), so a mean over t is the integral over the band. A
/// row's time is still told to the network as t.
///
/// # Laws
/// As a [`Schedule`], but α̃(0) = α(β) and α̃(1) = α(ω).
///
/// # Source
/// Arriola et al. 2025, arXiv:2503.09573, section 5.2 (its code leaves out the factor ω − β).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clipped<S> {
    inner: S,
    low: f64,
    high: f64,
}

impl<S: Schedule> Clipped<S> {
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ low < high ≤ 1` (β and ω).
    pub fn new(inner: S, low: f64, high: f64) -> Result<Self, Error> {
        in_domain((0.0..1.0).contains(&low), "low end of a band", "in [0, 1)", low)?;
        in_domain(high > low && high <= 1.0, "high end of a band", "above the low end, at most 1", high)?;
        Ok(Self { inner, low, high })
    }

    fn inner_time(&self, t: f64) -> f64 {
        self.low * (1.0 - t) + self.high * t
    }
}

impl<S: Schedule> Schedule for Clipped<S> {
    fn alpha(&self, t: f64) -> f64 {
        self.inner.alpha(self.inner_time(t))
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        (self.high - self.low) * self.inner.alpha_prime(self.inner_time(t))
    }
    fn loss_weight(&self, t: f64) -> f64 {
        (self.high - self.low) * self.inner.loss_weight(self.inner_time(t))
    }
}
