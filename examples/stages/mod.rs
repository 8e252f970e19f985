//! What the examples of the stages share: a command line, and a recipe.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use burn::tensor::Device;
use clap::Args;
use dlm::recipe::{Done, Recipe};

/// Runs an example, and says what went wrong in words, causes included.
pub(crate) fn report(run: impl FnOnce() -> Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

/// What the command line may change of a recipe.
#[derive(Args)]
pub(crate) struct Common {
    /// A recipe; docs/recipe.toml has every field. The example's own if left out.
    #[arg(long)]
    pub(crate) recipe: Option<PathBuf>,
    /// Says what would be done, and stops.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The run's folder, instead of the recipe's.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Steps, instead of the recipe's.
    #[arg(long)]
    steps: Option<u64>,
}

impl Common {
    /// The recipe to follow.
    pub(crate) fn recipe(&self, default: &str) -> Result<Recipe, Box<dyn Error>> {
        let path = self.recipe.clone().unwrap_or_else(|| default.into());
        println!("recipe      {}", path.display());
        let mut recipe = Recipe::read(path)?;
        if let Some(out) = &self.out {
            recipe.out.clone_from(out);
        }
        if let Some(steps) = self.steps {
            recipe.train.steps = steps;
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// Shows the plan and, unless that was all, follows it.
    pub(crate) fn follow(&self, recipe: &Recipe) -> Result<Option<Done>, Box<dyn Error>> {
        let prepared = recipe.prepare(&Device::default())?;
        println!("{}", prepared.plan());
        if self.dry_run {
            return Ok(None);
        }
        let begin = Instant::now();
        let done = prepared.run()?;
        let seconds = begin.elapsed().as_secs_f64();
        let loss = done.summary.loss.map_or_else(String::new, |loss| format!(", loss {loss:.3}"));
        println!("done        {} steps in {seconds:.0} s{loss}", done.summary.steps);
        if let Some((step, value)) = done.summary.best {
            println!("best        {value:.4} after step {step}");
        }
        println!("written     {} (model, README.md, log.jsonl, plots)", recipe.out.display());
        Ok(Some(done))
    }
}
