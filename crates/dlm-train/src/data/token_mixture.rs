//! A mixture in batches of so many tokens.

use dlm_core::{Batch, CounterRng, Purpose, Sequence};

use crate::data::batches::{Plan, cut, shuffled};
use crate::data::{BatchSource, Mixture, Origin, Rows};
use crate::error::Error;
use crate::hash::{START, fnv};

/// Samples that are sorted by length together: enough for batches of like lengths, and a moment's work.
const WINDOW: u64 = 1 << 13;
/// Changes when the same samples come in another order: a checkpoint of the old one is refused.
const ORDER: u64 = 1;

/// The samples of a [`Mixture`] in batches of at most so many tokens, padding counted, made by
/// [`Mixture::by_tokens`].
///
/// Each 8 192 samples in a row are sorted by length, cut into batches and shuffled, so the rates hold within
/// each such window. How many batches one has depends on its samples, so a batch is found by counting
/// through the windows before it: in rising order that costs nothing; after a seek, a draw and a length for
/// each sample before, but no reading. A row's key is the sample's index.
///
/// # Example
/// ```
/// use dlm_core::{Sequence, Vocabulary};
/// use dlm_train::data::{BatchSource, Mixture, Source};
/// let source = |name: &str, weight, len| {
///     Source { name: name.into(), weight, rows: (3..7).map(|id| Sequence::whole(vec![id; len])).collect() }
/// };
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let sources = vec![source("long", 1.0, 30), source("short", 3.0, 10)];
/// let mut batches = Mixture::new(sources, vocabulary, 1, 7)?.by_tokens(100)?;
/// let batch = batches.batch(41)?;
/// assert!(batch.rows() == 10 && batch.len() == 10 || batch.rows() == 3 && batch.len() == 30);
/// # Ok::<(), dlm_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TokenMixture<R = Vec<Sequence>> {
    mixture: Mixture<R>,
    budget: usize,
    /// The index of the first batch of each window that was met, and of the one after.
    firsts: Vec<u64>,
    /// The batches of the window that was met last.
    plan: Plan<Vec<(u64, Origin)>>,
}

impl<R: Rows> Mixture<R> {
    /// The same samples in batches of at most `budget` tokens, padding counted, instead of so many rows.
    ///
    /// # Errors
    /// [`Error::Source`], naming it, for a source with a row that alone exceeds the budget.
    pub fn by_tokens(self, budget: usize) -> Result<TokenMixture<R>, Error> {
        for source in self.sources() {
            let too_long = |&row: &usize| source.rows.row_len(row) > budget;
            if let Some(row) = (0..source.rows.len()).find(too_long) {
                let expected = format!("rows of at most {budget} tokens");
                let got = format!("{} in row {row}", source.rows.row_len(row));
                return Err(Error::Source { name: source.name.clone(), expected, got });
            }
        }
        let mut batches = TokenMixture { mixture: self, budget, firsts: vec![0], plan: Plan::default() };
        batches.plan.batches = batches.order(0);
        Ok(batches)
    }
}

impl<R: Rows> TokenMixture<R> {
    /// The window of a batch, whose plan is then the current one, and the batch's place there.
    fn find(&mut self, index: u64) -> usize {
        loop {
            let met = self.firsts.partition_point(|&first| first <= index);
            let window = met as u64 - 1;
            if window != self.plan.epoch {
                self.plan = Plan { epoch: window, batches: self.order(window) };
            }
            let first = self.firsts[met - 1];
            let next = first + self.plan.epoch_len();
            if met == self.firsts.len() {
                self.firsts.push(next);
            }
            if index < next {
                return (index - first) as usize;
            }
        }
    }

    /// Which samples each batch of a window holds.
    fn order(&mut self, window: u64) -> Vec<Vec<(u64, Origin)>> {
        let samples = window * WINDOW..(window + 1) * WINDOW;
        let mut samples: Vec<_> = samples.map(|sample| (sample, self.mixture.origin(sample))).collect();
        let len = |(_, origin): &(u64, Origin)| self.mixture.rows(origin.source).row_len(origin.row);
        samples.sort_by_key(len);
        let rng = CounterRng::new(self.mixture.seed()).at_step(window);
        shuffled(cut(samples, len, self.budget), rng.row(Purpose::Windows, 0))
    }
}

impl<R: Rows> BatchSource for TokenMixture<R> {
    fn batch(&mut self, index: u64) -> Result<Batch, Error> {
        let place = self.find(index);
        let sample = |&(sample, origin): &(u64, Origin)| {
            Ok(self.mixture.rows(origin.source).row(origin.row)?.with_key(sample))
        };
        let rows: Result<Vec<Sequence>, Error> = self.plan.batches[place].iter().map(sample).collect();
        Ok(Batch::new(&rows?, self.mixture.vocabulary())?)
    }

    fn fingerprint(&self) -> u64 {
        let header = [self.mixture.fingerprint(), self.budget as u64, WINDOW, ORDER];
        fnv(START, header.into_iter().flat_map(u64::to_le_bytes))
    }
}
