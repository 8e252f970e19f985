//! Any of the formats, and what becomes of a broken record.

use std::fmt;
use std::path::Path;

use crate::data::array::lines_of;
use crate::data::file::{self, Complaint, Object, each_line, each_object, each_paragraph, empty, white};
use crate::data::instruct::{alpaca, conversation, task};
use crate::data::records::tsv;
use crate::data::value::{at, written};
use crate::data::{Case, Chat, Fields, NaturalInstructions, Record, Template};
use crate::error::Error;

/// How a file holds its records.
///
/// The JSON formats are a JSON object a line, one array of objects, or, with the feature `parquet`, the rows
/// of a Parquet file, whose columns are the fields and whose row numbers stand for lines. Numbers and booleans count
/// as text, an integer without a decimal point, and dots in a field's name lead into what is nested:
/// `translation.de` is the field `de` of the object `translation`, `choices.0` the first of the list `choices`.
///
/// Blank lines, of white space alone, are passed over; in files of columns only an empty line is blank, because a
/// tab parts two empty columns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// JSON objects, each with a field that is the prompt and one that is the response.
    Json(Fields),
    /// JSON objects, whose fields fill two templates.
    Filled {
        /// Makes the prompt.
        prompt: Template,
        /// Makes the response.
        response: Template,
    },
    /// Two columns with one tab between them, prompt and response, without a header.
    Tsv,
    /// The same, but the columns have names and fill two templates.
    Columns {
        /// What the templates call them.
        names: [String; 2],
        /// Makes the prompt.
        prompt: Template,
        /// Makes the response.
        response: Template,
    },
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

    fn add(&mut self, complaint: Error) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(complaint);
        }
    }

    /// Joins what was left out of one more file.
    pub fn join(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(Self::KEPT);
    }
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

/// Passes whole records on, and does with broken ones as the caller wishes.
pub(super) struct Sieve<'a, T> {
    path: &'a Path,
    on_broken: OnBroken,
    /// Takes a record and its line.
    take: &'a mut dyn FnMut(usize, T) -> Result<(), Error>,
    skipped: Skipped,
}

impl<T> Sieve<'_, T> {
    pub(super) fn pass(&mut self, line: usize, record: Result<T, Complaint>) -> Result<(), Error> {
        let error = match record {
            Ok(record) => return (self.take)(line, record),
            Err(complaint) => file::record(self.path, line, complaint),
        };
        if self.on_broken == OnBroken::Stop {
            return Err(error);
        }
        self.skipped.add(error);
        Ok(())
    }
}

/// What `read` lets through, one after the other.
fn sifted<T>(
    path: &Path,
    on_broken: OnBroken,
    mut take: impl FnMut(usize, T) -> Result<(), Error>,
    read: impl FnOnce(&mut Sieve<'_, T>) -> Result<(), Error>,
) -> Result<Skipped, Error> {
    let mut sieve = Sieve { path, on_broken, take: &mut take, skipped: Skipped::default() };
    read(&mut sieve)?;
    Ok(sieve.skipped)
}

/// All that `read` lets through.
fn loaded<T>(
    path: &Path,
    on_broken: OnBroken,
    read: impl FnOnce(&mut Sieve<'_, T>) -> Result<(), Error>,
) -> Result<Loaded<T>, Error> {
    let mut records = Vec::new();
    let take = |_, record| {
        records.push(record);
        Ok(())
    };
    let skipped = sifted(path, on_broken, take, read)?;
    Ok(Loaded { records, skipped })
}

/// Reads the records of a file. Blank lines are passed over.
///
/// # Errors
/// [`Error::Io`]; [`Error::Record`], naming file and line, for a broken record, unless it is skipped, and always
/// - for a JSON array whose brackets, commas or quotes are broken, or a broken Parquet file, because nothing tells
///   where the next record begins;
/// - for Parquet in another codec than Snappy, gzip or, with the feature `zstd`, Zstandard;
/// - for a task without its definition or instances;
/// - for a packed file, which has to be unpacked first.
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
    loaded(path.as_ref(), on_broken, |sieve| records(format, sieve))
}

/// As [`read`], but hands each record over as soon as it is read, so that a file may be larger than memory.
///
/// # Errors
/// As [`read`], and those of `take`.
pub fn each_record(
    path: impl AsRef<Path>,
    format: &Format,
    on_broken: OnBroken,
    mut take: impl FnMut(Record) -> Result<(), Error>,
) -> Result<Skipped, Error> {
    each_placed(path.as_ref(), format, on_broken, |_, record| take(record))
}

/// As [`each_record`], with the line where each record begins.
pub(super) fn each_placed(
    path: &Path,
    format: &Format,
    on_broken: OnBroken,
    take: impl FnMut(usize, Record) -> Result<(), Error>,
) -> Result<Skipped, Error> {
    sifted(path, on_broken, take, |sieve| records(format, sieve))
}

/// How many records a file has, if its lines or rows tell; broken ones count.
pub(super) fn estimate(path: &Path, format: &Format) -> Option<usize> {
    match format {
        Format::Json(_) | Format::Filled { .. } | Format::Alpaca | Format::Chat(_) => {
            file::object_count(path)
        }
        Format::Tsv | Format::Columns { .. } => file::line_count(path, empty),
        Format::Text(Documents::Lines) => file::line_count(path, white),
        Format::Text(Documents::Paragraphs) | Format::NaturalInstructions(_) => None,
    }
}

fn records(format: &Format, sieve: &mut Sieve<'_, Record>) -> Result<(), Error> {
    let path = sieve.path;
    match format {
        Format::Json(fields) => objects(sieve, |object| vec![fields.record(object)]),
        Format::Filled { prompt, response } => objects(sieve, |object| {
            let lookup = |field: &str| at(object, field).and_then(written);
            let got = |field: &str| file::named(at(object, field));
            vec![filled([prompt, response], lookup, got)]
        }),
        Format::Alpaca => objects(sieve, |object| vec![alpaca(object)]),
        Format::Chat(chat) => objects(sieve, |object| conversation(chat, object)),
        Format::Tsv => each_line(path, empty, |line, text| sieve.pass(line, text.and_then(tsv))),
        Format::Columns { names, prompt, response } => each_line(path, empty, |line, text| {
            let record = text.and_then(tsv).and_then(|Record { prompt: first, response: second }| {
                let columns = [(&names[0], first.as_str()), (&names[1], second.as_str())];
                let lookup =
                    |field: &str| columns.iter().find(|(name, _)| *name == field).map(|(_, text)| *text);
                filled([prompt, response], lookup, |_| {
                    format!("the columns `{}` and `{}`", names[0], names[1])
                })
            });
            sieve.pass(line, record)
        }),
        Format::Text(Documents::Lines) => {
            each_line(path, white, |line, text| sieve.pass(line, text.map(str::to_owned).map(document)))
        }
        Format::Text(Documents::Paragraphs) => {
            each_paragraph(path, |line, text| sieve.pass(line, text.map(document)))
        }
        Format::NaturalInstructions(how) => {
            let (object, json) = file::whole_object(path)?;
            let records = task(how, &object).map_err(|complaint| file::record(path, 1, complaint))?;
            let lines = lines_of(&json, "Instances");
            let line = |instance: usize| lines.get(instance).copied().unwrap_or(1);
            records.into_iter().try_for_each(|(instance, record)| sieve.pass(line(instance), record))
        }
    }
}

/// Reads the named fields of JSON objects: one a line, in one array, or rows of Parquet. A case has each under the
/// name that it was asked for by, dots and all.
///
/// # Errors
/// As [`read`].
pub fn read_cases(
    path: impl AsRef<Path>,
    fields: &[&str],
    on_broken: OnBroken,
) -> Result<Loaded<Case>, Error> {
    loaded(path.as_ref(), on_broken, |sieve| {
        objects(sieve, |object| {
            let named = |&field: &&str| Ok((field.to_owned(), file::text(object, field)?));
            vec![fields.iter().map(named).collect()]
        })
    })
}

/// Reads columns with one tab between them, without a header, as fields of these names; empty lines are
/// passed over.
///
/// # Errors
/// [`Error::Io`]; [`Error::Record`], naming the line, if it is not UTF-8 or has another number of columns.
pub fn read_columns(
    path: impl AsRef<Path>,
    columns: &[&str],
    on_broken: OnBroken,
) -> Result<Loaded<Case>, Error> {
    let path = path.as_ref();
    let case = |text: &str| -> Result<Case, Complaint> {
        let texts: Vec<&str> = text.split('\t').collect();
        if texts.len() != columns.len() {
            return Err((format!("{} columns", columns.len()), texts.len().to_string()));
        }
        Ok(columns.iter().zip(texts).map(|(&name, text)| (name.to_owned(), text.to_owned())).collect())
    };
    loaded(path, on_broken, |sieve| {
        each_line(path, empty, |line, text| sieve.pass(line, text.and_then(case)))
    })
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
    loaded(path.as_ref(), on_broken, |sieve| objects(sieve, |object| vec![parse(object)]))
}

fn objects<T>(
    sieve: &mut Sieve<'_, T>,
    parse: impl Fn(&Object) -> Vec<Result<T, Complaint>>,
) -> Result<(), Error> {
    each_object(sieve.path, |line, object| {
        let records = object.map_or_else(|complaint| vec![Err(complaint)], |object| parse(&object));
        records.into_iter().try_for_each(|record| sieve.pass(line, record))
    })
}

/// Two templates filled with the texts that `lookup` finds; `got` says what there is instead of a field.
fn filled<T: AsRef<str>>(
    [prompt, response]: [&Template; 2],
    lookup: impl Fn(&str) -> Option<T>,
    got: impl Fn(&str) -> String,
) -> Result<Record, Complaint> {
    let fill = |template: &Template| {
        template.render(&lookup).map_err(|field| (format!("text in the field `{field}`"), got(field)))
    };
    Ok(Record { prompt: fill(prompt)?, response: fill(response)? })
}

fn document(text: String) -> Record {
    Record { prompt: String::new(), response: text }
}
