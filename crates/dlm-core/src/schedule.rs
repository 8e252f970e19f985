//! Noise schedules: α(t), the probability that a token is still untouched at time `t`.
//!
//! Schedules are scalar `f64` functions of `t ∈ [0, 1]` (0 clean, 1 noise) that never see a tensor.
//! They are named by α, because the field's names collide:
//!
//! | here | α(t) | α(0.5) | called elsewhere |
//! |---|---|---|---|
//! | [`Linear`] | 1 − t | 0.500 | "linear" in MD4 and LLaDA, "loglinear" in SEDD, MDLM, Duo (with an ε) |
//! | [`Cosine`] | 1 − cos(π/2·(1 − t)) | 0.293 | "cosine" in MD4, Duo, MaskGIT |
//! | [`Polynomial`] | 1 − tᵏ | 1 − 2⁻ᵏ | "poly" in MD4 |
//! | [`Geometric`] | exp(−σ(t)) rescaled, σ = σ₀^(1−t)·σ₁^t | | "geometric" in SEDD and MDLM (not rescaled there) |
//! | not here | cos(π/2·t) | 0.707 | "cosine" in MDLM's and BD3LM's code (with an ε) |
//! | not here | exp(−σ₁·t) | | "linear" in MDLM's code |

use std::f64::consts::FRAC_PI_2;

use crate::error::{Error, in_domain};

/// α(t) and what follows from it.
///
/// # Laws
/// α(0) = 1 and α(1) = 0 exactly; α never increases; `alpha_prime` is its derivative.
pub trait Schedule: Send + Sync {
    /// α(t) = P(token untouched at `t`), for `t ∈ [0, 1]`.
    fn alpha(&self, t: f64) -> f64;

    /// dα/dt, never positive.
    fn alpha_prime(&self, t: f64) -> f64;

    /// −α′(t) / (1 − α(t)): the weight of a noisy token's cross-entropy in the continuous-time NELBO.
    ///
    /// Infinite or NaN at `t = 0`, where no token is noisy.
    ///
    /// # Source
    /// Sahoo et al. 2024, arXiv:2406.07524, Eq. 10; Shi et al. 2024, arXiv:2406.04329, Eq. 4.
    fn loss_weight(&self, t: f64) -> f64 {
        -self.alpha_prime(t) / (1.0 - self.alpha(t))
    }

    /// λ₂ = (α(s) − α(t)) / (1 − α(t)): chance that a token that is noise at `t` is clean at `s < t`.
    ///
    /// # Source
    /// Zheng et al. 2023, arXiv:2302.05737; Ye et al. 2023, arXiv:2308.12219, Eq. 3.
    fn denoise_prob(&self, t: f64, s: f64) -> f64 {
        debug_assert!(s < t, "time runs from t to an earlier s: got t = {t}, s = {s}");
        (self.alpha(s) - self.alpha(t)) / (1.0 - self.alpha(t))
    }
}

impl<S: Schedule + ?Sized> Schedule for &S {
    fn alpha(&self, t: f64) -> f64 {
        (**self).alpha(t)
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        (**self).alpha_prime(t)
    }
    fn loss_weight(&self, t: f64) -> f64 {
        (**self).loss_weight(t)
    }
    fn denoise_prob(&self, t: f64, s: f64) -> f64 {
        (**self).denoise_prob(t, s)
    }
}

impl<S: Schedule + ?Sized> Schedule for Box<S> {
    fn alpha(&self, t: f64) -> f64 {
        (**self).alpha(t)
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        (**self).alpha_prime(t)
    }
    fn loss_weight(&self, t: f64) -> f64 {
        (**self).loss_weight(t)
    }
    fn denoise_prob(&self, t: f64, s: f64) -> f64 {
        (**self).denoise_prob(t, s)
    }
}

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
}

impl Schedule for Polynomial {
    fn alpha(&self, t: f64) -> f64 {
        1.0 - t.powf(self.exponent)
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        -self.exponent * t.powf(self.exponent - 1.0)
    }
}

/// α(t) = (e^−σ(t) − e^−σ₁) / (e^−σ₀ − e^−σ₁) with σ(t) = σ₀^(1−t)·σ₁^t.
///
/// The published form is e^−σ(t) alone, which starts below 1 and ends above 0; the rescaling makes
/// both ends exact, so that no noise survives the last step.
///
/// # Source
/// Lou et al. 2023, arXiv:2310.16834, section 3.3 (σ, not rescaled).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometric {
    sigma_min: f64,
    sigma_max: f64,
}

impl Geometric {
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 < sigma_min < sigma_max`, both finite.
    pub fn new(sigma_min: f64, sigma_max: f64) -> Result<Self, Error> {
        in_domain(sigma_min.is_finite() && sigma_min > 0.0, "sigma_min", "finite and positive", sigma_min)?;
        let holds = sigma_max.is_finite() && sigma_max > sigma_min;
        in_domain(holds, "sigma_max", "finite and above sigma_min", sigma_max)?;
        Ok(Self { sigma_min, sigma_max })
    }

    fn sigma(&self, t: f64) -> f64 {
        self.sigma_min.powf(1.0 - t) * self.sigma_max.powf(t)
    }

    fn span(&self) -> f64 {
        (-self.sigma_min).exp() - (-self.sigma_max).exp()
    }
}

impl Schedule for Geometric {
    fn alpha(&self, t: f64) -> f64 {
        ((-self.sigma(t)).exp() - (-self.sigma_max).exp()) / self.span()
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        let sigma = self.sigma(t);
        -sigma * (self.sigma_max / self.sigma_min).ln() * (-sigma).exp() / self.span()
    }
}
