//! The model card of a run.

use std::fmt::Write as _;

use super::run::METRIC;
use super::{Done, Error, Plan, Recipe, Stage, TakeChoice};
use crate::train::Metrics;

/// The model card.
pub(super) fn card(recipe: &Recipe, plan: &Plan, done: &Done, log: &[Metrics]) -> Result<String, Error> {
    let mut card = title(recipe);
    let summary = &done.summary;
    let _ = writeln!(card, "| | |\n|---|---|");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(card, "| {name} | {value} |");
    };
    let files = recipe.data.files.iter().flat_map(super::FileSection::files);
    let files: Vec<String> = files.map(|path| format!("`{}`", path.display())).collect();
    row("network", format!("{} words, {} parameters trained, f32", plan.words, plan.parameters));
    row("data", format!("{} records of {}", plan.records, files.join(", ")));
    row(
        "training",
        format!(
            "{} of {} steps, {:.2} epochs planned, seed {}",
            summary.steps, plan.steps, plan.epochs, recipe.train.seed
        ),
    );
    row("weights", weights(recipe, done));
    if let Some(loss) = summary.loss {
        row("training loss", format!("{loss:.4}, mean since the last reading"));
    }
    // Of the network that is left, or the last before it.
    let validated = |line: &&Metrics| !line.validation.is_empty() && line.step <= done.step;
    if let Some(line) = log.iter().rev().find(validated) {
        for (name, value) in &line.validation {
            let name = if name == METRIC { recipe.validate.metric.to_string() } else { name.clone() };
            let of = format!("{value:.4} on {} records, after step {}", plan.validation, line.step);
            row(&format!("validation {name}"), of);
        }
    }
    if let Some((step, value)) = summary.best {
        row("best validation", format!("{value:.4} after step {step}"));
    }
    let _ = write!(card, "\n## Loading it\n\n{}\n\n", loading(recipe));
    let _ = write!(card, "The licence of the data and of the network it came from hold for it too.\n\n");
    let _ = write!(card, "## Recipe\n\n```toml\n{}```\n", recipe.to_toml()?);
    Ok(card)
}

/// What the network is, and what it came from.
fn title(recipe: &Recipe) -> String {
    let what = match recipe.stage {
        Stage::Mlm => "A masked language model",
        Stage::Diffusion => "A diffusion language model",
        Stage::Autoregressive => "An autoregressive language model (decode it as `view::next_token`)",
        Stage::ArToDiffusion => "A diffusion language model (decode it as `view::Shifted`)",
        Stage::Length => "A diffusion language model with a head that predicts the length of answers",
    };
    let from = match &recipe.model.folder {
        Some(folder) => format!("the network in `{}`", folder.display()),
        None => "new weights".to_owned(),
    };
    let name = recipe.out.file_name().unwrap_or(recipe.out.as_os_str()).to_string_lossy();
    format!("# {name}\n\n{what}, made from {from} by diffusion-lm {}.\n\n", env!("CARGO_PKG_VERSION"))
}

/// Which weights are left.
fn weights(recipe: &Recipe, done: &Done) -> String {
    if !done.averaged.is_empty() {
        let steps: Vec<String> = done.averaged.iter().map(ToString::to_string).collect();
        return format!("mean of those after steps {}, not validated itself", steps.join(", "));
    }
    let best = recipe.checkpoints.take == TakeChoice::Best;
    format!("of step {}, {}", done.step, if best { "which validated best" } else { "the last" })
}

fn loading(recipe: &Recipe) -> String {
    let folder = recipe.out.join("model");
    let folder = folder.display();
    let map = if recipe.model.trim {
        " Its vocabulary was trimmed: `id_map.json` leads from the ids of `tokenizer.json` to those of the network."
    } else {
        ""
    };
    let head = if recipe.stage == Stage::Length {
        " The head is in `length_head.safetensors`, its sizes in `length_head.json`."
    } else {
        ""
    };
    format!(
        "`{folder}` is a Hugging Face folder, which Python's transformers read too.{map}{head}\n\n```rust,ignore\n\
         let (pipeline, report) = dlm::pipeline::Pipeline::load(\"{folder}\", &device)?;\n```"
    )
}
