//! The trainer: model, optimiser, average and position, one step at a time.

use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Bool, Device, Int, Tensor};
use dlm_core::{CounterRng, Purpose};

pub use crate::config::TrainConfig;
use crate::data::BatchSource;
use crate::ema::Ema;
use crate::error::Error;
use crate::guard::{OnSpike, Spike};
use crate::objective::Objective;
use crate::optim::{Lanes, clip_to, global_norm};
use crate::precision::Precision;
use crate::state::Position;
use crate::step::{Backward, Engine, StepReport, shared};

/// Trains a model step by step. The caller owns the loop: decode, validate or step another trainer
/// in between, or hand the loop over with [`Trainer::run`](crate::Trainer::run).
///
/// A step is a function of the configuration, the data and the number of the step: the device's
/// generator, which burn draws dropout from, is reseeded at each. (Dropout in batches that are computed at once
/// is the one exception, see [`Trainer::with_threads`].)
pub struct Trainer<M, O> {
    pub(crate) model: Option<M>,
    pub(crate) optim: Lanes,
    pub(crate) ema: Option<Ema<M>>,
    pub(crate) objective: O,
    pub(crate) batches: Box<dyn BatchSource + Send>,
    pub(crate) config: TrainConfig,
    pub(crate) at: Position,
    /// What the last step of this process did.
    pub(crate) last: Option<StepReport>,
    /// Sum of all losses and gradient norms since the start or the last [`Trainer::load`]: one that is not
    /// finite stays visible, even when later steps were skipped.
    pub(crate) health: Option<Tensor<1>>,
    /// [`BatchSource::fingerprint`] of `batches`.
    pub(crate) data: u64,
    /// Where batches are computed; the model lives on the first.
    pub(crate) devices: Vec<Device>,
}

impl<M: Module, O: Objective<M>> Trainer<M, O> {
    /// A trainer at step 0.
    ///
    /// # Errors
    /// [`Error::Untracked`] if no parameter of `model` requires a gradient; [`Error::OutOfDomain`] for
    /// a number of the configuration; [`Error::Precision`] if the model's device lacks its precision.
    pub fn new(
        model: M,
        objective: O,
        batches: impl BatchSource + Send + 'static,
        config: TrainConfig,
    ) -> Result<Self, Error> {
        config.check()?;
        let device = tracked(&model).ok_or(Error::Untracked)?;
        config.precision.check(&device)?;
        let optim = config.optimizer(&model)?;
        let ema = config.ema.map(|decay| Ema::new(&model, decay)).transpose()?;
        let data = batches.fingerprint();
        let batches = Box::new(batches);
        Ok(Self {
            model: Some(model),
            optim,
            ema,
            objective,
            batches,
            config,
            at: Position::default(),
            last: None,
            health: None,
            data,
            devices: vec![device],
        })
    }

    /// Computes up to `threads` of a step's [`accumulation`](TrainConfig::accumulation) batches at once;
    /// 0 counts as 1. Meant for CPUs, where much of a network's work keeps one core busy.
    ///
    /// A network without dropout is trained alike, bit by bit, with any number of threads. With dropout it is so
    /// with one thread or an accumulation of 1 alone: burn draws dropout from one generator of the whole process,
    /// so that batches under way at once get their draws in the order in which they happen to come. Such a run
    /// is neither repeated exactly nor resumed exactly; what it draws is no less random.
    ///
    /// With gradient checkpointing there is one thread, because dropout must come out the same twice.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        let threads = if self.config.gradient_checkpointing { 1 } else { threads.max(1) };
        self.devices = vec![self.devices[0].clone(); threads];
        self
    }

    /// Data-parallel: computes a step's [`accumulation`](TrainConfig::accumulation) batches on the model's
    /// device and on `others`, one batch on each at a time. A device may be named more than once; it may be
    /// of another kind, or burn's handle of a device on another machine.
    ///
    /// Each step copies the parameters to every device and the gradients back, and updates them once, so
    /// that the numbers are those of one device with the same accumulation, up to how devices round (and
    /// to dropout, see [`Trainer::with_threads`]). With gradient checkpointing devices get their batches one
    /// after another, because dropout must come out the same twice: that spreads memory, and hardly saves time.
    ///
    /// Copies and sums are plain transfers through the model's device, on every backend. burn 0.22.1's own
    /// collective, `all_reduce`, is not used: it exists for `CubeCL` backends alone and is not implemented for
    /// flex and ndarray. With parameters that do not fit on one device this does not help.
    ///
    /// # Errors
    /// [`Error::Precision`] if a device lacks the configuration's precision.
    pub fn with_devices(mut self, others: impl IntoIterator<Item = Device>) -> Result<Self, Error> {
        self.devices.truncate(1);
        for device in others {
            self.config.precision.check(&device)?;
            self.devices.push(if device.is_autodiff() { device } else { device.autodiff() });
        }
        Ok(self)
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`Error::Spike`] if the configuration's guard says to stop; [`Error::NotFinite`] in f16 for a gradient
    /// that is not finite at the least scale, or a loss that is not, without a guard; whatever the batches or
    /// the objective fail with. The trainer is then as before, but for the guard's count.
    pub fn step(&mut self) -> Result<StepReport, Error> {
        let began = Instant::now();
        let rng = CounterRng::new(self.config.seed);
        for device in &self.devices {
            device.seed(rng.at_step(self.at.step).row(Purpose::Device, 0).bits(0));
        }
        let Backward { mut grads, loss, tokens, skipped } = self.backward(rng)?;
        let lr = self.config.lr.at(self.at.step);
        let grad_norm = global_norm(self.model(), &mut grads);
        let spike = self.judge(&loss, grad_norm.as_ref())?;
        if let (Some(norm), None) = (&grad_norm, spike) {
            self.update(grads, norm, lr);
        }
        self.at.advance();
        let seconds = began.elapsed().as_secs_f64();
        let report = StepReport { step: self.at.step, lr, tokens, skipped, spike, seconds, loss, grad_norm };
        if spike.is_none() {
            self.last = Some(report.clone());
            self.health = Some(report.add_to(self.health.take()));
        }
        Ok(report)
    }

    /// Loss and gradient of the coming step. Each batch has its own draws, named by its index.
    fn backward(&mut self, rng: CounterRng) -> Result<Backward, Error> {
        let parts = self.config.accumulation;
        let first = self.at.step * parts as u64 + self.at.passed_over;
        let Self { model, objective, batches, devices, config, at, .. } = self;
        let Some(model) = model else { unreachable!("the model is in its place between steps") };
        let scale = if config.precision == Precision::F16 { at.scale.factor() } else { 1.0 };
        let checkpointing = config.gradient_checkpointing;
        let engine = Engine { devices, precision: config.precision, checkpointing, scale };
        engine.backward(model, objective, parts, |part| {
            let index = first + part as u64;
            Ok((batches.batch(index)?, rng.at_step(index)))
        })
    }

    /// Whether the step is to be passed over. Waits for the device if there is a guard, or in f16.
    fn judge(&mut self, loss: &Tensor<1>, norm: Option<&Tensor<1>>) -> Result<Option<Spike>, Error> {
        let (guard, f16) = (self.config.guard, self.config.precision == Precision::F16);
        let Some(norm) = norm.filter(|_| f16 || guard.is_some()) else { return Ok(None) };
        let read = |value: &Tensor<1>| f64::from(value.clone().into_scalar::<f32>());
        let (loss, grad_norm) = (read(loss), read(norm));
        if f16 && loss.is_finite() {
            let scale = self.at.scale.after(grad_norm.is_finite());
            if grad_norm.is_finite() {
                self.at.scale = scale;
            } else if scale.exponent >= 0 {
                self.at.scale = scale;
                self.at.overflows += 1;
                return Ok(Some(Spike { loss, grad_norm, usual: self.at.watch.usual() }));
            }
        }
        let step = self.at.step + 1;
        let Some(guard) = guard else {
            // In f16 alone: the numbers are there, and such a step would spoil the model.
            let numbers = [("loss", loss), ("gradient norm", grad_norm)];
            let spoilt = numbers.into_iter().find(|(_, got)| !got.is_finite());
            return spoilt.map_or(Ok(None), |(what, got)| Err(Error::NotFinite { step, what, got }));
        };
        let (watch, spike) = guard.judge(self.at.watch, loss, grad_norm);
        self.at.watch = watch;
        match spike {
            Some(spike) if guard.on_spike != OnSpike::Skip || watch.in_a_row > guard.patience => {
                Err(Error::Spike { step, spike })
            }
            spike => Ok(spike),
        }
    }

    /// Clips, steps and averages.
    fn update(&mut self, grads: GradientsParams, norm: &Tensor<1>, lr: f64) {
        let Some(model) = self.model.take() else { unreachable!("the model is in its place between steps") };
        let grads = match self.config.clip {
            Some(max) => clip_to(&model, grads, norm, max),
            None => grads,
        };
        self.model = Some(self.optim.step(lr, model, grads, shared(&self.devices)));
        self.ema = self.ema.take().map(|ema| ema.update(self.model()));
    }
}

impl<M, O> Trainer<M, O> {
    /// The model as it is.
    pub fn model(&self) -> &M {
        match &self.model {
            Some(model) => model,
            None => unreachable!("the model is away only while the optimiser maps it"),
        }
    }

    /// The model, at the end of training.
    pub fn into_model(self) -> M {
        match self.model {
            Some(model) => model,
            None => unreachable!("the model is away only while the optimiser maps it"),
        }
    }

    /// The moving average, if the configuration asks for one.
    pub fn ema(&self) -> Option<&Ema<M>> {
        self.ema.as_ref()
    }

    /// The objective.
    pub fn objective(&self) -> &O {
        &self.objective
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Number of steps done.
    pub fn steps_done(&self) -> u64 {
        self.at.step
    }

    /// Number of steps that were passed over for the configuration's [`Guard`](crate::Guard).
    pub fn spikes(&self) -> u64 {
        self.at.watch.spikes
    }

    /// Number of steps that were left out because a gradient overflowed in f16, each of which halved the
    /// [`LossScale`](crate::precision::LossScale).
    pub fn overflows(&self) -> u64 {
        self.at.overflows
    }

    /// The factor of the loss in f16; `None` in other precisions.
    pub fn loss_scale(&self) -> Option<f64> {
        (self.config.precision == Precision::F16).then(|| self.at.scale.factor())
    }

    /// Whether all steps of the configuration are done. [`Trainer::step`] does not look at this.
    pub fn is_done(&self) -> bool {
        self.at.step >= self.config.steps
    }
}

impl<M: Module, O> Trainer<M, O> {
    /// The model to evaluate: the average if there is one, else the model; dropout off, untracked.
    pub fn evaluated(&self) -> M {
        match &self.ema {
            Some(ema) => ema.model().clone(),
            None => self.model().valid(),
        }
    }
}

/// The device of the first parameter that requires a gradient.
fn tracked<M: Module>(model: &M) -> Option<Device> {
    struct Tracked(Option<Device>);
    impl ModuleVisitor for Tracked {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let base = param.base();
            if self.0.is_none() && base.is_require_grad() {
                self.0 = Some(base.device());
            }
        }
    }
    let mut tracked = Tracked(None);
    model.visit(&mut tracked);
    tracked.0
}

/// The model with initial parameters that depend on `seed` alone.
///
/// burn draws a parameter when it is first read, not when the module is built, and from a generator that the whole
/// process shares; so the generator is seeded, and every parameter is read at once, in the order of the module's
/// fields. Those that were read or loaded before stay as they are.
///
/// # Example
/// ```
/// use burn::{nn::LinearConfig, tensor::Device};
/// let device = Device::flex().autodiff();
/// let model = dlm_train::init_seeded(LinearConfig::new(2, 2).init(&device), &device, 7);
/// # let _ = model;
/// ```
pub fn init_seeded<M: Module>(model: M, device: &Device, seed: u64) -> M {
    struct Force;
    impl ModuleVisitor for Force {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            param.base();
        }
        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            param.base();
        }
        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            param.base();
        }
    }
    // The key sets it apart from the seeds of the steps.
    device.seed(CounterRng::new(seed).row(Purpose::Device, 1).bits(0));
    model.visit(&mut Force);
    model
}
