//! The run's folder: what is written there beside logs and checkpoints.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::run::METRIC;
use super::{Done, Error, Plan, Recipe, Stage, plots};
use crate::models::Checkpoint;
use crate::text::ID_MAP;
use crate::train::{MetricsFile, Summary};

/// The burn that this crate is built with; a test compares it with the manifest.
const BURN: &str = "0.22.1";

/// The recipe with all fields, in the run's folder.
const RECIPE: &str = "recipe.toml";

/// `run.json`: with what, where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    diffusion_lm: String,
    burn: String,
    device: String,
    system: String,
    seed: u64,
    /// Seconds since 1970 at which the run was started, and started again.
    started: Vec<u64>,
    /// And at which it ended.
    finished: Option<u64>,
}

/// Fails if the run in the folder was begun by a recipe with other numbers. Its data are known to the checkpoint,
/// and how often it is looked at changes nothing.
pub(super) fn same_run(recipe: &Recipe) -> Result<(), Error> {
    // A file that is gone or of an older version tells nothing.
    let Ok(before) = Recipe::read(recipe.out.join(RECIPE)) else { return Ok(()) };
    let numbers = |recipe: &Recipe| {
        let resolved = recipe.resolved();
        let mut train = resolved.train;
        (train.steps, train.log_every) = (1, 1);
        let sections = [
            ("stage", toml::Value::try_from(resolved.stage)),
            ("train", toml::Value::try_from(train)),
            ("mlm", toml::Value::try_from(resolved.mlm)),
            ("diffusion", toml::Value::try_from(resolved.diffusion)),
        ];
        // Structs of numbers and texts cannot fail to serialise.
        let whole = sections.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.ok()?)));
        toml::Value::Table(whole.collect())
    };
    match difference("", &numbers(&before), &numbers(recipe)) {
        None => Ok(()),
        Some((field, before, now)) => Err(Error::OtherRun { out: recipe.out.clone(), field, before, now }),
    }
}

/// The first field that two tables do not have alike, and its values.
fn difference(field: &str, before: &toml::Value, now: &toml::Value) -> Option<(String, String, String)> {
    let (toml::Value::Table(old), toml::Value::Table(new)) = (before, now) else {
        return (before != now).then(|| (field.to_owned(), before.to_string(), now.to_string()));
    };
    let mut keys = old.keys().chain(new.keys());
    keys.find_map(|key| {
        let field = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
        let nothing = toml::Value::String("nothing".to_owned());
        difference(&field, old.get(key).unwrap_or(&nothing), new.get(key).unwrap_or(&nothing))
    })
}

/// Makes the folder and says what will be run.
pub(super) fn begin(recipe: &Recipe, device: &Device) -> Result<(), Error> {
    fs::create_dir_all(&recipe.out).map_err(Error::io("create", &recipe.out))?;
    replace(&recipe.out.join(RECIPE), recipe.resolved().to_toml().as_bytes())?;
    let path = recipe.out.join("run.json");
    let before: Option<RunRecord> =
        fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut started = before.map(|before| before.started).unwrap_or_default();
    started.push(now());
    let record = RunRecord {
        diffusion_lm: env!("CARGO_PKG_VERSION").to_owned(),
        burn: BURN.to_owned(),
        device: format!("{device:?}"),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        seed: recipe.train.seed,
        started,
        finished: None,
    };
    write_json(&path, &record)
}

/// Draws the plots and writes the model card, when the network is in its place.
pub(super) fn end(recipe: &Recipe, plan: &Plan, summary: &Summary) -> Result<(), Error> {
    let log = MetricsFile::read(recipe.out.join("log.jsonl"))?;
    plots::draw(&recipe.out.join("plots"), &log)?;
    let scores = log.iter().rev().find(|line| !line.validation.is_empty());
    let scores: Vec<(&String, &f64)> = scores.iter().flat_map(|line| &line.validation).collect();
    replace(&recipe.out.join("README.md"), card(recipe, plan, summary, &scores).as_bytes())?;
    let path = recipe.out.join("run.json");
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    let record: RunRecord =
        serde_json::from_slice(&bytes).map_err(|error| Error::io("read", &path)(error.into()))?;
    write_json(&path, &RunRecord { finished: Some(now()), ..record })
}

/// Puts the network into `model/`, whole or not at all.
pub(super) fn save(recipe: &Recipe, done: &Done) -> Result<(), Error> {
    let (out, text) = (&recipe.out, &done.text);
    let (new, place, old) = (out.join(".model.new"), out.join("model"), out.join(".model.old"));
    for folder in [&new, &old] {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Error::io("remove", folder))?;
        }
    }
    Checkpoint::write(&done.encoder, &new, text.path())?;
    if let Some(map) = text.map() {
        map.save(new.join(ID_MAP))?;
    }
    recipe.view().write(&new)?;
    if let Some(head) = &done.head {
        head.write(&new)?;
    }
    if place.exists() {
        fs::rename(&place, &old).map_err(Error::io("rename", &place))?;
    }
    fs::rename(&new, &place).map_err(Error::io("rename", &new))?;
    if old.exists() {
        fs::remove_dir_all(&old).map_err(Error::io("remove", &old))?;
    }
    Ok(())
}

/// The model card.
fn card(recipe: &Recipe, plan: &Plan, summary: &Summary, scores: &[(&String, &f64)]) -> String {
    let mut card = String::new();
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
    let files = recipe.data.files.iter().flat_map(super::FileSection::files);
    let files: Vec<String> = files.map(|path| format!("`{}`", path.display())).collect();
    let _ = writeln!(
        card,
        "# {name}\n\n{what}, made from {from} by diffusion-lm {}.\n",
        env!("CARGO_PKG_VERSION")
    );
    let _ = writeln!(card, "| | |\n|---|---|");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(card, "| {name} | {value} |");
    };
    row("network", format!("{} words, {} parameters trained, f32", plan.words, plan.parameters));
    row("data", format!("{} records of {}", plan.records, files.join(", ")));
    row(
        "training",
        format!(
            "{} of {} steps, {:.2} epochs planned, seed {}",
            summary.steps, plan.steps, plan.epochs, recipe.train.seed
        ),
    );
    if let Some(loss) = summary.loss {
        row("training loss", format!("{loss:.4}, mean since the last reading"));
    }
    for (name, value) in scores {
        let name = if *name == METRIC { recipe.validate.metric.to_string() } else { (*name).clone() };
        row(&format!("validation {name}"), format!("{value:.4} on {} records", plan.validation));
    }
    if let Some((step, value)) = summary.best {
        row("best validation", format!("{value:.4} after step {step}"));
    }
    let _ = write!(card, "\n## Loading it\n\n{}\n\n", loading(recipe));
    let _ = write!(card, "The licence of the data and of the network it came from hold for it too.\n\n");
    let _ = write!(card, "## Recipe\n\n```toml\n{}```\n", recipe.to_toml());
    card
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

/// Writes beside the file and renames, so that a crash leaves the old one or the new one.
pub(super) fn replace(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let new: PathBuf =
        path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    fs::write(&new, contents).map_err(Error::io("write", &new))?;
    fs::rename(&new, path).map_err(Error::io("rename", &new))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| Error::io("write", path)(error.into()))?;
    replace(path, &text)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_burn_is_the_manifests() {
        assert!(include_str!("../../Cargo.toml").contains(&format!("burn = {{ version = \"{BURN}\"")));
    }
}
