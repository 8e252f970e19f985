//! The trainer: model, optimiser, average and position, one step at a time.

use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bool, Device, Int, Tensor};
use dlm_core::{CounterRng, Purpose};
use serde::{Deserialize, Serialize};

use crate::checkpoint::BestSoFar;
use crate::data::BatchSource;
use crate::ema::Ema;
use crate::error::{Error, in_domain};
use crate::objective::Objective;
use crate::optim::{AdamW, Decay, LrSchedule, Warmup, clip_to, global_norm};
use crate::step::{Backward, StepReport, backward};

/// How a model is trained: what decides its numbers, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Names all random draws: noise, times, dropout.
    pub seed: u64,
    /// Optimisation steps in all.
    pub steps: u64,
    /// Batches a step: their gradients are averaged.
    pub accumulation: usize,
    /// Learning rate.
    pub lr: LrSchedule,
    /// Optimiser.
    pub adamw: AdamW,
    /// Greatest global norm of a gradient.
    pub clip: Option<f64>,
    /// Decay of a moving average of the parameters.
    pub ema: Option<f64>,
}

impl TrainConfig {
    /// The paper's recipe: `AdamW`, gradients clipped at 1, a logarithmic warm-up over 1 % of the steps
    /// to a constant rate (5e-5 for tasks), no average.
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219, appendix, Tables 5 and 6, and its code.
    pub fn paper(lr: f64, steps: u64) -> Self {
        Self {
            seed: 0,
            steps,
            accumulation: 1,
            lr: LrSchedule::paper(lr, steps),
            adamw: AdamW::default(),
            clip: Some(1.0),
            ema: None,
        }
    }

    /// A recipe for runs of known length: as [`TrainConfig::paper`], but with a linear warm-up over 5 % of
    /// the steps, rounded up, and half a cosine from there to 5 % of the peak at the last.
    pub fn cosine(lr: f64, steps: u64) -> Self {
        let decay = Decay::Cosine { end: steps, floor: 0.05 };
        let lr = LrSchedule { peak: lr, warmup: Warmup::Linear(steps.div_ceil(20)), decay };
        Self { lr, ..Self::paper(0.0, steps) }
    }

    fn check(&self) -> Result<(), Error> {
        in_domain(self.accumulation > 0, "accumulation", "at least 1", self.accumulation as f64)?;
        let peak = self.lr.peak;
        in_domain(peak >= 0.0 && peak.is_finite(), "learning rate", "finite and at least 0", peak)?;
        if let Decay::Cosine { floor, .. } | Decay::Linear { floor, .. } = self.lr.decay {
            in_domain((0.0..=1.0).contains(&floor), "floor of the learning rate", "in [0, 1]", floor)?;
        }
        let clip = self.clip.unwrap_or(1.0);
        in_domain(clip > 0.0, "clipping norm", "positive", clip)
    }
}

/// Trains a model step by step. The caller owns the loop: decode, validate or step another trainer
/// in between, or hand the loop over with [`Trainer::run`](crate::Trainer::run).
///
/// A step is a function of the configuration, the data and the number of the step: the device's
/// generator, which burn draws dropout from, is reseeded at each. (Dropout over several threads is the one
/// exception, see [`Trainer::with_threads`].)
pub struct Trainer<M, O> {
    pub(crate) model: Option<M>,
    pub(crate) optim: ModuleOptimizer,
    pub(crate) ema: Option<Ema<M>>,
    pub(crate) objective: O,
    pub(crate) batches: Box<dyn BatchSource + Send>,
    pub(crate) config: TrainConfig,
    pub(crate) step: u64,
    /// What the last step of this process did.
    pub(crate) last: Option<StepReport>,
    /// Sum of all losses and gradient norms since the start or the last [`Trainer::load`]: one that is not
    /// finite stays visible, even when later steps were skipped.
    pub(crate) health: Option<Tensor<1>>,
    pub(crate) record: BestSoFar,
    /// [`BatchSource::fingerprint`] of `batches`.
    pub(crate) data: u64,
    device: Device,
    threads: usize,
}

impl<M: Module, O: Objective<M>> Trainer<M, O> {
    /// A trainer at step 0.
    ///
    /// # Errors
    /// [`Error::Untracked`] if no parameter of `model` requires a gradient; [`Error::OutOfDomain`] for
    /// a number of the configuration.
    pub fn new(
        model: M,
        objective: O,
        batches: impl BatchSource + Send + 'static,
        config: TrainConfig,
    ) -> Result<Self, Error> {
        config.check()?;
        let device = tracked(&model).ok_or(Error::Untracked)?;
        let optim = config.adamw.init(&model)?;
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
            step: 0,
            last: None,
            health: None,
            record: BestSoFar::default(),
            data,
            device,
            threads: 1,
        })
    }

    /// Computes up to `threads` of a step's [`accumulation`](TrainConfig::accumulation) batches at once;
    /// 0 counts as 1. Meant for CPUs, where much of a network's work keeps one core busy.
    ///
    /// The numbers stay the same, but for dropout: threads draw it from the device's one generator in the
    /// order in which they come, so that a network with dropout is no longer trained alike on every run.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// Takes one step.
    ///
    /// # Errors
    /// Whatever the batches or the objective fail with; the trainer is then as before.
    pub fn step(&mut self) -> Result<StepReport, Error> {
        let began = Instant::now();
        let rng = CounterRng::new(self.config.seed);
        self.device.seed(rng.at_step(self.step).row(Purpose::Device, 0).bits(0));
        let Backward { grads, loss, tokens, skipped } = self.backward(rng)?;
        let lr = self.config.lr.at(self.step);
        let grad_norm = self.update(grads, lr);
        self.step += 1;
        let seconds = began.elapsed().as_secs_f64();
        let report = StepReport { step: self.step, lr, tokens, skipped, seconds, loss, grad_norm };
        self.last = Some(report.clone());
        self.health = Some(report.add_to(self.health.take()));
        Ok(report)
    }

    /// Loss and gradient of the coming step. Each batch has its own draws, named by its index.
    fn backward(&mut self, rng: CounterRng) -> Result<Backward, Error> {
        let parts = self.config.accumulation;
        let first = self.step * parts as u64;
        let Self { model, objective, batches, device, threads, .. } = self;
        let Some(model) = model else { unreachable!("the model is in its place between steps") };
        backward(model, objective, parts, *threads, device, |part| {
            let index = first + part as u64;
            Ok((batches.batch(index)?, rng.at_step(index)))
        })
    }

    /// Clips, steps and averages. Returns the norm before clipping; without a gradient nothing moves.
    fn update(&mut self, grads: GradientsParams, lr: f64) -> Option<Tensor<1>> {
        let Some(model) = self.model.take() else { unreachable!("the model is in its place between steps") };
        let norm = global_norm(&model, &grads);
        self.model = Some(match &norm {
            None => model,
            Some(norm) => {
                let grads = match self.config.clip {
                    Some(max) => clip_to(&model, grads, norm, max),
                    None => grads,
                };
                self.optim.step(lr, model, grads)
            }
        });
        self.ema = self.ema.take().map(|ema| ema.update(self.model()));
        norm
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
        self.step
    }

    /// Whether all steps of the configuration are done. [`Trainer::step`] does not look at this.
    pub fn is_done(&self) -> bool {
        self.step >= self.config.steps
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

/// Builds a model whose initial parameters depend on `seed` alone.
///
/// burn draws a parameter when it is first read, from a generator that the whole process shares; so
/// the generator is seeded, and every parameter is read at once, in the order of the module's fields.
///
/// # Example
/// ```
/// use burn::{nn::LinearConfig, tensor::Device};
/// let device = Device::flex().autodiff();
/// let model = dlm_train::init_seeded(|device| LinearConfig::new(2, 2).init(device), &device, 7);
/// # let _ = model;
/// ```
pub fn init_seeded<M: Module>(build: impl FnOnce(&Device) -> M, device: &Device, seed: u64) -> M {
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
    let model = build(device);
    model.visit(&mut Force);
    model
}
