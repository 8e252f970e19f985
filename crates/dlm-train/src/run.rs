//! The common loop: steps, with validation, checkpoints and progress in between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::checkpoint;
use crate::error::{Error, Foreign};
use crate::guard::OnSpike;
use crate::log::Sample;
use crate::memory::Memory;
use crate::objective::Objective;
use crate::output::{Output, Places};
use crate::progress::Metrics;
use crate::state::BestSoFar;
use crate::step::{StepReport, finite};
use crate::trainer::Trainer;

/// Which of two validation values is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The lower one: a loss, an error rate.
    Lower,
    /// The higher one: BLEU, an accuracy.
    Higher,
}

impl Better {
    fn than(self, new: f64, old: f64) -> bool {
        match self {
            Self::Lower => new < old,
            Self::Higher => new > old,
        }
    }
}

/// Named values of a validation. The first decides what is best.
pub type Scores = Vec<(&'static str, f64)>;

type Validate<'a, M> = Box<dyn FnMut(&M, u64) -> Result<Scores, Foreign> + 'a>;

struct Validation<'a, M> {
    every: u64,
    better: Better,
    scores: Validate<'a, M>,
}

type Write<'a, M> = Box<dyn FnMut(&M, u64) -> Result<Vec<Sample>, Foreign> + 'a>;

struct Samples<'a, M> {
    path: PathBuf,
    write: Write<'a, M>,
}

struct Checkpoints {
    folder: PathBuf,
    every: u64,
    keep: usize,
}

/// What [`Trainer::run`] does between steps. By default nothing.
pub struct Hooks<'a, M> {
    log_every: u64,
    progress: bool,
    metrics: Option<PathBuf>,
    tensorboard: Option<PathBuf>,
    samples: Option<Samples<'a, M>>,
    validation: Option<Validation<'a, M>>,
    patience: Option<u64>,
    checkpoints: Option<Checkpoints>,
}

impl<M> Default for Hooks<'_, M> {
    fn default() -> Self {
        Self {
            log_every: 10,
            progress: false,
            metrics: None,
            tensorboard: None,
            samples: None,
            validation: None,
            patience: None,
            checkpoints: None,
        }
    }
}

impl<'a, M> Hooks<'a, M> {
    /// Nothing between steps; the loss is read, and checked to be finite, every 10 steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads loss and gradient norm every `steps`, at least 1. Each reading waits for the device.
    #[must_use]
    pub fn log_every(self, steps: u64) -> Self {
        Self { log_every: steps.max(1), ..self }
    }

    /// Shows a line of progress on standard error.
    #[must_use]
    pub fn progress(self) -> Self {
        Self { progress: true, ..self }
    }

    /// Appends [`Metrics`] to a file, one JSON object a line.
    #[must_use]
    pub fn metrics(self, path: impl Into<PathBuf>) -> Self {
        Self { metrics: Some(path.into()), ..self }
    }

    /// Writes [`Metrics`] and samples for `TensorBoard` into a folder, a file each time the run is started.
    #[must_use]
    pub fn tensorboard(self, folder: impl Into<PathBuf>) -> Self {
        Self { tensorboard: Some(folder.into()), ..self }
    }

    /// After each validation, lets `write` answer some prompts and appends what it gives to a file, one
    /// JSON object of [`Sample`] a line. `write` gets what a validation gets.
    #[must_use]
    pub fn samples(
        self,
        path: impl Into<PathBuf>,
        write: impl FnMut(&M, u64) -> Result<Vec<Sample>, Foreign> + 'a,
    ) -> Self {
        Self { samples: Some(Samples { path: path.into(), write: Box::new(write) }), ..self }
    }

    /// Validates every `steps` (at least 1) and after the last: `scores` gets the model of
    /// [`Trainer::evaluated`] and the number of steps done.
    #[must_use]
    pub fn validate(
        self,
        steps: u64,
        better: Better,
        scores: impl FnMut(&M, u64) -> Result<Scores, Foreign> + 'a,
    ) -> Self {
        let scores = Box::new(scores);
        let every = steps.max(1);
        Self { validation: Some(Validation { every, better, scores }), ..self }
    }

    /// Stops after this many validations (at least 1) in a row without a better value; without
    /// [`Hooks::validate`], it does nothing.
    #[must_use]
    pub fn patience(self, validations: u64) -> Self {
        Self { patience: Some(validations.max(1)), ..self }
    }

    /// Saves a checkpoint every `steps` (at least 1) and after the last, keeping the `keep` newest (at
    /// least 1), and the one that validated best as `best`. Checkpoints in the folder of steps that this
    /// run has not come to yet are renamed when it starts, and a `best` of a step that a guard undid when it
    /// goes back (`aside-..`).
    #[must_use]
    pub fn checkpoints(self, folder: impl Into<PathBuf>, steps: u64, keep: usize) -> Self {
        let (folder, every) = (folder.into(), steps.max(1));
        Self { checkpoints: Some(Checkpoints { folder, every, keep }), ..self }
    }
}

impl<M> Hooks<'_, M> {
    fn places(&self) -> Places<'_> {
        Places {
            progress: self.progress,
            metrics: self.metrics.as_ref(),
            samples: self.samples.as_ref().map(|samples| &samples.path),
            tensorboard: self.tensorboard.as_ref(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Steps done, those before a resumption included.
    pub steps: u64,
    /// Mean loss over the last reading that has one; `None` if no step was taken.
    pub loss: Option<f64>,
    /// Step and value of the best validation.
    pub best: Option<(u64, f64)>,
    /// Whether patience ended the run.
    pub stopped_early: bool,
    /// What was wrong with checkpoints to which the run did not go back before a spike, but to older ones. They are
    /// renamed (`aside-..`).
    pub damaged: Vec<String>,
}

impl<M: Module, O: Objective<M>> Trainer<M, O> {
    /// Steps until all steps are done or patience ends.
    ///
    /// # Errors
    /// [`Error::NotFinite`] at the first reading of a loss that is not; as the loss is a mean over all
    /// steps since the reading before, no bad step passes unseen. [`Error::Callback`] if a validation
    /// fails; else as [`Trainer::step`] and [`Trainer::save`].
    pub fn run(&mut self, mut hooks: Hooks<'_, M>) -> Result<Summary, Error> {
        if let Some(checkpoints) = &hooks.checkpoints {
            checkpoint::set_aside(&checkpoints.folder, self.at.step)?;
            self.settle_best(&checkpoints.folder)?;
        }
        let mut output = Output::open(&hooks.places(), self.at.step, self.config.steps)?;
        let (mut window, mut loss, mut damaged) = (Window::new(), None, Vec::new());
        while !self.is_done() && !self.is_stale(&hooks) {
            let report = match self.step() {
                Err(spike @ Error::Spike { .. }) => {
                    damaged.extend(self.recover(spike, &hooks, &mut output)?);
                    // What was said of the steps that are taken anew is void.
                    output = Output::open(&hooks.places(), self.at.step, self.config.steps)?;
                    window = Window::new();
                    continue;
                }
                report => report?,
            };
            window.add(&report);
            let due = |every: u64| report.step.is_multiple_of(every) || self.is_done();
            let validating = hooks.validation.as_ref().is_some_and(|hook| due(hook.every));
            if due(hooks.log_every) || validating {
                let mut metrics = self.metrics(&window, &report)?;
                if validating {
                    metrics.validation = self.validate(&mut hooks)?;
                }
                output.write(&metrics)?;
                if validating {
                    output.samples(&self.write_samples(&mut hooks)?)?;
                }
                loss = metrics.loss.or(loss);
                window = Window::new();
            }
            self.checkpoint(&hooks)?;
        }
        output.finish();
        let stopped_early = !self.is_done();
        Ok(Summary { steps: self.at.step, loss, best: self.at.record.best, stopped_early, damaged })
    }

    /// Goes back before a spike, if the guard says so and there is a checkpoint; else the spike is the error.
    /// Returns what is wrong with newer checkpoints.
    fn recover(
        &mut self,
        spike: Error,
        hooks: &Hooks<'_, M>,
        output: &mut Output,
    ) -> Result<Vec<String>, Error> {
        let guard = self.config.guard.filter(|guard| guard.on_spike == OnSpike::RollBack);
        let patient = guard.is_some_and(|guard| self.at.went_back < guard.patience);
        let place = hooks.checkpoints.as_ref().filter(|_| patient);
        let Some(Checkpoints { folder, .. }) = place else { return Err(spike) };
        let Some(broken) = self.roll_back(folder)? else { return Err(spike) };
        let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
        let step = self.at.step;
        for note in [&[spike.to_string()], broken.as_slice(), &[format!("went back to step {step}")]].concat()
        {
            output.note(&note);
        }
        // They would count as the newest ones that are kept.
        checkpoint::set_aside(folder, step)?;
        self.settle_best(folder)?;
        Ok(broken)
    }

    /// Makes what is remembered of the best validation and the best checkpoint agree.
    fn settle_best(&mut self, folder: &Path) -> Result<(), Error> {
        if !checkpoint::settle_best(folder, self.at.step)? {
            self.at.record.best = None;
        }
        Ok(())
    }

    fn checkpoint(&self, hooks: &Hooks<'_, M>) -> Result<(), Error> {
        let Some(Checkpoints { folder, every, keep }) = &hooks.checkpoints else { return Ok(()) };
        if self.at.step.is_multiple_of(*every) || self.is_done() || self.is_stale(hooks) {
            self.save(folder)?;
            checkpoint::prune(folder, *keep)?;
            checkpoint::forget_former_best(folder)?;
        }
        Ok(())
    }

    fn is_stale(&self, hooks: &Hooks<'_, M>) -> bool {
        hooks.patience.is_some_and(|patience| self.at.record.stale >= patience)
    }

    /// Reads the device.
    fn metrics(&self, window: &Window, report: &StepReport) -> Result<Metrics, Error> {
        let sum = window.loss.as_ref().map(|sum| finite(report.step, "loss", sum)).transpose()?;
        let grad_norm =
            report.spike.map_or_else(|| report.grad_norm().map(Some), |spike| Ok(spike.shown()))?;
        let seconds = window.began.elapsed().as_secs_f64();
        Ok(Metrics {
            step: report.step,
            loss: sum.map(|sum| sum / window.taken as f64),
            lr: report.lr,
            grad_norm,
            spikes: self.spikes(),
            overflows: self.overflows(),
            loss_scale: self.loss_scale(),
            steps_per_s: window.steps as f64 / seconds,
            tokens_per_s: window.tokens as f64 / seconds,
            memory: self.devices.first().map(Memory::now).unwrap_or_default(),
            validation: BTreeMap::new(),
        })
    }

    fn write_samples(&self, hooks: &mut Hooks<'_, M>) -> Result<Vec<Sample>, Error> {
        let Some(samples) = &mut hooks.samples else { return Ok(Vec::new()) };
        let step = self.at.step;
        let failed = |source| Error::Callback { step, what: "writing of samples", source };
        (samples.write)(&self.evaluated(), step).map_err(failed)
    }

    /// Validates, and remembers and saves what is best.
    fn validate(&mut self, hooks: &mut Hooks<'_, M>) -> Result<BTreeMap<String, f64>, Error> {
        let Some(validation) = &mut hooks.validation else { return Ok(BTreeMap::new()) };
        let step = self.at.step;
        let failed = |source| Error::Callback { step, what: "validation", source };
        let scores = (validation.scores)(&self.evaluated(), step).map_err(failed)?;
        if let Some(&(what, got)) = scores.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::NotFinite { step, what, got });
        }
        if let Some(&(_, value)) = scores.first() {
            let improved = |(_, best)| validation.better.than(value, best);
            if self.at.record.best.is_none_or(improved) {
                self.at.record = BestSoFar { best: Some((step, value)), stale: 0 };
                if let Some(Checkpoints { folder, .. }) = &hooks.checkpoints {
                    checkpoint::keep_former_best(folder)?;
                    self.save_as(folder, checkpoint::BEST)?;
                }
            } else {
                self.at.record.stale += 1;
            }
        }
        Ok(scores.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// The steps since the last reading.
struct Window {
    began: Instant,
    loss: Option<Tensor<1>>,
    steps: u64,
    /// Those of them that were no spikes.
    taken: u64,
    tokens: usize,
}

impl Window {
    fn new() -> Self {
        Self { began: Instant::now(), loss: None, steps: 0, taken: 0, tokens: 0 }
    }

    fn add(&mut self, report: &StepReport) {
        self.steps += 1;
        self.tokens += report.tokens;
        if report.spike.is_some() {
            return;
        }
        let loss = report.loss.clone();
        self.taken += 1;
        self.loss = Some(match self.loss.take() {
            Some(sum) => sum + loss,
            None => loss,
        });
    }
}
