//! What you learn: how a masked language model is trained with this library.
//!
//! By default a small BERT on letters and phonemes of the CMU Pronouncing Dictionary, 30 % of the tokens masked.
//! `assets/g2p-mlm`, where the other examples start, is of `examples/recipes/g2p_mlm.toml`: the same in 8000 steps
//! and with a longer warm-up. A run that was stopped goes on from its last checkpoint.
//!
//! ```sh
//! cargo run --release --example pretrain_mlm                # 200 steps, under a minute
//! cargo run --release --example pretrain_mlm -- --recipe examples/recipes/g2p_mlm.toml
//! cargo run --release --example pretrain_mlm -- --recipe mine.toml --dry-run
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod stages;

use clap::Parser;

/// Trains a masked language model.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    common: stages::Common,
}

fn main() -> std::process::ExitCode {
    stages::report(run)
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let Options { common } = Options::parse();
    common.follow(&common.recipe("examples/recipes/pretrain_mlm.toml")?)?;
    Ok(())
}
