use burn::tensor::Tensor;
use dlm_core::loss::{Reduction, TokenLoss};
use dlm_core::{Batch, CounterRng, Denoiser, Noised};

use super::{Corruption, Objective, asked, nothing};
use crate::error::Error;

/// A network's logits, as they are.
pub type Logits = fn(Tensor<2>, &Noised) -> Tensor<2>;

/// Any other loss of the network's answers at the positions that a corruption asks about: UDLM and GIDD
/// ([`Elbo`](dlm_core::loss::Elbo)), D3PM, SEDD, flow matching.
///
/// ```text
/// asked, x_t ~ corruption(x₀)      L = mean_asked ℓ(read(network(x_t)))
/// ```
///
/// The mean is the [`Reduction`]'s. What the network says is taken for logits unless
/// [`reading`](Self::reading) says otherwise. A loss of some noise panics at a network of another vocabulary
/// than the noise has.
///
/// # Example
/// ```
/// # use burn::module::{Module, Param};
/// # use burn::tensor::{Device, Int, Tensor};
/// # use dlm_core::{Denoiser, DenoiserInput};
/// use dlm_core::loss::{Elbo, Reduction};
/// use dlm_core::{Forward, Prior, Sequence, Times, Vocabulary, schedule::Linear};
/// use dlm_train::data::{BatchSize, Batches};
/// use dlm_train::objective::{Diffused, Tokens};
/// use dlm_train::{TrainConfig, Trainer};
/// # #[derive(Module, Debug)]
/// # struct Table { logits: Param<Tensor<2>> }
/// # impl Denoiser for Table {
/// #     fn vocab_size(&self) -> usize { 6 }
/// #     fn device(&self) -> Device { self.logits.val().device() }
/// #     fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
/// #         let ids: Vec<i32> = input.at.iter().map(|&i| input.ids[i] as i32).collect();
/// #         self.logits.val().select(0, Tensor::<1, Int>::from_ints(ids.as_slice(), &self.device()))
/// #     }
/// # }
/// # let network = Table { logits: Param::from_tensor(Tensor::zeros([6, 6], &Device::flex().autodiff())) };
/// let vocabulary = Vocabulary::new(6, 0, 1, 2, 3)?;
/// let batches = Batches::new(vec![Sequence::whole(vec![4, 5])], vocabulary, BatchSize::Sequences(1), 0)?;
/// // UDLM: uniform noise, and its bound.
/// let forward = Forward::new(Linear, Prior::uniform(&vocabulary)?);
/// let noise = Diffused::new(forward.clone(), Times::uniform(1e-3)?);
/// let objective = Tokens::of(noise, Elbo::new(&forward), Reduction::Tokens);
/// let mut trainer = Trainer::new(network, objective, batches, TrainConfig::paper(1e-2, 10))?;
/// assert!(trainer.step()?.loss()?.is_finite());
/// # Ok::<(), dlm_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tokens<C, L, R = Logits> {
    corruption: C,
    loss: L,
    reduction: Reduction,
    read: R,
}

impl<C: Corruption, L: TokenLoss> Tokens<C, L> {
    /// The mean by `reduction` of `loss` at the positions that `corruption` asks about.
    pub fn of(corruption: C, loss: L, reduction: Reduction) -> Self {
        Self { corruption, loss, reduction, read: |logits, _| logits }
    }

    /// With `read` between the network and the loss: to [`forbid`](dlm_core::loss::forbid) the mask, or from what a
    /// network says to [`LogScores`](dlm_core::loss::LogScores).
    pub fn reading<R: Fn(Tensor<2>, &Noised) -> L::Output + Sync>(self, read: R) -> Tokens<C, L, R> {
        let Self { corruption, loss, reduction, .. } = self;
        Tokens { corruption, loss, reduction, read }
    }
}

impl<M, C, L, R> Objective<M> for Tokens<C, L, R>
where
    M: Denoiser,
    C: Corruption,
    L: TokenLoss + Sync,
    R: Fn(Tensor<2>, &Noised) -> L::Output + Sync,
{
    fn loss(&self, model: &M, batch: &Batch, rng: &CounterRng) -> Result<Tensor<1>, Error> {
        let Some(noised) = asked(model, &self.corruption, batch, rng)? else { return Ok(nothing(model)) };
        let said = (self.read)(model.logits(&noised.input()), &noised);
        Ok(self.reduction.reduce(self.loss.terms(said, &noised), &noised))
    }
}
