//! A trainer to disk and back.

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::store::ModuleRecord;
use burn::tensor::Tensor;
use serde_json::Value;

use crate::checkpoint::{self, Latest, archive, latest, read_state};
use crate::config::TrainConfig;
use crate::ema::{Ema, follow};
use crate::error::Error;
use crate::objective::Objective;
use crate::state::{EMA, MODEL, STATE, State};
use crate::step::finite;
use crate::trainer::Trainer;

impl<M: Module, O: Objective<M>> Trainer<M, O> {
    /// Writes a checkpoint of this step into `folder` and returns its path. See
    /// [`checkpoint`] for what is there and how it is kept whole.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the loss or gradient of any step was: such a model is not worth keeping.
    /// [`Error::Io`] and [`Error::Archive`].
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<PathBuf, Error> {
        self.save_as(folder.as_ref(), &checkpoint::name(self.at.step))
    }

    pub(crate) fn save_as(&self, folder: &Path, name: &str) -> Result<PathBuf, Error> {
        if let Some(last) = &self.last {
            last.loss()?;
            last.grad_norm()?;
        }
        if let Some(health) = &self.health {
            finite(self.at.step, "sum of losses and gradient norms so far", health)?;
        }
        let state = State::new(self.at, self.config.clone(), self.data);
        checkpoint::write(folder, name, state, |part| {
            save_model(self.model().clone(), &part.join(MODEL))?;
            self.optim.save(part)?;
            match &self.ema {
                Some(ema) => save_model(ema.model().clone(), &part.join(EMA)),
                None => Ok(()),
            }
        })
    }

    /// Goes on from the newest whole checkpoint in `folder`; without one, stays as it is. The trainer
    /// must have been built with the same model, configuration and data: what follows is then, bit for
    /// bit, what an uninterrupted run would have done (but for dropout in batches computed at once, see
    /// [`Trainer::with_threads`]).
    ///
    /// # Errors
    /// As [`Trainer::load`]; the newest checkpoint's if there are some and none is whole.
    pub fn resume(&mut self, folder: impl AsRef<Path>) -> Result<Latest, Error> {
        let Latest { path, mut broken } = latest(folder)?;
        match &path {
            Some(path) => self.load(path)?,
            None if broken.is_empty() => {}
            None => return Err(broken.remove(0)),
        }
        Ok(Latest { path, broken })
    }

    /// Goes on from one checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is damaged or of another run, [`Error::Archive`] if it is of another
    /// model; the trainer is then as before.
    pub fn load(&mut self, checkpoint: impl AsRef<Path>) -> Result<(), Error> {
        let folder = checkpoint.as_ref();
        let state = read_state(folder)?;
        same_run(folder, &state, &self.config, self.data)?;
        let model = load_model(self.model().clone(), &folder.join(MODEL))?;
        let ema = match self.config.ema {
            Some(decay) => Some(Ema::new(&load_model(model.valid(), &folder.join(EMA))?, decay)?),
            None => None,
        };
        // The groups of an optimiser go by parameter ids, which came with the model's record.
        self.optim = self.config.optimizer(&model)?.load(folder)?;
        (self.model, self.ema) = (Some(model), ema);
        (self.at, self.last, self.health) = (state.at, None, None);
        Ok(())
    }
}

impl<M: Module, O: Objective<M>> Trainer<M, O> {
    /// Goes back to the newest whole checkpoint before a spike, and passes over the batches that led to it. Returns
    /// what is wrong with newer ones; `None` if there is nothing to go back to.
    pub(crate) fn roll_back(&mut self, folder: &Path) -> Result<Option<Vec<Error>>, Error> {
        let before = self.at;
        let Latest { path, broken } = self.resume(folder)?;
        if path.is_none() {
            return Ok(None);
        }
        self.at = self.at.back_from(before, self.config.accumulation as u64);
        Ok(Some(broken))
    }
}

/// The mean of the models in some checkpoints of one run, outside automatic differentiation: often better
/// than each of them. `like` is a model of the same shape.
///
/// # Errors
/// [`Error::Core`] without a checkpoint; [`Error::Checkpoint`] for one that is damaged or of another run than
/// the first; [`Error::Archive`] for one of another model.
///
/// # Source
/// Vaswani et al. 2017, arXiv:1706.03762, section 6.1; RDM averages its last five.
pub fn average<M: Module>(like: &M, checkpoints: &[impl AsRef<Path>]) -> Result<M, Error> {
    mean(like, checkpoints, MODEL)
}

/// As [`average`], of the moving averages that the checkpoints hold: a longer average than the run's own.
///
/// # Errors
/// As [`average`]; [`Error::Checkpoint`] too for a run without [`TrainConfig::ema`].
pub fn average_ema<M: Module>(like: &M, checkpoints: &[impl AsRef<Path>]) -> Result<M, Error> {
    mean(like, checkpoints, EMA)
}

fn mean<M: Module>(like: &M, checkpoints: &[impl AsRef<Path>], file: &str) -> Result<M, Error> {
    let load = |folder: &Path| {
        let state = read_state(folder)?;
        if file == EMA && state.config.ema.is_none() {
            return Err(Error::Checkpoint {
                path: folder.to_owned(),
                what: "the run kept no moving average, average its models",
                expected: EMA.to_owned(),
                got: MODEL.to_owned(),
            });
        }
        load_model(like.valid(), &folder.join(file))
    };
    let (first, others) =
        checkpoints.split_first().ok_or(dlm_core::Error::Empty { what: "the list of checkpoints" })?;
    let mut mean = load(first.as_ref())?;
    let expected = param_ids(&mean);
    for (n, folder) in (2..).zip(others.iter().map(AsRef::as_ref)) {
        let model = load(folder)?;
        if param_ids(&model) != expected {
            return Err(Error::Checkpoint {
                path: folder.to_owned(),
                what: "the checkpoint is of another run, average those of one",
                expected: format!("the parameters of {}", first.as_ref().display()),
                got: "others".to_owned(),
            });
        }
        mean = follow(mean, &model, 1.0 / f64::from(n));
    }
    Ok(mean)
}

/// The ids of all parameters, in the order of the module.
fn param_ids<M: Module>(model: &M) -> Vec<ParamId> {
    struct Ids(Vec<ParamId>);
    impl ModuleVisitor for Ids {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.id);
        }
    }
    let mut ids = Ids(Vec::new());
    model.visit(&mut ids);
    ids.0
}

fn save_model<M: Module>(model: M, path: &Path) -> Result<(), Error> {
    model.into_record().save(path).map_err(archive(path))
}

fn load_model<M: Module>(model: M, path: &Path) -> Result<M, Error> {
    let record = ModuleRecord::load(path).map_err(archive(path))?;
    model.try_load_record(record).map_err(archive(path))
}

/// Refuses a checkpoint whose continuation would differ from its beginning. Only the number of steps
/// may change.
fn same_run(folder: &Path, state: &State, config: &TrainConfig, data: u64) -> Result<(), Error> {
    let saved = TrainConfig { steps: config.steps, ..state.config.clone() };
    let other = |what, expected, got| Err(Error::Checkpoint { path: folder.to_owned(), what, expected, got });
    let config = as_read(config)?;
    if saved != config {
        let what = "the checkpoint is of another configuration, resume with that one";
        let (expected, got) = difference("", &json(&config)?, &json(&saved)?).unwrap_or_default();
        return other(what, expected, got);
    }
    if state.data != data {
        let what = "the checkpoint is of other data or another batch size, resume with those";
        return other(what, format!("fingerprint {data:016x}"), format!("{:016x}", state.data));
    }
    Ok(())
}

/// The first field that two objects do not have alike, as each has it.
fn difference(field: &str, expected: &Value, got: &Value) -> Option<(String, String)> {
    if let (Value::Object(expected), Value::Object(got)) = (expected, got) {
        return expected.keys().chain(got.keys()).find_map(|key| {
            let field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
            difference(
                &field,
                expected.get(key).unwrap_or(&Value::Null),
                got.get(key).unwrap_or(&Value::Null),
            )
        });
    }
    (expected != got).then(|| (format!("{field} = {expected}"), format!("{field} = {got}")))
}

/// A configuration as it comes back from a file: `serde_json` may change the last bit of a number.
fn as_read(config: &TrainConfig) -> Result<TrainConfig, Error> {
    serde_json::from_value(json(config)?).map_err(unwritten)
}

fn json(config: &TrainConfig) -> Result<Value, Error> {
    // Through text, as a file is.
    let read = serde_json::to_string(config).and_then(|text| serde_json::from_str(&text));
    read.map_err(unwritten)
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::io("write", STATE)(std::io::Error::other(error))
}
