//! Lines and JSON objects of a file, each with the number of its line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::data::array;
use crate::data::value::{at, written};
use crate::error::Error;

/// What was expected of a record, and what it was.
pub(super) type Complaint = (String, String);

/// A JSON object.
pub(super) type Object = Map<String, Value>;

pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether a line holds nothing.
pub(super) type Blank = fn(&str) -> bool;

/// Whether a line of text or JSON holds nothing.
pub(super) fn white(line: &str) -> bool {
    line.trim().is_empty()
}

/// Whether a line of columns holds nothing: white space is text there, and a tab parts two empty columns.
pub(super) fn empty(line: &str) -> bool {
    line.is_empty()
}

/// Calls `take` on each line that is not blank, without its end. Numbers start from 1.
pub(super) fn each_line(
    path: &Path,
    blank: Blank,
    take: impl FnMut(usize, Result<&str, Complaint>) -> Result<(), Error>,
) -> Result<(), Error> {
    lines(path, open(path)?, blank, take)
}

/// Calls `take` on each block of lines between blank ones, with the number of its first line, or of its
/// first broken one.
pub(super) fn each_paragraph(
    path: &Path,
    mut take: impl FnMut(usize, Result<String, Complaint>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut block: Option<(usize, Result<String, Complaint>)> = None;
    let mut last = 0;
    lines(path, open(path)?, white, |number, line| {
        if number > last + 1
            && let Some((first, text)) = block.take()
        {
            take(first, text)?;
        }
        last = number;
        match (&mut block, line) {
            (None, line) => block = Some((number, line.map(str::to_owned))),
            (Some((_, Ok(text))), Ok(line)) => text.extend(["\n", line]),
            (Some((_, Err(_))), _) => {}
            (Some(block), Err(complaint)) => *block = (number, Err(complaint)),
        }
        Ok(())
    })?;
    block.map_or(Ok(()), |(first, text)| take(first, text))
}

/// Calls `take` on each JSON object: of an array, if the file begins with `[`, else of each line. A Parquet
/// file, which begins with `PAR1`, has one for each of its rows.
///
/// A line that is no object is `take`'s to judge. An array whose syntax is broken is an error, because
/// nothing tells where the next object begins.
pub(super) fn each_object(
    path: &Path,
    mut take: impl FnMut(usize, Result<Object, Complaint>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = open(path)?;
    let start = reader.fill_buf().map_err(Error::io("read", path))?;
    if start.starts_with(b"PAR1") {
        return parquet_rows(path, reader, take);
    }
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    if start.trim_ascii_start().first() == Some(&b'[') {
        return array::each_element(path, reader, take);
    }
    lines(path, reader, white, |number, line| {
        let object = line.and_then(|line| {
            let got = |error| format!("{} at column {}", fault(&error), error.column());
            serde_json::from_str(line).map_err(|error| ("a JSON object".to_owned(), got(error)))
        });
        take(number, object)
    })
}

#[cfg(feature = "parquet")]
fn parquet_rows(
    path: &Path,
    reader: BufReader<File>,
    take: impl FnMut(usize, Result<Object, Complaint>) -> Result<(), Error>,
) -> Result<(), Error> {
    crate::data::parquet::each_row(path, reader.into_inner(), take)
}

#[cfg(not(feature = "parquet"))]
fn parquet_rows<T>(path: &Path, _: BufReader<File>, _: T) -> Result<(), Error> {
    let complaint = ("JSON, or dlm-train built with its feature `parquet`", "a Parquet file");
    Err(record(path, 1, (complaint.0.to_owned(), complaint.1.to_owned())))
}

/// How many lines that are not blank a file has, if it can be read.
pub(super) fn line_count(path: &Path, blank: Blank) -> Option<usize> {
    let mut count = 0;
    let mut line = Vec::new();
    let mut reader = open(path).ok()?;
    while reader.read_until(b'\n', &mut line).ok()? > 0 {
        let text = std::str::from_utf8(&line).map(|line| line.trim_end_matches(['\r', '\n']));
        count += usize::from(!text.is_ok_and(blank));
        line.clear();
    }
    Some(count)
}

/// How many objects [`each_object`] will find, if lines or Parquet's own count tell.
pub(super) fn object_count(path: &Path) -> Option<usize> {
    let mut reader = open(path).ok()?;
    let start = reader.fill_buf().ok()?;
    if start.starts_with(b"PAR1") {
        return parquet_count(reader.into_inner());
    }
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    let array = start.trim_ascii_start().first() == Some(&b'[');
    if array { None } else { line_count(path, white) }
}

#[cfg(feature = "parquet")]
fn parquet_count(file: File) -> Option<usize> {
    crate::data::parquet::count(file)
}

#[cfg(not(feature = "parquet"))]
fn parquet_count(_: File) -> Option<usize> {
    None
}

/// The one JSON object that a file holds, and its bytes.
pub(super) fn whole_object(path: &Path) -> Result<(Object, Vec<u8>), Error> {
    let bytes = rest(path, open(path)?)?;
    let json = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let object = serde_json::from_slice(json).map_err(|error| {
        record(path, error.line().max(1), ("a JSON object".to_owned(), error.to_string()))
    })?;
    Ok((object, bytes))
}

/// What is wrong with some JSON, without the place, which is the caller's to tell.
pub(super) fn fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// [`Error::Record`].
pub(super) fn record(path: &Path, line: usize, (expected, got): Complaint) -> Error {
    Error::Record { path: path.to_owned(), line, expected, got }
}

/// The text, number or boolean in a field, as text. Dots in its name lead into what is nested.
pub(super) fn text(object: &Object, field: &str) -> Result<String, Complaint> {
    let value = at(object, field);
    let complaint = || (format!("text in the field `{field}`"), named(value));
    Ok(value.and_then(written).ok_or_else(complaint)?.into_owned())
}

/// What a value is, for a complaint.
pub(super) fn named(value: Option<&Value>) -> String {
    let name = match value {
        None => "an object without it",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "text",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    };
    name.to_owned()
}

/// How packed files begin, none of which is text, and what unpacks them.
const PACKED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", "a gzip file; unpack it first, as `gzip -d` does"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file; unpack it first, as `zstd -d` does"),
    (b"\xfd7zXZ\x00", "an xz file; unpack it first, as `xz -d` does"),
    (b"PK\x03\x04", "a zip file; unpack it first, as `unzip` does"),
];

fn open(path: &Path) -> Result<BufReader<File>, Error> {
    let mut reader = BufReader::new(File::open(path).map_err(Error::io("open", path))?);
    let start = reader.fill_buf().map_err(Error::io("read", path))?;
    match PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, got)) => Err(record(path, 1, ("text, JSON or Parquet".to_owned(), (*got).to_owned()))),
        None => Ok(reader),
    }
}

fn rest(path: &Path, mut reader: impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

fn lines(
    path: &Path,
    reader: impl BufRead,
    blank: Blank,
    mut take: impl FnMut(usize, Result<&str, Complaint>) -> Result<(), Error>,
) -> Result<(), Error> {
    for (number, bytes) in reader.split(b'\n').enumerate() {
        let bytes = bytes.map_err(Error::io("read", path))?;
        let start = if number == 0 { BYTE_ORDER_MARK } else { b"" };
        let bytes = bytes.strip_prefix(start).unwrap_or(&bytes);
        let line = std::str::from_utf8(bytes)
            .map(|line| line.trim_end_matches('\r'))
            .map_err(|error| ("UTF-8".to_owned(), error.to_string()));
        if !line.as_ref().is_ok_and(|line| blank(line)) {
            take(number + 1, line)?;
        }
    }
    Ok(())
}
