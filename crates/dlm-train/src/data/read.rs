//! Any of the formats, and what becomes of a broken record.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::data::file::{self, Complaint, Object, each_line, each_object, each_paragraph};
use crate::data::instruct::{alpaca, conversation, task};
use crate::data::records::tsv;
use crate::data::{Case, Chat, Fields, NaturalInstructions, Record, Template};
use crate::error::Error;

/// How a file holds its records.
///
/// The JSON formats are a JSON object a line, one array of objects, or, with the feature `parquet`, the rows
/// of a Parquet file, whose columns are the fields and whose row numbers stand for lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// JSON objects, each with a field that is the prompt and one that is the response.
    Json(Fields),
    /// JSON objects, whose fields of text fill two templates.
    Filled {
        /// Makes the prompt.
        prompt: Template,
        /// Makes the response.
        response: Template,
    },
    /// Two columns with one tab between them, prompt and response, without a header.
    Tsv,
    /// Documents without a prompt, for masked or unconditional training.
    Text(Documents),
    /// JSON objects with `instruction`, `output` and, where there is one, `input`, in the prompt that
    /// Alpaca was trained on.
    Alpaca,
    /// JSON objects with `messages`.
    Chat(Chat),
    /// A task of Natural Instructions: the file is one JSON object.
    NaturalInstructions(NaturalInstructions),
}

/// Where a document ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// At the end of its line.
    Lines,
    /// At a blank line; lines within a document keep the newline between them.
    Paragraphs,
}

/// What a broken record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBroken {
    /// It is an error.
    Stop,
    /// It is left out, counted and reported.
    Skip,
}

/// What a file held.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The whole records, in the file's order.
    pub records: Vec<T>,
    /// The broken ones.
    pub skipped: Skipped,
}

/// Broken records that were left out.
///
/// Shows as `no record skipped`, or as their number and the first of them, a line each.
#[derive(Debug, Default)]
pub struct Skipped {
    /// How many there are.
    pub count: usize,
    /// Complaints about the first of them, at most [`Skipped::KEPT`].
    pub first: Vec<Error>,
}

impl Skipped {
    /// As many complaints are kept.
    pub const KEPT: usize = 8;
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => return write!(f, "no record skipped"),
            1 => write!(f, "1 record skipped")?,
            count => write!(f, "{count} records skipped")?,
        }
        for complaint in &self.first {
            write!(f, "\n  {complaint}")?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl<T> Loaded<T> {
    fn new() -> Self {
        Self { records: Vec::new(), skipped: Skipped::default() }
    }

    /// Keeps a record, or does with a complaint as the caller wishes.
    pub(super) fn take(
        &mut self,
        path: &Path,
        line: usize,
        record: Result<T, Complaint>,
        on_broken: OnBroken,
    ) -> Result<(), Error> {
        let error = match record {
            Ok(record) => {
                self.records.push(record);
                return Ok(());
            }
            Err(complaint) => file::record(path, line, complaint),
        };
        if on_broken == OnBroken::Stop {
            return Err(error);
        }
        self.skipped.count += 1;
        if self.skipped.first.len() < Skipped::KEPT {
            self.skipped.first.push(error);
        }
        Ok(())
    }
}

/// Reads the records of a file. Blank lines are passed over.
///
/// # Errors
/// [`Error::Io`]; [`Error::Record`], naming file and line, for a broken record, unless it is skipped, and
/// always for a JSON array of broken syntax or a broken Parquet file, because nothing tells where the next
/// record begins, for Parquet in another codec than Snappy or gzip, and for a task without its definition or
/// instances.
///
/// # Example
/// ```
/// use dlm_train::data::{Fields, Format, OnBroken, read};
/// # let path = std::env::temp_dir().join(format!("dlm-doc-read-{}", std::process::id()));
/// std::fs::write(&path, "{\"inputs\": \"2 + 2 =\", \"targets\": \"4\"}\n{\"inputs\": \"2 + 3 =\"}\n")?;
/// let loaded = read(&path, &Format::Json(Fields::flan()), OnBroken::Skip)?;
/// assert_eq!(loaded.records[0].response, "4");
/// assert_eq!(loaded.skipped.count, 1);
/// assert!(loaded.skipped.to_string().ends_with(":2: expected text in the field `targets`, got an object without it"));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: impl AsRef<Path>, format: &Format, on_broken: OnBroken) -> Result<Loaded<Record>, Error> {
    let path = path.as_ref();
    let mut loaded = Loaded::new();
    match format {
        Format::Json(fields) => objects(path, &mut loaded, on_broken, |object| vec![fields.record(object)]),
        Format::Filled { prompt, response } => objects(path, &mut loaded, on_broken, |object| {
            let record =
                || Ok(Record { prompt: filled(prompt, object)?, response: filled(response, object)? });
            vec![record()]
        }),
        Format::Alpaca => objects(path, &mut loaded, on_broken, |object| vec![alpaca(object)]),
        Format::Chat(chat) => objects(path, &mut loaded, on_broken, |object| conversation(chat, object)),
        Format::Tsv => tsv(path, &mut loaded, on_broken),
        Format::Text(Documents::Lines) => each_line(path, |line, text| {
            loaded.take(path, line, text.map(str::to_owned).map(document), on_broken)
        }),
        Format::Text(Documents::Paragraphs) => {
            each_paragraph(path, |line, text| loaded.take(path, line, text.map(document), on_broken))
        }
        Format::NaturalInstructions(how) => {
            let object = file::whole_object(path)?;
            let records = task(how, &object).map_err(|complaint| file::record(path, 1, complaint))?;
            records.into_iter().try_for_each(|record| loaded.take(path, 1, record, on_broken))
        }
    }?;
    Ok(loaded)
}

/// Reads the named fields of text of JSON objects: one a line, in one array, or rows of Parquet.
///
/// # Errors
/// As [`read`].
pub fn read_cases(
    path: impl AsRef<Path>,
    fields: &[&str],
    on_broken: OnBroken,
) -> Result<Loaded<Case>, Error> {
    let mut loaded = Loaded::new();
    objects(path.as_ref(), &mut loaded, on_broken, |object| {
        let named = |&field: &&str| Ok((field.to_owned(), file::text(object, field)?));
        vec![fields.iter().map(named).collect()]
    })?;
    Ok(loaded)
}

/// Reads columns with one tab between them, without a header, as fields of these names; blank lines are
/// passed over.
///
/// # Errors
/// [`Error::Io`]; [`Error::Record`], naming the line, if it is not UTF-8 or has another number of columns.
pub fn read_columns(
    path: impl AsRef<Path>,
    columns: &[&str],
    on_broken: OnBroken,
) -> Result<Loaded<Case>, Error> {
    let (path, mut loaded) = (path.as_ref(), Loaded::new());
    let case = |text: &str| -> Result<Case, Complaint> {
        let texts: Vec<&str> = text.split('\t').collect();
        if texts.len() != columns.len() {
            return Err((format!("{} columns", columns.len()), texts.len().to_string()));
        }
        Ok(columns.iter().zip(texts).map(|(&name, text)| (name.to_owned(), text.to_owned())).collect())
    };
    each_line(path, |line, text| loaded.take(path, line, text.and_then(case), on_broken))?;
    Ok(loaded)
}

/// Reads JSON objects, one a line or in one array, each as the caller parses it. A complaint is what was
/// expected, and what there was instead.
///
/// # Errors
/// As [`read`].
///
/// # Example
/// ```
/// use dlm_train::data::{OnBroken, read_objects};
/// # let path = std::env::temp_dir().join(format!("dlm-doc-objects-{}", std::process::id()));
/// std::fs::write(&path, r#"[{"choices": ["yes", "no"]}, {}]"#)?;
/// let loaded = read_objects(&path, OnBroken::Skip, |object| {
///     let choices = object.get("choices").and_then(|value| value.as_array());
///     choices.map(Vec::len).ok_or(("choices".to_owned(), "none".to_owned()))
/// })?;
/// assert_eq!((loaded.records, loaded.skipped.count), (vec![2], 1));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_objects<T>(
    path: impl AsRef<Path>,
    on_broken: OnBroken,
    parse: impl Fn(&Object) -> Result<T, Complaint>,
) -> Result<Loaded<T>, Error> {
    let mut loaded = Loaded::new();
    objects(path.as_ref(), &mut loaded, on_broken, |object| vec![parse(object)])?;
    Ok(loaded)
}

fn objects<T>(
    path: &Path,
    loaded: &mut Loaded<T>,
    on_broken: OnBroken,
    parse: impl Fn(&Object) -> Vec<Result<T, Complaint>>,
) -> Result<(), Error> {
    each_object(path, |line, object| {
        let records = object.map_or_else(|complaint| vec![Err(complaint)], |object| parse(&object));
        records.into_iter().try_for_each(|record| loaded.take(path, line, record, on_broken))
    })
}

fn filled(template: &Template, object: &Object) -> Result<String, Complaint> {
    template
        .render(|field| object.get(field).and_then(Value::as_str))
        .map_err(|field| (format!("text in the field `{field}`"), file::named(object.get(field))))
}

fn document(text: String) -> Record {
    Record { prompt: String::new(), response: text }
}
