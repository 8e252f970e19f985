//! `LLaDA`'s decoder: a fixed number of tokens a step.

use dlm_core::RowRng;

use crate::canvas::Row;
use crate::plan::Step;
use crate::proposal::{Candidate, Guess, Needs, Proposal};
use crate::reverse::ReverseStep;

/// Commits a quota of tokens a step, the surest or random ones; committed tokens are final.
///
/// With m active positions and S steps a window, the quota is m div S, and one more in the first m mod S
/// steps. Sure means probable under the un-tempered logits, whatever temperature the candidate was drawn
/// at. Of equals the earlier position comes first.
///
/// # Source
/// Nie et al. 2025, arXiv:2502.09992, section 2.4 and algorithms 4 and 5; the quotas as in its code.
///
/// # Example
/// ```
/// use dlm_sampling::strategy::Llada;
/// use dlm_sampling::plan::{blocks, uniform};
/// // 128 tokens in 4 blocks of 32, 8 steps each.
/// let (strategy, plan) = (Llada::low_confidence(), blocks(128, 32, uniform(8))?);
/// # Ok::<(), dlm_sampling::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Llada {
    order: Order,
    candidate: Candidate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    LowConfidence,
    Random,
}

impl Llada {
    /// The surest first ("low-confidence remasking"), candidates by argmax.
    pub fn low_confidence() -> Self {
        Self { order: Order::LowConfidence, candidate: Candidate::ARGMAX }
    }

    /// In random order ("random remasking"), candidates by argmax.
    pub fn random() -> Self {
        Self { order: Order::Random, candidate: Candidate::ARGMAX }
    }

    /// Chooses candidates otherwise.
    #[must_use]
    pub fn with_candidate(self, candidate: Candidate) -> Self {
        Self { candidate, ..self }
    }

    fn surety(&self, guess: &Guess, rng: &mut RowRng) -> f64 {
        match self.order {
            Order::LowConfidence => f64::from(guess.log_p),
            Order::Random => rng.uniform(guess.position),
        }
    }
}

/// How many of `m` tokens are committed in step `index` of 1..=`of`.
pub(crate) fn quota(m: usize, index: usize, of: usize) -> usize {
    m / of + usize::from(index <= m % of)
}

impl ReverseStep for Llada {
    fn needs(&self) -> Needs {
        Needs::new(self.candidate)
    }

    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, rng: &mut RowRng) {
        let quota = if step.is_last() { usize::MAX } else { quota(row.active().len(), step.index, step.of) };
        let mut ranked: Vec<(f64, &Guess)> =
            said.guesses().iter().map(|guess| (self.surety(guess, rng), guess)).collect();
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (_, guess) in ranked.into_iter().take(quota) {
            row.commit(guess.position, guess.token, guess.log_p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_add_up_and_never_exceed_what_is_left() {
        for m in 0..=300 {
            for steps in 1..=300 {
                let mut left = m;
                for index in 1..=steps {
                    let quota = quota(m, index, steps);
                    assert!(quota <= left, "{m} {steps} {index}");
                    left -= quota;
                }
                assert_eq!(left, 0, "{m} {steps}");
            }
        }
    }
}
