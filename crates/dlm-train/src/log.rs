//! Files that grow by a line, each of a step.

use std::fs::{self, File};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::progress::Metrics;

/// What a line of a [`StepLog`] holds.
pub trait OfStep: Serialize + DeserializeOwned {
    /// What errors call it, with an article.
    const WHAT: &'static str;

    /// Steps done when it was written.
    fn step(&self) -> u64;
}

impl OfStep for Metrics {
    const WHAT: &'static str = "the metrics of a step";

    fn step(&self) -> u64 {
        self.step
    }
}

/// A text that a network wrote during training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Steps done.
    pub step: u64,
    /// What was asked.
    pub prompt: String,
    /// What the network wrote.
    pub text: String,
    /// What it should have written.
    #[serde(default)]
    pub expected: String,
}

impl OfStep for Sample {
    const WHAT: &'static str = "a sample of a step";

    fn step(&self) -> u64 {
        self.step
    }
}

/// A file with one JSON object of [`Metrics`] a line.
pub type MetricsFile = StepLog<Metrics>;

/// A file with one JSON object a line, in the order of their steps.
#[derive(Debug)]
pub struct StepLog<T> {
    path: PathBuf,
    file: File,
    lines: PhantomData<fn(T)>,
}

impl<T: OfStep> StepLog<T> {
    /// Opens or makes the file, for a run that has done `step` steps: later lines, which an
    /// interrupted run wrote after its last checkpoint, and a line cut short are removed.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Record`] if the file holds something else.
    pub fn open(path: impl AsRef<Path>, step: u64) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        if path.exists() {
            keep_until::<T>(&path, step)?;
        }
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(Error::io("open", &path))?;
        Ok(Self { path, file, lines: PhantomData })
    }

    /// Adds a line, whole: it is there with its end or not at all, as far as the system writes at once.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, line: &T) -> Result<(), Error> {
        let line = serde_json::to_string(line).map_err(io::Error::other);
        let written = line.and_then(|line| self.file.write_all(format!("{line}\n").as_bytes()));
        written.map_err(Error::io("write", &self.path))
    }

    /// All lines of a file; one cut short at the end is left out.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Record`] if the file holds something else.
    pub fn read(path: impl AsRef<Path>) -> Result<Vec<T>, Error> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        Ok(whole_lines(path, &bytes)?.into_iter().map(|(_, line)| line).collect())
    }
}

/// Cuts a file after `step`. A file of anything else is an error and stays as it is.
fn keep_until<T: OfStep>(path: &Path, step: u64) -> Result<(), Error> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let lines = whole_lines::<T>(path, &bytes)?;
    let kept = lines.iter().take_while(|(_, line)| line.step() <= step).last().map_or(0, |(end, _)| *end);
    let mut file = File::options().append(true).open(path).map_err(Error::io("open", path))?;
    file.set_len(kept as u64).map_err(Error::io("cut", path))?;
    // All of the last line may be there but its end, to which the next would be glued.
    let end: &[u8] = if kept == 0 || bytes[..kept].ends_with(b"\n") { b"" } else { b"\n" };
    file.write_all(end).map_err(Error::io("write", path))
}

/// Each line with the byte at which it ends. What was cut short need not be text: a letter has several bytes.
fn whole_lines<T: OfStep>(path: &Path, bytes: &[u8]) -> Result<Vec<(usize, T)>, Error> {
    let (mut end, mut lines) = (0, Vec::new());
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        end += line.len();
        match serde_json::from_slice(line) {
            Ok(value) => lines.push((end, value)),
            Err(error) if line.ends_with(b"\n") => {
                let (path, got) = (path.to_owned(), error.to_string());
                return Err(Error::Record { path, line: number + 1, expected: T::WHAT.to_owned(), got });
            }
            Err(_) => break,
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_an_older_version_reads_and_goes_on() {
        let path = std::env::temp_dir().join(format!("dlm-train-old-log-{}", std::process::id()));
        let old = "{\"step\":1,\"loss\":2.0,\"lr\":1e-3,\"grad_norm\":0.5,\"steps_per_s\":1.0,\"tokens_per_s\":8.0}\n";
        fs::write(&path, format!("{old}{}{{\"step\":", old.replace("\"step\":1", "\"step\":5"))).unwrap();
        assert_eq!(MetricsFile::read(&path).unwrap().len(), 2);
        let mut log = MetricsFile::open(&path, 3).unwrap();
        let read = MetricsFile::read(&path).unwrap();
        assert_eq!((read.len(), read[0].step, read[0].memory), (1, 1, crate::Memory::default()));
        log.write(&Metrics { step: 4, ..read[0].clone() }).unwrap();
        assert_eq!(MetricsFile::read(&path).unwrap()[1].step, 4);
        // A file of something else is left alone.
        let refused = StepLog::<Sample>::open(&path, 0).err().map(|error| error.to_string());
        assert!(
            refused.is_some_and(|text| text.contains(":1: expected a sample of a step, got missing field"))
        );
        assert_eq!(MetricsFile::read(&path).unwrap().len(), 2);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_log_cut_at_any_byte_goes_on_without_losing_a_whole_line() {
        let path = std::env::temp_dir().join(format!("dlm-train-cut-log-{}", std::process::id()));
        let sample = |step| {
            let (prompt, text) = ("Straße — 街".to_owned(), "é\u{1f600}".to_owned());
            Sample { step, prompt, text, expected: "ü".to_owned() }
        };
        let line = |step| format!("{}\n", serde_json::to_string(&sample(step)).unwrap());
        let (one, two) = (line(1), line(2));
        for cut in 0..=two.len() {
            fs::write(&path, [one.as_bytes(), &two.as_bytes()[..cut]].concat()).unwrap();
            // The line is whole with its brace; its end may be missing.
            let whole = 1 + u64::from(cut >= two.len() - 1);
            assert_eq!(StepLog::<Sample>::read(&path).unwrap().len() as u64, whole, "cut at {cut}");
            let mut log = StepLog::<Sample>::open(&path, 2).unwrap();
            log.write(&sample(3)).unwrap();
            let steps: Vec<u64> =
                StepLog::<Sample>::read(&path).unwrap().iter().map(|sample| sample.step).collect();
            assert_eq!(steps, [(1..=whole).collect(), vec![3]].concat(), "cut at {cut}");
            assert!(fs::read_to_string(&path).unwrap().ends_with(&line(3)));
        }
        fs::remove_file(&path).unwrap();
    }
}
