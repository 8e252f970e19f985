//! Files of events that `TensorBoard` reads: scalars and texts.
//!
//! A file is a row of records, each a protobuf message `Event` in a frame:
//!
//! ```text
//! length: u64 | masked CRC-32C of the length | Event | masked CRC-32C of the Event      little-endian
//! ```
//!
//! # Source
//! TensorFlow, `tsl/lib/io/record_writer.h`, `event.proto`, `summary.proto`; the `TensorBoard` package
//! reads and writes the same bytes (`tools/golden/tb_events.py`).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;

/// A file of events, for a folder that `tensorboard --logdir` is given.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    file: File,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The file begins; every file's first event.
    Version,
    /// A run begins, or goes on: what earlier files say of this step and later ones no longer counts.
    Start,
    /// Named numbers.
    Scalars(&'a [(&'a str, f64)]),
    /// A text, shown as Markdown.
    Text(&'a str, &'a str),
}

impl Events {
    /// A new file in `folder`, for a run that has done `step` steps.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(folder: impl AsRef<Path>, step: u64) -> Result<Self, Error> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        // TensorBoard reads the files of a folder in the order of their names.
        let begun = format!("events.out.tfevents.{:010}.dlm.{}", now() as u64, std::process::id());
        let free = (0..=u64::MAX).map(|n| folder.join(format!("{begun}.{n}"))).find(|path| !path.exists());
        let path = free.unwrap_or_else(|| folder.join(begun));
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let mut events = Self { path, file };
        events.write(0, Event::Version)?;
        events.write(step + 1, Event::Start)?;
        Ok(events)
    }

    /// Adds an event, at once.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, step: u64, event: Event<'_>) -> Result<(), Error> {
        self.file.write_all(&framed(&event.encode(now(), step))).map_err(Error::io("write", &self.path))
    }
}

fn now() -> f64 {
    // A clock before 1970 is no reason to fail.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A record of a file: bytes with their length and checksums.
///
/// # Example
/// ```
/// let record = dlm_train::tensorboard::framed(b"ab");
/// assert_eq!(record[..8], 2_u64.to_le_bytes());
/// assert_eq!(&record[12..14], b"ab");
/// assert_eq!(record.len(), 18);
/// ```
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let checksum = |bytes: &[u8]| masked(crc32c::crc32c(bytes)).to_le_bytes();
    [&length, checksum(&length).as_slice(), bytes, &checksum(bytes)].concat()
}

/// `TensorFlow`'s masking, because a CRC of bytes that hold a CRC is poor.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

impl Event<'_> {
    /// The protobuf message `Event`, without its frame. `wall_time` counts seconds since 1970.
    pub fn encode(&self, wall_time: f64, step: u64) -> Vec<u8> {
        let mut event = Message::default().f64(1, wall_time);
        if step > 0 {
            event = event.int(2, step);
        }
        match *self {
            Self::Version => event.bytes(3, b"brain.Event:2"),
            Self::Start => event.bytes(7, &Message::default().int(1, 1).0),
            Self::Scalars(scalars) => {
                let value = |summary: Message, &(tag, value): &(&str, f64)| {
                    let scalar = Message::default().bytes(1, tag.as_bytes()).f32(2, value as f32);
                    summary.bytes(1, &scalar.0)
                };
                event.bytes(5, &scalars.iter().fold(Message::default(), value).0)
            }
            Self::Text(tag, text) => event.bytes(5, &Message::default().bytes(1, &text_value(tag, text)).0),
        }
        .0
    }
}

/// A `Summary.Value`: a tensor of one string, for the plug-in that shows texts.
fn text_value(tag: &str, text: &str) -> Vec<u8> {
    const STRING: u64 = 7;
    let one = Message::default().bytes(2, &Message::default().int(1, 1).0);
    let tensor = Message::default().int(1, STRING).bytes(2, &one.0).bytes(8, text.as_bytes());
    let plugin = Message::default().bytes(1, &Message::default().bytes(1, b"text").0);
    Message::default().bytes(1, tag.as_bytes()).bytes(8, &tensor.0).bytes(9, &plugin.0).0
}

/// A protobuf message, written field by field in the order of their numbers, all below 16.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn int(self, field: u8, value: u64) -> Self {
        self.key(field, 0).varint(value)
    }

    fn f64(self, field: u8, value: f64) -> Self {
        self.key(field, 1).raw(&value.to_le_bytes())
    }

    fn bytes(self, field: u8, value: &[u8]) -> Self {
        self.key(field, 2).varint(value.len() as u64).raw(value)
    }

    fn f32(self, field: u8, value: f32) -> Self {
        self.key(field, 5).raw(&value.to_le_bytes())
    }

    fn key(self, field: u8, wire: u8) -> Self {
        self.raw(&[field << 3 | wire])
    }

    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.raw(&[value as u8])
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}
