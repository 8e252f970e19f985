//! What a recipe will do, before it does it.

use std::fmt;
use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::Device;

use super::choices::Stage;
use super::material::{Data, Material};
use super::memory::Sizes;
use super::network::Network;
use super::run::with_causes;
use super::{Error, MemoryEstimate, Recipe};
use crate::models::{EncoderConfig, LengthHeadConfig};
use crate::train::checkpoint::Latest;
use crate::train::{self, BatchSource};

/// Batches of a mixture that are looked at to know its padding.
const LOOKED_AT: u64 = 200;

/// What a run will do. Shows as a table for people.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The stage.
    pub stage: Stage,
    /// The run's folder.
    pub out: PathBuf,
    /// Training records, and validation records.
    pub records: usize,
    /// Validation records, at most as many as a validation looks at.
    pub validation: usize,
    /// Broken records that were left out.
    pub skipped: usize,
    /// File, line and fault of the first of them.
    pub complaints: Vec<String>,
    /// Examples that were left out for their length.
    pub dropped: usize,
    /// Tokens of all training rows, special ones counted.
    pub tokens: u64,
    /// Share of a batch's positions that is padding; of a mixture that of its first batches.
    pub padding: f64,
    /// Batches in which each row comes once; of a mixture rows over rows of a batch.
    pub epoch_batches: f64,
    /// Optimisation steps.
    pub steps: u64,
    /// Batches of a step.
    pub accumulation: usize,
    /// How often each row comes.
    pub epochs: f64,
    /// Positions of all batches of all steps, padding counted; coupled rows count once.
    pub positions: u64,
    /// Words of the network's vocabulary.
    pub words: usize,
    /// Parameters that are trained.
    pub parameters: usize,
    /// How much memory it takes.
    pub memory: MemoryEstimate,
    /// The checkpoint from which the run goes on.
    pub goes_on_from: Option<PathBuf>,
    /// What is wrong with each newer checkpoint.
    pub broken: Vec<String>,
}

/// What batches hold on average.
struct Filling {
    tokens: f64,
    positions: f64,
    per_epoch: f64,
}

impl Recipe {
    /// The dry run, for the default device: reads and tokenises the data, counts, and looks for a checkpoint.
    /// Nothing is written but `data.cache`.
    ///
    /// # Errors
    /// As [`Recipe::prepare`].
    pub fn plan(&self) -> Result<Plan, Error> {
        Ok(self.prepare(&Device::default())?.plan().clone())
    }

    pub(super) fn plan_of(&self, material: &Material, device: &Device) -> Result<Plan, Error> {
        self.check_device(device)?;
        self.check_valid(&material.valid)?;
        let Latest { path: goes_on_from, mut broken } = train::latest(self.out.join("checkpoints"))?;
        if let Some(path) = &goes_on_from {
            self.same_run(&material.valid)?;
            self.check_steps(path)?;
        } else if !broken.is_empty() {
            return Err(broken.remove(0).into());
        }
        let longest = self.batch.pack.or_else(|| material.row_lens().max()).unwrap_or(0);
        let tokens: u64 = material.row_lens().map(|len| len as u64).sum();
        let (steps, accumulation) = (self.train.steps, self.batch.accumulation);
        let batches = (steps * accumulation as u64) as f64;
        let mut data = material.batches(self)?;
        let filling = filling(&mut data, tokens, material.records(), batches as u64)?;
        let (trained, frozen) = self.parameters(&material.config)?;
        let sizes = Sizes { config: &material.config, trained, frozen, data: material.bytes() };
        let memory = MemoryEstimate::of(self, &sizes, filling.positions.ceil() as usize, longest);
        Ok(Plan {
            stage: self.stage,
            out: self.out.clone(),
            records: material.records(),
            validation: material.valid.records.len(),
            skipped: material.taken.skipped,
            complaints: material.taken.complaints.clone(),
            dropped: material.taken.dropped,
            tokens,
            padding: 1.0 - filling.tokens / filling.positions,
            epoch_batches: filling.per_epoch,
            steps,
            accumulation,
            epochs: batches / filling.per_epoch,
            positions: (batches * filling.positions).round() as u64,
            words: material.config.words(),
            parameters: trained,
            memory,
            goes_on_from,
            broken: broken.iter().map(with_causes).collect(),
        })
    }

    /// How many parameters are trained, and how many are not.
    fn parameters(&self, config: &Network) -> Result<(usize, usize), Error> {
        let network = config.parameters();
        if self.stage != Stage::Length {
            return Ok((network, 0));
        }
        let head = self.length_head(self.backbone(config)?);
        Ok((head.init(&Device::default())?.num_params(), network))
    }

    /// The head of the stage `length`.
    pub(super) fn length_head(&self, config: &EncoderConfig) -> LengthHeadConfig {
        LengthHeadConfig::of(config).with_classes(self.length.classes).with_dropout(self.length.dropout)
    }
}

fn filling(data: &mut Data, tokens: u64, rows: usize, batches: u64) -> Result<Filling, Error> {
    let whole = match data {
        Data::Batches(batches) => Some((batches.epoch_len(), batches.padding())),
        Data::Packed(packed) => Some((packed.epoch_len(), packed.padding())),
        Data::Mixture(_) | Data::TokenMixture(_) => None,
    };
    if let Some((epoch, padding)) = whole {
        let n = epoch as f64;
        let tokens = tokens as f64 / n;
        return Ok(Filling { tokens, positions: tokens / (1.0 - padding), per_epoch: n });
    }
    let looked_at = batches.clamp(1, LOOKED_AT);
    let (mut tokens, mut positions, mut drawn) = (0, 0, 0);
    for index in 0..looked_at {
        let batch = data.batch(index)?;
        let all = batch.rows() * batch.len();
        tokens += all - batch.pad().iter().filter(|&&pad| pad).count();
        positions += all;
        drawn += batch.rows();
    }
    let n = looked_at as f64;
    let per_epoch = rows as f64 * n / drawn as f64;
    Ok(Filling { tokens: tokens as f64 / n, positions: positions as f64 / n, per_epoch })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, out, records, validation, skipped, complaints, .. } = self;
        let Self {
            dropped,
            tokens,
            padding,
            epoch_batches,
            steps,
            accumulation,
            epochs,
            positions,
            words,
            parameters,
            memory,
            ..
        } = self;
        writeln!(f, "stage       {}", stage.name())?;
        write!(f, "data        {records} records to learn from, {validation} to validate on")?;
        for (count, why) in [(skipped, "broken"), (dropped, "too long")] {
            if *count > 0 {
                write!(f, ", {count} left out as {why}")?;
            }
        }
        for complaint in complaints {
            write!(f, "\n            {complaint}")?;
        }
        writeln!(
            f,
            "\nepoch       {tokens} tokens in {epoch_batches:.0} batches, {:.1} % padding",
            100.0 * padding
        )?;
        let per_step = *positions as f64 / *steps as f64;
        writeln!(
            f,
            "steps       {steps} of {accumulation} batches, {per_step:.0} positions; {epochs:.2} epochs, {positions} positions in all"
        )?;
        writeln!(f, "network     {words} words, {parameters} parameters to train")?;
        writeln!(f, "memory      {memory}")?;
        writeln!(
            f,
            "writes      {}/{{recipe.toml, run.json, log.jsonl, samples.jsonl, README.md}}",
            out.display()
        )?;
        write!(f, "            {}/{{tensorboard, checkpoints, plots, model}}/", out.display())?;
        for error in &self.broken {
            write!(f, "\ndamaged     {error}")?;
        }
        match &self.goes_on_from {
            Some(path) => write!(f, "\ngoes on     from {}", path.display()),
            None => Ok(()),
        }
    }
}
