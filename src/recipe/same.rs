//! What must be as it was for a run to go on, and how that is known.
//!
//! `recipe.toml` in the run's folder has the names of what changed. It may be gone, or of an older version; so the
//! checkpoints hold a fingerprint of what is trained, and `run.json` one of what is validated on.

use super::folder::{RECIPE, RunRecord};
use super::material::Data;
use super::material::Valid;
use super::network::Network;
use super::{Error, MetricChoice, Recipe, Stage};
use crate::core::Batch;
use crate::train::data::Rows;
use crate::train::{self, BatchSource, fingerprint};

/// Batches, and what is minimised over them: a checkpoint of other data or of another objective is refused.
pub(super) struct Known {
    batches: Data,
    objective: u64,
}

impl BatchSource for Known {
    fn batch(&mut self, index: u64) -> Result<Batch, train::Error> {
        self.batches.batch(index)
    }

    fn fingerprint(&self) -> u64 {
        fingerprint([self.batches.fingerprint(), self.objective])
    }
}

impl Recipe {
    /// The batches of a network of these sizes.
    pub(super) fn known(&self, batches: Data, config: &Network) -> Known {
        Known { batches, objective: self.objective_content(config) }
    }

    /// A hash of all that decides the loss beside the data and the weights.
    fn objective_content(&self, config: &Network) -> u64 {
        let resolved = self.resolved();
        let section = match self.stage {
            Stage::Mlm => toml::Value::try_from(resolved.mlm),
            Stage::Diffusion | Stage::ArToDiffusion => toml::Value::try_from(resolved.diffusion),
            Stage::Autoregressive | Stage::Length => Ok(toml::Value::Boolean(true)),
        };
        let section = section.map(|section| section.to_string()).unwrap_or_default();
        let words = content_of([self.stage.name(), &section]);
        let rates = self.dropout(config).into_iter().chain([self.train.label_smoothing]);
        fingerprint([words].into_iter().chain(rates.map(f64::to_bits)))
    }

    /// A hash of what a validation measures, and on what; `None` if the recipe validates nothing.
    pub(super) fn validation_content(&self, valid: &Valid) -> Option<u64> {
        if !self.validates() {
            return None;
        }
        let texts = valid.records.iter().flat_map(|record| [record.prompt.as_str(), &record.response]);
        Some(fingerprint([content_of([self.measure().as_str()]), valid.rows.content(), content_of(texts)]))
    }

    /// What a validation measures, in words; how answers are made only where they count.
    fn measure(&self) -> String {
        let validate = &self.validate;
        match validate.metric {
            MetricChoice::Loss => "loss".to_owned(),
            MetricChoice::Of(metric) => format!("{metric} {} {:?}", validate.steps, validate.lengths),
        }
    }

    /// Fails if the run in the folder was begun by a recipe that trains otherwise or validates otherwise, whose best
    /// value so far would be compared with values of another kind. How often it is looked at changes nothing.
    pub(super) fn same_run(&self, valid: &Valid) -> Result<(), Error> {
        if let Ok(before) = Self::read(self.out.join(RECIPE)) {
            let judged = before.validates() && self.validates();
            let answers = [&before, self].iter().any(|recipe| recipe.validate.metric != MetricChoice::Loss);
            let parts = |recipe: &Self| recipe.compared(judged, judged && answers);
            if let Some((field, before, now)) = difference("", &parts(&before), &parts(self)) {
                return Err(Error::OtherRun { out: self.out.clone(), field, before, now });
            }
        }
        let before = RunRecord::of_folder(&self.out).and_then(|record| record.validation);
        let now = self.validation_content(valid).map(shown);
        match (before, now) {
            (Some(before), Some(now)) if before != now => {
                Err(Error::OtherValidation { out: self.out.clone(), before, now })
            }
            _ => Ok(()),
        }
    }

    /// The fields that a run may not change.
    fn compared(&self, metric: bool, answers: bool) -> toml::Value {
        let resolved = self.resolved();
        let mut train = resolved.train;
        (train.steps, train.log_every) = (1, 1);
        let table = |fields: Vec<(&str, Option<toml::Value>)>| {
            let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            toml::Value::Table(fields.collect())
        };
        let mut validate = Vec::new();
        if metric {
            validate.push(("metric", value(&resolved.validate.metric)));
        }
        if answers {
            validate.push(("lengths", value(&resolved.validate.lengths)));
            validate.push(("steps", value(&resolved.validate.steps)));
        }
        // The network's dropout, or the head's.
        let own = match self.stage {
            Stage::Length => ("length", value(&resolved.length)),
            _ => ("model", Some(table(vec![("dropout", resolved.model.dropout.map(toml::Value::Float))]))),
        };
        table(vec![
            ("stage", value(&resolved.stage)),
            ("train", value(&train)),
            ("mlm", value(&resolved.mlm)),
            ("diffusion", value(&resolved.diffusion)),
            ("validate", Some(table(validate))),
            own,
        ])
    }
}

/// As TOML; structs of numbers and texts cannot fail.
fn value(part: &impl serde::Serialize) -> Option<toml::Value> {
    toml::Value::try_from(part).ok()
}

/// A fingerprint as files and errors have it.
pub(super) fn shown(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

/// A hash of some texts, in their order.
fn content_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let numbers = |text: &'a str| std::iter::once(text.len() as u64).chain(text.bytes().map(u64::from));
    fingerprint(texts.into_iter().flat_map(numbers))
}

/// The first field that two tables do not have alike, and its values.
fn difference(field: &str, before: &toml::Value, now: &toml::Value) -> Option<(String, String, String)> {
    let (toml::Value::Table(old), toml::Value::Table(new)) = (before, now) else {
        return (before != now).then(|| (field.to_owned(), before.to_string(), now.to_string()));
    };
    let mut keys = old.keys().chain(new.keys());
    keys.find_map(|key| {
        let field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
        let nothing = toml::Value::String("nothing".to_owned());
        difference(&field, old.get(key).unwrap_or(&nothing), new.get(key).unwrap_or(&nothing))
    })
}
