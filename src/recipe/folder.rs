//! The run's folder: what is written there beside logs and checkpoints.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::card::card;
use super::same::shown;
use super::{Done, Error, Plan, Recipe, plots};
use crate::models::Checkpoint;
use crate::text::ID_MAP;
use crate::train::MetricsFile;

/// The burn that this crate is built with; a test compares it with the manifest.
const BURN: &str = "0.22.1";

/// The recipe with all fields, in the run's folder.
pub(super) const RECIPE: &str = "recipe.toml";

/// With what, where and when it was run.
const RUN: &str = "run.json";

/// `run.json`: with what, where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    diffusion_lm: String,
    burn: String,
    device: String,
    system: String,
    seed: u64,
    /// Fingerprint of what is validated on, and how.
    #[serde(default)]
    pub(super) validation: Option<String>,
    /// Seconds since 1970 at which the run was started, and started again.
    started: Vec<u64>,
    /// And at which it ended.
    finished: Option<u64>,
}

impl RunRecord {
    /// A folder's, if it has one that can be read.
    pub(super) fn of_folder(out: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(out.join(RUN)).ok()?).ok()
    }
}

/// Makes the folder and says what will be run.
pub(super) fn begin(recipe: &Recipe, device: &Device, validation: Option<u64>) -> Result<(), Error> {
    // Before anything is made.
    let text = recipe.resolved().to_toml()?;
    fs::create_dir_all(&recipe.out).map_err(Error::io("create", &recipe.out))?;
    let before = RunRecord::of_folder(&recipe.out);
    replace(&recipe.out.join(RECIPE), text.as_bytes())?;
    let (mut started, validated) =
        before.map(|before| (before.started, before.validation)).unwrap_or_default();
    started.push(now());
    let record = RunRecord {
        diffusion_lm: env!("CARGO_PKG_VERSION").to_owned(),
        burn: BURN.to_owned(),
        device: format!("{device:?}"),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        seed: recipe.train.seed,
        // A run that validates no more still has its best value.
        validation: validation.map(shown).or(validated),
        started,
        finished: None,
    };
    write_json(&recipe.out.join(RUN), &record)
}

/// Draws the plots and writes the model card, when the network is in its place.
pub(super) fn end(recipe: &Recipe, plan: &Plan, done: &Done) -> Result<(), Error> {
    let log = MetricsFile::read(recipe.out.join("log.jsonl"))?;
    plots::draw(&recipe.out.join("plots"), &log)?;
    let card = card(recipe, plan, done, &log)?;
    replace(&recipe.out.join("README.md"), card.as_bytes())?;
    let path = recipe.out.join(RUN);
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
    Checkpoint::write(&done.model, &new, text.path())?;
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
