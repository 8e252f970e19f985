//! Learning rates.

use serde::{Deserialize, Serialize};

/// How the learning rate rises. Steps count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Warmup {
    /// The peak from the first step.
    None,
    /// peak · (step + 1) / n for the first n steps.
    Linear(u64),
    /// peak · ln(step + 1) / ln(n) for the first n ≥ 2 steps, as `DeepSpeed`'s `WarmupLR`. The very
    /// first step has the rate 0.
    Logarithmic(u64),
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Decay {
    /// It does not.
    Constant,
    /// peak · √(n / (step + 1)), n the steps of warm-up, at least 1.
    InverseSqrt,
    /// Half a cosine from the peak to `floor · peak` at step `end`, then constant.
    Cosine {
        /// The step at which the floor is reached.
        end: u64,
        /// The last rate as a part of the peak.
        floor: f64,
    },
    /// A straight line from the peak to `floor · peak` at step `end`, then constant.
    Linear {
        /// The step at which the floor is reached.
        end: u64,
        /// The last rate as a part of the peak.
        floor: f64,
    },
}

/// The learning rate as a function of the step.
///
/// # Example
/// ```
/// use dlm_train::{Decay, LrSchedule, Warmup};
/// let lr = LrSchedule { peak: 1e-3, warmup: Warmup::Linear(10), decay: Decay::InverseSqrt };
/// assert_eq!(lr.at(4), 0.5e-3);
/// assert_eq!(lr.at(39), 0.5e-3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LrSchedule {
    /// The highest rate.
    pub peak: f64,
    /// How it is reached.
    pub warmup: Warmup,
    /// How it is left.
    pub decay: Decay,
}

impl LrSchedule {
    /// Always `lr`.
    pub fn constant(lr: f64) -> Self {
        Self { peak: lr, warmup: Warmup::None, decay: Decay::Constant }
    }

    /// The paper's runs: logarithmic warm-up over 1 % of `steps`, rounded up, then constant.
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219: its `DeepSpeed` configuration, which overrides the inverse
    /// square root of its command line.
    pub fn paper(peak: f64, steps: u64) -> Self {
        Self { peak, warmup: Warmup::Logarithmic(steps.div_ceil(100).max(2)), decay: Decay::Constant }
    }

    /// The rate of one step, from 0.
    pub fn at(&self, step: u64) -> f64 {
        let now = step as f64 + 1.0;
        let rising = match self.warmup {
            Warmup::Linear(n) if step < n => Some(now / n as f64),
            Warmup::Logarithmic(n) if step < n => Some((now.ln() / (n.max(2) as f64).ln()).min(1.0)),
            _ => None,
        };
        self.peak * rising.unwrap_or_else(|| self.falling(step))
    }

    fn falling(&self, step: u64) -> f64 {
        let start = match self.warmup {
            Warmup::None => 0,
            Warmup::Linear(n) | Warmup::Logarithmic(n) => n,
        };
        let done = |end: u64| {
            let span = end.saturating_sub(start).max(1) as f64;
            (step.saturating_sub(start) as f64 / span).min(1.0)
        };
        match self.decay {
            Decay::Constant => 1.0,
            Decay::InverseSqrt => (start.max(1) as f64 / (step as f64 + 1.0)).sqrt(),
            Decay::Cosine { end, floor } => {
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done(end)).cos())
            }
            Decay::Linear { end, floor } => 1.0 - (1.0 - floor) * done(end),
        }
    }
}
