use burn::tensor::Tensor;

use super::TokenLoss;
use super::columns::column;
use crate::error::{Error, in_domain, same_length};
use crate::forward::Noised;

/// The weights of a cross-entropy loss at the N asked positions of a batch, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Weight of −log p(x₀), `[N]`.
    pub target: Vec<f64>,
    /// Weight of −mean over the vocabulary of log p, `[N]`: label smoothing. Empty for none.
    pub uniform: Vec<f64>,
}

impl Weights {
    /// Fails on the first weight that is not a number one can multiply by, such as that of noise at t = 0,
    /// where there is none: the loss would be infinite or NaN.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] for a weight that is not finite.
    pub fn check(&self) -> Result<(), Error> {
        let all = self.target.iter().chain(&self.uniform);
        all.copied().try_for_each(|w| in_domain(w.is_finite(), "weight", "finite", w).map(drop))
    }
}

/// A cross-entropy loss: from a noised batch to the weight of each noisy position.
///
/// What it weighs is said by logits of p(x₀ | x_t), which every [`Denoiser`](crate::Denoiser) gives.
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
    /// Sum / (number of asked positions): the masked-LM mean.
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

    /// `weight(t) · factor` at every asked position.
    pub(super) fn spread(self, noised: &Noised, weight: impl Fn(f64) -> f64) -> Vec<f64> {
        let factors = self.factors(noised);
        let len = noised.shape()[1];
        if noised.has_clock() {
            return noised.at().iter().map(|&i| weight(noised.time_at(i)) * factors[i / len]).collect();
        }
        let by_row: Vec<f64> =
            noised.times().iter().zip(factors).map(|(&t, factor)| weight(t) * factor).collect();
        noised.at().iter().map(|&i| by_row[i / len]).collect()
    }

    /// The mean of what a [`TokenLoss`](super::TokenLoss) says of each asked position.
    ///
    /// # Shapes
    /// - `terms`: `[N]` at `noised.at()`
    /// - returns: `[1]`; 0 if nothing is asked
    ///
    /// # Panics
    /// If there is not one term for each asked position.
    pub fn reduce(self, terms: Tensor<1>, noised: &Noised) -> Tensor<1> {
        let asked = noised.at().len();
        assert_eq!(terms.dims(), [asked], "terms against asked positions");
        if asked == 0 {
            return Tensor::zeros([1], &terms.device());
        }
        let factors = column(&self.spread(noised, |_| 1.0), &terms.device()).squeeze_dim::<1>(1);
        (terms * factors).sum()
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

/// Every asked position alike: `weight` times its cross-entropy. BD3LM's loss in a narrow band of mask ratios,
/// where 1/t hardly differs, and Fast-dLLM v2's.
///
/// # Source
/// Arriola et al. 2025, arXiv:2503.09573, its code; Wu et al. 2025, arXiv:2509.26328, section 3.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flat {
    weight: f64,
    reduction: Reduction,
}

impl Flat {
    /// # Errors
    /// [`Error::OutOfDomain`] for a weight that is not finite.
    pub fn new(weight: f64, reduction: Reduction) -> Result<Self, Error> {
        in_domain(weight.is_finite(), "weight", "finite", weight)?;
        Ok(Self { weight, reduction })
    }
}

impl Weighting for Flat {
    fn weights(&self, noised: &Noised) -> Weights {
        Weights { target: self.reduction.spread(noised, |_| self.weight), uniform: Vec::new() }
    }
}

/// Another weighting or [`TokenLoss`], each row's terms times a factor: what undoes a choice of times (see
/// [`Times::factor`](crate::Times::factor) and [`Importance`](crate::time::Importance)).
///
/// # Example
/// ```
/// use dlm_core::loss::{Nelbo, Reduction, Scaled, Weighting};
/// use dlm_core::{Batch, Noised, Prior, Sequence, Times, Vocabulary, schedule::Linear};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let batch = Batch::new(&[Sequence::whole(vec![3]), Sequence::whole(vec![4])], &vocabulary)?;
/// let prior = Prior::Absorbing { mask: 9 };
/// let noised = Noised::with_noise(&batch, &[0.25, 0.5], &[true, true], prior)?;
/// let times = Times::log_uniform(1e-3)?;
/// let factors = noised.times().iter().map(|&t| times.factor(t)).collect();
/// let weights = Scaled::new(Nelbo::new(Linear, Reduction::Sum), factors)?.weights(&noised).target;
/// assert!(weights.iter().all(|w| (w - 1e3_f64.ln()).abs() < 1e-12)); // −ln ε at every time
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled<W> {
    inner: W,
    factors: Vec<f64>,
}

impl<W> Scaled<W> {
    /// One factor for each row.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] for a factor that is not finite.
    pub fn new(inner: W, factors: Vec<f64>) -> Result<Self, Error> {
        for &factor in &factors {
            in_domain(factor.is_finite(), "factor of a row", "finite", factor)?;
        }
        Ok(Self { inner, factors })
    }

    /// Whether the factors are those of the rows of `noised`.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a factor for each row.
    pub fn check(&self, noised: &Noised) -> Result<(), Error> {
        same_length("factors of rows", noised.shape()[0], self.factors.len())
    }
}

impl<W: Weighting> Weighting for Scaled<W> {
    /// # Panics
    /// If a row has no factor.
    fn weights(&self, noised: &Noised) -> Weights {
        let len = noised.shape()[1];
        let Weights { mut target, mut uniform } = self.inner.weights(noised);
        for (n, &i) in noised.at().iter().enumerate() {
            target[n] *= self.factors[i / len];
            if let Some(uniform) = uniform.get_mut(n) {
                *uniform *= self.factors[i / len];
            }
        }
        Weights { target, uniform }
    }
}

impl<L: TokenLoss> TokenLoss for Scaled<L> {
    type Output = L::Output;

    /// # Panics
    /// As the loss within, and if a row has no factor.
    fn terms(&self, output: Self::Output, noised: &Noised) -> Tensor<1> {
        let terms = self.inner.terms(output, noised);
        if noised.at().is_empty() {
            return terms;
        }
        let len = noised.shape()[1];
        let factors: Vec<f64> = noised.at().iter().map(|&i| self.factors[i / len]).collect();
        let factors = column(&factors, &terms.device()).squeeze_dim(1);
        terms * factors
    }
}
