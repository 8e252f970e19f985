use super::{Reduction, Weighting, Weights};
use crate::forward::Noised;
use crate::schedule::{Linear, Schedule};

/// The continuous-time NELBO: weight −α′/(1 − α) at each noisy token.
///
/// With a time for each block (see [`Forward::noise_blocks`](crate::Forward::noise_blocks)) it is BD3LM's. For
/// MDLM's parameterisation apply [`forbid`](super::forbid) to the logits first, so that the mask is
/// never predicted. Of noise that may be words it is no bound: there is [`Elbo`](super::Elbo) for that.
///
/// # Source
/// Sahoo et al. 2024, arXiv:2406.07524, Eq. 10 and 11, and Shi et al. 2024, arXiv:2406.04329, Eq. 4 and 5; Arriola
/// et al. 2025, arXiv:2503.09573, Eq. 8 (by block).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nelbo<S> {
    schedule: S,
    reduction: Reduction,
}

impl<S: Schedule> Nelbo<S> {
    /// The NELBO of noise by `schedule`, averaged by `reduction`.
    pub fn new(schedule: S, reduction: Reduction) -> Self {
        Self { schedule, reduction }
    }
}

impl Nelbo<Linear> {
    /// LLaDA's pre-training loss: Σ CE/t / (B·L), with t in [ε, 1] from
    /// [`Times::uniform`](crate::Times::uniform).
    ///
    /// # Source
    /// Nie et al. 2025, arXiv:2502.09992, Eq. 3; the mean is that of its repository's guidelines.
    pub fn llada_pretraining() -> Self {
        Self::new(Linear, Reduction::Positions)
    }

    /// LLaDA's SFT loss: mean over rows of Σ CE/t / (answer length).
    ///
    /// # Source
    /// Nie et al. 2025, arXiv:2502.09992, Eq. 5; the mean is that of its repository's guidelines.
    pub fn llada_sft() -> Self {
        Self::new(Linear, Reduction::RowTokens)
    }
}

impl<S: Schedule> Weighting for Nelbo<S> {
    /// # Panics
    /// If tokens are asked that are no noise, as where noise may be words.
    fn weights(&self, noised: &Noised) -> Weights {
        assert!(!noised.asks_clean(), "the masked NELBO of tokens that may be no noise");
        let target = self.reduction.spread(noised, |t| self.schedule.loss_weight(t));
        Weights { target, uniform: Vec::new() }
    }
}
