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

impl StepReport {
    /// The sum of this step's numbers and of those before, on the device.
    pub(crate) fn add_to(&self, sum: Option<Tensor<1>>) -> Tensor<1> {
        [sum, self.grad_norm.clone()].into_iter().flatten().fold(self.loss.clone(), |sum, term| sum + term)
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

/// Mean loss of some batches and its gradient, up to `threads` batches in memory and under way at a time.
///
/// Gradients are summed in the order of the batches, so the result does not depend on `threads`.
pub(crate) fn backward<M: Module>(
    model: &M,
    objective: &impl Objective<M>,
    parts: usize,
    threads: usize,
    device: &Device,
    mut part: impl FnMut(usize) -> Result<(Batch, CounterRng), Error>,
) -> Result<Backward, Error> {
    let mut sum = GradientsAccumulator::new();
    let mut loss = Tensor::zeros([1], &device.clone().inner());
    let (mut grads, mut tokens, mut skipped) = (GradientsParams::new(), 0, 0);
    for start in (0..parts).step_by(threads) {
        let group = (start..parts.min(start + threads)).map(&mut part).collect::<Result<Vec<_>, _>>()?;
        tokens += group.iter().map(|(batch, _)| batch.rows() * batch.len()).sum::<usize>();
        for (share, own) in at_once(model, objective, parts, device, &group)? {
            match own {
                Some(own) if parts > 1 => sum.accumulate(model, own),
                Some(own) => grads = own,
                None => skipped += 1,
            }
            loss = loss + share;
        }
    }
    let grads = if parts > 1 { sum.grads() } else { grads };
    Ok(Backward { grads, loss, tokens, skipped })
}

/// A batch's share of the mean loss, and its gradient unless nothing can be learnt from it.
type Share = (Tensor<1>, Option<GradientsParams>);

/// Each batch on a thread of its own.
fn at_once<M: Module>(
    model: &M,
    objective: &impl Objective<M>,
    parts: usize,
    device: &Device,
    group: &[(Batch, CounterRng)],
) -> Result<Vec<Share>, Error> {
    let one = |model: &M, (batch, rng): &(Batch, CounterRng)| -> Result<Share, Error> {
        let share = objective.loss(model, batch, rng)? / parts as f64;
        let own = share.is_tracked().then(|| GradientsParams::from_grads(share.backward(), model));
        Ok((share.inner(), own))
    };
    if let [only] = group {
        return Ok(vec![one(model, only)?]);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = group
            .iter()
            .map(|part| {
                // Forked, because graphs that share a leaf wait for one another.
                let model = model.clone().fork(device);
                scope.spawn(move || one(&model, part))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
