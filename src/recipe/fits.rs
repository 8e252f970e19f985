//! What only the data, the device and the run's folder tell: whether a recipe fits them.

use std::path::Path;

use burn::tensor::{Device, FloatDType};

use super::check::require;
use super::material::Valid;
use super::run::step_of;
use super::{Error, MetricChoice, Recipe, Stage};
use crate::train::{self, BatchSize, Precision};

impl Recipe {
    /// Whether the device has the numbers that a step is computed in.
    pub(super) fn check_device(&self, device: &Device) -> Result<(), Error> {
        let precision = self.train.precision;
        let has = match precision {
            Precision::F32 => true,
            Precision::Bf16 => device.supports_dtype(FloatDType::BF16),
            Precision::F16 => device.supports_dtype(FloatDType::F16),
        };
        let device = || format!("{device:?}");
        if has { Ok(()) } else { Err(train::Error::Precision { device: device(), precision }.into()) }
    }

    /// Whether there is something to validate on, and the metric has a value there.
    pub(super) fn check_valid(&self, valid: &Valid) -> Result<(), Error> {
        if !self.validates() {
            return Ok(());
        }
        let field = if self.data.valid.is_some() { "data.valid" } else { "data.held_out" };
        require(
            !valid.records.is_empty(),
            field,
            "records that fit the network, or validate.every 0",
            "none: what validates needs one",
        )?;
        if self.stage == Stage::Length {
            return Ok(());
        }
        if let BatchSize::Tokens(tokens) = self.batch_size() {
            let longest = valid.rows.iter().map(|row| row.ids().len()).max().unwrap_or(0);
            let expected = format!("at least {longest}, the longest row that is validated on");
            require(tokens >= longest, "batch.tokens", &expected, tokens)?;
        }
        let MetricChoice::Of(metric) = self.validate.metric else { return Ok(()) };
        let references = valid.references();
        let expected = "a metric with a value where each answer is its reference";
        let has = metric.of_answers(&references, &references).is_some();
        require(has, "validate.metric", expected, format!("{metric} of {} records", references.len()))
    }

    /// Whether there is no step too many in the checkpoint that a run would go on from.
    pub(super) fn check_steps(&self, checkpoint: &Path) -> Result<(), Error> {
        let done = step_of(checkpoint).unwrap_or(0);
        let expected = format!("at least {done}, which the run in {} has done", self.out.display());
        require(self.train.steps >= done, "train.steps", &expected, self.train.steps)
    }
}

impl Valid {
    /// The answers that there should be.
    pub(super) fn references(&self) -> Vec<String> {
        self.records.iter().map(|record| record.response.clone()).collect()
    }
}
