//! The objects of a JSON array, one after the other.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::Value;

use crate::data::file::{BYTE_ORDER_MARK, Complaint, Object, named, record};
use crate::error::Error;

/// Calls `take` on each element of the array that a file is, with the line where it begins. No more than one is
/// in memory.
///
/// An element that is no object is `take`'s to judge. Broken syntax is an error, because nothing tells where
/// the next element begins.
pub(super) fn each_element(
    path: &Path,
    mut reader: BufReader<File>,
    take: impl FnMut(usize, Result<Object, Complaint>) -> Result<(), Error>,
) -> Result<(), Error> {
    if reader.fill_buf().map_err(Error::io("read", path))?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let line = Cell::new(1);
    let mut json = serde_json::Deserializer::from_reader(Counted { reader, line: &line });
    let mut failed = None;
    let elements = Elements { line: &line, take, failed: &mut failed };
    let read = json.deserialize_seq(elements).and_then(|()| json.end());
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_io() => Err(Error::io("read", path)(error.into())),
        (None, Err(error)) => {
            let complaint = ("an array of JSON objects".to_owned(), format!("broken syntax, {error}"));
            Err(record(path, error.line().max(1), complaint))
        }
    }
}

/// Counts lines. The deserialiser asks for one byte at a time.
struct Counted<'a> {
    reader: BufReader<File>,
    line: &'a Cell<usize>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(into)?;
        let ends = into[..bytes].split(|&byte| byte == b'\n').count() - 1;
        self.line.set(self.line.get() + ends);
        Ok(bytes)
    }
}

struct Elements<'a, T> {
    line: &'a Cell<usize>,
    take: T,
    /// What `take` failed with, because serde carries its own errors alone.
    failed: &'a mut Option<Error>,
}

impl<'de, T: FnMut(usize, Result<Object, Complaint>) -> Result<(), Error>> Visitor<'de> for Elements<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some((line, value)) = elements.next_element_seed(Element(self.line))? {
            let object = match value {
                Value::Object(object) => Ok(object),
                other => Err(("a JSON object".to_owned(), named(Some(&other)))),
            };
            if let Err(error) = (self.take)(line, object) {
                *self.failed = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// An element and its line: the deserialiser has just looked at its first byte.
struct Element<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = (usize, Value);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(usize, Value), D::Error> {
        let line = self.0.get();
        Ok((line, serde::Deserialize::deserialize(json)?))
    }
}
