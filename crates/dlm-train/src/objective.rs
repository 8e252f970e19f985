//! What is minimised: from a network and a batch to a loss.

use burn::tensor::Tensor;
use dlm_core::loss::{Mlm, Rdm, Weighting, nll, nll_chunked};
use dlm_core::schedule::Linear;
use dlm_core::{Batch, CounterRng, Denoiser, Factored, Forward, Noised, Prior, Schedule, Times, TokenId};

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

/// Denoising: draw times, add noise, and score the network's guess at each noisy token.
///
/// ```text
/// t ~ times      x_t ~ q(· | x₀)      L = Σ_noisy w(t) · −log p_θ(x₀ | x_t)
/// ```
#[derive(Debug, Clone)]
pub struct Diffusion<S, W> {
    forward: Forward<S>,
    times: Times,
    weighting: W,
    coupled: bool,
}

impl Diffusion<Linear, Rdm> {
    /// The paper's objective: linear noise, `steps` (T, 50 in the paper) discrete times, weights
    /// T − t + 1, coupled pairs.
    ///
    /// # Errors
    /// [`dlm_core::Error::OutOfDomain`] if `steps` is 0.
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219, Eq. 5 and appendix A.
    pub fn paper(mask: TokenId, steps: usize) -> Result<Self, Error> {
        let forward = Forward::new(Linear, Prior::Absorbing { mask });
        Ok(Self::new(forward, Times::grid(steps)?, Rdm::linear(steps)?).coupled())
    }
}

impl Diffusion<Linear, Mlm> {
    /// Masked-LM training: each maskable token becomes the mask with probability `ratio` (0.15 in
    /// BERT), and the mean cross-entropy over the masked ones is minimised. There is no 80/10/10 rule.
    ///
    /// # Errors
    /// [`dlm_core::Error::OutOfDomain`] unless `0 < ratio ≤ 1`.
    pub fn mlm(mask: TokenId, ratio: f64) -> Result<Self, Error> {
        let forward = Forward::new(Linear, Prior::Absorbing { mask });
        Ok(Self::new(forward, Times::fixed(ratio)?, Mlm))
    }
}

impl<S: Schedule, W: Weighting> Diffusion<S, W> {
    /// One time a row.
    pub fn new(forward: Forward<S>, times: Times, weighting: W) -> Self {
        Self { forward, times, weighting, coupled: false }
    }

    /// Two times a row, the noise of the earlier a part of the noise of the later: 2B rows.
    #[must_use]
    pub fn coupled(self) -> Self {
        Self { coupled: true, ..self }
    }

    /// Applies the network's decoder to at most `rows` noisy positions at a time: less memory for the
    /// same loss, for networks that are [`Factored`].
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `rows` is 0.
    pub fn chunked(self, rows: usize) -> Result<Chunked<S, W>, Error> {
        crate::error::in_domain(rows > 0, "rows of a chunk", "at least 1", rows as f64)?;
        Ok(Chunked { diffusion: self, rows })
    }

    /// `x_t` of a batch, or of two copies of it.
    ///
    /// # Errors
    /// As [`Forward::noise`].
    pub fn noise(&self, batch: &Batch, rng: &CounterRng) -> Result<Noised, Error> {
        Ok(if self.coupled {
            self.forward.noise_coupled(batch, &self.times.sample_pairs(batch, rng), rng)?
        } else {
            self.forward.noise(batch, &self.times.sample(batch, rng), rng)?
        })
    }
}

impl<M: Denoiser, S: Schedule, W: Weighting> Objective<M> for Diffusion<S, W> {
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        let noised = self.noise(batch, rng)?;
        if noised.at().is_empty() {
            return Ok(nothing(model));
        }
        model.check(&noised.input())?;
        Ok(nll(model.logits(&noised.input()), &noised, &self.weighting))
    }
}

/// [`Diffusion`] with the vocabulary's logits made a few rows at a time.
#[derive(Debug, Clone)]
pub struct Chunked<S, W> {
    diffusion: Diffusion<S, W>,
    rows: usize,
}

impl<M: Factored, S: Schedule, W: Weighting> Objective<M> for Chunked<S, W> {
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        let Self { diffusion, rows } = self;
        let noised = diffusion.noise(batch, rng)?;
        if noised.at().is_empty() {
            return Ok(nothing(model));
        }
        model.check(&noised.input())?;
        let features = model.features(&noised.input());
        Ok(nll_chunked(features, &model.decoder(), &noised, &diffusion.weighting, *rows))
    }
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
