//! Tokenising once: the sequences of a corpus, kept in a file that is named by what they are made from.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dlm_core::{TokenId, Vocabulary};

use crate::data::corpus::{each_row, with_text};
use crate::data::store::damaged;
use crate::data::{Corpus, Cut, Limit, Store, StoreWriter, Taken};
use crate::error::{Error, Foreign};
use crate::hash::{START, fnv};

/// Changes when the same records and recipe give other sequences.
const VERSION: u64 = 2;

/// How records become sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Tells the tokeniser from any other: the content of its file, say, or its name and version. Under
    /// another text nothing that was kept is used.
    pub tokeniser: String,
    /// The special tokens and the number of words.
    pub vocabulary: Vocabulary,
    /// The longest sequence, and what becomes of longer ones.
    pub limit: Limit,
    /// How many threads tokenise (0 counts as 1), which changes no sequence.
    pub threads: usize,
}

/// Sequences, and whether they had been kept.
#[derive(Debug)]
pub struct Cached {
    /// The sequences.
    pub store: Store,
    /// What was there before.
    pub found: Found,
    /// What became of the records when the sequences were made.
    pub taken: Taken,
}

/// What a cache holds for some records and a recipe.
#[derive(Debug)]
pub enum Found {
    /// The sequences; nothing was tokenised.
    Whole,
    /// Nothing.
    Nothing,
    /// A file that is not whole, and what is wrong with it. It was replaced.
    Damaged(Error),
}

/// The sequences of `corpus`, as [`tokenise`](crate::data::tokenise) and [`sequences`](crate::data::sequences)
/// make them, from a file in `folder` that holds them, or else made and kept there.
///
/// The file is named by a hash of the corpus and the recipe, so a change of either makes another file;
/// nothing removes old ones. It is read once as a whole and compared with its hash. Beside it, in a file of
/// JSON, is what became of the records. `progress` is told how many records are done, now and then, while they
/// are made. Memory holds the texts and tokens of at most 16 384 records.
///
/// # Errors
/// Those of the corpus, of [`tokenise`](crate::data::tokenise) and [`sequences`](crate::data::sequences), naming the
/// first record at fault, by file and line if it comes from one; [`dlm_core::Error::UnknownToken`] for an id outside the vocabulary; [`Error::Io`].
///
/// # Example
/// ```
/// use dlm_core::Vocabulary;
/// use dlm_train::data::{BatchSize, Batches, Found, Limit, Recipe, Record, cached};
/// # let folder = std::env::temp_dir().join(format!("dlm-doc-cache-{}", std::process::id()));
/// let records = [Record { prompt: "ab".into(), response: "c".into() }];
/// let letters = |text: &str| Ok::<_, std::fmt::Error>(text.bytes().map(u32::from).collect());
/// let vocabulary = Vocabulary::new(256, 0, 1, 2, 3)?;
/// let recipe = Recipe { tokeniser: "bytes".into(), vocabulary, limit: Limit::default(), threads: 2 };
/// let first = cached(&folder, &records[..], &recipe, letters, |_| {})?;
/// assert!(matches!(first.found, Found::Nothing));
/// let second = cached(&folder, &records[..], &recipe, letters, |_| {})?;
/// assert!(matches!(second.found, Found::Whole));
/// let batches = Batches::over(second.store, vocabulary, BatchSize::Tokens(64), 7)?;
/// assert_eq!(batches.epoch(0).next().unwrap()?.ids(), [0, 97, 98, 99, 2]);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cached<E: Into<Foreign>>(
    folder: impl AsRef<Path>,
    corpus: &(impl Corpus + ?Sized),
    recipe: &Recipe,
    tokeniser: impl Fn(&str) -> Result<Vec<TokenId>, E> + Sync,
    progress: impl FnMut(usize),
) -> Result<Cached, Error> {
    let key = recipe.key(corpus.content()?);
    let path = folder.as_ref().join(format!("{key:016x}.rows"));
    let found = match open(&path, key) {
        Ok((store, taken)) => return Ok(Cached { store, found: Found::Whole, taken }),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Found::Nothing,
        Err(error @ Error::Store { .. }) => Found::Damaged(error),
        Err(error) => return Err(error),
    };
    let mut writer = StoreWriter::create(&path, recipe.vocabulary.size, key)?;
    let taken = each_row(corpus, recipe, tokeniser, progress, |row| writer.push(&row))?;
    let store = writer.finish()?;
    let beside = note(&path);
    let json = serde_json::to_vec(&taken).map_err(std::io::Error::other);
    json.and_then(|json| fs::write(&beside, json)).map_err(Error::io("write", &beside))?;
    Ok(Cached { store, found, taken })
}

/// The store of this name, if it is whole and has the key.
fn open(path: &Path, key: u64) -> Result<(Store, Taken), Error> {
    let store = Store::open(path)?;
    if store.key() != key {
        return Err(damaged(path, format!("the key {key:016x}"), format!("{:016x}", store.key())));
    }
    store.verify()?;
    let beside = note(path);
    let text = fs::read_to_string(&beside).unwrap_or_default();
    let taken = serde_json::from_str(&text)
        .map_err(|error| damaged(&beside, "what became of the records".into(), error.to_string()))?;
    Ok((store, taken))
}

/// The file of JSON beside a store.
fn note(path: &Path) -> PathBuf {
    path.with_extension("json")
}

impl Recipe {
    /// A hash of everything that the sequences depend on.
    fn key(&self, corpus: u64) -> u64 {
        let Vocabulary { size, bos, pad, eos, mask, .. } = self.vocabulary;
        let cut = match self.limit.cut {
            Cut::PromptLeft => 0,
            Cut::ResponseRight => 1,
            Cut::Drop => 2,
            Cut::Refuse => 3,
        };
        let numbers = [VERSION, size as u64, self.limit.tokens as u64, cut, corpus];
        let specials = [bos, pad, eos, mask].map(u64::from);
        let hash = fnv(START, numbers.into_iter().chain(specials).flat_map(u64::to_le_bytes));
        with_text(hash, &self.tokeniser)
    }
}
