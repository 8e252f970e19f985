//! What you learn: how a network learns how long its answers will be. A diffusion model fills a canvas of a given
//! length; in the paper a small head on the frozen network predicts it from the prompt.
//!
//! ```sh
//! cargo run --release --example train_length                # on assets/g2p-mlm, under a minute
//! cargo run --release --example train_length -- --model out/adapt/model --out out/adapt-length
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod stages;

use std::path::PathBuf;

use clap::Parser;
use dlm::length::predict_lengths;

/// Trains the length head of a network that stays as it is.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: stages::Common,
    /// Hugging Face folder of the network, instead of the recipe's.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Prompts whose lengths are shown.
    #[arg(default_values_t = ["cat".to_owned(), "knight".into(), "onomatopoeia".into()])]
    prompts: Vec<String>,
}

fn main() -> std::process::ExitCode {
    stages::report(run)
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let Options { common, model, prompts } = Options::parse();
    let mut recipe = common.recipe("examples/recipes/length.toml")?;
    if model.is_some() {
        recipe.model.folder = model;
    }
    let Some(done) = common.follow(&recipe)? else { return Ok(()) };
    let head = done.head.as_ref().ok_or("the recipe's stage must be \"length\"")?;
    let ids = prompts.iter().map(|prompt| done.text.encode(prompt)).collect::<Result<Vec<_>, _>>()?;
    let encoder = done.encoder().ok_or("lengths are predicted from an encoder")?;
    let lengths = predict_lengths(encoder, head, &ids, done.text.vocabulary(), 3)?;
    for (prompt, lengths) in prompts.iter().zip(lengths) {
        println!("{prompt:<20} {lengths:?} tokens, likeliest first");
    }
    Ok(())
}
