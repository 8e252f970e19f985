//! Where sequences lie: in memory or in a file.

use std::ops::Range;
use std::sync::Arc;

use dlm_core::sequence::check_ids;
use dlm_core::{Sequence, TokenId};

use crate::error::Error;
use crate::hash::{START, fnv};

/// Sequences that can be had by their index: a `Vec` of them, or a [`Store`](crate::data::Store) on disk.
pub trait Rows {
    /// Number of sequences.
    fn len(&self) -> usize;

    /// Tokens of a sequence, which costs no reading.
    ///
    /// # Panics
    /// Unless `row` is below [`Rows::len`].
    fn row_len(&self, row: usize) -> usize;

    /// The tokens of a sequence at these positions.
    ///
    /// # Errors
    /// [`Error::Io`], if it lies in a file.
    ///
    /// # Panics
    /// Unless `row` is below [`Rows::len`] and `span` within its length.
    fn part(&self, row: usize, span: Range<usize>) -> Result<Sequence, Error>;

    /// A hash of all lengths, tokens and maskable flags, the same wherever the sequences lie.
    fn content(&self) -> u64;

    /// A whole sequence.
    ///
    /// # Errors
    /// As [`Rows::part`].
    ///
    /// # Panics
    /// Unless `row` is below [`Rows::len`].
    fn row(&self, row: usize) -> Result<Sequence, Error> {
        self.part(row, 0..self.row_len(row))
    }

    /// Fails on the first token that a vocabulary of `size` words has not.
    ///
    /// # Errors
    /// [`dlm_core::Error::UnknownToken`]; those of [`Rows::row`].
    fn check(&self, size: usize) -> Result<(), Error> {
        scan(self, size)
    }

    /// Whether there is no sequence.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Rows for Vec<Sequence> {
    fn len(&self) -> usize {
        self.len()
    }

    fn row_len(&self, row: usize) -> usize {
        self[row].len()
    }

    fn part(&self, row: usize, span: Range<usize>) -> Result<Sequence, Error> {
        let (ids, maskable) = (&self[row].ids()[span.clone()], &self[row].maskable()[span]);
        Ok(Sequence::new(ids.to_vec(), maskable.to_vec())?)
    }

    fn content(&self) -> u64 {
        self.iter().fold(START, hash_row)
    }

    fn check(&self, size: usize) -> Result<(), Error> {
        (self.iter().enumerate()).try_for_each(|(index, row)| Ok(check_ids(index, row.ids(), size)?))
    }
}

/// Shared rows.
impl<R: Rows + ?Sized> Rows for Arc<R> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn row_len(&self, row: usize) -> usize {
        (**self).row_len(row)
    }

    fn part(&self, row: usize, span: Range<usize>) -> Result<Sequence, Error> {
        (**self).part(row, span)
    }

    fn content(&self) -> u64 {
        (**self).content()
    }

    fn check(&self, size: usize) -> Result<(), Error> {
        (**self).check(size)
    }
}

/// Fails on the first row that is empty or longer than `limit`, or holds an id outside the vocabulary.
pub(super) fn check_rows(rows: &impl Rows, size: usize, limit: usize) -> Result<(), Error> {
    if rows.is_empty() {
        return Err(dlm_core::Error::Empty { what: "the data set" }.into());
    }
    for index in 0..rows.len() {
        match rows.row_len(index) {
            0 => return Err(Error::EmptySequence { index }),
            got if got > limit => return Err(Error::TooLong { index, limit, got }),
            _ => {}
        }
    }
    rows.check(size)
}

/// Reads every row and fails on the first token that a vocabulary of `size` words has not.
pub(super) fn scan(rows: &(impl Rows + ?Sized), size: usize) -> Result<(), Error> {
    (0..rows.len()).try_for_each(|row| Ok(check_ids(row, rows.row(row)?.ids(), size)?))
}

/// A token and whether it may become noise, in one number: twice the id, and 1 if it may.
pub(super) fn word(id: TokenId, maskable: bool) -> u32 {
    id << 1 | u32::from(maskable)
}

/// Goes on with the hash of sequences: length and [`word`]s of one more.
pub(super) fn hash_row(hash: u64, row: &Sequence) -> u64 {
    let words = row.ids().iter().zip(row.maskable()).map(|(&id, &maskable)| word(id, maskable));
    fnv(hash, std::iter::once(row.len() as u32).chain(words).flat_map(u32::to_le_bytes))
}
