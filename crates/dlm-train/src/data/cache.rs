//! Tokenising once: the sequences of records, kept in a file that is named by what they are made from.

use std::io::ErrorKind;
use std::path::Path;

use dlm_core::{TokenId, Vocabulary};

use crate::data::examples::fitted;
use crate::data::store::damaged;
use crate::data::tokenise::stretch_on;
use crate::data::{Cut, Limit, Record, Store, StoreWriter};
use crate::error::{Error, Foreign};
use crate::hash::{START, fnv};

/// Changes when the same records and recipe give other sequences.
const VERSION: u64 = 1;
/// Records that are tokens in memory at a time.
const BLOCK: usize = 1 << 14;

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

/// The sequences of `records`, as [`tokenise`](crate::data::tokenise) and [`sequences`](crate::data::sequences)
/// make them, from a file in `folder` that holds them, or else made and kept there.
///
/// The file is named by a hash of the records and the recipe, so a change of either makes another file;
/// nothing removes old ones. It is read once as a whole and compared with its hash. `progress` is told how
/// many records are done, now and then, while they are made. Memory holds the tokens of 16 384 records.
///
/// # Errors
/// Those of [`tokenise`](crate::data::tokenise) and [`sequences`](crate::data::sequences), naming the
/// first record at fault; [`dlm_core::Error::UnknownToken`] for an id outside the vocabulary; [`Error::Io`].
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
/// let first = cached(&folder, &records, &recipe, letters, |_| {})?;
/// assert!(matches!(first.found, Found::Nothing));
/// let second = cached(&folder, &records, &recipe, letters, |_| {})?;
/// assert!(matches!(second.found, Found::Whole));
/// let batches = Batches::over(second.store, vocabulary, BatchSize::Tokens(64), 7)?;
/// assert_eq!(batches.epoch(0).next().unwrap()?.ids(), [0, 97, 98, 99, 2]);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cached<E: Into<Foreign>>(
    folder: impl AsRef<Path>,
    records: &[Record],
    recipe: &Recipe,
    tokeniser: impl Fn(&str) -> Result<Vec<TokenId>, E> + Sync,
    mut progress: impl FnMut(usize),
) -> Result<Cached, Error> {
    let key = recipe.key(records);
    let path = folder.as_ref().join(format!("{key:016x}.rows"));
    let found = match open(&path, key) {
        Ok(store) => return Ok(Cached { store, found: Found::Whole }),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Found::Nothing,
        Err(error @ Error::Store { .. }) => Found::Damaged(error),
        Err(error) => return Err(error),
    };
    let mut writer = StoreWriter::create(&path, recipe.vocabulary.size, key)?;
    for (block, records) in records.chunks(BLOCK).enumerate() {
        let first = block * BLOCK;
        let examples = stretch_on(recipe.threads, first, records, &tokeniser)?;
        let rows = fitted(first, &examples, &recipe.vocabulary, recipe.limit)?;
        rows.iter().try_for_each(|row| writer.push(row))?;
        progress(first + records.len());
    }
    Ok(Cached { store: writer.finish()?, found })
}

/// The store of this name, if it is whole and has the key.
fn open(path: &Path, key: u64) -> Result<Store, Error> {
    let store = Store::open(path)?;
    if store.key() != key {
        return Err(damaged(path, format!("the key {key:016x}"), format!("{:016x}", store.key())));
    }
    store.verify()?;
    Ok(store)
}

impl Recipe {
    /// A hash of everything that the sequences depend on.
    fn key(&self, records: &[Record]) -> u64 {
        let Vocabulary { size, bos, pad, eos, mask, .. } = self.vocabulary;
        let cut = match self.limit.cut {
            Cut::PromptLeft => 0,
            Cut::ResponseRight => 1,
            Cut::Drop => 2,
            Cut::Refuse => 3,
        };
        let numbers = [VERSION, size as u64, self.limit.tokens as u64, cut, records.len() as u64];
        let specials = [bos, pad, eos, mask].map(u64::from);
        let hash = fnv(START, numbers.into_iter().chain(specials).flat_map(u64::to_le_bytes));
        let texts = records.iter().flat_map(|record| [&record.prompt, &record.response]);
        std::iter::once(&self.tokeniser).chain(texts).fold(hash, |hash, text| {
            // With its length, so that a text does not run into the next.
            fnv(fnv(hash, (text.len() as u64).to_le_bytes()), text.bytes())
        })
    }
}
