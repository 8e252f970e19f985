//! Many short documents in one row, so that hardly any position is padding.

use std::collections::BTreeMap;

use dlm_core::{Batch, CounterRng, Purpose, Sequence, Vocabulary};

use crate::data::batches::{Plan, shuffled};
use crate::data::rows::check_rows;
use crate::data::{BatchSource, Rows};
use crate::error::{Error, in_domain};
use crate::hash::{START, fnv};

/// The size of packed batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Tokens that a row may have.
    pub len: usize,
    /// Rows of a batch; the last one of an epoch may have fewer.
    pub rows: usize,
}

/// An endless stream of batches whose rows hold several documents each, for pretraining: epoch after
/// epoch, each token once an epoch. Attention stays within a document: see [`Batch::packed`].
///
/// Documents are sequences as they are given, with or without BOS and EOS. One that is longer than a row
/// is cut into pieces of a row's length and a rest, each a document from then on. Documents in falling
/// length, in a random order among those of one length, go each into the fullest row with room for it.
/// So the number of rows depends on lengths alone and is the same in each epoch, but their order and which
/// documents share a row depend on the seed and the number of the epoch. Any batch can be had by its index.
///
/// # Example
/// ```
/// use dlm_core::{Sequence, Vocabulary};
/// use dlm_train::data::{BatchSource, Packed, Packing};
/// let vocabulary = Vocabulary::new(20, 0, 1, 2, 19)?;
/// let documents = [3, 5, 2, 11].map(|len| Sequence::whole(vec![len as u32; len])).to_vec();
/// let mut packed = Packed::new(documents, vocabulary, Packing { len: 8, rows: 3 }, 7)?;
/// let batch = packed.batch(0)?;
/// // 8 of 11; 5 and 3, the rest of 11 or the short one; 3 and 2.
/// assert_eq!((batch.rows(), batch.len(), packed.epoch_len()), (3, 8, 1));
/// assert_eq!(packed.padding(), 3.0 / 24.0);
/// # Ok::<(), dlm_train::Error>(())
/// ```
///
/// # Source
/// Best-fit decreasing bin packing, as Ding et al. 2024, arXiv:2404.10830, pack documents. Mask within
/// documents: Krell et al. 2021, arXiv:2107.02027.
#[derive(Debug, Clone)]
pub struct Packed<R = Vec<Sequence>> {
    rows: R,
    pieces: Vec<Piece>,
    vocabulary: Vocabulary,
    packing: Packing,
    seed: u64,
    plan: Plan<Vec<Vec<usize>>>,
}

/// A stretch of a document, as long as a row or up to the document's end.
#[derive(Debug, Clone, Copy)]
struct Piece {
    document: usize,
    start: usize,
}

impl Packed {
    /// Packs documents in memory.
    ///
    /// # Errors
    /// As [`Packed::over`].
    pub fn new(
        rows: Vec<Sequence>,
        vocabulary: Vocabulary,
        packing: Packing,
        seed: u64,
    ) -> Result<Self, Error> {
        Self::over(rows, vocabulary, packing, seed)
    }
}

impl<R: Rows> Packed<R> {
    /// Packs documents, wherever they lie. A row's random draws are named by the index of its first piece.
    ///
    /// # Errors
    /// [`dlm_core::Error::Empty`] without a document; [`Error::EmptySequence`]; [`Error::OutOfDomain`] for
    /// rows or a batch of 0; [`dlm_core::Error::UnknownToken`] for an id outside the vocabulary; those of
    /// [`Rows::part`].
    pub fn over(rows: R, vocabulary: Vocabulary, packing: Packing, seed: u64) -> Result<Self, Error> {
        in_domain(packing.len > 0, "length of packed rows", "at least 1", packing.len as f64)?;
        in_domain(packing.rows > 0, "batch size", "at least 1", packing.rows as f64)?;
        check_rows(&rows, vocabulary.size, usize::MAX)?;
        let starts = |document| (0..rows.row_len(document)).step_by(packing.len);
        let pieces = (0..rows.len())
            .flat_map(|document| starts(document).map(move |start| Piece { document, start }))
            .collect();
        let mut packed = Self { rows, pieces, vocabulary, packing, seed, plan: Plan::default() };
        packed.plan = Plan { epoch: 0, batches: packed.order(0) };
        Ok(packed)
    }

    /// Number of batches in an epoch, the same in each.
    pub fn epoch_len(&self) -> u64 {
        self.plan.epoch_len()
    }

    /// The batches of one epoch, and no more: for validation.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = Result<Batch, Error>> + '_ {
        self.order(epoch).into_iter().map(|picked| self.gather(&picked))
    }

    /// The share of an epoch's positions that no document fills, in [0, 1), rows counted at full length.
    pub fn padding(&self) -> f64 {
        let tokens: usize = (0..self.rows.len()).map(|document| self.rows.row_len(document)).sum();
        let positions = self.plan.batches.iter().map(Vec::len).sum::<usize>() * self.packing.len;
        (positions - tokens) as f64 / positions as f64
    }

    fn gather(&self, picked: &[Vec<usize>]) -> Result<Batch, Error> {
        let document = |&index: &usize| {
            let Piece { document, start } = self.pieces[index];
            let part = self.rows.part(document, start..start + self.piece_len(index))?;
            Ok(part.with_key(index as u64))
        };
        let rows = picked.iter().map(|row| row.iter().map(document).collect());
        Ok(Batch::packed(&rows.collect::<Result<Vec<Vec<_>>, Error>>()?, &self.vocabulary)?)
    }

    fn piece_len(&self, index: usize) -> usize {
        let Piece { document, start } = self.pieces[index];
        (self.rows.row_len(document) - start).min(self.packing.len)
    }

    /// Which pieces each row of each batch of an epoch holds.
    fn order(&self, epoch: u64) -> Vec<Vec<Vec<usize>>> {
        let rng = CounterRng::new(self.seed).at_step(epoch);
        let mut pieces = shuffled((0..self.pieces.len()).collect(), rng.row(Purpose::Order, 0));
        pieces.sort_by_key(|&piece| std::cmp::Reverse(self.piece_len(piece)));
        let rows = shuffled(self.fit(&pieces), rng.row(Purpose::Order, 1));
        rows.chunks(self.packing.rows).map(<[Vec<usize>]>::to_vec).collect()
    }

    /// Puts each piece into the fullest row that has room for it.
    fn fit(&self, pieces: &[usize]) -> Vec<Vec<usize>> {
        let mut rows: Vec<Vec<usize>> = Vec::new();
        // The rows that still have room, by how much.
        let mut open: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &piece in pieces {
            let len = self.piece_len(piece);
            let fullest = open.range_mut(len..).next().and_then(|(&room, rows)| Some((room, rows.pop()?)));
            let (room, row) = fullest.unwrap_or_else(|| {
                rows.push(Vec::new());
                (self.packing.len, rows.len() - 1)
            });
            if open.get(&room).is_some_and(Vec::is_empty) {
                open.remove(&room);
            }
            rows[row].push(piece);
            if room > len {
                open.entry(room - len).or_default().push(row);
            }
        }
        rows
    }
}

impl<R: Rows> BatchSource for Packed<R> {
    fn batch(&mut self, index: u64) -> Result<Batch, Error> {
        let (epoch, place) = self.plan.find(index);
        if epoch != self.plan.epoch {
            self.plan = Plan { epoch, batches: self.order(epoch) };
        }
        self.gather(&self.plan.batches[place])
    }

    fn fingerprint(&self) -> u64 {
        let Packing { len, rows } = self.packing;
        // No kind of `BatchSize` has this number.
        let header = [self.seed, 2, len as u64, rows as u64, self.rows.content()];
        fnv(START, header.into_iter().flat_map(u64::to_le_bytes))
    }
}
