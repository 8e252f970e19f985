//! What is minimised: from a network and a batch to a loss.

mod corruption;
mod tokens;
mod view;

use burn::tensor::Tensor;
use dlm_core::loss::{Weighting, nll, nll_chunked};
use dlm_core::{Batch, CounterRng, Denoiser, Factored, Noised};

pub use self::corruption::{Bert, Corruption, Diffused, Diffusion, TeacherForced, autoregressive, bert};
pub use self::tokens::{Logits, Tokens};
pub use self::view::{Anneal, Causal, Shift};

use crate::error::Error;

/// A loss of a network `M` on a batch.
///
/// Any closure `Fn(&M, &Batch, &CounterRng) -> Result<Tensor<1>, Error>` is one. Several threads may ask at
/// once ([`Trainer::with_threads`](crate::Trainer::with_threads)).
pub trait Objective<M>: Sync {
    /// The loss, `[1]`. All randomness comes from `rng`, which differs from step to step.
    ///
    /// A loss that nothing can be learnt from (no token became noise) is any tensor outside the
    /// automatic-differentiation graph, such as a plain zero; the trainer then skips the batch.
    ///
    /// # Errors
    /// Whatever keeps the batch from being noised.
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error>;
}

impl<M, F> Objective<M> for F
where
    F: Fn(&M, &Batch, &CounterRng) -> Result<Tensor<1>, Error> + Sync,
{
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        self(model, batch, rng)
    }
}

/// For a stage that is chosen at run time.
impl<M> Objective<M> for Box<dyn Objective<M> + '_> {
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        (**self).loss(model, batch, rng)
    }
}

/// Cross-entropy of the network's answers at the positions that a corruption asks about.
///
/// ```text
/// asked, x_t ~ corruption(x₀)      L = Σ_asked w · −log p_θ(x₀ | x_t)
/// ```
#[derive(Debug, Clone)]
pub struct CrossEntropy<C, W> {
    corruption: C,
    weighting: W,
}

impl<C: Corruption, W: Weighting> CrossEntropy<C, W> {
    /// The positions that `corruption` asks about, weighted by `weighting`.
    pub fn of(corruption: C, weighting: W) -> Self {
        Self { corruption, weighting }
    }

    /// Applies the network's decoder to at most `rows` asked positions at a time: less memory for the
    /// same loss, for networks that are [`Factored`].
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `rows` is 0.
    pub fn chunked(self, rows: usize) -> Result<Chunked<C, W>, Error> {
        crate::error::in_domain(rows > 0, "rows of a chunk", "at least 1", rows as f64)?;
        Ok(Chunked { objective: self, rows })
    }

    /// What the network is asked about a batch.
    ///
    /// # Errors
    /// Whatever keeps the batch from being corrupted.
    pub fn noise(&self, batch: &Batch, rng: &CounterRng) -> Result<Noised, Error> {
        Ok(self.corruption.corrupt(batch, rng)?)
    }
}

impl<M: Denoiser, C: Corruption, W: Weighting> Objective<M> for CrossEntropy<C, W> {
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        let Some(noised) = asked(model, &self.corruption, batch, rng)? else { return Ok(nothing(model)) };
        Ok(nll(model.logits(&noised.input()), &noised, &self.weighting))
    }
}

/// [`CrossEntropy`] with the vocabulary's logits made a few rows at a time.
#[derive(Debug, Clone)]
pub struct Chunked<C, W> {
    objective: CrossEntropy<C, W>,
    rows: usize,
}

impl<M: Factored, C: Corruption, W: Weighting> Objective<M> for Chunked<C, W> {
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        let Self { objective, rows } = self;
        let Some(noised) = asked(model, &objective.corruption, batch, rng)? else {
            return Ok(nothing(model));
        };
        let features = model.features(&noised.input());
        Ok(nll_chunked(features, &model.decoder(), &noised, &objective.weighting, *rows))
    }
}

/// What `model` is asked about a batch, and can answer; `None` if that is nothing.
fn asked(
    model: &impl Denoiser,
    corruption: &impl Corruption,
    batch: &Batch,
    rng: &CounterRng,
) -> Result<Option<Noised>, Error> {
    let noised = corruption.corrupt(batch, rng)?;
    if noised.at().is_empty() {
        return Ok(None);
    }
    model.check(&noised.input())?;
    Ok(Some(noised))
}

/// The loss of a batch without noise.
fn nothing(model: &impl Denoiser) -> Tensor<1> {
    Tensor::zeros([1], &model.device().inner())
}

/// Mean loss over some batches, weighted by their rows: for validation, on `model.valid()`.
///
/// The i-th batch sees the same noise whenever it is asked with the same `seed`, so that values of
/// different steps compare. The device is read once, at the end.
///
/// # Errors
/// [`dlm_core::Error::Empty`] without a batch; whatever the batches or the objective fail with.
pub fn validation_loss<M>(
    model: &M,
    objective: &impl Objective<M>,
    batches: impl IntoIterator<Item = Result<Batch, Error>>,
    seed: u64,
) -> Result<f64, Error> {
    let (mut sum, mut rows) = (None::<Tensor<1>>, 0);
    for (index, batch) in batches.into_iter().enumerate() {
        let batch = batch?;
        let rng = CounterRng::new(seed).at_step(index as u64);
        let loss = objective.loss(model, &batch, &rng)?.inner() * batch.rows() as f64;
        sum = Some(match sum {
            Some(sum) => sum + loss,
            None => loss,
        });
        rows += batch.rows();
    }
    let sum = sum.ok_or(dlm_core::Error::Empty { what: "the validation set" })?;
    Ok(f64::from(sum.into_scalar::<f32>()) / rows as f64)
}
