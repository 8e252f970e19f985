//! Ancestral sampling of the absorbing process.

use dlm_core::RowRng;
use dlm_core::schedule::Schedule;

use crate::canvas::Row;
use crate::plan::Step;
use crate::proposal::{Candidate, Needs, Proposal};
use crate::reverse::ReverseStep;

/// Each noisy token is revealed with probability (α(s) − α(t)) / (1 − α(t)), and is then final.
///
/// With the linear schedule and the uniform plan this is 1/(S − index + 1), the paper's `cmlm`. With
/// candidates drawn at temperature 1 it is the exact reverse process of the network's factorised
/// distribution over each interval.
///
/// # Numerics
/// Whether to reveal and what are separate draws: the same law as one draw over words and "stay", without
/// its tiny probabilities.
///
/// # Source
/// Austin et al. 2021, arXiv:2107.03006; Sahoo et al. 2024, arXiv:2406.07524, section 3; Ye et al. 2023,
/// arXiv:2308.12219 (`cmlm`).
///
/// # Example
/// ```
/// use dlm_core::schedule::Cosine;
/// use dlm_sampling::{Candidate, strategy::Ancestral};
/// let strategy = Ancestral::new(Cosine, Candidate::SAMPLED);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ancestral<S> {
    schedule: S,
    candidate: Candidate,
}

impl<S: Schedule> Ancestral<S> {
    /// The reverse process of noise that comes by `schedule`.
    pub fn new(schedule: S, candidate: Candidate) -> Self {
        Self { schedule, candidate }
    }

    /// Chance that a noisy token is revealed.
    fn reveal_prob(&self, step: &Step) -> f64 {
        // Exactly 1, also where α(t) is so small that the quotient is 0/0.
        if step.is_last() || step.s <= 0.0 { 1.0 } else { self.schedule.denoise_prob(step.t, step.s) }
    }
}

impl<S: Schedule> ReverseStep for Ancestral<S> {
    fn needs(&self) -> Needs {
        Needs::new(self.candidate)
    }

    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, rng: &mut RowRng) {
        let reveal = self.reveal_prob(step);
        for guess in said.guesses() {
            if rng.uniform(guess.position) < reveal {
                row.commit(guess.position, guess.token, guess.log_p);
            }
        }
    }
}
