//! One optimisation step, in parts.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use dlm_core::{Batch, CounterRng};

use crate::error::Error;
use crate::objective::Objective;

/// What one step did.
///
/// Loss and gradient norm are still on the device: reading them waits for it, so a loop that reads
/// them only now and then runs faster.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepReport {
    /// Number of steps done, this one included.
    pub step: u64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Tokens in its batches, prompt and padding counted.
    pub tokens: usize,
    /// Batches without a noisy token, which were skipped.
    pub skipped: usize,
    /// Wall time, seconds: of the computation on a CPU, of its submission on a GPU.
    pub seconds: f64,
    pub(crate) loss: Tensor<1>,
    pub(crate) grad_norm: Option<Tensor<1>>,
}

impl StepReport {
    /// The loss before the update, mean over the step's batches. Waits for the device.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn loss(&self) -> Result<f64, Error> {
        finite(self.step, "loss", &self.loss)
    }

    /// Global norm of the gradient before clipping; 0 if every batch was skipped. Waits for the device.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn grad_norm(&self) -> Result<f64, Error> {
        match &self.grad_norm {
            Some(norm) => finite(self.step, "gradient norm", norm),
            None => Ok(0.0),
        }
    }
}

/// A number of a step, read from the device.
pub(crate) fn finite(step: u64, what: &'static str, value: &Tensor<1>) -> Result<f64, Error> {
    let got = f64::from(value.clone().into_scalar::<f32>());
    if got.is_finite() { Ok(got) } else { Err(Error::NotFinite { step, what, got }) }
}

/// Loss and gradient of one step.
pub(crate) struct Backward {
    pub(crate) grads: GradientsParams,
    pub(crate) loss: Tensor<1>,
    pub(crate) tokens: usize,
    pub(crate) skipped: usize,
}

/// Mean loss of `parts` batches and its gradient, one batch in memory at a time.
pub(crate) fn backward<M: Module>(
    model: &M,
    objective: &impl Objective<M>,
    parts: usize,
    device: &Device,
    mut part: impl FnMut(usize) -> Result<(Batch, CounterRng), Error>,
) -> Result<Backward, Error> {
    let mut sum = GradientsAccumulator::new();
    let mut loss = Tensor::zeros([1], &device.clone().inner());
    let (mut grads, mut tokens, mut skipped) = (GradientsParams::new(), 0, 0);
    for i in 0..parts {
        let (batch, rng) = part(i)?;
        tokens += batch.rows() * batch.len();
        let share = objective.loss(model, &batch, &rng)? / parts as f64;
        if share.is_tracked() {
            grads = GradientsParams::from_grads(share.backward(), model);
            if parts > 1 {
                sum.accumulate(model, std::mem::take(&mut grads));
            }
        } else {
            skipped += 1;
        }
        loss = loss + share.inner();
    }
    let grads = if parts > 1 { sum.grads() } else { grads };
    Ok(Backward { grads, loss, tokens, skipped })
}
