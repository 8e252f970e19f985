//! What a network is asked in training: diffusion, masked and autoregressive language modelling.

use dlm_core::loss::{Mlm, Rdm, Reduction, Weighting};
use dlm_core::schedule::Linear;
use dlm_core::{
    Batch, CounterRng, Error, Forward, Noised, Prior, Schedule, Times, TokenId, Vocabulary, corrupt,
};

use super::{Causal, CrossEntropy, Shift};

/// From a batch to a question: which tokens are hidden or changed, and about which the network is asked.
pub trait Corruption: Sync {
    /// The question. All randomness comes from `rng`.
    ///
    /// # Errors
    /// Whatever keeps the batch from being corrupted.
    fn corrupt(&self, batch: &Batch, rng: &CounterRng) -> Result<Noised, Error>;
}

/// The forward process at times of its own draw.
#[derive(Debug, Clone)]
pub struct Diffused<S> {
    forward: Forward<S>,
    times: Times,
    coupled: bool,
}

/// Denoising: draw times, add noise, and score the network's guess at each noisy token.
///
/// ```text
/// t ~ times      x_t ~ q(· | x₀)      L = Σ_noisy w(t) · −log p_θ(x₀ | x_t)
/// ```
pub type Diffusion<S, W> = CrossEntropy<Diffused<S>, W>;

impl CrossEntropy<Diffused<Linear>, Rdm> {
    /// The paper's objective: linear noise, `steps` (T, 50 in the paper) discrete times, weights
    /// T − t + 1, coupled pairs.
    ///
    /// # Errors
    /// [`dlm_core::Error::OutOfDomain`] if `steps` is 0.
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219, Eq. 2 and appendix A.1.
    pub fn paper(mask: TokenId, steps: usize) -> Result<Self, crate::Error> {
        let forward = Forward::new(Linear, Prior::Absorbing { mask });
        Ok(Self::new(forward, Times::grid(steps)?, Rdm::linear(steps)?).coupled())
    }
}

impl CrossEntropy<Diffused<Linear>, Mlm> {
    /// Masked-LM training at one noise level: each maskable token becomes the mask with probability `ratio`
    /// and the mean cross-entropy over the masked ones is minimised. [`bert`] has the 80/10/10 rule.
    ///
    /// # Errors
    /// [`dlm_core::Error::OutOfDomain`] unless `0 < ratio ≤ 1`.
    pub fn mlm(mask: TokenId, ratio: f64) -> Result<Self, crate::Error> {
        let forward = Forward::new(Linear, Prior::Absorbing { mask });
        Ok(Self::new(forward, Times::fixed(ratio)?, Mlm))
    }
}

impl<S: Schedule, W: Weighting> CrossEntropy<Diffused<S>, W> {
    /// One time a row.
    pub fn new(forward: Forward<S>, times: Times, weighting: W) -> Self {
        Self::of(Diffused::new(forward, times), weighting)
    }

    /// As [`Diffused::coupled`].
    #[must_use]
    pub fn coupled(mut self) -> Self {
        self.corruption = self.corruption.coupled();
        self
    }
}

impl<S: Schedule> Diffused<S> {
    /// One time a row.
    pub fn new(forward: Forward<S>, times: Times) -> Self {
        Self { forward, times, coupled: false }
    }

    /// Two times a row, the noise of the earlier a part of the noise of the later: 2B rows.
    #[must_use]
    pub fn coupled(mut self) -> Self {
        self.coupled = true;
        self
    }
}

impl<S: Schedule> Corruption for Diffused<S> {
    fn corrupt(&self, batch: &Batch, rng: &CounterRng) -> Result<Noised, Error> {
        let Self { forward, times, coupled } = self;
        if *coupled {
            forward.noise_coupled(batch, &times.sample_pairs(batch, rng), rng)
        } else {
            forward.noise(batch, &times.sample(batch, rng), rng)
        }
    }
}

/// [`corrupt::bert`].
#[derive(Debug, Clone, Copy)]
pub struct Bert {
    ratio: f64,
    vocabulary: Vocabulary,
}

/// BERT's masked language modelling: of the asked tokens, a share `ratio` (0.15) of all, 80 % are hidden,
/// 10 % replaced and 10 % left.
///
/// # Errors
/// [`Error::OutOfDomain`](crate::Error::OutOfDomain) unless `0 < ratio ≤ 1`.
///
/// # Source
/// Devlin et al. 2018, arXiv:1810.04805, section 3.1.
pub fn bert(vocabulary: Vocabulary, ratio: f64) -> Result<CrossEntropy<Bert, Mlm>, crate::Error> {
    crate::error::in_domain(ratio > 0.0 && ratio <= 1.0, "ratio", "in (0, 1]", ratio)?;
    Ok(CrossEntropy::of(Bert { ratio, vocabulary }, Mlm))
}

impl Corruption for Bert {
    fn corrupt(&self, batch: &Batch, rng: &CounterRng) -> Result<Noised, Error> {
        corrupt::bert(batch, self.ratio, &self.vocabulary, rng)
    }
}

/// [`corrupt::teacher_forced`].
#[derive(Debug, Clone, Copy, Default)]
pub struct TeacherForced;

/// Autoregressive language modelling, the baseline of the paper's Table 1: each response token and EOS from
/// what stands before it, averaged over a response and then over rows, with label smoothing `eps`.
///
/// The network decodes by [`next_token`](dlm_core::view::next_token) and a left-to-right strategy.
///
/// # Errors
/// [`Error::OutOfDomain`](crate::Error::OutOfDomain) unless `0 ≤ eps < 1`.
///
/// # Source
/// Ye et al. 2023, arXiv:2308.12219, section 4.1: "AR" without an encoder.
pub fn autoregressive(eps: f64) -> Result<Shift<Causal<CrossEntropy<TeacherForced, Rdm>>>, crate::Error> {
    // λ = 1 at T = 1: a plain mean.
    let mean = Rdm::constant(1)?.with_reduction(Reduction::RowTokens).with_label_smoothing(eps)?;
    Ok(Shift(Causal(CrossEntropy::of(TeacherForced, mean))))
}

impl Corruption for TeacherForced {
    fn corrupt(&self, batch: &Batch, _: &CounterRng) -> Result<Noised, Error> {
        Ok(corrupt::teacher_forced(batch))
    }
}
