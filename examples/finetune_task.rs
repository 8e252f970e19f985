//! What you learn: the paper's task finetuning. A pretrained encoder becomes a diffusion language model of one
//! task, a head learns the lengths of its answers, and both are measured on a test file.
//!
//! ```sh
//! cargo run --release --example finetune_task               # spelling to phonemes, under a minute
//! cargo run --release --example finetune_task -- --recipe examples/recipes/translate.toml --test test.tsv
//! ```
//!
//! `examples/recipes/translate.toml` is German to English from a Hugging Face folder.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod stages;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Parser;
use dlm::core::{Denoiser, TokenId};
use dlm::length::predict_lengths;
use dlm::recipe::{Done, FileSection, MetricChoice, Recipe};
use dlm::train::data::Record;

/// Finetunes an encoder into a diffusion language model of one task.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: stages::Common,
    /// Test records, in the format of the recipe's first file; of the example's own recipe
    /// assets/cmudict/test.tsv, and of another none, if left out.
    #[arg(long)]
    test: Option<PathBuf>,
    /// At most so many of them, evenly spaced; 0 for all.
    #[arg(long, default_value_t = 200)]
    test_on: usize,
    /// Steps of the length stage, which encoders have; 0 for none.
    #[arg(long, default_value_t = 150)]
    length_steps: u64,
    /// Highest learning rate of the length stage.
    #[arg(long, default_value_t = 1e-3)]
    length_lr: f64,
    /// Candidate lengths of each answer.
    #[arg(long, default_value_t = 3)]
    beam: usize,
}

fn main() -> std::process::ExitCode {
    stages::report(run)
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let recipe = options.common.recipe("examples/recipes/finetune_task.toml")?;
    // What would fail after the training fails before it.
    let records = options.records(&recipe)?;
    let stage = options.length_stage(&recipe)?;
    let Some(done) = options.common.follow(&recipe)? else { return Ok(()) };
    let test = records.map(|records| Test::new(records, &done)).transpose()?;
    let mut scores = Vec::new();
    if let Some(test) = &test {
        let reference: Vec<Vec<usize>> = test.lengths.iter().map(|&length| vec![length]).collect();
        scores.push(test.measure(&recipe, &done, &reference, "reference")?);
    }
    let (Some(stage), Some(encoder)) = (stage, done.encoder()) else { return Ok(()) };
    println!("\nlengths     {} steps of a head on the frozen network", options.length_steps);
    let lengths = train_head(&stage)?;
    let head = lengths.head.as_ref().ok_or("no head was trained")?;
    if let Some(test) = &test {
        let vocabulary = done.text.vocabulary();
        let predicted = predict_lengths(encoder, head, &test.prompts, vocabulary, options.beam)?;
        scores.push(test.measure(&recipe, &done, &predicted, "predicted")?);
    }
    if let [oracle, predicted] = scores[..] {
        println!("test        {oracle:.4} with the reference's lengths, {predicted:.4} with predicted ones");
    }
    Ok(())
}

/// Trains the length head. One of the network as it was before it was trained further steps aside.
fn train_head(stage: &Recipe) -> Result<Done, Box<dyn Error>> {
    let device = Device::default();
    match stage.run(&device) {
        Err(dlm::recipe::Error::Train(dlm::train::Error::Checkpoint { .. })) => {
            let mut names = (1..).map(|n| stage.out.with_file_name(format!("aside-{n}-length")));
            let aside = names.find(|path| !path.exists()).ok_or("no name is free")?;
            fs::rename(&stage.out, &aside)?;
            println!("set aside   {}, a head of another network", aside.display());
            Ok(stage.run(&device)?)
        }
        done => Ok(done?),
    }
}

impl Options {
    /// What the network is measured on, if on anything.
    fn records(&self, recipe: &Recipe) -> Result<Option<Vec<Record>>, Box<dyn Error>> {
        let own = self.common.recipe.is_none().then(|| PathBuf::from("assets/cmudict/test.tsv"));
        let Some(path) = self.test.clone().or(own) else { return Ok(None) };
        let file = FileSection { path, ..recipe.data.files[0].clone() };
        let all = file.records(recipe.data.on_broken)?.records;
        let every = all.len().checked_div(self.test_on).unwrap_or(1).max(1);
        let most = if self.test_on == 0 { all.len() } else { self.test_on };
        Ok(Some(all.into_iter().step_by(every).take(most).collect()))
    }

    /// The recipe of the length head, if there is to be one.
    fn length_stage(&self, recipe: &Recipe) -> Result<Option<Recipe>, Box<dyn Error>> {
        if self.length_steps == 0 {
            return Ok(None);
        }
        let mut stage = recipe.length_stage(self.length_steps);
        stage.train.lr = self.length_lr;
        stage.check()?;
        Ok(Some(stage))
    }
}

/// Records to be answered.
struct Test {
    records: Vec<Record>,
    prompts: Vec<Vec<TokenId>>,
    /// Of the references, in tokens.
    lengths: Vec<usize>,
}

impl Test {
    fn new(records: Vec<Record>, done: &Done) -> Result<Self, Box<dyn Error>> {
        // Of a long prompt its end, of a long answer its beginning: with BOS and EOS they fit the network.
        let half = done.model.max_len().unwrap_or(512) / 2 - 1;
        let (mut prompts, mut lengths) = (Vec::new(), Vec::new());
        for record in &records {
            let prompt = done.text.encode(&record.prompt)?;
            prompts.push(prompt[prompt.len().saturating_sub(half)..].to_vec());
            lengths.push(done.text.encode(&record.response)?.len().min(half));
        }
        Ok(Self { records, prompts, lengths })
    }

    /// Answers, writes the answers, and scores them by the recipe's metric.
    fn measure(
        &self,
        recipe: &Recipe,
        done: &Done,
        lengths: &[Vec<usize>],
        name: &str,
    ) -> Result<f64, Box<dyn Error>> {
        let answerer = recipe.answerer(&done.text);
        let answers = answerer.answer(&done.model, &self.prompts, lengths)?;
        write(&recipe.out.join(format!("test.{name}.txt")), &answers)?;
        for (record, answer) in self.records.iter().zip(&answers).take(3) {
            println!("   {}\n     -> {answer}\n     == {}", record.prompt, record.response);
        }
        let references: Vec<String> = self.records.iter().map(|record| record.response.clone()).collect();
        let metric = match recipe.validate.metric {
            MetricChoice::Of(metric) => metric,
            _ => "accuracy".parse()?,
        };
        let score = metric.of_answers(&answers, &references).ok_or("the metric needs no answers")?;
        println!("test        {metric} {score:.4} on {} records, {name} lengths", answers.len());
        Ok(score)
    }
}

fn write(path: &Path, lines: &[String]) -> Result<(), Box<dyn Error>> {
    fs::write(path, lines.join("\n") + "\n")?;
    println!("written     {}", path.display());
    Ok(())
}
