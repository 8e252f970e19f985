//! Between text and the ids of a network whose vocabulary may be trimmed.

use std::path::{Path, PathBuf};

use tokenizers::Tokenizer;

use crate::core::{TokenId, Vocabulary};
use crate::models::{self, IdMap};

/// Name of the map in a folder whose vocabulary was trimmed.
pub(crate) const ID_MAP: &str = "id_map.json";
const UNKNOWN: [&str; 4] = ["<unk>", "[UNK]", "<UNK>", "[unk]"];

/// What can go wrong between text and ids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tokenizer or the map do not fit the network.
    #[error(transparent)]
    Models(#[from] models::Error),
    /// The tokenizer refused a text or some ids, or could not be read.
    #[error("the tokenizer failed: {reason}")]
    Tokenizer {
        /// What it said.
        reason: String,
    },
    /// The map of a trimmed vocabulary is another network's.
    #[error("id_map.json keeps {got} words, the network has {network}")]
    Map {
        /// Words of the network.
        network: usize,
        /// Words that the map keeps.
        got: usize,
    },
}

/// A tokenizer, and which of its ids a network knows.
///
/// # Example
/// ```
/// use dlm::text::Text;
/// let text = Text::of_folder("assets/g2p", None)?;
/// let ids = text.encode("rust")?;
/// assert_eq!((ids.len(), text.decode(&ids)?.as_str()), (4, "r u s t"));
/// # Ok::<(), dlm::text::Error>(())
/// ```
pub struct Text {
    tokenizer: Tokenizer,
    path: Option<PathBuf>,
    map: Option<IdMap>,
    vocabulary: Vocabulary,
}

impl Text {
    /// The tokenizer in `path` for a network of `words` words, or of as many as the tokenizer has. `map` is
    /// that of a trimmed network.
    ///
    /// # Errors
    /// [`Error::Tokenizer`]; [`Error::Models`] if it does not fit the network, or lacks a special token.
    pub fn open(path: impl Into<PathBuf>, words: Option<usize>, map: Option<IdMap>) -> Result<Self, Error> {
        let path = path.into();
        let refused = |error: tokenizers::Error| {
            let reason = format!("{}: {error}", path.display());
            Error::Tokenizer { reason }
        };
        let tokenizer = Tokenizer::from_file(&path).map_err(refused)?;
        Ok(Self { path: Some(path), ..Self::new(tokenizer, words, map)? })
    }

    /// As [`Text::open`], of a tokenizer that is there already.
    ///
    /// # Errors
    /// As there.
    pub fn new(mut tokenizer: Tokenizer, words: Option<usize>, map: Option<IdMap>) -> Result<Self, Error> {
        // What a file says of padding and truncation is meant for other uses.
        tokenizer.with_padding(None);
        let refused = |error: tokenizers::Error| Error::Tokenizer { reason: error.to_string() };
        tokenizer.with_truncation(None).map_err(refused)?;
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        let vocabulary = match &map {
            Some(map) => map.vocabulary(),
            None => models::vocabulary(&tokenizer, words.unwrap_or(highest as usize + 1))?,
        };
        if map.is_none() && highest as usize >= vocabulary.size {
            return Err(models::Error::TokenizerTooLarge { highest, vocab_size: vocabulary.size }.into());
        }
        if let (Some(words), Some(map)) = (words, &map)
            && words != map.len()
        {
            return Err(Error::Map { network: words, got: map.len() });
        }
        Ok(Self { tokenizer, path: None, map, vocabulary })
    }

    /// The `tokenizer.json` of a Hugging Face folder, with its `id_map.json` if the vocabulary was trimmed, for a
    /// network of `words` words.
    ///
    /// # Errors
    /// As [`Text::open`]; [`Error::Map`], [`Error::Models`] for a map that is damaged or another network's.
    pub fn of_folder(folder: impl AsRef<Path>, words: Option<usize>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        Self::open(folder.join(models::TOKENIZER), words, id_map(folder)?)
    }

    /// Size and special tokens of the network's vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The vocabulary of the tokenizer's own ids: the same, unless the network's was trimmed.
    pub(crate) fn full_vocabulary(&self) -> Result<Vocabulary, Error> {
        let Some(map) = &self.map else { return Ok(self.vocabulary) };
        let highest = self.tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        let [bos, pad, eos, mask] =
            [self.vocabulary.bos, self.vocabulary.pad, self.vocabulary.eos, self.vocabulary.mask]
                .map(|id| map.kept()[id as usize]);
        Ok(Vocabulary::new(highest as usize + 1, bos, pad, eos, mask).map_err(models::Error::from)?)
    }

    /// What tells the tokenizer from any other: its own JSON.
    pub(crate) fn name(&self) -> Result<String, Error> {
        self.tokenizer.to_string(false).map_err(|error| Error::Tokenizer { reason: error.to_string() })
    }

    /// Which words were kept, if the vocabulary was trimmed.
    pub fn map(&self) -> Option<&IdMap> {
        self.map.as_ref()
    }

    /// The file of the tokenizer, if it came from one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Keeps the words of `words`, full ids, alone.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] without an unknown word; [`Error::Models`] as [`IdMap::new`].
    pub(crate) fn trimmed(self, words: impl IntoIterator<Item = TokenId>) -> Result<Self, Error> {
        let unknown = UNKNOWN.iter().find_map(|token| self.tokenizer.token_to_id(token));
        let lacking = || Error::Tokenizer { reason: format!("it has none of {}", UNKNOWN.join(", ")) };
        let map = IdMap::new(words, &self.vocabulary, unknown.ok_or_else(lacking)?)?;
        Ok(Self { vocabulary: map.vocabulary(), map: Some(map), ..self })
    }

    /// The tokens of a text in the tokenizer's own ids, without special tokens around them.
    pub(crate) fn encode_full(&self, text: &str) -> Result<Vec<TokenId>, tokenizers::Error> {
        Ok(self.tokenizer.encode_fast(text, false)?.get_ids().to_vec())
    }

    /// From the tokenizer's ids to the network's.
    pub(crate) fn trim(&self, full: Vec<TokenId>) -> Vec<TokenId> {
        match &self.map {
            Some(map) => map.trim(&full),
            None => full,
        }
    }

    /// How the tokenizer writes one token; `None` for an id that is none.
    pub fn token(&self, id: TokenId) -> Option<String> {
        let full = match &self.map {
            Some(map) => *map.kept().get(id as usize)?,
            None => id,
        };
        self.tokenizer.id_to_token(full)
    }

    /// The tokens of a text, without special tokens around them.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        let full = self.encode_full(text).map_err(|error| Error::Tokenizer { reason: error.to_string() })?;
        Ok(self.trim(full))
    }

    /// The text of some tokens, special ones left out.
    ///
    /// # Errors
    /// [`Error::Tokenizer`]; [`Error::Models`] for an id that the network has no row for.
    pub fn decode(&self, ids: &[TokenId]) -> Result<String, Error> {
        let ids: Vec<TokenId> = ids.iter().copied().filter(|&id| !self.vocabulary.is_special(id)).collect();
        let full = match &self.map {
            Some(map) => map.restore(&ids)?,
            None => ids,
        };
        self.tokenizer.decode(&full, true).map_err(|error| Error::Tokenizer { reason: error.to_string() })
    }
}

/// The map of a folder whose vocabulary was trimmed.
pub(crate) fn id_map(folder: &Path) -> Result<Option<IdMap>, models::Error> {
    let path = folder.join(ID_MAP);
    path.is_file().then(|| IdMap::load(path)).transpose()
}
