//! One optimisation step, in parts.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use dlm_core::recompute::{Segment, recording};
use dlm_core::{Batch, CounterRng, Purpose};
use rayon::prelude::*;

use crate::error::Error;
use crate::guard::Spike;
use crate::objective::Objective;
use crate::precision::Precision;

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
    /// Why the step was not taken, if it was not.
    pub spike: Option<Spike>,
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

/// How gradients are computed.
pub(crate) struct Engine<'a> {
    /// A batch is under way on each; parameters and the sum of gradients live on the first.
    pub(crate) devices: &'a [Device],
    pub(crate) precision: Precision,
    /// Whether layers are computed again in the backward pass.
    pub(crate) checkpointing: bool,
    /// Losses are multiplied by it for the backward pass, and gradients divided.
    pub(crate) scale: f64,
}

impl Engine<'_> {
    /// Mean loss of some batches and its gradient, as many batches under way at a time as there are devices; with
    /// gradient checkpointing one, on each device in turn.
    ///
    /// Gradients are summed in the order of the batches, so the result does not depend on their number.
    pub(crate) fn backward<M: Module>(
        &self,
        model: &M,
        objective: &impl Objective<M>,
        parts: usize,
        mut part: impl FnMut(usize) -> Result<(Batch, CounterRng), Error>,
    ) -> Result<Backward, Error> {
        let copy = self.precision.copy(model);
        let mut sum = GradientsAccumulator::new();
        let mut loss = Tensor::zeros([1], &self.devices[0].clone().inner());
        let (mut tokens, mut skipped) = (0, 0);
        for start in (0..parts).step_by(self.devices.len()) {
            let end = parts.min(start + self.devices.len());
            let group = (start..end).map(&mut part).collect::<Result<Vec<_>, _>>()?;
            tokens += group.iter().map(|(batch, _)| batch.rows() * batch.len()).sum::<usize>();
            let add = |own| sum.accumulate(model, self.precision.restore(model, own, self.scale));
            for share in self.at_once(&copy, objective, parts, &group, add)? {
                skipped += usize::from(!share.learns);
                loss = loss + share.loss;
            }
        }
        Ok(Backward { grads: sum.grads(), loss, tokens, skipped })
    }

    /// A batch's loss, and the segments that gradient checkpointing left off its tape.
    fn loss<M: Module>(
        &self,
        model: &M,
        objective: &impl Objective<M>,
        batch: &Batch,
        rng: &CounterRng,
    ) -> Result<(Tensor<1>, Vec<Segment>), Error> {
        if !self.checkpointing {
            return Ok((objective.loss(model, batch, rng)?, Vec::new()));
        }
        let seed = rng.row(Purpose::Device, 2).bits(0);
        let (loss, segments) = recording(seed, || objective.loss(model, batch, rng));
        Ok((loss?, segments))
    }

    /// Each batch on a device of its own. `add` gets their gradients, in pieces, on the first device.
    fn at_once<M: Module>(
        &self,
        model: &M,
        objective: &impl Objective<M>,
        parts: usize,
        group: &[(Batch, CounterRng)],
        mut add: impl FnMut(GradientsParams),
    ) -> Result<Vec<Share>, Error> {
        let home = self.devices[0].clone().inner();
        let one = |model: &M,
                   (batch, rng): &(Batch, CounterRng),
                   add: &mut dyn FnMut(GradientsParams)|
         -> Result<Share, Error> {
            let (loss, segments) = self.loss(model, objective, batch, rng)?;
            let (learns, loss) = (loss.is_tracked(), loss / parts as f64);
            if learns {
                gradients(model, &(loss.clone() * self.scale), segments, |own| {
                    add(own.to_device(&home, model));
                });
            }
            Ok(Share { loss: loss.inner().to_device(&home), learns })
        };
        if self.devices.len() == 1 {
            return group.iter().map(|part| one(model, part, &mut add)).collect();
        }
        if self.checkpointing {
            // One after another: a layer draws its dropout anew from a seed in a generator that the process shares.
            let places = group.iter().zip(self.devices);
            return places.map(|(part, device)| one(&model.clone().fork(device), part, &mut add)).collect();
        }
        let work = |(part, model): (&(Batch, CounterRng), M)| {
            let mut own = Vec::new();
            let share = one(&model, part, &mut |piece| own.push(piece))?;
            Ok((share, own))
        };
        // Forked, because graphs that share a leaf wait for one another.
        let jobs: Vec<_> =
            group.iter().zip(self.devices).map(|(part, device)| (part, model.clone().fork(device))).collect();
        let done: Vec<Result<_, Error>> = if shared(self.devices) {
            jobs.into_par_iter().map(work).collect()
        } else {
            in_threads(jobs, work)
        };
        done.into_iter()
            .map(|done| {
                let (share, own) = done?;
                own.into_iter().for_each(&mut add);
                Ok(share)
            })
            .collect()
    }
}

/// Whether there are several names of one device. Its work is then shared among rayon's threads, where a CPU's own
/// products run: with others beside them, they would wait for one another.
pub(crate) fn shared(devices: &[Device]) -> bool {
    devices.len() > 1 && devices.iter().all(|device| *device == devices[0])
}

/// Each job in a thread of its own, which may wait for a device.
fn in_threads<J: Send, T: Send>(jobs: Vec<J>, work: impl Fn(J) -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(move || work(job))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// The gradient of a loss, in pieces: layer by layer from the last where segments were left off the tape.
fn gradients<M: Module>(
    model: &M,
    loss: &Tensor<1>,
    mut segments: Vec<Segment>,
    mut add: impl FnMut(GradientsParams),
) {
    let mut found = loss.backward();
    let mut reached: Vec<Option<Tensor<2>>> = vec![None; segments.len()];
    loop {
        for (reached, segment) in reached.iter_mut().zip(&segments) {
            let more = segment.output.grad_remove(&mut found);
            *reached = match (reached.take(), more) {
                (Some(reached), Some(more)) => Some(reached + more),
                (one, other) => one.or(other),
            };
        }
        add(GradientsParams::from_grads(found, model));
        let next = loop {
            match (segments.pop(), reached.pop().flatten()) {
                (None, _) => return,
                // The loss does not depend on this layer.
                (Some(_), None) => {}
                (Some(segment), Some(gradient)) => break (segment, gradient),
            }
        };
        let (segment, gradient) = next;
        found = (segment.again() * Tensor::from_inner(gradient)).sum().backward();
    }
}

/// A batch's share of the mean loss.
struct Share {
    loss: Tensor<1>,
    /// Whether anything in it was noise.
    learns: bool,
}
