//! The objects of a JSON array, one after the other.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::data::file::{BYTE_ORDER_MARK, Complaint, Object, fault, named, record};
use crate::error::Error;

/// Calls `take` on each element of the array that a file is, with the line where it begins, or of what is wrong
/// within it. No more than one is in memory.
///
/// An element that is no object, or whose own text is no JSON, is `take`'s to judge. Brackets, commas and quotes
/// that do not match are an error, because nothing tells where the next element begins.
pub(super) fn each_element(
    path: &Path,
    mut reader: BufReader<File>,
    mut take: impl FnMut(usize, Result<Object, Complaint>) -> Result<(), Error>,
) -> Result<(), Error> {
    if reader.fill_buf().map_err(Error::io("read", path))?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let mut array = Array::default();
    loop {
        let bytes = reader.fill_buf().map_err(Error::io("read", path))?;
        if bytes.is_empty() {
            return array.end().map_err(|fault| array.broken(path, &fault));
        }
        for &byte in bytes {
            if array.step(byte).map_err(|fault| array.broken(path, &fault))? {
                let (line, object) = array.object();
                take(line, object)?;
            }
        }
        let read = bytes.len();
        reader.consume(read);
    }
}

/// The lines on which the elements of the list begin that an object has under this name. The JSON is whole.
pub(super) fn lines_of(json: &[u8], name: &str) -> Vec<usize> {
    let (mut nest, mut line, mut lines) = (Nest::default(), 1, Vec::new());
    let (mut key, mut inside, mut awaits) = (0..0, false, false);
    for (at, &byte) in json.iter().enumerate() {
        let outside = nest.text == Quotes::Outside;
        if inside && outside && nest.closers.len() == 2 {
            if awaits && !byte.is_ascii_whitespace() && byte != b']' {
                lines.push(line);
                awaits = false;
            } else if byte == b',' {
                awaits = true;
            }
        }
        if nest.closers.len() == 1 {
            match byte {
                b'"' if outside => key.start = at,
                b'"' if nest.text == Quotes::Inside => key.end = at + 1,
                b'[' if outside => {
                    let is = serde_json::from_slice(&json[key.clone()]).is_ok_and(|key: String| key == name);
                    if is {
                        lines.clear();
                    }
                    (inside, awaits) = (is, is);
                }
                _ => {}
            }
        }
        line += usize::from(byte == b'\n');
        if nest.step(byte).is_err() {
            break;
        }
    }
    lines
}

/// What is wrong with an array.
type Fault = String;

/// Brackets that are open, and quotes.
#[derive(Default)]
struct Nest {
    /// What will close them, the outermost first.
    closers: Vec<u8>,
    text: Quotes,
}

/// Whether a byte stands in quotes.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

impl Nest {
    /// Goes past a byte.
    fn step(&mut self, byte: u8) -> Result<(), Fault> {
        match (self.text, byte) {
            // What is quoted ends on its line: a quote is missing, and nothing tells where.
            (Quotes::Inside | Quotes::Escaped, b'\n') => {
                return Err("end of the line while parsing a string".to_owned());
            }
            (Quotes::Inside, b'"') => self.text = Quotes::Outside,
            (Quotes::Inside, b'\\') => self.text = Quotes::Escaped,
            (Quotes::Escaped, _) | (Quotes::Outside, b'"') => self.text = Quotes::Inside,
            (Quotes::Outside, b'{') => self.closers.push(b'}'),
            (Quotes::Outside, b'[') => self.closers.push(b']'),
            (Quotes::Outside, b'}' | b']') => match self.closers.pop() {
                Some(closer) if closer == byte => {}
                Some(closer) => return Err(format!("expected `{}`", char::from(closer))),
                None => return Err("expected `,` or `]`".to_owned()),
            },
            _ => {}
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.closers.is_empty() && self.text == Quotes::Outside
    }
}

/// What may come next.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The array.
    #[default]
    Start,
    /// Its first element, or its end.
    First,
    /// More of an element.
    Within,
    /// A comma, or the end.
    Comma,
    /// An element, after a comma.
    Element,
    /// Nothing.
    Nothing,
}

/// An array, as far as it was read.
struct Array {
    /// The last byte's.
    line: usize,
    column: usize,
    next: Next,
    nest: Nest,
    /// The element that is being read or was read last, and the line where it begins.
    element: Vec<u8>,
    begins: usize,
}

impl Default for Array {
    fn default() -> Self {
        let (next, nest) = (Next::default(), Nest::default());
        Self { line: 1, column: 0, next, nest, element: Vec::new(), begins: 1 }
    }
}

impl Array {
    /// Goes past a byte; true if an element ends with it.
    fn step(&mut self, byte: u8) -> Result<bool, Fault> {
        self.column += 1;
        let ended = match self.next {
            Next::Within => self.within(byte),
            _ => self.between(byte).map(|()| false),
        }?;
        if byte == b'\n' {
            (self.line, self.column) = (self.line + 1, 0);
        }
        // An element in brackets or quotes ends with them.
        if self.next == Next::Within && self.nest.is_closed() && !self.is_word() {
            self.next = Next::Comma;
            return Ok(true);
        }
        Ok(ended)
    }

    /// A byte outside of elements, or the first of one.
    fn between(&mut self, byte: u8) -> Result<(), Fault> {
        let fault = |text: &str| Err(text.to_owned());
        self.next = match (self.next, byte) {
            (next, b' ' | b'\t' | b'\n' | b'\r') => next,
            (Next::Start, b'[') => Next::First,
            (Next::First | Next::Comma, b']') => Next::Nothing,
            (Next::Comma, b',') => Next::Element,
            (Next::Start, _) | (Next::First | Next::Element, b',') => return fault("expected value"),
            (Next::Element, b']') => return fault("trailing comma"),
            (Next::Comma, _) => return fault("expected `,` or `]`"),
            (Next::Nothing, _) => return fault("trailing characters"),
            (Next::First | Next::Within | Next::Element, byte) => {
                self.element.clear();
                self.begins = self.line;
                self.nest.step(byte)?;
                self.element.push(byte);
                Next::Within
            }
        };
        Ok(())
    }

    /// A byte of an element, or, after a number or a word, the byte that ends it.
    fn within(&mut self, byte: u8) -> Result<bool, Fault> {
        let ends = matches!(byte, b',' | b'[' | b']' | b'{' | b'"') || byte.is_ascii_whitespace();
        if self.is_word() && ends {
            self.next = Next::Comma;
            self.between(byte)?;
            return Ok(true);
        }
        self.nest.step(byte)?;
        self.element.push(byte);
        Ok(false)
    }

    /// Whether the element has neither brackets nor quotes around it.
    fn is_word(&self) -> bool {
        !matches!(self.element.first(), Some(b'{' | b'[' | b'"'))
    }

    /// The element that has just ended.
    fn object(&self) -> (usize, Result<Object, Complaint>) {
        let expected = || "a JSON object".to_owned();
        match serde_json::from_slice(&self.element) {
            Ok(Value::Object(object)) => (self.begins, Ok(object)),
            Ok(other) => (self.begins, Err((expected(), named(Some(&other))))),
            Err(error) => {
                let line = self.begins + error.line().saturating_sub(1);
                (line, Err((expected(), fault(&error))))
            }
        }
    }

    /// The end of the file.
    fn end(&self) -> Result<(), Fault> {
        let what = match (self.next, self.nest.text, self.nest.closers.last()) {
            (Next::Nothing, ..) => return Ok(()),
            (Next::Start | Next::Element, ..) => "a value",
            (Next::Within, Quotes::Inside | Quotes::Escaped, _) => "a string",
            (Next::Within, _, Some(b'}')) => "an object",
            (Next::First | Next::Comma | Next::Within, ..) => "a list",
        };
        Err(format!("EOF while parsing {what}"))
    }

    /// [`Error::Record`] at the last byte.
    fn broken(&self, path: &Path, fault: &str) -> Error {
        let got = format!("broken syntax, {fault} at line {} column {}", self.line, self.column);
        record(path, self.line, ("an array of JSON objects".to_owned(), got))
    }
}
