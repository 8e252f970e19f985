//! What is done about steps that would harm the model.

use serde::{Deserialize, Serialize};

use crate::error::{Error, in_domain};

/// Judges each step before the update: a loss or gradient that is not finite, and a gradient norm far above
/// the usual, is a spike. Each step then waits for the device.
///
/// ```text
/// spike if norm > factor · usual,      usual ← 0.98·usual + 0.02·norm over the steps without
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// So many times the usual norm is a spike.
    pub factor: f64,
    /// So many steps only learn what is usual; what is not finite is a spike from the first.
    pub learn: u64,
    /// What is done about one.
    pub on_spike: OnSpike,
    /// More spikes than this, with no other step between, end the run; so do more returns than this, with no step
    /// between that was not taken before.
    pub patience: u64,
}

/// What is done about a spike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSpike {
    /// The step's batches are passed over, and the model stays as it is.
    Skip,
    /// [`Trainer::run`](crate::Trainer::run) goes back to its newest checkpoint, and on from there with the
    /// batches after the spike's. Chowdhery et al. 2022, arXiv:2204.02311, section 5.1.
    RollBack,
    /// The run ends with [`Error::Spike`].
    Stop,
}

impl Default for Guard {
    fn default() -> Self {
        Self { factor: 10.0, learn: 100, on_spike: OnSpike::Skip, patience: 10 }
    }
}

/// A step that was not taken.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Spike {
    /// Its loss.
    pub loss: f64,
    /// Its gradient norm before clipping.
    pub grad_norm: f64,
    /// The usual norm; 0 if there was no step yet.
    pub usual: f64,
}

impl Spike {
    /// The norm as files can hold it; `None` if it is not finite.
    pub(crate) fn shown(self) -> Option<f64> {
        Some(self.grad_norm).filter(|norm| norm.is_finite())
    }
}

/// What a guard remembers, in a checkpoint too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// Bits of the usual norm, because a number in a file may lose its last.
    usual: u64,
    steps: u64,
    pub(crate) in_a_row: u64,
    /// All spikes so far.
    pub(crate) spikes: u64,
}

impl Watch {
    pub(crate) fn usual(self) -> f64 {
        f64::from_bits(self.usual)
    }
}

impl Guard {
    pub(crate) fn check(&self) -> Result<(), Error> {
        in_domain(self.factor > 1.0, "factor of the guard", "above 1", self.factor)
    }

    /// Whether a step is a spike, and what is remembered of it.
    pub(crate) fn judge(&self, watch: Watch, loss: f64, grad_norm: f64) -> (Watch, Option<Spike>) {
        let usual = watch.usual();
        let known = watch.steps >= self.learn && watch.steps > 0;
        let high = known && grad_norm > self.factor * usual;
        if high || !loss.is_finite() || !grad_norm.is_finite() {
            let (in_a_row, spikes) = (watch.in_a_row + 1, watch.spikes + 1);
            return (Watch { in_a_row, spikes, ..watch }, Some(Spike { loss, grad_norm, usual }));
        }
        let usual = if watch.steps == 0 { grad_norm } else { 0.98 * usual + 0.02 * grad_norm };
        let steps = watch.steps + 1;
        (Watch { usual: usual.to_bits(), steps, in_a_row: 0, ..watch }, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_far_above_the_usual_is_a_spike_once_the_usual_is_known() {
        let guard = Guard { factor: 3.0, learn: 2, ..Guard::default() };
        let mut watch = Watch::default();
        let mut judge = |norm| {
            let (after, spike) = guard.judge(watch, 1.0, norm);
            watch = after;
            spike
        };
        assert_eq!(judge(1.0), None);
        assert_eq!(judge(2.0), None, "still learning");
        // usual = 0.98 + 0.04 = 1.02.
        let spike = judge(3.07).expect("above three times the usual");
        assert!((spike.usual - 1.02).abs() < 1e-12);
        assert_eq!(judge(3.05), None);
        assert_eq!((watch.in_a_row, watch.spikes), (0, 1));
    }

    #[test]
    fn what_is_not_finite_is_a_spike_at_once() {
        let guard = Guard::default();
        for (loss, norm) in [(f64::NAN, 1.0), (1.0, f64::INFINITY), (1.0, f64::NAN)] {
            let (watch, spike) = guard.judge(Watch::default(), loss, norm);
            assert!(spike.is_some());
            assert_eq!((watch.steps, watch.in_a_row), (0, 1));
        }
    }
}
