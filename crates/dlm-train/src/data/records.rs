//! Prompt and response as text, from files.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::Error;

/// What is asked and what should be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The context, never noised.
    pub prompt: String,
    /// What a model learns to write.
    pub response: String,
}

/// The names of a record's two parts in a JSON object.
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
}

impl Default for Fields {
    /// `prompt` and `response`.
    fn default() -> Self {
        Self::new("prompt", "response")
    }
}

/// Reads one JSON object a line; other fields and blank lines are passed over.
///
/// # Errors
/// [`Error::Io`]; [`Error::Record`], naming the line, if it is not UTF-8, not an object, or lacks a
/// field of text.
pub fn read_jsonl(path: impl AsRef<Path>, fields: &Fields) -> Result<Vec<Record>, Error> {
    read_lines(path.as_ref(), |line| {
        let object: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| ("a JSON object".to_owned(), error.to_string()))?;
        Ok(Record { prompt: text(&object, &fields.prompt)?, response: text(&object, &fields.response)? })
    })
}

/// Reads two columns with one tab between them, prompt and response, without a header; blank lines are
/// passed over.
///
/// # Errors
/// [`Error::Io`]; [`Error::Record`], naming the line, if it is not UTF-8 or has not two columns.
pub fn read_tsv(path: impl AsRef<Path>) -> Result<Vec<Record>, Error> {
    read_lines(path.as_ref(), |line| match *line.split('\t').collect::<Vec<_>>() {
        [prompt, response] => Ok(Record { prompt: prompt.to_owned(), response: response.to_owned() }),
        ref columns => Err(("2 columns".to_owned(), format!("{}", columns.len()))),
    })
}

/// What was expected of a line, and what it was.
type Complaint = (String, String);

fn read_lines(path: &Path, parse: impl Fn(&str) -> Result<Record, Complaint>) -> Result<Vec<Record>, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut records = Vec::new();
    for (number, bytes) in BufReader::new(file).split(b'\n').enumerate() {
        let bytes = bytes.map_err(Error::io("read", path))?;
        let complain =
            |(expected, got)| Error::Record { path: path.to_owned(), line: number + 1, expected, got };
        let line =
            std::str::from_utf8(&bytes).map_err(|error| complain(("UTF-8".to_owned(), error.to_string())))?;
        let line = line.trim_end_matches('\r');
        let line = if number == 0 { line.trim_start_matches('\u{feff}') } else { line };
        if !line.trim().is_empty() {
            records.push(parse(line).map_err(complain)?);
        }
    }
    Ok(records)
}

fn text(object: &Map<String, Value>, field: &str) -> Result<String, Complaint> {
    let got = match object.get(field) {
        Some(Value::String(text)) => return Ok(text.clone()),
        None => "an object without it",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    };
    Err((format!("text in the field `{field}`"), got.to_owned()))
}
