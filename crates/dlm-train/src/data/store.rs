//! Sequences in a file: more of them than memory holds.
//!
//! ```text
//! 0    "dlm-rows"             8 bytes; then little-endian numbers
//! 8    version                u32
//! 12   bytes a token          u32, 2 or 4
//! 16   key                    u64, the caller's
//! 24   rows                   u64
//! 32   tokens                 u64
//! 40   highest id             u64
//! 48   hash of the rows       u64, FNV-1a of lengths and words
//! 56   hash of the lengths    u64, and of the bytes before
//! 64   words                  a token each: twice its id, and 1 if it may become noise
//! ..   lengths                u32 a row
//! ```
//!
//! Rows are read where they lie, each with one positional read; what is read often stays in the
//! operating system's page cache, as it would in a memory map.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dlm_core::Sequence;

use crate::data::Rows;
use crate::data::positional::read_exact_at;
use crate::data::rows::{hash_row, scan};
use crate::error::Error;
use crate::hash::{START, fnv};

const MAGIC: &[u8; 8] = b"dlm-rows";
/// Changes when a reader of this version could misread a file.
const VERSION: u32 = 1;
/// Bytes before the first word.
pub(super) const HEADER: usize = 64;

/// What stands before the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes a token.
    pub(super) width: usize,
    pub(super) key: u64,
    pub(super) rows: u64,
    pub(super) tokens: u64,
    pub(super) highest: u64,
    /// [`Rows::content`].
    pub(super) content: u64,
}

impl Header {
    /// The header of a file whose lengths are these bytes.
    pub(super) fn bytes(&self, lengths: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.width as u32).to_le_bytes());
        for number in [self.key, self.rows, self.tokens, self.highest, self.content] {
            bytes.extend(number.to_le_bytes());
        }
        let hash = fnv(START, bytes.iter().chain(lengths).copied());
        bytes.extend(hash.to_le_bytes());
        bytes
    }

    /// Where the lengths begin, or `None` if no file is that long.
    fn lengths_at(&self) -> Option<u64> {
        self.tokens.checked_mul(self.width as u64)?.checked_add(HEADER as u64)
    }

    fn file_len(&self) -> Option<u64> {
        self.lengths_at()?.checked_add(self.rows.checked_mul(4)?)
    }
}

/// A file of sequences, open for reading. Its copies share the file.
///
/// Memory holds 8 bytes a row; tokens are read when a row is asked for. [`StoreWriter`](crate::data::StoreWriter) makes the file.
///
/// # Example
/// ```
/// use dlm_core::{Sequence, Vocabulary};
/// use dlm_train::data::{BatchSize, Batches, Rows, Store, StoreWriter};
/// # let path = std::env::temp_dir().join(format!("dlm-doc-store-{}", std::process::id()));
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let rows: Vec<Sequence> = (3..8).map(|id| Sequence::whole(vec![id; 4])).collect();
/// let mut writer = StoreWriter::create(&path, vocabulary.size, 7)?;
/// rows.iter().try_for_each(|row| writer.push(row))?;
/// let store = writer.finish()?;
/// assert_eq!((store.len(), store.tokens(), store.key()), (5, 20, 7));
///
/// let from_disk = Batches::over(Store::open(&path)?, vocabulary, BatchSize::Sequences(2), 7)?;
/// let from_memory = Batches::new(rows, vocabulary, BatchSize::Sequences(2), 7)?;
/// assert!(from_disk.take(9).map(Result::unwrap).eq(from_memory.take(9).map(Result::unwrap)));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    file: Arc<File>,
    header: Header,
    /// Where each row begins, in tokens, and where the last one ends.
    starts: Arc<[u64]>,
}

impl Store {
    /// Opens a file and checks its header, its lengths and its size. [`Store::verify`] checks the tokens.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Store`] for a file that is not a store, of another version, cut short or
    /// damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let mut file = File::open(&path).map_err(Error::io("open", &path))?;
        let size = file.seek(SeekFrom::End(0)).map_err(Error::io("read", &path))?;
        if size < HEADER as u64 {
            return Err(damaged(&path, format!("a header of {HEADER} bytes"), format!("{size} bytes")));
        }
        let mut bytes = vec![0; HEADER];
        read_exact_at(&file, &mut bytes, 0).map_err(Error::io("read", &path))?;
        let header = parse(&path, &bytes)?;
        let (Some(at), Some(expected)) = (header.lengths_at(), header.file_len()) else {
            return Err(damaged(&path, "sizes that a file can have".into(), format!("{header:?}")));
        };
        if size != expected {
            return Err(damaged(&path, format!("{expected} bytes"), size.to_string()));
        }
        let mut lengths = vec![0; (size - at) as usize];
        read_exact_at(&file, &mut lengths, at).map_err(Error::io("read", &path))?;
        let starts = starts(&lengths);
        let whole = header.bytes(&lengths) == bytes && starts.last() == Some(&header.tokens);
        if !whole {
            return Err(damaged(&path, "header and lengths as written".into(), "another hash".into()));
        }
        Ok(Self { path, file: Arc::new(file), header, starts: starts.into() })
    }

    /// Reads everything and compares it with the hash that was written.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Store`] if a token changed.
    pub fn verify(&self) -> Result<(), Error> {
        let mut hash = START;
        for rows in self.pieces() {
            let words = self.words(self.starts[rows.start]..self.starts[rows.end])?;
            let mut words = words.as_slice();
            for row in rows {
                let (sequence, rest) = words.split_at(self.row_len(row));
                hash = hash_row(hash, &unpacked(sequence));
                words = rest;
            }
        }
        if hash == self.header.content {
            return Ok(());
        }
        let expected = format!("tokens with the hash {:016x}", self.header.content);
        Err(damaged(&self.path, expected, format!("{hash:016x}")))
    }

    /// The key that the file was made with.
    pub fn key(&self) -> u64 {
        self.header.key
    }

    /// Tokens of all rows.
    pub fn tokens(&self) -> u64 {
        self.header.tokens
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The rows in stretches of about a megabyte, for whoever reads them all.
    fn pieces(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut first = 0;
        std::iter::from_fn(move || {
            let end = self.starts.get(first)? + (1 << 19);
            let next = self.starts.partition_point(|&start| start <= end).saturating_sub(1).max(first + 1);
            let piece = (first < self.len()).then_some(first..next.min(self.len()));
            first = next;
            piece
        })
    }

    /// The words at these places, counted in tokens from the first row on.
    fn words(&self, at: Range<u64>) -> Result<Vec<u32>, Error> {
        let width = self.header.width;
        let mut bytes = vec![0; (at.end - at.start) as usize * width];
        read_exact_at(&self.file, &mut bytes, HEADER as u64 + at.start * width as u64)
            .map_err(Error::io("read", &self.path))?;
        Ok(match width {
            2 => bytes
                .chunks_exact(2)
                .map(|word| u32::from(number::<2, _>(word, u16::from_le_bytes)))
                .collect(),
            _ => bytes.chunks_exact(4).map(|word| number::<4, _>(word, u32::from_le_bytes)).collect(),
        })
    }
}

impl Rows for Store {
    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn row_len(&self, row: usize) -> usize {
        (self.starts[row + 1] - self.starts[row]) as usize
    }

    fn part(&self, row: usize, span: Range<usize>) -> Result<Sequence, Error> {
        assert!(span.end <= self.row_len(row), "positions {span:?} of {}", self.row_len(row));
        let start = self.starts[row];
        Ok(unpacked(&self.words(start + span.start as u64..start + span.end as u64)?))
    }

    fn content(&self) -> u64 {
        self.header.content
    }

    /// Reads nothing if the highest id is in the vocabulary.
    fn check(&self, size: usize) -> Result<(), Error> {
        if self.header.tokens == 0 || self.header.highest < size as u64 {
            return Ok(());
        }
        scan(self, size)
    }
}

fn unpacked(words: &[u32]) -> Sequence {
    let (ids, maskable) = words.iter().map(|word| (word >> 1, word & 1 == 1)).unzip();
    Sequence::new(ids, maskable).unwrap_or_else(|_| unreachable!("a flag for each id"))
}

fn starts(lengths: &[u8]) -> Vec<u64> {
    let lengths = lengths.chunks_exact(4).map(|length| u64::from(number::<4, _>(length, u32::from_le_bytes)));
    let mut end = 0;
    let ends = lengths.map(|length| {
        end += length;
        end
    });
    std::iter::once(0).chain(ends).collect()
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Header, Error> {
    let u32_at = |at: usize| number::<4, _>(&bytes[at..at + 4], u32::from_le_bytes);
    let u64_at = |at: usize| number::<8, _>(&bytes[at..at + 8], u64::from_le_bytes);
    if &bytes[..8] != MAGIC {
        let got = String::from_utf8_lossy(&bytes[..8]).escape_debug().to_string();
        return Err(damaged(path, "a store, which begins with `dlm-rows`".into(), format!("`{got}`")));
    }
    if u32_at(8) != VERSION {
        return Err(damaged(path, format!("version {VERSION}"), u32_at(8).to_string()));
    }
    let width @ (2 | 4) = u32_at(12) else {
        return Err(damaged(path, "2 or 4 bytes a token".into(), u32_at(12).to_string()));
    };
    let [key, rows, tokens, highest, content] = [16, 24, 32, 40, 48].map(u64_at);
    Ok(Header { width: width as usize, key, rows, tokens, highest, content })
}

/// The number that `N` bytes are.
fn number<const N: usize, T>(bytes: &[u8], of: fn([u8; N]) -> T) -> T {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    of(array)
}

/// [`Error::Store`].
pub(super) fn damaged(path: &Path, expected: String, got: String) -> Error {
    Error::Store { path: path.to_owned(), expected, got }
}
