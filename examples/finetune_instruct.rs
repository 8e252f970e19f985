//! What you learn: instruction finetuning. One network learns several tasks from questions in words, drawn from a
//! weighted mixture, and is asked about unseen words, and in one wording that it has never seen.
//!
//! ```sh
//! cargo run --release --example finetune_instruct           # under a minute; the numbers are of a toy
//! cargo run --release --example finetune_instruct -- --steps 10000
//! ```
//!
//! The questions are made of the CMU Pronouncing Dictionary and written into `out/instruct-data` first, if the recipe
//! reads them there; with `--dry-run` too, because a plan counts them.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod instruct;
mod stages;

use std::error::Error;

use clap::Parser;
use dlm::evaluate::Metric;
use dlm::recipe::{Done, Recipe};
use instruct::{Question, TASKS};

/// Finetunes a network on instructions. Their questions are first written into out/instruct-data, if the recipe
/// reads them there; with --dry-run too, because a plan counts them.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: stages::Common,
}

fn main() -> std::process::ExitCode {
    stages::report(run)
}

fn run() -> Result<(), Box<dyn Error>> {
    let Options { common } = Options::parse();
    let recipe = common.recipe("examples/recipes/instruct.toml")?;
    if recipe.data.files.iter().any(|file| file.path.starts_with(instruct::DATA)) {
        instruct::write()?;
        println!("data        {} tasks written to {}", TASKS.len(), instruct::DATA);
    }
    let Some(done) = common.follow(&recipe)? else { return Ok(()) };
    println!("\nexact match on {} unseen words a task, with the reference's lengths", instruct::TEST_WORDS);
    for task in TASKS {
        measure(&recipe, &done, task.name, &instruct::test(task, false)?)?;
    }
    for task in TASKS {
        let name = format!("{}, a wording never seen", task.name);
        measure(&recipe, &done, &name, &instruct::test(task, true)?)?;
    }
    Ok(())
}

fn measure(recipe: &Recipe, done: &Done, name: &str, questions: &[Question]) -> Result<(), Box<dyn Error>> {
    let Some(first) = questions.first() else { return Ok(()) };
    let encode = |text: &str| done.text.encode(text);
    let prompts = questions.iter().map(|question| encode(&question.inputs)).collect::<Result<Vec<_>, _>>()?;
    let lengths = questions.iter().map(|question| Ok(vec![encode(&question.targets)?.len()]));
    let lengths = lengths.collect::<Result<Vec<_>, dlm::recipe::Error>>()?;
    let answerer = recipe.answerer(&done.text);
    let answers = answerer.answer(&done.model, &prompts, &lengths)?;
    let references: Vec<String> = questions.iter().map(|question| question.targets.clone()).collect();
    let score = "accuracy".parse::<Metric>()?.of_answers(&answers, &references).unwrap_or_default();
    println!("{name:<36} {score:.2}   {} -> {}", first.inputs, answers[0]);
    Ok(())
}
