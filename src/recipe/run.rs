//! A recipe at work.

use burn::module::Module;
use burn::tensor::Device;

use super::answer::{Answerer, LengthTable};
use super::choices::{LengthChoice, MetricChoice, Stage, TakeChoice};
use super::material::Material;
use super::{Error, Recipe, Text, folder};
use crate::length::{length_trainer, predict_lengths};
use crate::models::{Encoder, LengthHead};
use crate::train::data::Rows;
use crate::train::{
    Batches, Better, Foreign, Hooks, Objective, Sample, Summary, Trainer, init_seeded, validation_loss,
};

/// How a run ended, and what it made. Networks have dropout off.
pub struct Done {
    /// Steps, loss and the best validation.
    pub summary: Summary,
    /// The network; of the stage `length` as it was.
    pub encoder: Encoder,
    /// What the stage `length` trained.
    pub head: Option<LengthHead>,
    /// The network's tokenizer.
    pub text: Text,
}

/// A network, a length head if one was trained, and how it went.
type Trained = (Encoder, Option<LengthHead>, Summary);

impl Recipe {
    /// Trains, and leaves a folder of which [the module](super) tells. What an interrupted run did up to its
    /// last checkpoint is not done again: the same call goes on. Progress is shown on standard error.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for fields that do not fit the network; [`Error::Models`] and [`Error::Train`] for
    /// folders, files and numbers, and for a checkpoint of another recipe in the folder; [`Error::Io`].
    pub fn run(&self, device: &Device) -> Result<Done, Error> {
        self.check()?;
        let material = self.material()?;
        let plan = self.plan_of(&material)?;
        folder::begin(self, device)?;
        let (encoder, head, summary) = match self.stage {
            Stage::Length => self.run_length(&material, device)?,
            _ => self.run_encoder(&material, device)?,
        };
        let done = Done { summary, encoder, head, text: material.text };
        folder::save(self, &done)?;
        folder::end(self, &plan, &done.summary)?;
        Ok(done)
    }

    /// The network at the start: weights that a folder lacks depend on the seed alone.
    fn start(&self, material: &Material, device: &Device) -> Result<Encoder, Error> {
        let training = device.clone().autodiff();
        let seed = self.train.seed;
        let Some(checkpoint) = self.checkpoint()? else {
            return Ok(init_seeded(material.config.init(&training)?, &training, seed));
        };
        let (model, _) = checkpoint.load(device)?;
        let model: Encoder = init_seeded(model, device, seed);
        let model = match material.text.map() {
            Some(map) if self.model.trim => map.trim_model(model)?,
            _ => model,
        };
        Ok(match self.model.dropout {
            Some(rate) => model.with_dropout(rate)?,
            None => model,
        })
    }

    fn run_encoder(&self, material: &Material, device: &Device) -> Result<Trained, Error> {
        let model = self.start(material, device)?.train();
        let batches = material.batches(self)?;
        let trainer =
            Trainer::new(model, self.objective(material.text.vocabulary())?, batches, self.train_config())?;
        let mut trainer = trainer.with_threads(self.threads());
        let judge = Judge::new(self, material)?;
        let mut hooks = self.hooks();
        if let Some(judge) = &judge {
            let every = self.validate.every;
            hooks = hooks.validate(every, self.better(), |model: &Encoder, _| judge.scores(model));
            if self.validate.samples > 0 {
                let write = |model: &Encoder, step| judge.samples(model, step);
                hooks = hooks.samples(self.out.join("samples.jsonl"), write);
            }
        }
        let summary = self.drive(&mut trainer, hooks)?;
        Ok((trainer.evaluated(), None, summary))
    }

    fn run_length(&self, material: &Material, device: &Device) -> Result<Trained, Error> {
        let encoder = self.start(material, device)?;
        let vocabulary = material.text.vocabulary();
        let (head, size) = (self.length_head(encoder.config()), self.batch_size());
        let trainer =
            length_trainer(&encoder, &head, &material.questions, vocabulary, size, self.train_config())?;
        let mut trainer = trainer.with_threads(self.threads());
        let mut hooks = self.hooks();
        if self.validates() {
            let scores = |head: &LengthHead, _| length_scores(&encoder, head, material);
            hooks = hooks.validate(self.validate.every, Better::Lower, scores);
        }
        let summary = self.drive(&mut trainer, hooks)?;
        let head = trainer.evaluated();
        drop(trainer);
        Ok((encoder.valid(), Some(head), summary))
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

    /// Goes on from the last checkpoint to the end.
    fn drive<M: Module, O: Objective<M>>(
        &self,
        trainer: &mut Trainer<M, O>,
        hooks: Hooks<'_, M>,
    ) -> Result<Summary, Error> {
        let checkpoints = self.out.join("checkpoints");
        trainer.resume(&checkpoints)?;
        let summary = trainer.run(hooks)?;
        if self.checkpoints.take == TakeChoice::Best {
            trainer.load(checkpoints.join("best"))?;
        }
        Ok(summary)
    }
}

/// What logs call the score of the metric that the recipe names.
pub(super) const METRIC: &str = "metric";

/// What a validation of an encoder looks at.
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

    fn scores(&self, model: &Encoder) -> Result<Vec<(&'static str, f64)>, Foreign> {
        let seed = self.recipe.train.seed;
        let loss = validation_loss(model, &self.objective, self.batches.epoch(0), seed)?;
        let mut scores = vec![("loss", loss)];
        if let MetricChoice::Of(metric) = self.recipe.validate.metric {
            let answers = self.answers(model, self.lengths.len())?;
            let references = self.material.valid.records.iter().map(|record| record.response.clone());
            let score = metric.of_answers(&answers, &references.collect::<Vec<_>>());
            // The first score decides which network is best.
            scores.splice(0..0, score.map(|score| (METRIC, score)));
        }
        Ok(scores)
    }

    /// Answers to the first prompts.
    fn answers(&self, model: &Encoder, most: usize) -> Result<Vec<String>, Error> {
        let examples = self.material.valid.examples.iter().take(most);
        let prompts: Vec<_> = examples.map(|example| example.prompt.as_slice()).collect();
        self.answerer.answer(model, &prompts, &self.lengths[..prompts.len()])
    }

    fn samples(&self, model: &Encoder, step: u64) -> Result<Vec<Sample>, Foreign> {
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
    let mean = |sum: usize| sum as f64 / off.len().max(1) as f64;
    let right = off.iter().filter(|&&off| off == 0).count();
    Ok(vec![("length_error", mean(off.iter().sum())), ("length_exact", mean(right))])
}
