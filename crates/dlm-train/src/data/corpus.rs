//! Where records of text lie, and the sequences that become of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dlm_core::{Sequence, TokenId};
use serde::{Deserialize, Serialize};

use crate::data::examples::fitted;
use crate::data::read::{Skipped, each_placed, estimate};
use crate::data::tokenise::stretch_on;
use crate::data::{Format, OnBroken, Place, Recipe, Record};
use crate::error::{Error, Foreign};
use crate::hash::{START, digest, fnv};

/// Records that are tokens in memory at a time.
const BLOCK: usize = 1 << 14;
/// Bytes of text after which a block of records ends early: some documents are long.
const BLOCK_TEXT: usize = 1 << 25;

/// Records of text that come one after the other: a slice in memory, or [`Files`].
pub trait Corpus {
    /// A hash of all that the records are made from.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn content(&self) -> Result<u64, Error>;

    /// Hands over each record and where it stands, in the same order each time, and tells of broken ones that were
    /// left out.
    ///
    /// # Errors
    /// As [`read`](crate::data::read), and those of `take`.
    fn each(&self, take: &mut dyn FnMut(Record, Place) -> Result<(), Error>) -> Result<Skipped, Error>;

    /// About how many records there are, if that is cheap to know: for progress.
    fn estimate(&self) -> Option<usize> {
        None
    }
}

impl Corpus for [Record] {
    fn content(&self) -> Result<u64, Error> {
        let texts = self.iter().flat_map(|record| [&record.prompt, &record.response]);
        let hash = fnv(START, (self.len() as u64).to_le_bytes());
        Ok(texts.fold(hash, |hash, text| with_text(hash, text)))
    }

    fn each(&self, take: &mut dyn FnMut(Record, Place) -> Result<(), Error>) -> Result<Skipped, Error> {
        let mut records = self.iter().enumerate();
        records.try_for_each(|(index, record)| take(record.clone(), Place::Index(index)))?;
        Ok(Skipped::default())
    }

    fn estimate(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Corpus for Vec<Record> {
    fn content(&self) -> Result<u64, Error> {
        self.as_slice().content()
    }

    fn each(&self, take: &mut dyn FnMut(Record, Place) -> Result<(), Error>) -> Result<Skipped, Error> {
        self.as_slice().each(take)
    }

    fn estimate(&self) -> Option<usize> {
        self.as_slice().estimate()
    }
}

/// The records of files, read one after the other and never held.
///
/// Their hash is that of the files' bytes and of how they are read, so a changed file is another corpus, and an
/// unchanged one is known without being parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Each file, and how it holds its records.
    pub files: Vec<(PathBuf, Format)>,
    /// What a broken record does.
    pub on_broken: OnBroken,
}

impl Corpus for Files {
    fn content(&self) -> Result<u64, Error> {
        self.files.iter().try_fold(START, |hash, (path, format)| {
            let (bytes, content) = digest(path)?;
            let hash = fnv(hash, [bytes, content].into_iter().flat_map(u64::to_le_bytes));
            // A format shows all that it consists of.
            Ok(with_text(hash, &format!("{format:?}{:?}", self.on_broken)))
        })
    }

    fn each(&self, take: &mut dyn FnMut(Record, Place) -> Result<(), Error>) -> Result<Skipped, Error> {
        let mut skipped = Skipped::default();
        for (path, format) in &self.files {
            let file: Arc<Path> = Arc::from(path.as_path());
            let placed = |line, record| take(record, Place::Line { path: Arc::clone(&file), line });
            skipped.join(each_placed(path, format, self.on_broken, placed)?);
        }
        Ok(skipped)
    }

    /// Lines, or rows of Parquet: broken records count, and conversations as one each. `None` where lines say
    /// nothing.
    fn estimate(&self) -> Option<usize> {
        self.files.iter().map(|(path, format)| estimate(path, format)).sum()
    }
}

/// What became of the records of a corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Sequences that were made, one a record.
    pub rows: usize,
    /// Records that were left out for their length.
    pub dropped: usize,
    /// Broken records that were left out.
    pub skipped: usize,
    /// What is wrong with the first of them, at most [`Skipped::KEPT`].
    pub complaints: Vec<String>,
}

impl Taken {
    /// Adds what became of another corpus.
    pub fn join(&mut self, other: Self) {
        self.rows += other.rows;
        self.dropped += other.dropped;
        self.skipped += other.skipped;
        self.complaints.extend(other.complaints);
        self.complaints.truncate(Skipped::KEPT);
    }
}

/// The sequences of `corpus` in memory, as [`tokenise`](crate::data::tokenise) and
/// [`sequences`](crate::data::sequences) make them; [`cached`](crate::data::cached) has them in a file. No more
/// than 16 384 records, or 32 MiB and a record, are held as text at a time. `progress` is told how many records
/// are done, now and then.
///
/// # Errors
/// Those of the corpus, and as [`cached`](crate::data::cached).
///
/// # Example
/// ```
/// use dlm_core::Vocabulary;
/// use dlm_train::data::{Limit, Recipe, Record, in_memory};
/// let records = vec![Record { prompt: "ab".into(), response: "c".into() }];
/// let letters = |text: &str| Ok::<_, std::fmt::Error>(text.bytes().map(u32::from).collect());
/// let vocabulary = Vocabulary::new(256, 0, 1, 2, 3)?;
/// let recipe = Recipe { tokeniser: "bytes".into(), vocabulary, limit: Limit::default(), threads: 2 };
/// let (rows, taken) = in_memory(&records, &recipe, letters, |_| {})?;
/// assert_eq!((rows[0].ids(), taken.rows), ([0, 97, 98, 99, 2].as_slice(), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn in_memory<E: Into<Foreign>>(
    corpus: &(impl Corpus + ?Sized),
    recipe: &Recipe,
    tokeniser: impl Fn(&str) -> Result<Vec<TokenId>, E> + Sync,
    progress: impl FnMut(usize),
) -> Result<(Vec<Sequence>, Taken), Error> {
    let mut rows = Vec::new();
    let push = |row| {
        rows.push(row);
        Ok(())
    };
    let taken = each_row(corpus, recipe, tokeniser, progress, push)?;
    Ok((rows, taken))
}

/// Hands over the sequences of a corpus, made a block of records at a time. `progress` is told how many records
/// are done.
pub(super) fn each_row<E: Into<Foreign>>(
    corpus: &(impl Corpus + ?Sized),
    recipe: &Recipe,
    tokeniser: impl Fn(&str) -> Result<Vec<TokenId>, E> + Sync,
    mut progress: impl FnMut(usize),
    mut push: impl FnMut(Sequence) -> Result<(), Error>,
) -> Result<Taken, Error> {
    let mut taken = Taken::default();
    let mut made = |block: &mut Block| -> Result<(), Error> {
        let Block { records, places, .. } = std::mem::take(block);
        let first = taken.rows + taken.dropped;
        let examples = stretch_on(recipe.threads, first, &records, &tokeniser)
            .map_err(|error| placed(error, first, &places))?;
        let rows = fitted(first, &examples, &recipe.vocabulary, recipe.limit)
            .map_err(|error| placed(error, first, &places))?;
        taken.rows += rows.len();
        taken.dropped += records.len() - rows.len();
        rows.into_iter().try_for_each(&mut push)?;
        progress(first + records.len());
        Ok(())
    };
    let mut block = Block::default();
    let skipped = corpus.each(&mut |record, place| {
        block.text += record.prompt.len() + record.response.len();
        block.records.push(record);
        block.places.push(place);
        let full = block.records.len() == BLOCK || block.text >= BLOCK_TEXT;
        if full { made(&mut block) } else { Ok(()) }
    })?;
    if !block.records.is_empty() {
        made(&mut block)?;
    }
    taken.skipped = skipped.count;
    taken.complaints = skipped.first.iter().map(ToString::to_string).collect();
    Ok(taken)
}

/// Records that become tokens together, where they stand, and the bytes of their text.
#[derive(Default)]
struct Block {
    records: Vec<Record>,
    places: Vec<Place>,
    text: usize,
}

/// What is wrong with a record, by its place in the corpus instead of among what was read. `first` is the index
/// of the first of the places.
fn placed(error: Error, first: usize, places: &[Place]) -> Error {
    let place = |index: usize| index.checked_sub(first).and_then(|at| places.get(at)).cloned();
    match error {
        Error::Tokenise { place: Place::Index(index), field, source } => {
            Error::Tokenise { place: place(index).unwrap_or(Place::Index(index)), field, source }
        }
        Error::TooLong { index, limit, got } => match place(index) {
            Some(Place::Line { path, line }) => Error::Record {
                path: path.to_path_buf(),
                line,
                expected: format!("at most {limit} tokens"),
                got: got.to_string(),
            },
            Some(Place::Index(index)) => Error::TooLong { index, limit, got },
            None => Error::TooLong { index, limit, got },
        },
        other => other,
    }
}

/// Goes on with the hash of texts, each with its length, so that one does not run into the next.
pub(super) fn with_text(hash: u64, text: &str) -> u64 {
    fnv(fnv(hash, (text.len() as u64).to_le_bytes()), text.bytes())
}
