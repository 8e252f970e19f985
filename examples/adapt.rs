//! What you learn: the paper's diffusive adaptation. A masked language model becomes a diffusion language model
//! by a short training on the same kind of text with noise of every level.
//!
//! ```sh
//! cargo run --release --example adapt                       # assets/g2p-mlm, under a minute
//! cargo run --release --example adapt -- --dry-run
//! cargo run --release --example adapt -- --recipe mine.toml --out out/mine
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod stages;

use clap::Parser;

/// Adapts a masked language model into a diffusion language model.
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
    common.follow(&common.recipe("examples/recipes/adapt.toml")?)?;
    Ok(())
}
