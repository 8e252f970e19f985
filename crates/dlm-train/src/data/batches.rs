//! Batches in an order that is a function of the step.

use dlm_core::rng::RowRng;
use dlm_core::{Batch, CounterRng, Purpose, Sequence, Vocabulary};

use crate::data::Rows;
use crate::data::rows::check_rows;
use crate::error::{Error, in_domain};
use crate::hash::{START, fnv};

/// Where a trainer's batches come from: a function of the batch's index, so that a resumed run needs
/// no saved position.
///
/// [`Batches`] is one; so is any closure `FnMut(u64) -> Result<Batch, Error>`, for data made on the fly.
pub trait BatchSource {
    /// The batch with this index, from 0. The same index gives the same batch.
    ///
    /// # Errors
    /// Whatever keeps the batch from being made.
    fn batch(&mut self, index: u64) -> Result<Batch, Error>;

    /// A number that changes with the data and their order; a checkpoint of other data is refused. 0
    /// tells nothing.
    fn fingerprint(&self) -> u64 {
        0
    }
}

impl<F: FnMut(u64) -> Result<Batch, Error>> BatchSource for F {
    fn batch(&mut self, index: u64) -> Result<Batch, Error> {
        self(index)
    }
}

/// How much goes into one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// This many sequences, of any length. The last batch of an epoch may have fewer.
    Sequences(usize),
    /// At most this many tokens, prompt and padding counted: rows × longest row. Sequences of like
    /// length share a batch, so there is little padding; see [`Batches::padding`].
    Tokens(usize),
}

/// An endless stream of batches over a set of sequences, in memory or in a
/// [`Store`](crate::data::Store): epoch after epoch, each in its own order, each sequence once an epoch.
///
/// The order is drawn from the seed and the number of the epoch, so any batch can be had by its index
/// and [`Batches::seek`] is free.
///
/// # Example
/// ```
/// use dlm_core::{Sequence, Vocabulary};
/// use dlm_train::data::{BatchSize, Batches};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let rows = (3..8).map(|id| Sequence::whole(vec![id])).collect();
/// let mut batches = Batches::new(rows, vocabulary, BatchSize::Sequences(2), 7)?;
/// assert_eq!(batches.epoch_len(), 3);
/// let fifth = batches.nth(4).transpose()?;
/// batches.seek(4);
/// assert_eq!(batches.next().transpose()?, fifth);
/// # Ok::<(), dlm_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batches<R = Vec<Sequence>> {
    rows: R,
    vocabulary: Vocabulary,
    size: BatchSize,
    seed: u64,
    next: u64,
    plan: Plan<Vec<usize>>,
}

impl Batches {
    /// Batches of sequences in memory.
    ///
    /// # Errors
    /// As [`Batches::over`].
    pub fn new(
        rows: Vec<Sequence>,
        vocabulary: Vocabulary,
        size: BatchSize,
        seed: u64,
    ) -> Result<Self, Error> {
        Self::over(rows, vocabulary, size, seed)
    }
}

impl<R: Rows> Batches<R> {
    /// Batches of `rows`, wherever they lie. A row's random draws are named by its index here.
    ///
    /// # Errors
    /// [`dlm_core::Error::Empty`] without a row; [`Error::EmptySequence`]; [`Error::OutOfDomain`] for a size of 0;
    /// [`Error::TooLong`] for a row that alone exceeds a token budget;
    /// [`dlm_core::Error::UnknownToken`] for an id outside the vocabulary; those of [`Rows::row`].
    pub fn over(rows: R, vocabulary: Vocabulary, size: BatchSize, seed: u64) -> Result<Self, Error> {
        let (BatchSize::Sequences(n) | BatchSize::Tokens(n)) = size;
        in_domain(n > 0, "batch size", "at least 1", n as f64)?;
        let limit = if matches!(size, BatchSize::Tokens(_)) { n } else { usize::MAX };
        check_rows(&rows, vocabulary.size, limit)?;
        let mut batches = Self { rows, vocabulary, size, seed, next: 0, plan: Plan::default() };
        batches.plan = Plan { epoch: 0, batches: batches.order(0) };
        Ok(batches)
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never true: an empty data set is refused.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of batches in an epoch, the same in each.
    pub fn epoch_len(&self) -> u64 {
        self.plan.epoch_len()
    }

    /// The index of the batch that `next` gives.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes to a batch.
    pub fn seek(&mut self, index: u64) {
        self.next = index;
    }

    /// The batches of one epoch, and no more: for validation.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = Result<Batch, Error>> + '_ {
        self.order(epoch).into_iter().map(|picked| self.gather(&picked))
    }

    /// The share of an epoch's positions that are padding, in [0, 1).
    ///
    /// For [`BatchSize::Tokens`] the same in each epoch, for [`BatchSize::Sequences`] that of the first.
    pub fn padding(&self) -> f64 {
        let (mut tokens, mut positions) = (0, 0);
        for batch in self.order(0) {
            let lengths = || batch.iter().map(|&row| self.rows.row_len(row));
            tokens += lengths().sum::<usize>();
            positions += batch.len() * lengths().max().unwrap_or(0);
        }
        (positions - tokens) as f64 / positions.max(1) as f64
    }

    fn gather(&self, picked: &[usize]) -> Result<Batch, Error> {
        let row = |&row: &usize| Ok(self.rows.row(row)?.with_key(row as u64));
        let rows: Vec<Sequence> = picked.iter().map(row).collect::<Result<_, Error>>()?;
        Ok(Batch::new(&rows, &self.vocabulary)?)
    }

    /// Which rows each batch of an epoch holds.
    fn order(&self, epoch: u64) -> Vec<Vec<usize>> {
        let rng = CounterRng::new(self.seed).at_step(epoch);
        let mut rows = shuffled((0..self.rows.len()).collect(), rng.row(Purpose::Order, 0));
        match self.size {
            BatchSize::Sequences(n) => rows.chunks(n).map(<[usize]>::to_vec).collect(),
            BatchSize::Tokens(budget) => {
                rows.sort_by_key(|&row| self.rows.row_len(row));
                shuffled(cut(rows, |&row| self.rows.row_len(row), budget), rng.row(Purpose::Order, 1))
            }
        }
    }
}

impl<R: Rows> BatchSource for Batches<R> {
    fn batch(&mut self, index: u64) -> Result<Batch, Error> {
        let (epoch, place) = self.plan.find(index);
        if epoch != self.plan.epoch {
            self.plan = Plan { epoch, batches: self.order(epoch) };
        }
        self.gather(&self.plan.batches[place])
    }

    fn fingerprint(&self) -> u64 {
        let (kind, n) = match self.size {
            BatchSize::Sequences(n) => (0, n),
            BatchSize::Tokens(n) => (1, n),
        };
        let header = [self.seed, kind, n as u64, self.rows.len() as u64];
        fnv(START, header.into_iter().chain([self.rows.content()]).flat_map(u64::to_le_bytes))
    }
}

impl<R: Rows> Iterator for Batches<R> {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next += 1;
        Some(self.batch(self.next - 1))
    }
}

/// What each batch of an epoch holds. All epochs have as many.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan<T> {
    pub(super) epoch: u64,
    pub(super) batches: Vec<T>,
}

impl<T> Plan<T> {
    pub(super) fn epoch_len(&self) -> u64 {
        self.batches.len() as u64
    }

    /// The epoch of the batch with this index, and its place there.
    pub(super) fn find(&self, index: u64) -> (u64, usize) {
        (index / self.epoch_len(), (index % self.epoch_len()) as usize)
    }
}

/// Cuts items of rising length into batches of at most `budget` padded tokens. A batch that is half full
/// ends before an item that would make more than a 25th of it padding.
///
/// Where the cuts fall depends on lengths alone.
pub(super) fn cut<T>(items: Vec<T>, len: impl Fn(&T) -> usize, budget: usize) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut tokens = 0;
    for item in items {
        let len = len(&item);
        let takes = |batch: &Vec<T>| {
            let positions = (batch.len() + 1) * len;
            let padding = positions - (tokens + len);
            positions <= budget && (2 * positions <= budget || 25 * padding <= positions)
        };
        if let Some(batch) = batches.last_mut().filter(|batch| takes(batch)) {
            batch.push(item);
            tokens += len;
        } else {
            batches.push(vec![item]);
            tokens = len;
        }
    }
    batches
}

/// `items` in a random order: each draws a number, and they line up by it.
pub(super) fn shuffled<T>(items: Vec<T>, mut draws: RowRng) -> Vec<T> {
    let mut drawn: Vec<(u64, T)> =
        items.into_iter().enumerate().map(|(i, item)| (draws.bits(i), item)).collect();
    drawn.sort_by_key(|(bits, _)| *bits);
    drawn.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_where_they_do_by_hand() {
        let sizes = |lengths: &[usize], budget| -> Vec<usize> {
            cut(lengths.to_vec(), |&len| len, budget).iter().map(Vec::len).collect()
        };
        // 18 positions are less than half of 40, whatever the padding: 5 of them.
        assert_eq!(sizes(&[2, 2, 2, 2, 2, 3], 40), [6]);
        // 30 positions are more than half, and 9 of them would be padding.
        assert_eq!(sizes(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 3], 40), [9, 1]);
        // 2 of 60 positions are less than a 25th, and 3 of 60 more.
        assert_eq!(sizes(&[19, 19, 20], 60), [3]);
        assert_eq!(sizes(&[18, 19, 20], 60), [2, 1]);
        // Nothing exceeds the budget.
        assert_eq!(sizes(&[5, 5, 5, 5, 5], 20), [4, 1]);
    }
}
