//! What undoes noise when the text is known.

use super::{Forward, check_time};
use crate::error::{Error, in_domain};
use crate::schedule::Schedule;
use crate::sequence::TokenId;

/// The routing probabilities of the exact posterior `q(x_s | x_t, x₀)`.
///
/// ```text
/// x_t = x₀:  q = λ₁·x_t + (1 − λ₁)·q_noise
/// x_t ≠ x₀:  q = λ₂·x₀  + (1 − λ₂)·q_noise(x_t),   q_noise(x_t) = β·x_t + (1 − β)·q_noise
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Probability that a clean token stays as it is.
    pub lambda1: f64,
    /// Probability that a noisy token is denoised.
    pub lambda2: f64,
}

impl<S: Schedule> Forward<S> {
    /// λ₁ and λ₂ of `q(x_s | x_t, x₀)` for a clean token that is `xt`.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ s < t ≤ 1`; [`Error::Incompatible`] with a prior that varies, for
    /// which the two do not describe the posterior (see [`Forward::posterior_row`]).
    ///
    /// # Source
    /// Zheng et al. 2023, arXiv:2302.05737, as restated by Wang et al. 2024, arXiv:2402.18567, appendix A.
    pub fn posterior(&self, t: f64, s: f64, xt: TokenId) -> Result<Posterior, Error> {
        check_interval(t, s)?;
        if self.prior.varies() {
            return Err(Error::Incompatible {
                what: "routing by λ₁ and λ₂", with: "a prior that varies"
            });
        }
        let (alpha_t, alpha_s) = (self.schedule.alpha(t), self.schedule.alpha(s));
        let (beta, q) = (alpha_t / alpha_s, self.prior.prob(xt, t));
        let lambda1 = 1.0 - (1.0 - beta) * (1.0 - alpha_s) * q / (alpha_t + (1.0 - alpha_t) * q);
        let lambda1 = if q == 0.0 { 1.0 } else { lambda1 };
        Ok(Posterior { lambda1, lambda2: self.schedule.denoise_prob(t, s) })
    }

    /// `q(x_s | x_t, x₀)` of one token over the vocabulary, `[V]`, with `x0` a distribution over the clean
    /// token: one-hot for the truth, a network's for the step that it defines.
    ///
    /// ```text
    /// q(x_s = i | x_t = j, x₀) ∝ [α_s·x₀(i) + (1 − α_s)·π_s(i)] · q(x_t = j | x_s = i)
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ s < t ≤ 1`, and where `x_t` cannot come of `x0`;
    /// [`Error::UnknownSpecial`] if `xt` or the mask is not below V.
    ///
    /// # Source
    /// Austin et al. 2021, arXiv:2107.03006, Eq. 3, and 4 for a network's x₀.
    ///
    /// # Example
    /// ```
    /// use dlm_core::{Forward, Prior, schedule::Linear};
    /// let forward = Forward::new(Linear, Prior::Absorbing { mask: 2 });
    /// // A mask at t = 1/2 is clean at s = 1/4 with probability 1/2.
    /// let row = forward.posterior_row(0.5, 0.25, 2, &[0.75, 0.25, 0.0])?;
    /// assert!(row.iter().zip([0.375, 0.125, 0.5]).all(|(p, expected)| (p - expected).abs() < 1e-12));
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn posterior_row(&self, t: f64, s: f64, xt: TokenId, x0: &[f64]) -> Result<Vec<f64>, Error> {
        check_interval(t, s)?;
        let size = x0.len();
        for (name, id) in [("x_t", Some(xt)), ("mask", self.prior.mask())] {
            if let Some(id) = id.filter(|&id| id as usize >= size) {
                return Err(Error::UnknownSpecial { name, id, size });
            }
        }
        let (early, came) = (self.level(s), self.between(s, t));
        let arrives = came.noise(&self.prior, xt);
        let weight = |(id, &p): (usize, &f64)| {
            let id = id as TokenId;
            let stayed = if id == xt { came.alpha } else { 0.0 };
            (early.alpha * p + early.noise(&self.prior, id)) * (stayed + arrives)
        };
        let row: Vec<f64> = x0.iter().enumerate().map(weight).collect();
        let total: f64 = row.iter().sum();
        in_domain(total > 0.0, "probability of x_t given x0", "positive", total)?;
        Ok(row.into_iter().map(|p| p / total).collect())
    }
}

/// Time runs from `t` to an earlier `s`.
pub(crate) fn check_interval(t: f64, s: f64) -> Result<(), Error> {
    check_time(t)?;
    in_domain((0.0..t).contains(&s), "s", "in [0, t)", s).map(drop)
}
