//! Reading order.

use dlm_core::RowRng;

use crate::canvas::Row;
use crate::plan::Step;
use crate::proposal::{Candidate, Needs, Proposal};
use crate::reverse::ReverseStep;

/// Reveals the leftmost noise: one token a step if there are enough steps, else as many as it takes to
/// finish on time, ⌈noisy / steps left⌉.
///
/// # Source
/// Ye et al. 2023, arXiv:2308.12219 (`ar`), which needs at least as many steps as tokens. A predicted EOS
/// or padding token is a token like any other and stops nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeftToRight {
    candidate: Candidate,
}

impl LeftToRight {
    /// Candidates from left to right.
    pub fn new(candidate: Candidate) -> Self {
        Self { candidate }
    }
}

impl ReverseStep for LeftToRight {
    fn needs(&self) -> Needs {
        Needs::new(self.candidate)
    }

    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, _rng: &mut RowRng) {
        let left = 1 + step.of.saturating_sub(step.index);
        let count = said.guesses().len().div_ceil(left);
        for guess in &said.guesses()[..count] {
            row.commit(guess.position, guess.token, guess.log_p);
        }
    }
}
