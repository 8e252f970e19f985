use super::Schedule;
use crate::error::{Error, in_domain};

/// α(t) = (e^−σ(t) − e^−σ₁) / (e^−σ₀ − e^−σ₁) with σ(t) = σ₀^(1−t)·σ₁^t.
///
/// The published form is e^−σ(t) alone, which starts below 1 and ends above 0; the rescaling makes
/// both ends exact, so that no noise survives the last step.
///
/// # Source
/// Lou et al. 2023, arXiv:2310.16834, section 5.1; Shi et al. 2024, arXiv:2406.04329, Table 4 (neither rescaled).
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

/// α(t) = (e^(−σ₁·t) − e^−σ₁) / (1 − e^−σ₁): noise comes at a constant rate σ₁.
///
/// The published form is e^(−σ₁·t) alone, which ends above 0; the rescaling makes the end exact.
///
/// # Source
/// Sahoo et al. 2024, arXiv:2406.07524, Eq. 93 (not rescaled; σ₁ = 10⁸, and 10 in its code).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearSigma {
    sigma_max: f64,
}

impl LinearSigma {
    /// # Errors
    /// [`Error::OutOfDomain`] unless `sigma_max` (σ₁) is finite and positive.
    pub fn new(sigma_max: f64) -> Result<Self, Error> {
        let holds = sigma_max.is_finite() && sigma_max > 0.0;
        in_domain(holds, "sigma_max", "finite and positive", sigma_max).map(|sigma_max| Self { sigma_max })
    }
}

impl Schedule for LinearSigma {
    fn alpha(&self, t: f64) -> f64 {
        // (e^−σ₁t − e^−σ₁) / (1 − e^−σ₁), each difference by exp_m1.
        (-self.sigma_max * t).exp() * (-self.sigma_max * (1.0 - t)).exp_m1() / (-self.sigma_max).exp_m1()
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        self.sigma_max * (-self.sigma_max * t).exp() / (-self.sigma_max).exp_m1()
    }
    fn loss_weight(&self, t: f64) -> f64 {
        // 1 − α = (1 − e^−σ₁t) / (1 − e^−σ₁).
        self.sigma_max / (self.sigma_max * t).exp_m1()
    }
}
