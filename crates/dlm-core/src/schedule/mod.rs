//! Noise schedules: α(t), the probability that a token is still untouched at time `t`.
//!
//! Schedules are scalar `f64` functions of `t ∈ [0, 1]` (0 clean, 1 noise) that never see a tensor.
//! They are named by α, because the field's names collide:
//!
//! | here | α(t) | α(0.5) | called elsewhere |
//! |---|---|---|---|
//! | [`Linear`] | 1 − t | 0.500 | "linear" in MD4 and LLaDA, "loglinear" in SEDD, MDLM, Duo (with an ε) |
//! | [`Cosine`] | 1 − cos(π/2·(1 − t)) | 0.293 | "cosine" in MD4, Duo, MaskGIT |
//! | [`CosineAlpha`] | cos(π/2·t) | 0.707 | "cosine" in MDLM's and BD3LM's code (with an ε) |
//! | [`CosineSquared`] | cos²(π/2·t) | 0.500 | "cosinesqr" in MDLM's code (with an ε) |
//! | [`Polynomial`] | 1 − tᵏ | 1 − 2⁻ᵏ | "poly" in MD4; k = 2 is "square" in BD3LM, k = 1/2 "sqrt" in Diffusion-LM |
//! | [`Geometric`] | exp(−σ(t)) rescaled, σ = σ₀^(1−t)·σ₁^t | | "geometric" in SEDD and MDLM (not rescaled there) |
//! | [`LinearSigma`] | exp(−σ₁·t) rescaled | e^(−σ₁/2) | "linear" in MDLM's code (not rescaled there) |
//! | [`Hybrid`] | (1 − t) / (1 + c(t)) | | GIDD's, which goes with a mixed prior |
//!
//! [`Truncated`] makes the published forms that do not reach the ends (MDLM's, MD4's) of those that do, [`Clipped`]
//! keeps a band of times (BD3LM's), [`Table`] interpolates discrete rates (RDM's multinomial ones), and
//! [`PerToken`] gives each word a rate of its own (GenMD4's).

mod curves;
mod hybrid;
mod per_token;
mod sigma;
mod table;
mod wrap;

pub use curves::{Cosine, CosineAlpha, CosineSquared, Linear, Polynomial};
pub use hybrid::Hybrid;
pub use per_token::PerToken;
pub use sigma::{Geometric, LinearSigma};
pub use table::Table;
pub use wrap::{Clipped, Truncated};

/// α(t) and what follows from it.
///
/// # Laws
/// α(0) = 1 and α(1) = 0 exactly, save where a wrapper says otherwise; α never increases; `alpha_prime` is its
/// derivative.
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
    /// Sahoo et al. 2024, arXiv:2406.07524, Eq. 10; Shi et al. 2024, arXiv:2406.04329, Eq. 4 and Table 4.
    fn loss_weight(&self, t: f64) -> f64 {
        -self.alpha_prime(t) / (1.0 - self.alpha(t))
    }

    /// λ₂ = (α(s) − α(t)) / (1 − α(t)): chance that a token that is noise at `t` is clean at `s < t`.
    ///
    /// # Source
    /// Zheng et al. 2023, arXiv:2302.05737 (the posterior of a step); Sahoo et al. 2024, arXiv:2406.07524, Eq. 6.
    fn denoise_prob(&self, t: f64, s: f64) -> f64 {
        debug_assert!(s < t, "time runs from t to an earlier s: got t = {t}, s = {s}");
        (self.alpha(s) - self.alpha(t)) / (1.0 - self.alpha(t))
    }

    /// The time at which α(t) is `alpha`, by bisection; the nearest end if it never is.
    ///
    /// # Example
    /// ```
    /// use dlm_core::schedule::{Polynomial, Schedule};
    /// assert!((Polynomial::new(2.0)?.time_at(0.75) - 0.5).abs() < 1e-15);
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    fn time_at(&self, alpha: f64) -> f64 {
        let (mut early, mut late) = (0.0, 1.0);
        // Below the spacing of f64 after 64 halvings.
        for _ in 0..64 {
            let middle = 0.5 * (early + late);
            if self.alpha(middle) > alpha { early = middle } else { late = middle }
        }
        late
    }
}

/// A pointer to a schedule is that schedule, with all that it overrides.
macro_rules! pointer {
    ($pointer:ty) => {
        impl<S: Schedule + ?Sized> Schedule for $pointer {
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
            fn time_at(&self, alpha: f64) -> f64 {
                (**self).time_at(alpha)
            }
        }
    };
}

pointer!(&S);
pointer!(Box<S>);
