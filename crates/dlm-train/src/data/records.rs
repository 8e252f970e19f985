//! Prompt and response as text, and the files with one record a line.

use std::path::Path;

use crate::data::file::{Complaint, Object, text};
use crate::data::{Format, OnBroken, read};
use crate::error::Error;

/// What is asked and what should be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The context, never noised.
    pub prompt: String,
    /// What a model learns to write.
    pub response: String,
}

/// The names of a record's two parts in a JSON object. Dots lead into what is nested, as in `translation.de`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Name of the prompt.
    pub prompt: String,
    /// Name of the response.
    pub response: String,
}

impl Fields {
    /// Fields of these names.
    pub fn new(prompt: impl Into<String>, response: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), response: response.into() }
    }

    /// `inputs` and `targets`, as in Flan 2021 and 2022.
    pub fn flan() -> Self {
        Self::new("inputs", "targets")
    }

    pub(super) fn record(&self, object: &Object) -> Result<Record, Complaint> {
        Ok(Record { prompt: text(object, &self.prompt)?, response: text(object, &self.response)? })
    }
}

impl Default for Fields {
    /// `prompt` and `response`.
    fn default() -> Self {
        Self::new("prompt", "response")
    }
}

/// Reads one JSON object a line; other fields and blank lines are passed over. [`read`] also skips broken
/// lines, if asked to.
///
/// # Errors
/// [`Error::Io`]; [`Error::Record`], naming the line, if it is not UTF-8, not an object, or lacks a
/// field of text.
pub fn read_jsonl(path: impl AsRef<Path>, fields: &Fields) -> Result<Vec<Record>, Error> {
    Ok(read(path, &Format::Json(fields.clone()), OnBroken::Stop)?.records)
}

/// Reads two columns with one tab between them, prompt and response, without a header; empty lines are
/// passed over. [`read`] also skips broken lines, if asked to.
///
/// # Errors
/// [`Error::Io`]; [`Error::Record`], naming the line, if it is not UTF-8 or has not two columns.
pub fn read_tsv(path: impl AsRef<Path>) -> Result<Vec<Record>, Error> {
    Ok(read(path, &Format::Tsv, OnBroken::Stop)?.records)
}

/// Two columns of a line.
pub(super) fn tsv(line: &str) -> Result<Record, Complaint> {
    match *line.split('\t').collect::<Vec<_>>() {
        [prompt, response] => Ok(Record { prompt: prompt.to_owned(), response: response.to_owned() }),
        ref columns => Err(("2 columns".to_owned(), format!("{}", columns.len()))),
    }
}
