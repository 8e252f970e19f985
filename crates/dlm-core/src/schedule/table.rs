use std::f64::consts::FRAC_PI_2;
use std::sync::Arc;

use super::Schedule;
use crate::error::{Error, in_domain};

/// α at the times k/T, k = 0..=T, straight between them.
///
/// # Laws
/// As a [`Schedule`], but α(1) is the last entry, and the derivative is that of the piece that ends at `t`.
///
/// # Example
/// ```
/// use dlm_core::schedule::{Schedule, Table};
/// let table = Table::from_keep_rates(&[0.5, 0.5, 0.0])?;
/// assert_eq!([0.0, 1.0 / 3.0, 0.5, 1.0].map(|t| table.alpha(t)), [1.0, 0.5, 0.375, 0.0]);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    alphas: Arc<[f64]>,
}

/// Least keep rate of a step of RDM's tables.
const LEAST: f64 = 1e-3;

impl Table {
    /// From the chance that a token survives each of the T steps: α(k/T) is the product of the first k.
    ///
    /// # Errors
    /// [`Error::Empty`] without a step; [`Error::OutOfDomain`] for a rate outside [0, 1].
    pub fn from_keep_rates(rates: &[f64]) -> Result<Self, Error> {
        if rates.is_empty() {
            return Err(Error::Empty { what: "the table of keep rates" });
        }
        let mut alphas = vec![1.0];
        let mut alpha = 1.0;
        for &rate in rates {
            alpha *= in_domain((0.0..=1.0).contains(&rate), "keep rate", "in [0, 1]", rate)?;
            alphas.push(alpha);
        }
        Ok(Self { alphas: alphas.into() })
    }

    /// RDM's "linear" for multinomial noise: 1 − k/T, the last step keeping 1/1000.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` (T) is 0.
    ///
    /// # Source
    /// Zheng et al. 2023, arXiv:2302.05737, and its code, for this and the next three.
    pub fn rdm_linear(steps: usize) -> Result<Self, Error> {
        Self::rdm(steps, |k| 1.0 - k as f64 / steps as f64, |rate| rate)
    }

    /// RDM's "cosine" for multinomial noise: cos²((k/T + 0.008)/1.008·π/2), no step keeping less than
    /// 1/1000.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` (T) is 0.
    pub fn rdm_cosine(steps: usize) -> Result<Self, Error> {
        Self::rdm(steps, |k| squared_cosine(k as f64 / steps as f64), |rate| rate)
    }

    /// RDM's "cosine old", Hoogeboom et al.'s: the square root of each keep rate of [`Table::rdm_cosine`].
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` (T) is 0.
    pub fn rdm_cosine_old(steps: usize) -> Result<Self, Error> {
        Self::rdm(steps, |k| squared_cosine(k as f64 / steps as f64), f64::sqrt)
    }

    /// RDM's "sqrt" for multinomial noise: 1 − √(k/T + 0.0001).
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` (T) is 0.
    pub fn rdm_sqrt(steps: usize) -> Result<Self, Error> {
        Self::rdm(steps, |k| 1.0 - (k as f64 / steps as f64 + 1e-4).sqrt(), |rate| rate)
    }

    fn rdm(steps: usize, curve: impl Fn(usize) -> f64, of: impl Fn(f64) -> f64) -> Result<Self, Error> {
        in_domain(steps > 0, "steps", "at least 1", steps as f64)?;
        let rate = |k: usize| of((curve(k) / curve(k - 1)).clamp(LEAST, 1.0));
        Self::from_keep_rates(&(1..=steps).map(rate).collect::<Vec<_>>())
    }

    /// Number of steps, T.
    pub fn steps(&self) -> usize {
        self.alphas.len() - 1
    }

    /// The step within which `t` lies, and how far in it, in (0, 1].
    fn place(&self, t: f64) -> (usize, f64) {
        let place = t * self.steps() as f64;
        // A grid time k/T times T may miss k by rounding.
        let place = if (place - place.round()).abs() < 1e-9 { place.round() } else { place };
        let step = (place.ceil() as usize).clamp(1, self.steps());
        (step, place - (step - 1) as f64)
    }
}

fn squared_cosine(u: f64) -> f64 {
    ((u + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2)
}

impl Schedule for Table {
    fn alpha(&self, t: f64) -> f64 {
        let (step, part) = self.place(t);
        self.alphas[step - 1] * (1.0 - part) + self.alphas[step] * part
    }
    fn alpha_prime(&self, t: f64) -> f64 {
        let (step, _) = self.place(t);
        (self.alphas[step] - self.alphas[step - 1]) * self.steps() as f64
    }
}
