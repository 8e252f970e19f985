use super::{Reduction, Weighting, Weights};
use crate::error::{Error, in_domain};
use crate::forward::Noised;

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
/// Where noise may be words (RDM's multinomial model), tokens that it left as they were weigh nothing;
/// [`Noised::changed`] asks no logits there. The vanilla model's further cross-entropy of the whole text is
/// [`Flat`](super::Flat) over [`Noised::everywhere`].
///
/// # Source
/// Zheng et al. 2023, arXiv:2302.05737; Ye et al. 2023, arXiv:2308.12219, Eq. 2 and appendix A.1, and both
/// repositories.
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
        let mut target = self.reduction.spread(noised, |t| (1.0 - eps) * scale * self.lambda(t));
        let mut uniform =
            if eps == 0.0 { Vec::new() } else { self.reduction.spread(noised, |_| eps * scale) };
        if noised.asks_clean() {
            for (n, _) in noised.at().iter().enumerate().filter(|&(_, &i)| noised.xt()[i] == noised.x0()[i]) {
                target[n] = 0.0;
                uniform.get_mut(n).into_iter().for_each(|w| *w = 0.0);
            }
        }
        Weights { target, uniform }
    }
}
