use std::f64::consts::FRAC_PI_2;

use super::Schedule;
use crate::error::{Error, in_domain};

/// α(t) = 1 − t, the schedule of RDM, LLaDA and the paper.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Linear;

impl Schedule for Linear {
    fn alpha(&self, t: f64) -> f64 {
        1.0 - t
    }
    fn alpha_prime(&self, _t: f64) -> f64 {
        -1.0
    }
}

/// α(t) = 1 − cos(π/2·(1 − t)): noise comes early, so most steps work on noisy text.
///
/// # Source
/// Shi et al. 2024, arXiv:2406.04329, Table 4.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cosine;

impl Schedule for Cosine {
    fn alpha(&self, t: f64) -> f64 {
        // sin(π/2·t) is cos(π/2·(1 − t)), and exact at both ends.
        1.0 - (FRAC_PI_2 * t).sin()
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        -FRAC_PI_2 * (FRAC_PI_2 * t).cos()
    }
}

/// α(t) = cos(π/2·t): noise comes late, so most steps work on text that is nearly clean.
///
/// # Source
/// Sahoo et al. 2024, arXiv:2406.07524, Eq. 92, which has 1 − t for t; its code, where it ends at ε (see
/// [`Truncated`](super::Truncated)).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CosineAlpha;

impl Schedule for CosineAlpha {
    fn alpha(&self, t: f64) -> f64 {
        // cos(π/2·t), and exact at both ends.
        (FRAC_PI_2 * (1.0 - t)).sin()
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        -FRAC_PI_2 * (FRAC_PI_2 * t).sin()
    }
    fn loss_weight(&self, t: f64) -> f64 {
        // sin(2x) / (1 − cos(2x)) is 1/tan(x): nothing cancels at small t.
        FRAC_PI_2 / (0.5 * FRAC_PI_2 * t).tan()
    }
}

/// α(t) = cos²(π/2·t): slow at both ends.
///
/// # Source
/// Sahoo et al. 2024, arXiv:2406.07524, Eq. 91, which has 1 − t for t; its code, where it ends at ε (see
/// [`Truncated`](super::Truncated)).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CosineSquared;

impl Schedule for CosineSquared {
    fn alpha(&self, t: f64) -> f64 {
        CosineAlpha.alpha(t).powi(2)
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        -FRAC_PI_2 * (2.0 * FRAC_PI_2 * t).sin()
    }
    fn loss_weight(&self, t: f64) -> f64 {
        // 2·sin·cos / sin²
        2.0 * FRAC_PI_2 / (FRAC_PI_2 * t).tan()
    }
}

/// α(t) = 1 − tᵏ.
///
/// # Source
/// Shi et al. 2024, arXiv:2406.04329, Table 4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Polynomial {
    exponent: f64,
}

impl Polynomial {
    /// # Errors
    /// [`Error::OutOfDomain`] unless `exponent` is finite and positive.
    ///
    /// # Example
    /// ```
    /// use dlm_core::schedule::{Polynomial, Schedule};
    /// assert_eq!(Polynomial::new(2.0)?.alpha(0.5), 0.75);
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn new(exponent: f64) -> Result<Self, Error> {
        let holds = exponent.is_finite() && exponent > 0.0;
        in_domain(holds, "exponent", "finite and positive", exponent).map(|exponent| Self { exponent })
    }

    /// Of an exponent that was checked.
    pub(super) fn valid(exponent: f64) -> Self {
        Self { exponent }
    }

    /// α(t) = 1 − √t: half of the noise is there after a quarter of the time.
    ///
    /// # Source
    /// Li et al. 2022, arXiv:2205.14217, appendix A, without its small offset of t.
    pub fn square_root() -> Self {
        Self { exponent: 0.5 }
    }
}

impl Schedule for Polynomial {
    fn alpha(&self, t: f64) -> f64 {
        1.0 - t.powf(self.exponent)
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        -self.exponent * t.powf(self.exponent - 1.0)
    }
    fn loss_weight(&self, t: f64) -> f64 {
        self.exponent / t
    }
}
