//! Objectives of a network seen otherwise: from an autoregressive network to a diffusion model.

use burn::tensor::Tensor;
use dlm_core::view::{Attending, Shifted};
use dlm_core::{Attention, Batch, CounterRng, Denoiser, Purpose};

use crate::error::{Error, in_domain};
use crate::objective::Objective;

/// An objective whose network predicts the next token: it is asked one position earlier.
///
/// With [`Diffusion`](crate::Diffusion) inside, an autoregressive network becomes a diffusion model that
/// keeps its shift; decode it as [`Shifted`].
#[derive(Debug, Clone)]
pub struct Shift<O>(pub O);

impl<M: Denoiser, O: for<'a> Objective<Shifted<&'a M>>> Objective<M> for Shift<O> {
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        self.0.loss(&Shifted(model), batch, rng)
    }
}

/// An objective whose network sees no later position.
#[derive(Debug, Clone)]
pub struct Causal<O>(pub O);

impl<M: Denoiser, O: for<'a> Objective<Attending<'a, &'a M>>> Objective<M> for Causal<O> {
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        self.0.loss(&Attending { inner: model, attention: Attention::Causal }, batch, rng)
    }
}

/// An objective whose network sees no later position at first and all in the end.
///
/// ```text
/// P(a position sees a given later one in batch i) = min(1, (i + 1) / batches)
/// ```
///
/// Pairs are drawn anew for each batch, one draw for all its rows. For validation use the objective inside,
/// which sees all.
///
/// # Source
/// Gong et al. 2024, arXiv:2410.17891, section 3.2 (attention mask annealing) and its code.
#[derive(Debug, Clone)]
pub struct Anneal<O> {
    inner: O,
    batches: u64,
}

impl<O> Anneal<O> {
    /// Opens attention over `batches`: steps times accumulation.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `batches` is 0.
    pub fn new(inner: O, batches: u64) -> Result<Self, Error> {
        in_domain(batches > 0, "batches of annealing", "at least 1", batches as f64)?;
        Ok(Self { inner, batches })
    }

    /// Who sees whom in a row of `len` positions, `[L, L]`.
    fn pairs(&self, len: usize, rng: &CounterRng) -> Vec<bool> {
        let open = ((rng.step() + 1) as f64 / self.batches as f64).min(1.0);
        let mut draws = rng.row(Purpose::Attention, 0);
        (0..len * len).map(|pair| pair % len <= pair / len || draws.uniform(pair) < open).collect()
    }
}

impl<M: Denoiser, O: for<'a> Objective<Attending<'a, &'a M>>> Objective<M> for Anneal<O> {
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        if rng.step() + 1 >= self.batches {
            return self.inner.loss(&Attending { inner: model, attention: Attention::Full }, batch, rng);
        }
        let pairs = self.pairs(batch.len(), rng);
        self.inner.loss(&Attending { inner: model, attention: Attention::Pairs(&pairs) }, batch, rng)
    }
}
