//! Making a file of sequences, row by row.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dlm_core::Sequence;
use dlm_core::sequence::check_ids;

use crate::data::Store;
use crate::data::rows::{hash_row, word};
use crate::data::store::{HEADER, Header};
use crate::error::{Error, in_domain};
use crate::hash::START;

/// Writes a [`Store`], row by row, beside its place; [`StoreWriter::finish`] puts it there. A writer that
/// is dropped before leaves nothing.
///
/// Memory holds 4 bytes a row.
#[derive(Debug)]
pub struct StoreWriter {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    vocab_size: usize,
    header: Header,
    lengths: Vec<u8>,
}

impl StoreWriter {
    /// Begins a file for ids below `vocab_size`, with a key of the caller's: a hash of what the rows were
    /// made from, for instance. Missing folders are made.
    ///
    /// Up to 32 768 words a token takes 2 bytes, else 4.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::OutOfDomain`] for a vocabulary of 0 or above 2³¹ words.
    pub fn create(path: impl AsRef<Path>, vocab_size: usize, key: u64) -> Result<Self, Error> {
        let fits = (1..=1 << 31).contains(&vocab_size);
        in_domain(fits, "vocabulary of a store", "in 1..=2^31", vocab_size as f64)?;
        let path = path.as_ref().to_owned();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        let part = beside(&path);
        let file = File::create(&part).map_err(Error::io("create", &part))?;
        let width = if vocab_size <= 1 << 15 { 2 } else { 4 };
        let header = Header { width, key, rows: 0, tokens: 0, highest: 0, content: START };
        let mut file = BufWriter::with_capacity(1 << 16, file);
        file.write_all(&[0; HEADER]).map_err(Error::io("write", &part))?;
        Ok(Self { path, part, file, vocab_size, header, lengths: Vec::new() })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`Error::Io`]; [`dlm_core::Error::UnknownToken`], naming the row; [`Error::TooLong`] for a row of
    /// more than 2³² − 1 tokens.
    pub fn push(&mut self, row: &Sequence) -> Result<(), Error> {
        let index = self.header.rows as usize;
        check_ids(index, row.ids(), self.vocab_size)?;
        let Ok(length) = u32::try_from(row.len()) else {
            return Err(Error::TooLong { index, limit: u32::MAX as usize, got: row.len() });
        };
        for (&id, &maskable) in row.ids().iter().zip(row.maskable()) {
            let bytes = word(id, maskable).to_le_bytes();
            self.file.write_all(&bytes[..self.header.width]).map_err(Error::io("write", &self.part))?;
            self.header.highest = self.header.highest.max(u64::from(id));
        }
        self.lengths.extend(length.to_le_bytes());
        self.header.rows += 1;
        self.header.tokens += u64::from(length);
        self.header.content = hash_row(self.header.content, row);
        Ok(())
    }

    /// Writes what is left, flushes it to the disk, puts the file in its place and opens it. A file that
    /// was there is replaced.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<Store, Error> {
        let header = self.header.bytes(&self.lengths);
        let file = &mut self.file;
        file.write_all(&self.lengths)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(&header))
            .and_then(|()| file.flush())
            .and_then(|()| file.get_ref().sync_all())
            .map_err(Error::io("write", &self.part))?;
        fs::rename(&self.part, &self.path).map_err(Error::io("put in place", &self.path))?;
        Store::open(&self.path)
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        // After `finish` there is no such file any more.
        let _ = fs::remove_file(&self.part);
    }
}

/// A name beside `path` that no other writer has, in this process or another.
fn beside(path: &Path) -> PathBuf {
    static WRITERS: AtomicU64 = AtomicU64::new(0);
    let nth = WRITERS.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".part-{}-{nth}-{name}", std::process::id()))
}
