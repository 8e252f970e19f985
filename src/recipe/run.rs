//! A recipe at work.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;

use super::answer::{Answerer, LengthTable};
use super::choices::{LengthChoice, MetricChoice, Stage, TakeChoice};
use super::material::Material;
use super::network::with_dropout;
use super::{Error, Plan, Recipe, Text, folder};
use crate::length::{length_trainer, predict_lengths};
use crate::models::{AutoDenoiser, Encoder, LengthHead};
use crate::train::data::Rows;
use crate::train::{
    Batches, Better, Foreign, Hooks, Objective, Sample, Summary, Trainer, average, init_seeded,
    validation_loss,
};

/// How a run ended, and what it made. Networks have dropout off.
pub struct Done {
    /// Steps, loss and the best validation.
    pub summary: Summary,
    /// Steps after which the weights were as they are left: those of the best validation, if the recipe takes it.
    pub step: u64,
    /// Steps of the checkpoints whose weights were averaged, if the recipe says so.
    pub averaged: Vec<u64>,
    /// What is wrong with each checkpoint that was newer than the one that the run went on from.
    pub broken: Vec<String>,
    /// The network; of the stage `length` as it was.
    pub model: AutoDenoiser,
    /// What the stage `length` trained.
    pub head: Option<LengthHead>,
    /// The network's tokenizer.
    pub text: Text,
}

impl Done {
    /// The network, if it is an encoder: what length heads read.
    pub fn encoder(&self) -> Option<&Encoder> {
        match &self.model {
            AutoDenoiser::Encoder(encoder) => Some(encoder),
            _ => None,
        }
    }
}

/// A recipe whose data are read: what it will do can be shown before it does it.
pub struct Prepared<'a> {
    recipe: &'a Recipe,
    material: Material,
    plan: Plan,
    device: Device,
}

impl Prepared<'_> {
    /// What will be done.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Does it: [`Recipe::run`] on what was read.
    ///
    /// # Errors
    /// As there.
    pub fn run(self) -> Result<Done, Error> {
        let Self { recipe, material, plan, device } = self;
        folder::begin(recipe, &device, recipe.validation_content(&material.valid))?;
        let (model, head, Ended { summary, step, broken, averaged }) = match recipe.stage {
            Stage::Length => recipe.run_length(&material, &device)?,
            _ => recipe.run_network(&material, &device)?,
        };
        let done = Done { summary, step, averaged, broken, model, head, text: material.text };
        folder::save(recipe, &done)?;
        folder::end(recipe, &plan, &done)?;
        Ok(done)
    }
}

/// How the steps went.
struct Ended {
    summary: Summary,
    step: u64,
    broken: Vec<String>,
    averaged: Vec<u64>,
}

/// A network, a length head if one was trained, and how it went.
type Trained = (AutoDenoiser, Option<LengthHead>, Ended);

impl Recipe {
    /// Trains, and leaves a folder of which [the module](super) tells. What an interrupted run did up to its
    /// last whole checkpoint is not done again: the same call goes on. Progress is shown on standard error, and
    /// what is wrong with newer checkpoints.
    ///
    /// # Errors
    /// As [`Recipe::prepare`]; [`Error::Models`] and [`Error::Train`] for weights, numbers, and a checkpoint of
    /// another recipe in the folder; [`Error::Io`].
    pub fn run(&self, device: &Device) -> Result<Done, Error> {
        self.prepare(device)?.run()
    }

    /// Reads and tokenises the data, once for the plan and the run, and refuses what a run on this device would
    /// stumble over. Nothing is written but `data.cache`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for fields that do not fit the network, the data or what the folder holds;
    /// [`Error::OtherRun`] and [`Error::OtherValidation`] for a run in the folder with which this one cannot go on;
    /// [`Error::Models`], [`Error::Train`] and [`Error::Io`] for folders, files and the device.
    pub fn prepare(&self, device: &Device) -> Result<Prepared<'_>, Error> {
        self.check()?;
        let material = self.material()?;
        let plan = self.plan_of(&material, device)?;
        Ok(Prepared { recipe: self, material, plan, device: device.clone() })
    }

    /// The network at the start: weights that a folder lacks depend on the seed alone.
    fn start(&self, material: &Material, device: &Device) -> Result<AutoDenoiser, Error> {
        let training = device.clone().autodiff();
        let seed = self.train.seed;
        let Some(checkpoint) = self.checkpoint()? else {
            return Ok(init_seeded(material.config.init(&training)?, &training, seed));
        };
        let (model, _) = checkpoint.load(device)?;
        self.check_view(&model)?;
        let model: AutoDenoiser = init_seeded(model, device, seed);
        let model = match material.text.map() {
            Some(map) if self.model.trim => map.trim_model(model)?,
            _ => model,
        };
        Ok(match self.model.dropout {
            Some(rate) => with_dropout(model, rate)?,
            None => model,
        })
    }

    fn run_network(&self, material: &Material, device: &Device) -> Result<Trained, Error> {
        let model = self.start(material, device)?.train();
        let batches = self.known(material.batches(self)?, &material.config);
        let trainer =
            Trainer::new(model, self.objective(material.text.vocabulary())?, batches, self.train_config())?;
        let mut trainer = trainer.with_threads(self.threads_of_steps(&material.config));
        let judge = Judge::new(self, material)?;
        let mut hooks = self.hooks();
        if let Some(judge) = &judge {
            let every = self.validate.every;
            hooks = hooks.validate(every, self.better(), |model: &AutoDenoiser, _| judge.scores(model));
            if self.validate.samples > 0 {
                let write = |model: &AutoDenoiser, step| judge.samples(model, step);
                hooks = hooks.samples(self.out.join("samples.jsonl"), write);
            }
        }
        let (model, ended) = self.drive(&mut trainer, hooks)?;
        Ok((model, None, ended))
    }

    fn run_length(&self, material: &Material, device: &Device) -> Result<Trained, Error> {
        let AutoDenoiser::Encoder(encoder) = self.start(material, device)? else {
            return Err(self.needs_encoder());
        };
        let vocabulary = material.text.vocabulary();
        let (head, size) = (self.length_head(encoder.config()), self.batch_size());
        let trainer =
            length_trainer(&encoder, &head, &material.questions, vocabulary, size, self.train_config())?;
        let mut trainer = trainer.with_threads(self.threads_of_steps(&material.config));
        let mut hooks = self.hooks();
        if self.validates() {
            let scores = |head: &LengthHead, _| length_scores(&encoder, head, material);
            hooks = hooks.validate(self.validate.every, Better::Lower, scores);
        }
        let (head, ended) = self.drive(&mut trainer, hooks)?;
        drop(trainer);
        Ok((AutoDenoiser::Encoder(encoder.valid()), Some(head), ended))
    }

    /// Tokens of prompts and answers, if a validation asks how long answers usually are.
    fn row_lengths(&self, material: &Material) -> Result<Vec<(usize, usize)>, Error> {
        let mut lengths = Vec::new();
        if self.validate.lengths == LengthChoice::Frequent {
            for part in &material.parts {
                for row in 0..part.rows.len() {
                    let example = part.rows.example(row)?;
                    lengths.push((example.prompt.len(), example.response.len()));
                }
            }
        }
        Ok(lengths)
    }

    /// Which of two validations is better.
    fn better(&self) -> Better {
        match self.validate.metric {
            MetricChoice::Of(metric) if !metric.lower_is_better() => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// What every stage does between steps.
    fn hooks<'a, M>(&self) -> Hooks<'a, M> {
        let hooks = Hooks::new()
            .progress()
            .log_every(self.train.log_every)
            .metrics(self.out.join("log.jsonl"))
            .tensorboard(self.out.join("tensorboard"))
            .checkpoints(self.out.join("checkpoints"), self.checkpoints.every, self.checkpoints.keep);
        match self.validate.patience {
            0 => hooks,
            patience => hooks.patience(patience),
        }
    }

    /// Goes on from the last checkpoint to the end, and chooses what is left.
    fn drive<M: Module, O: Objective<M>>(
        &self,
        trainer: &mut Trainer<M, O>,
        hooks: Hooks<'_, M>,
    ) -> Result<(M, Ended), Error> {
        let checkpoints = self.out.join("checkpoints");
        let latest = trainer.resume(&checkpoints)?;
        let broken: Vec<String> = latest.broken.iter().map(with_causes).collect();
        for error in &broken {
            eprintln!("damaged     {error}");
        }
        if !broken.is_empty() {
            eprintln!("goes on     from step {}", trainer.steps_done());
        }
        let summary = trainer.run(hooks)?;
        if self.checkpoints.take == TakeChoice::Best {
            trainer.load(checkpoints.join("best"))?;
        }
        let newest = newest(&checkpoints, self.checkpoints.average)?;
        let (averaged, folders): (Vec<u64>, Vec<PathBuf>) = newest.into_iter().unzip();
        let model = match folders.len() {
            0 => trainer.evaluated(),
            _ => average(trainer.model(), &folders)?,
        };
        Ok((model, Ended { summary, step: trainer.steps_done(), broken, averaged }))
    }
}

/// The newest checkpoints of a folder by their steps, oldest first.
fn newest(folder: &Path, most: usize) -> Result<Vec<(u64, PathBuf)>, Error> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(Error::io("list", folder))?;
    let mut steps: Vec<_> = paths.into_iter().filter_map(|path| Some((step_of(&path)?, path))).collect();
    steps.sort();
    Ok(steps.split_off(steps.len().saturating_sub(most)))
}

/// The step of a checkpoint's folder.
pub(super) fn step_of(checkpoint: &Path) -> Option<u64> {
    checkpoint.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

/// An error in words, with what caused it.
pub(super) fn with_causes(error: &crate::train::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

/// What logs call the score of the metric that the recipe names.
pub(super) const METRIC: &str = "metric";

/// What a validation of a network looks at.
struct Judge<'a> {
    recipe: &'a Recipe,
    material: &'a Material,
    batches: Batches,
    objective: super::objective::Loss,
    answerer: Answerer<'a>,
    lengths: Vec<Vec<usize>>,
}

impl<'a> Judge<'a> {
    /// `None` if the recipe validates nothing.
    fn new(recipe: &'a Recipe, material: &'a Material) -> Result<Option<Self>, Error> {
        if !recipe.validates() {
            return Ok(None);
        }
        let (text, valid) = (&material.text, &material.valid);
        let vocabulary = *text.vocabulary();
        let batches = Batches::new(valid.rows.clone(), vocabulary, recipe.batch_size(), recipe.train.seed)?;
        let table = LengthTable::new(recipe.row_lengths(material)?.into_iter());
        let lengths = table.lengths(recipe.validate.lengths, &valid.examples, material.config.max_len());
        let answerer = recipe.answerer(text);
        let objective = recipe.held_out(&vocabulary)?;
        Ok(Some(Self { recipe, material, batches, objective, answerer, lengths }))
    }

    fn scores(&self, model: &AutoDenoiser) -> Result<Vec<(&'static str, f64)>, Foreign> {
        let seed = self.recipe.train.seed;
        let loss = validation_loss(model, &self.objective, self.batches.epoch(0), seed)?;
        let mut scores = vec![("loss", loss)];
        if let MetricChoice::Of(metric) = self.recipe.validate.metric {
            let answers = self.answers(model, self.lengths.len())?;
            let score = metric.of_answers(&answers, &self.material.valid.references());
            // Answers of which the metric can say nothing, such as distinct-2 of single words, are the worst.
            let worst = f64::from(u8::from(metric.lower_is_better()));
            // The first score decides which network is best.
            scores.insert(0, (METRIC, score.unwrap_or(worst)));
        }
        Ok(scores)
    }

    /// Answers to the first prompts.
    fn answers(&self, model: &AutoDenoiser, most: usize) -> Result<Vec<String>, Error> {
        let examples = self.material.valid.examples.iter().take(most);
        let prompts: Vec<_> = examples.map(|example| example.prompt.as_slice()).collect();
        self.answerer.answer(model, &prompts, &self.lengths[..prompts.len()])
    }

    fn samples(&self, model: &AutoDenoiser, step: u64) -> Result<Vec<Sample>, Foreign> {
        let answers = self.answers(model, self.recipe.validate.samples)?;
        let sample = |(text, record): (String, &crate::train::data::Record)| {
            let (prompt, expected) = (record.prompt.clone(), record.response.clone());
            Sample { step, prompt, text, expected }
        };
        Ok(answers.into_iter().zip(&self.material.valid.records).map(sample).collect())
    }
}

/// How far the likeliest length is from the reference's on average, and how often it is right.
fn length_scores(
    encoder: &Encoder,
    head: &LengthHead,
    material: &Material,
) -> Result<Vec<(&'static str, f64)>, Foreign> {
    let examples = &material.valid.examples;
    let prompts: Vec<_> = examples.iter().map(|example| example.prompt.clone()).collect();
    let lengths = predict_lengths(encoder, head, &prompts, material.text.vocabulary(), 1)?;
    let guesses = lengths.iter().map(|lengths| lengths.first().copied().unwrap_or(0));
    let off: Vec<usize> = guesses.zip(examples).map(|(guess, e)| guess.abs_diff(e.response.len())).collect();
    // A plan refuses a validation of nothing.
    let mean = |sum: usize| sum as f64 / off.len().max(1) as f64;
    let right = off.iter().filter(|&&off| off == 0).count();
    Ok(vec![("length_error", mean(off.iter().sum())), ("length_exact", mean(right))])
}
