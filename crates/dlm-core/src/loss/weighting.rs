use crate::error::{Error, in_domain};
use crate::forward::Noised;
use crate::schedule::{Linear, Schedule};

/// The weights of a cross-entropy loss at the N noisy positions of a batch, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Weight of −log p(x₀), `[N]`.
    pub target: Vec<f64>,
    /// Weight of −mean over the vocabulary of log p, `[N]`: label smoothing. Empty for none.
    pub uniform: Vec<f64>,
}

/// A cross-entropy loss: from a noised batch to the weight of each noisy position.
pub trait Weighting: Send + Sync {
    /// The weights at `noised.at()`.
    fn weights(&self, noised: &Noised) -> Weights;
}

impl<W: Weighting + ?Sized> Weighting for &W {
    fn weights(&self, noised: &Noised) -> Weights {
        (**self).weights(noised)
    }
}

impl<W: Weighting + ?Sized> Weighting for Box<W> {
    fn weights(&self, noised: &Noised) -> Weights {
        (**self).weights(noised)
    }
}

/// Over what a loss is averaged. The mean is part of a method: it is where the recipes differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// No mean: the sum over the batch.
    Sum,
    /// Sum / B: nats per sequence when the weight is the NELBO's.
    Rows,
    /// Sum / (number of maskable tokens of the batch): MDLM's training loss.
    Tokens,
    /// Mean over rows of (row sum / the row's maskable tokens): short responses weigh as much as long
    /// ones. The paper's loss and LLaDA's SFT loss.
    RowTokens,
    /// Sum / (B · L), prompt and padding counted: LLaDA's pre-training loss and RDM's own.
    Positions,
    /// Sum / (number of noisy positions): the masked-LM mean.
    Noisy,
}

impl Reduction {
    /// The factor of each row's terms.
    fn factors(self, noised: &Noised) -> Vec<f64> {
        let [rows, len] = noised.shape();
        let per_row = |count: f64| vec![1.0 / count.max(1.0); rows];
        match self {
            Self::Sum => per_row(1.0),
            Self::Rows => per_row(rows as f64),
            Self::Tokens => per_row(noised.maskable().iter().sum::<usize>() as f64),
            Self::RowTokens => {
                noised.maskable().iter().map(|&n| 1.0 / (rows as f64 * (n as f64).max(1.0))).collect()
            }
            Self::Positions => per_row((rows * len) as f64),
            Self::Noisy => per_row(noised.at().len() as f64),
        }
    }

    /// `weight(t) · factor` at every noisy position.
    fn spread(self, noised: &Noised, weight: impl Fn(f64) -> f64) -> Vec<f64> {
        let factors = self.factors(noised);
        let by_row: Vec<f64> =
            noised.times().iter().zip(factors).map(|(&t, factor)| weight(t) * factor).collect();
        let len = noised.shape()[1];
        noised.at().iter().map(|&i| by_row[i / len]).collect()
    }
}

/// The reparameterised loss of RDM and the paper, over discrete times t = k/T.
///
/// ```text
/// L = mean_rows 1/N_row Σ_noisy [ (1 − ε)·λ(k)·CE + ε·λ_max·(−mean_v log p(v)) ]
/// ```
///
/// Label smoothing is weighted by the constant T, not by λ(k), as in RDM's code (its authors call that
/// intended). The code multiplies λ by T; [`Rdm::unit_scale`] drops the factor, which is the paper's
/// formula.
///
/// # Source
/// Zheng et al. 2023, arXiv:2302.05737; Ye et al. 2023, arXiv:2308.12219, Eq. 5.
///
/// # Example
/// ```
/// use dlm_core::{Batch, Noised, Prior, Sequence, Vocabulary};
/// use dlm_core::loss::{Rdm, Weighting};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let batch = Batch::new(&[Sequence::whole(vec![3, 4])], &vocabulary)?;
/// let prior = Prior::Absorbing { mask: 9 };
/// let noised = Noised::with_noise(&batch, &[0.2], &[true, false], prior)?;
/// // k = 10 of T = 50: λ = T − (k − 1) = 41, over one row of two tokens.
/// assert_eq!(Rdm::linear(50)?.weights(&noised).target, [20.5]);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rdm {
    lambda: Lambda,
    steps: usize,
    scale: f64,
    smoothing: f64,
    reduction: Reduction,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lambda {
    Linear,
    Constant,
    Reciprocal,
}

impl Rdm {
    /// λ(k) = 1 − (k − 1)/T, times T: the paper's choice.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` (T) is 0.
    pub fn linear(steps: usize) -> Result<Self, Error> {
        Self::new(Lambda::Linear, steps)
    }

    /// λ(k) = 1, times T.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` (T) is 0.
    pub fn constant(steps: usize) -> Result<Self, Error> {
        Self::new(Lambda::Constant, steps)
    }

    /// λ(k) = 1/k, times T: the evidence bound.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` (T) is 0.
    pub fn reciprocal(steps: usize) -> Result<Self, Error> {
        Self::new(Lambda::Reciprocal, steps)
    }

    fn new(lambda: Lambda, steps: usize) -> Result<Self, Error> {
        in_domain(steps > 0, "steps", "at least 1", steps as f64)?;
        Ok(Self { lambda, steps, scale: steps as f64, smoothing: 0.0, reduction: Reduction::RowTokens })
    }

    /// Label smoothing ε: 0.1 from scratch, 0 from a pretrained model.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ eps < 1`.
    pub fn with_label_smoothing(self, eps: f64) -> Result<Self, Error> {
        in_domain((0.0..1.0).contains(&eps), "label smoothing", "in [0, 1)", eps)?;
        Ok(Self { smoothing: eps, ..self })
    }

    /// Without the factor T, as the paper writes λ. Only gradient clipping and logs tell the difference.
    #[must_use]
    pub fn unit_scale(self) -> Self {
        Self { scale: 1.0, ..self }
    }

    /// With another mean; RDM's own code uses [`Reduction::Positions`].
    #[must_use]
    pub fn with_reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    fn lambda(&self, t: f64) -> f64 {
        let (k, steps) = ((t * self.steps as f64).round(), self.steps as f64);
        match self.lambda {
            Lambda::Linear => 1.0 - (k - 1.0) / steps,
            Lambda::Constant => 1.0,
            Lambda::Reciprocal => 1.0 / k,
        }
    }
}

impl Weighting for Rdm {
    fn weights(&self, noised: &Noised) -> Weights {
        let (scale, eps) = (self.scale, self.smoothing);
        let target = self.reduction.spread(noised, |t| (1.0 - eps) * scale * self.lambda(t));
        let uniform = if eps == 0.0 { Vec::new() } else { self.reduction.spread(noised, |_| eps * scale) };
        Weights { target, uniform }
    }
}

/// The continuous-time NELBO: weight −α′/(1 − α) at each noisy token.
///
/// For MDLM's parameterisation apply [`forbid`](super::forbid) to the logits first, so that the mask is
/// never predicted.
///
/// # Source
/// Sahoo et al. 2024, arXiv:2406.07524, Eq. 10; Shi et al. 2024, arXiv:2406.04329, Eq. 4.
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
    /// Nie et al. 2025, arXiv:2502.09992, Eq. 3 and its repository's guidelines.
    pub fn llada_pretraining() -> Self {
        Self::new(Linear, Reduction::Positions)
    }

    /// LLaDA's SFT loss: mean over rows of Σ CE/t / (answer length).
    ///
    /// # Source
    /// Nie et al. 2025, arXiv:2502.09992, Eq. 5 and its repository's guidelines.
    pub fn llada_sft() -> Self {
        Self::new(Linear, Reduction::RowTokens)
    }
}

impl<S: Schedule> Weighting for Nelbo<S> {
    fn weights(&self, noised: &Noised) -> Weights {
        let target = self.reduction.spread(noised, |t| self.schedule.loss_weight(t));
        Weights { target, uniform: Vec::new() }
    }
}

/// The masked-LM loss: mean cross-entropy over the noisy positions.
///
/// # Source
/// Devlin et al. 2018, arXiv:1810.04805, section 3.1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mlm;

impl Weighting for Mlm {
    fn weights(&self, noised: &Noised) -> Weights {
        Weights { target: Reduction::Noisy.spread(noised, |_| 1.0), uniform: Vec::new() }
    }
}
