//! Samples from several sources at given rates.

use dlm_core::rng::RowRng;
use dlm_core::{Batch, CounterRng, Purpose, Sequence, Vocabulary};

use crate::data::batches::shuffled;
use crate::data::{BatchSource, Rows};
use crate::error::{Error, in_domain};
use crate::hash::{START, fnv};

/// The files of Flan 2022 that the paper trains on, and how often a sample comes from each; the rates add
/// up to 1. `fs` has demonstrations and `zs` none; `opt` names the options of a question, `noopt` does not.
///
/// # Source
/// Ye et al. 2023, arXiv:2308.12219, code.
pub const FLAN_2022: [(&str, f64); 13] = [
    ("flan_fs_noopt", 0.1),
    ("flan_fs_opt", 0.1),
    ("flan_zs_noopt", 0.1),
    ("flan_zs_opt", 0.1),
    ("t0_fs_noopt", 0.106),
    ("t0_zs_noopt", 0.107),
    ("t0_zs_opt", 0.107),
    ("niv2_fs_opt", 0.1),
    ("niv2_zs_opt", 0.1),
    ("cot_fs_opt", 0.025),
    ("cot_zs_opt", 0.025),
    ("dialog_fs_opt", 0.015),
    ("dialog_zs_opt", 0.015),
];

/// One of the parts of a mixture.
#[derive(Debug, Clone)]
pub struct Source<R = Vec<Sequence>> {
    /// What errors call it.
    pub name: String,
    /// How often a sample comes from it, in proportion to the other weights.
    pub weight: f64,
    /// Its sequences.
    pub rows: R,
}

/// In what order a source's rows come. When all have come, they come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// As they are given, each time; the paper's way.
    AsGiven,
    /// In a new random order each time.
    Shuffled,
}

/// Where a sample comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Index of the source.
    pub source: usize,
    /// Index of the row in the source.
    pub row: usize,
    /// How often all rows of the source had come before.
    pub pass: u64,
}

/// An endless stream of samples, each from a source drawn at random in proportion to the weights.
///
/// Which source a sample comes from depends on the seed and the sample's index alone, and its row on how
/// many samples before it came from the same source; so any batch can be had by its index. Batches in
/// rising order cost nothing; one that lies `n` samples ahead costs `n` draws, one that lies behind as many
/// as its index.
///
/// Batch `i` holds the samples from `i × rows`; a row's key is the sample's index, which
/// [`Mixture::origin`] takes. Batches are not sorted by length, as in the paper; [`Mixture::by_tokens`] sorts.
///
/// # Example
/// ```
/// use dlm_core::{Sequence, Vocabulary};
/// use dlm_train::data::{BatchSource, Mixture, Source};
/// let source = |name: &str, weight, ids: std::ops::Range<u32>| {
///     Source { name: name.into(), weight, rows: ids.map(|id| Sequence::whole(vec![id])).collect() }
/// };
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let sources = vec![source("tasks", 3.0, 3..6), source("talk", 1.0, 6..8)];
/// let mut mixture = Mixture::new(sources, vocabulary, 4, 7)?;
/// let batch = mixture.batch(1000)?;
/// let origin = mixture.origin(batch.key(2));
/// assert_eq!(batch.key(2), 4002);
/// assert_eq!(batch.ids()[2], mixture.rows(origin.source)[origin.row].ids()[0]);
/// # Ok::<(), dlm_train::Error>(())
/// ```
///
/// # Source
/// Ye et al. 2023, arXiv:2308.12219, code: a categorical choice a sample, files read in a circle.
#[derive(Debug, Clone)]
pub struct Mixture<R = Vec<Sequence>> {
    sources: Vec<Source<R>>,
    vocabulary: Vocabulary,
    rows: usize,
    pass: Pass,
    seed: u64,
    /// Which source each sample is of: position `i` for sample `i`.
    choices: RowRng,
    /// How many samples were counted, and how many of them each source gave.
    counted: u64,
    given: Vec<u64>,
    /// The pass that each source was last seen in, and its order.
    orders: Vec<Option<(u64, Vec<usize>)>>,
}

impl Mixture {
    /// A mixture of sequences in memory.
    ///
    /// # Errors
    /// As [`Mixture::over`].
    pub fn new(sources: Vec<Source>, vocabulary: Vocabulary, rows: usize, seed: u64) -> Result<Self, Error> {
        Self::over(sources, vocabulary, rows, seed)
    }
}

impl<R: Rows> Mixture<R> {
    /// Batches of `rows` samples. Rows are shuffled; see [`Mixture::with_pass`].
    ///
    /// # Errors
    /// [`dlm_core::Error::Empty`] without a source; [`Error::OutOfDomain`] for batches of 0;
    /// [`Error::Source`], naming it, for a source without rows, with a weight that is not above 0 and
    /// finite, or with an id outside the vocabulary; those of [`Rows::row`].
    pub fn over(
        sources: Vec<Source<R>>,
        vocabulary: Vocabulary,
        rows: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        in_domain(rows > 0, "batch size", "at least 1", rows as f64)?;
        if sources.is_empty() {
            return Err(dlm_core::Error::Empty { what: "the mixture" }.into());
        }
        sources.iter().try_for_each(|source| source.check(&vocabulary))?;
        let n = sources.len();
        Ok(Self {
            sources,
            vocabulary,
            rows,
            pass: Pass::Shuffled,
            seed,
            choices: CounterRng::new(seed).row(Purpose::Mixture, 0),
            counted: 0,
            given: vec![0; n],
            orders: vec![None; n],
        })
    }

    /// The same mixture with this order within sources.
    #[must_use]
    pub fn with_pass(self, pass: Pass) -> Self {
        Self { pass, orders: vec![None; self.sources.len()], ..self }
    }

    /// A source's name.
    ///
    /// # Panics
    /// Unless `source` is below the number of sources.
    pub fn name(&self, source: usize) -> &str {
        &self.sources[source].name
    }

    /// A source's sequences.
    ///
    /// # Panics
    /// Unless `source` is below the number of sources.
    pub fn rows(&self, source: usize) -> &R {
        &self.sources[source].rows
    }

    /// Where the sample with this index comes from.
    pub fn origin(&mut self, sample: u64) -> Origin {
        if sample < self.counted {
            self.counted = 0;
            self.given.fill(0);
        }
        while self.counted < sample {
            let source = self.choose(self.counted);
            self.given[source] += 1;
            self.counted += 1;
        }
        let source = self.choose(sample);
        let rows = self.sources[source].rows.len() as u64;
        let (pass, place) = (self.given[source] / rows, (self.given[source] % rows) as usize);
        Origin { source, row: self.row(source, pass, place), pass }
    }

    /// The sample with this index, with the index as its key.
    ///
    /// # Errors
    /// Those of [`Rows::row`].
    pub fn sample(&mut self, sample: u64) -> Result<Sequence, Error> {
        let origin = self.origin(sample);
        Ok(self.sources[origin.source].rows.row(origin.row)?.with_key(sample))
    }

    pub(super) fn sources(&self) -> &[Source<R>] {
        &self.sources
    }

    pub(super) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// The source of a sample.
    fn choose(&mut self, sample: u64) -> usize {
        let total: f64 = self.sources.iter().map(|source| source.weight).sum();
        let mut left = self.choices.uniform(sample as usize) * total;
        let chosen = self.sources.iter().position(|source| {
            left -= source.weight;
            left < 0.0
        });
        // Rounding may leave the last bit of the last source's share over.
        chosen.unwrap_or(self.sources.len() - 1)
    }

    fn row(&mut self, source: usize, pass: u64, place: usize) -> usize {
        if self.pass == Pass::AsGiven {
            return place;
        }
        let rows = self.sources[source].rows.len();
        let rng = CounterRng::new(self.seed).at_step(pass).row(Purpose::Mixture, 1 + source as u64);
        let order = match self.orders[source].take() {
            Some((of, order)) if of == pass => order,
            _ => shuffled((0..rows).collect(), rng),
        };
        let row = order[place];
        self.orders[source] = Some((pass, order));
        row
    }
}

impl<R: Rows> BatchSource for Mixture<R> {
    fn batch(&mut self, index: u64) -> Result<Batch, Error> {
        let first = index * self.rows as u64;
        let rows: Vec<Sequence> =
            (first..first + self.rows as u64).map(|sample| self.sample(sample)).collect::<Result<_, _>>()?;
        Ok(Batch::new(&rows, &self.vocabulary)?)
    }

    fn fingerprint(&self) -> u64 {
        let pass = match self.pass {
            Pass::AsGiven => 0,
            Pass::Shuffled => 1,
        };
        let header = [self.seed, self.rows as u64, pass, self.sources.len() as u64];
        let hash = fnv(START, header.into_iter().flat_map(u64::to_le_bytes));
        self.sources.iter().fold(hash, |hash, source| {
            let header = [source.weight.to_bits(), source.rows.content()];
            fnv(hash, header.into_iter().flat_map(u64::to_le_bytes))
        })
    }
}

impl<R: Rows> Source<R> {
    fn check(&self, vocabulary: &Vocabulary) -> Result<(), Error> {
        let complain =
            |expected: String, got: String| Error::Source { name: self.name.clone(), expected, got };
        if self.rows.is_empty() {
            return Err(complain("at least 1 row".into(), "none".into()));
        }
        if !(self.weight > 0.0 && self.weight.is_finite()) {
            return Err(complain("a weight above 0 and finite".into(), self.weight.to_string()));
        }
        self.rows.check(vocabulary.size).map_err(|error| match error {
            Error::Core(unknown) => complain(format!("ids below {}", vocabulary.size), unknown.to_string()),
            unreadable => unreadable,
        })
    }
}
