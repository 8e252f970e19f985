//! What a checkpoint knows beside tensors: a file of JSON that holds the hashes of the others and its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::error::Error;
use crate::guard::Watch;
use crate::hash::{START, digest, fnv};
use crate::precision::LossScale;

/// Changes when a reader of this version could misread a checkpoint.
const FORMAT: u32 = 4;
pub(crate) const STATE: &str = "state.json";
pub(crate) const MODEL: &str = "model.bpk";
pub(crate) const EMA: &str = "ema.bpk";
/// How the names of the optimiser's files begin.
const OPTIMIZER: &str = "optimizer";
/// How a state's JSON ends.
const END: &[u8] = b"\n}";

/// What a checkpoint knows beside tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    format: u32,
    pub(crate) at: Position,
    pub(crate) config: TrainConfig,
    /// [`BatchSource::fingerprint`](crate::BatchSource::fingerprint).
    pub(crate) data: u64,
    files: Vec<Entry>,
}

/// What every reader of any version understands.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

impl State {
    pub(crate) fn new(at: Position, config: TrainConfig, data: u64) -> Self {
        Self { format: FORMAT, at, config, data, files: Vec::new() }
    }

    /// Flushes the files of a checkpoint to the disk, and writes the state with what they are.
    pub(crate) fn write(mut self, folder: &Path, files: &[PathBuf]) -> Result<(), Error> {
        self.files = files.iter().map(|path| Entry::of(path)).collect::<Result<_, _>>()?;
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        let path = folder.join(STATE);
        let text = serde_json::to_vec_pretty(&self)
            .map_err(|error| Error::io("write", &path)(std::io::Error::other(error)))?;
        let mut file = File::create(&path).map_err(Error::io("create", &path))?;
        file.write_all(&sealed(text.strip_suffix(END).unwrap_or(&text)))
            .map_err(Error::io("write", &path))?;
        file.sync_all().map_err(Error::io("flush", &path))
    }

    /// Reads the state of a checkpoint, and compares it and the other files with their hashes.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(STATE);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let parsed = |error: serde_json::Error| damaged(&path, "the state of a trainer", error.to_string());
        let Header { format } = serde_json::from_slice(&bytes).map_err(parsed)?;
        if format != FORMAT {
            return Err(Error::Checkpoint {
                path,
                what: "another version of this crate wrote the checkpoint, resume with that one",
                expected: format!("format {FORMAT}"),
                got: format!("format {format}"),
            });
        }
        if !is_sealed(&bytes) {
            return Err(damaged(&path, "a text with the hash at its end", "another".to_owned()));
        }
        let state: Self = serde_json::from_slice(&bytes).map_err(parsed)?;
        state.check_names(&path)?;
        state.files.iter().try_for_each(|entry| entry.check(folder))?;
        Ok(state)
    }

    /// Whether the checkpoint has the files that its configuration asks for.
    fn check_names(&self, path: &Path) -> Result<(), Error> {
        let names = || self.files.iter().map(|entry| entry.name.as_str());
        let moments = names().filter(|name| name.starts_with(OPTIMIZER)).count();
        let expected: &[&str] = if self.config.ema.is_some() { &[EMA, MODEL] } else { &[MODEL] };
        if moments > 0 && names().filter(|name| !name.starts_with(OPTIMIZER)).eq(expected.iter().copied()) {
            return Ok(());
        }
        let expected = format!("{} and {OPTIMIZER}-..", expected.join(", "));
        Err(damaged(path, expected, names().collect::<Vec<_>>().join(", ")))
    }
}

/// With its hash as the last field: that of all bytes before.
fn sealed(body: &[u8]) -> Vec<u8> {
    let hash = fnv(START, body.iter().copied());
    [body, format!(",\n  \"fnv\": \"{hash:016x}\"").as_bytes(), END].concat()
}

fn is_sealed(bytes: &[u8]) -> bool {
    let tail = sealed(&[]).len();
    bytes.len().checked_sub(tail).is_some_and(|body| sealed(&bytes[..body]) == bytes)
}

fn damaged(path: &Path, expected: impl Into<String>, got: String) -> Error {
    let what = "the checkpoint is damaged, delete it and resume from an older one";
    Error::Checkpoint { path: path.to_owned(), what, expected: expected.into(), got }
}

/// Where a run stands, tensors aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Steps done.
    pub(crate) step: u64,
    /// The most there ever were: more than `step` once the run went back.
    reached: u64,
    /// How often the run went back since it last came further than ever.
    pub(crate) went_back: u64,
    /// Batches that were passed over for good, when the run went back before a spike.
    pub(crate) passed_over: u64,
    pub(crate) record: BestSoFar,
    pub(crate) watch: Watch,
    pub(crate) scale: LossScale,
    /// Steps that were left out because a gradient overflowed in f16.
    pub(crate) overflows: u64,
}

impl Position {
    /// A step further.
    pub(crate) fn advance(&mut self) {
        self.step += 1;
        if self.step > self.reached {
            (self.reached, self.went_back) = (self.step, 0);
        }
    }

    /// The position of a checkpoint, gone back to from `before`, where the coming step, of `batches` batches, was a
    /// spike: those that led to it are passed over.
    pub(crate) fn back_from(self, before: Self, batches: u64) -> Self {
        let steps = before.step + 1 - self.step.min(before.step);
        let mut watch = self.watch;
        (watch.in_a_row, watch.spikes) = (before.watch.in_a_row, before.watch.spikes);
        Self {
            reached: before.reached,
            went_back: before.went_back + 1,
            passed_over: before.passed_over + steps * batches,
            watch,
            overflows: before.overflows,
            ..self
        }
    }
}

/// The best validation so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Standing", from = "Standing")]
pub(crate) struct BestSoFar {
    /// Its step and value; `None` before the first validation.
    pub(crate) best: Option<(u64, f64)>,
    /// Validations since, none of them better.
    pub(crate) stale: u64,
}

/// [`BestSoFar`] in a file: as bits, because a value that reads back differently could change which
/// of two is better.
#[derive(Serialize, Deserialize)]
struct Standing {
    step: Option<u64>,
    bits: Option<u64>,
    stale: u64,
}

impl From<BestSoFar> for Standing {
    fn from(BestSoFar { best, stale }: BestSoFar) -> Self {
        let (step, bits) = best.map(|(step, value)| (step, value.to_bits())).unzip();
        Self { step, bits, stale }
    }
}

impl From<Standing> for BestSoFar {
    fn from(Standing { step, bits, stale }: Standing) -> Self {
        Self { best: step.zip(bits.map(f64::from_bits)), stale }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    fnv: u64,
}

impl Entry {
    /// Flushes a file to the disk and notes what is there.
    fn of(path: &Path) -> Result<Self, Error> {
        let file = File::options().write(true).open(path).map_err(Error::io("open", path))?;
        file.sync_all().map_err(Error::io("flush", path))?;
        let (bytes, fnv) = digest(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, bytes, fnv })
    }

    fn check(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(&self.name);
        let (bytes, fnv) = digest(&path)?;
        if (bytes, fnv) == (self.bytes, self.fnv) {
            return Ok(());
        }
        let show = |bytes, fnv| format!("{bytes} bytes with hash {fnv:016x}");
        Err(damaged(&path, show(self.bytes, self.fnv), show(bytes, fnv)))
    }
}
