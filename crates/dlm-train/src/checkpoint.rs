//! Checkpoints on disk: whole, verified, or absent.
//!
//! ```text
//! folder/
//!   step-00001000/
//!     state.json       step, configuration, data fingerprint, size and hash of the other files, and its own hash
//!     model.bpk        parameters
//!     optimizer-0.bpk  moments, in eight files
//!     ema.bpk          moving average, if there is one
//!   best/              the checkpoint that validated best, if a run validates
//! ```
//!
//! A checkpoint is written beside its place, flushed to the disk and renamed, so that an interruption
//! at any moment leaves the former ones as they were (where one takes the place of another, the former
//! steps aside, and is put back by whoever reads next). Random generators have no state to save: every
//! draw is a function of the seed and the step.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use burn::store::RecordError;

use crate::error::Error;
use crate::state::State;

const PART: &str = ".part-";
/// Where a checkpoint waits while another takes its place.
const OLD: &str = ".old-";
/// Name of the best checkpoint.
pub(crate) const BEST: &str = "best";
/// Where the former best one waits until a checkpoint knows of the new one.
const FORMER: &str = ".former-";

/// The checkpoints of a folder, seen from the newest.
#[derive(Debug)]
pub struct Latest {
    /// The newest checkpoint that is whole.
    pub path: Option<PathBuf>,
    /// What is wrong with each newer one.
    pub broken: Vec<Error>,
}

/// Finds the newest whole checkpoint in `folder`, which need not exist.
///
/// Every file is read and compared with its size and hash.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub fn latest(folder: impl AsRef<Path>) -> Result<Latest, Error> {
    for path in files_if_any(folder.as_ref())? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(name) = name.strip_prefix(OLD) {
            put_back(&folder.as_ref().join(name))?;
        }
    }
    let mut broken = Vec::new();
    for (_, path) in steps(folder.as_ref())?.into_iter().rev() {
        match read_state(&path) {
            Ok(_) => return Ok(Latest { path: Some(path), broken }),
            Err(error) => broken.push(error),
        }
    }
    Ok(Latest { path: None, broken })
}

/// Writes a checkpoint `folder/name`: `fill` makes the files, in a folder of their own.
pub(crate) fn write(
    folder: &Path,
    name: &str,
    state: State,
    fill: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let part = folder.join(format!("{PART}{name}"));
    let place = folder.join(name);
    put_back_from(OLD, &place)?;
    remove(&part)?;
    fs::create_dir_all(&part).map_err(Error::io("create", &part))?;
    fill(&part)?;
    state.write(&part, &files(&part)?)?;
    sync_folder(&part)?;
    replace(&part, &place)?;
    sync_folder(folder)?;
    Ok(place)
}

/// The name of a step's checkpoint.
pub(crate) fn name(step: u64) -> String {
    format!("step-{step:08}")
}

/// Removes all but the `keep` newest checkpoints.
pub(crate) fn prune(folder: &Path, keep: usize) -> Result<(), Error> {
    let mut old = steps(folder)?;
    old.truncate(old.len().saturating_sub(keep.max(1)));
    old.iter().try_for_each(|(_, path)| remove(path))
}

/// Renames checkpoints of steps after `step`, damaged ones or those of a run that is not gone on with, to
/// `aside-1-step-..`: nobody resumes from them, and they do not count as the newest.
pub(crate) fn set_aside(folder: &Path, step: u64) -> Result<(), Error> {
    let later = steps(folder)?.into_iter().filter(|(later, _)| *later > step);
    later.map(|(_, path)| path).try_for_each(|path| aside(folder, &path))
}

fn aside(folder: &Path, path: &Path) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = (1..=u64::MAX).map(|n| folder.join(format!("aside-{n}-{name}")));
    let free = names.find(|path| !path.exists());
    free.map_or(Ok(()), |free| fs::rename(path, &free).map_err(Error::io("rename", path)))
}

/// Makes room for a new best checkpoint. The former one is kept until [`forget_former_best`], because the run may
/// still go back to a step that knows of it alone.
pub(crate) fn keep_former_best(folder: &Path) -> Result<(), Error> {
    let (best, former) = (folder.join(BEST), beside(&folder.join(BEST), FORMER));
    put_back(&best)?;
    if best.exists() && !former.exists() {
        fs::rename(&best, &former).map_err(Error::io("rename", &best))?;
    }
    Ok(())
}

/// Removes the former best checkpoint, once that of a step knows of the new one.
pub(crate) fn forget_former_best(folder: &Path) -> Result<(), Error> {
    let best = folder.join(BEST);
    put_back(&best)?;
    remove(&beside(&best, FORMER))
}

/// Sets a best checkpoint aside that is damaged or of a step after `step`, which was undone, and puts the former
/// one back; says whether there is one then.
pub(crate) fn settle_best(folder: &Path, step: u64) -> Result<bool, Error> {
    let best = folder.join(BEST);
    loop {
        put_back(&best)?;
        if !best.exists() {
            return Ok(false);
        }
        if read_state(&best).is_ok_and(|state| state.at.step <= step) {
            forget_former_best(folder)?;
            return Ok(true);
        }
        aside(folder, &best)?;
    }
}

/// Reads and verifies a checkpoint.
pub(crate) fn read_state(path: &Path) -> Result<State, Error> {
    put_back(path)?;
    let state = State::read(path)?;
    let named = step_of(path).unwrap_or(state.at.step);
    if named != state.at.step {
        return Err(Error::Checkpoint {
            path: path.to_owned(),
            what: "the checkpoint is of another step than its folder's name",
            expected: format!("step {named}"),
            got: format!("step {}", state.at.step),
        });
    }
    Ok(state)
}

/// For `map_err`: burn could not write or read one of its archives.
pub(crate) fn archive(path: &Path) -> impl FnOnce(RecordError) -> Error {
    let path = path.to_owned();
    move |source| Error::Archive { path, source }
}

/// The checkpoints of a folder by step.
fn steps(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let step = |path: PathBuf| Some((step_of(&path)?, path));
    let mut steps: Vec<_> = files_if_any(folder)?.into_iter().filter_map(step).collect();
    steps.sort();
    Ok(steps)
}

/// The step that a checkpoint's folder is named after.
fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

fn files_if_any(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if folder.exists() { files(folder) } else { Ok(Vec::new()) }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let path = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.path());
    entries.map(path).collect::<Result<_, _>>().map_err(Error::io("list", folder))
}

/// Puts `part` at `place`, where an older checkpoint may be: it steps aside first, because a folder
/// cannot be renamed onto another.
fn replace(part: &Path, place: &Path) -> Result<(), Error> {
    let old = beside(place, OLD);
    remove(&old)?;
    if place.exists() {
        fs::rename(place, &old).map_err(Error::io("rename", place))?;
    }
    fs::rename(part, place).map_err(Error::io("rename", part))?;
    remove(&old)
}

/// Undoes a [`replace`] or a [`keep_former_best`] that was interrupted between its renames.
fn put_back(place: &Path) -> Result<(), Error> {
    [OLD, FORMER].into_iter().try_for_each(|waits_as| put_back_from(waits_as, place))
}

fn put_back_from(waits_as: &str, place: &Path) -> Result<(), Error> {
    let waiting = beside(place, waits_as);
    if waiting.exists() && !place.exists() {
        fs::rename(&waiting, place).map_err(Error::io("rename", &waiting))?;
    }
    Ok(())
}

fn beside(place: &Path, prefix: &str) -> PathBuf {
    place.with_file_name(format!("{prefix}{}", place.file_name().unwrap_or_default().to_string_lossy()))
}

fn remove(folder: &Path) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::io("remove", folder))?;
    }
    Ok(())
}

/// Makes renames in `folder` survive a loss of power, where the system can.
fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        let handle = File::open(folder).map_err(Error::io("open", folder))?;
        handle.sync_all().map_err(Error::io("flush", folder))?;
    }
    Ok(())
}
