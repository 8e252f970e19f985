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
use dlm::core::TokenId;
use dlm::length::predict_lengths;
use dlm::recipe::{Done, FileSection, MetricChoice, Recipe};
use dlm::train::data::Record;

/// Finetunes an encoder into a diffusion language model of one task.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: stages::Common,
    /// Test records, in the format of the recipe's first file.
    #[arg(long, default_value = "assets/cmudict/test.tsv")]
    test: PathBuf,
    /// At most so many of them, evenly spaced; 0 for all.
    #[arg(long, default_value_t = 200)]
    test_on: usize,
    /// Steps of the length stage; 0 for none.
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
    let Some(done) = options.common.follow(&recipe)? else { return Ok(()) };
    let test = Test::read(&options, &recipe, &done)?;
    let reference: Vec<Vec<usize>> = test.lengths.iter().map(|&length| vec![length]).collect();
    let oracle = test.measure(&recipe, &done, &reference, "reference")?;
    if options.length_steps == 0 {
        return Ok(());
    }
    println!("\nlengths     {} steps of a head on the frozen network", options.length_steps);
    let mut stage = recipe.length_stage(options.length_steps);
    stage.train.lr = options.length_lr;
    let lengths = stage.run(&Device::default())?;
    let head = lengths.head.as_ref().ok_or("no head was trained")?;
    let vocabulary = done.text.vocabulary();
    let predicted = predict_lengths(&done.encoder, head, &test.prompts, vocabulary, options.beam)?;
    let predicted = test.measure(&recipe, &done, &predicted, "predicted")?;
    println!("test        {oracle:.4} with the reference's lengths, {predicted:.4} with predicted ones");
    Ok(())
}

/// Records to be answered.
struct Test {
    records: Vec<Record>,
    prompts: Vec<Vec<TokenId>>,
    /// Of the references, in tokens.
    lengths: Vec<usize>,
}

impl Test {
    fn read(options: &Options, recipe: &Recipe, done: &Done) -> Result<Self, Box<dyn Error>> {
        let file = FileSection { path: options.test.clone(), ..recipe.data.files[0].clone() };
        let all = file.records(recipe.data.on_broken)?.records;
        let every = all.len().checked_div(options.test_on).unwrap_or(1).max(1);
        let most = if options.test_on == 0 { all.len() } else { options.test_on };
        let records: Vec<Record> = all.into_iter().step_by(every).take(most).collect();
        // Of a long prompt its end, of a long answer its beginning: with BOS and EOS they fit the network.
        let half = done.encoder.config().max_len() / 2 - 1;
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
        let answers = answerer.answer(&done.encoder, &self.prompts, lengths)?;
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
