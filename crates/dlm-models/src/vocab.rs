//! Cutting a vocabulary down to the words that a task uses.
//!
//! With 250 002 words the embedding table is most of XLM-R, and the softmax most of a training step. A
//! task needs a fraction of them (paper, section 4.1: the tables are restricted to the training set's
//! words). The tables stay tied here, which is where the paper's own code differs.

mod tokenizer;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use burn::module::Param;
use burn::tensor::{Int, Tensor, TensorData, s};
use dlm_core::{TokenId, Vocabulary};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::checkpoint::Pretrained;

/// Which words of a full vocabulary are kept, and under which ids.
///
/// [`IdMap::trim_model`] makes the network, [`IdMap::trim_tokenizer`] its tokenizer; or the whole tokenizer stays and
/// [`IdMap::trim`] follows it.
///
/// # Example
/// ```
/// use dlm_core::Vocabulary;
/// use dlm_models::IdMap;
/// let full = Vocabulary::new(100, 0, 1, 2, 99)?;
/// let map = IdMap::new([7, 40, 7], &full, 3)?;
/// assert_eq!(map.trim(&[0, 40, 50, 99]), [0, 5, 3, 6]); // 50 became the unknown word
/// assert_eq!(map.restore(&[0, 5, 3, 6])?, [0, 40, 3, 99]);
/// assert_eq!(map.vocabulary(), Vocabulary::new(7, 0, 1, 2, 6)?);
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct IdMap {
    kept: Vec<TokenId>,
    trimmed: HashMap<TokenId, TokenId>,
    unknown: TokenId,
    full: Vocabulary,
}

/// The file: everything in ids of the full vocabulary.
#[derive(Serialize, Deserialize)]
struct Stored {
    size: usize,
    bos: TokenId,
    pad: TokenId,
    eos: TokenId,
    mask: TokenId,
    unknown: TokenId,
    kept: Vec<TokenId>,
}

impl IdMap {
    /// Keeps the words of `words`, the special tokens and `unknown`; the order of ids stays.
    ///
    /// Padding alone keeps its id, as far as there are that many words, since RoBERTa counts positions from it.
    ///
    /// # Errors
    /// [`Error::Core`] for an id outside the full vocabulary.
    pub fn new(
        words: impl IntoIterator<Item = TokenId>,
        full: &Vocabulary,
        unknown: TokenId,
    ) -> Result<Self, Error> {
        let mut kept: BTreeSet<TokenId> = words.into_iter().collect();
        kept.extend([full.bos, full.pad, full.eos, full.mask, unknown]);
        let stays = (full.pad as usize) < kept.len() && kept.remove(&full.pad);
        let mut kept: Vec<TokenId> = kept.into_iter().collect();
        if stays {
            kept.insert(full.pad as usize, full.pad);
        }
        dlm_core::sequence::check_ids(0, &kept, full.size)?;
        let trimmed = kept.iter().zip(0..).map(|(&old, new)| (old, new)).collect();
        Ok(Self { kept, trimmed, unknown, full: *full })
    }

    /// Number of words kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Never true: the special tokens are kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The full ids of the words kept, by trimmed id.
    pub fn kept(&self) -> &[TokenId] {
        &self.kept
    }

    /// Full ids to trimmed ids; words that were not kept become the unknown word.
    pub fn trim(&self, full: &[TokenId]) -> Vec<TokenId> {
        let unknown = self.trimmed[&self.unknown];
        full.iter().map(|id| self.trimmed.get(id).copied().unwrap_or(unknown)).collect()
    }

    /// Trimmed ids to full ids.
    ///
    /// # Errors
    /// [`Error::Core`] for an id that is not below [`IdMap::len`].
    pub fn restore(&self, trimmed: &[TokenId]) -> Result<Vec<TokenId>, Error> {
        dlm_core::sequence::check_ids(0, trimmed, self.len())?;
        Ok(trimmed.iter().map(|&id| self.kept[id as usize]).collect())
    }

    /// The trimmed vocabulary.
    pub fn vocabulary(&self) -> Vocabulary {
        let mut vocabulary = self.full;
        let special = [&mut vocabulary.bos, &mut vocabulary.pad, &mut vocabulary.eos, &mut vocabulary.mask];
        for id in special {
            *id = self.trimmed[id];
        }
        vocabulary.size = self.len();
        vocabulary
    }

    /// Writes the map as JSON.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Error::Io { path: path.as_ref().to_owned(), source: error.into() })?;
        std::fs::write(&path, text).map_err(Error::io(path.as_ref()))
    }

    /// Reads what [`IdMap::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] for anything else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let text = std::fs::read(&path).map_err(Error::io(path.as_ref()))?;
        serde_json::from_slice(&text).map_err(|reason| Error::damaged(path.as_ref(), reason))
    }
}

impl IdMap {
    /// A network for the words of the map alone: rows of the word table and elements of the bias are copied, ids in
    /// the configuration follow their words, everything else is kept. Logits of kept words do not change.
    ///
    /// # Errors
    /// [`Error::Config`] if the map is of a vocabulary of another size, lacks a word that the network needs, or moves
    /// the padding of a network that counts positions from it.
    pub fn trim_model<M: Pretrained>(&self, mut model: M) -> Result<M, Error> {
        let mismatch = |field, expected, got: usize| Error::Config { field, expected, got: got.to_string() };
        let words = model.words();
        if *words.size != self.full.size {
            return Err(mismatch("vocab_size", "that of the map's full vocabulary", *words.size));
        }
        let moves = |&pad: &usize| self.kept.get(pad).is_none_or(|&id| id as usize != pad);
        if let Some(pad) = words.pad.filter(moves) {
            return Err(mismatch("pad_token_id", "an id that trimming keeps", pad));
        }
        for id in words.ids {
            id.follow(|id| self.trimmed.get(&id).copied())?;
        }
        *words.size = self.len();
        let kept: Vec<i32> = self.kept.iter().map(|&id| id as i32).collect();
        for table in words.tables {
            *table = rows(table, &kept);
        }
        for bias in words.biases {
            *bias = rows(bias, &kept);
        }
        Ok(model)
    }
}

/// A network for `more` words beyond those it has: their rows and biases are the means of the old ones, so that
/// each is as likely as the average word, and none stands out.
///
/// # Source
/// Hewitt 2021, "Initializing new word embeddings for pretrained language models".
///
/// # Example
/// ```
/// use burn::tensor::Device;
/// use dlm_core::Denoiser;
/// use dlm_models::{EncoderConfig, with_more_words};
/// let model = EncoderConfig::new(50, 16, 2, 4).init(&Device::flex())?;
/// assert_eq!(with_more_words(model, 3).vocab_size(), 53);
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[must_use]
pub fn with_more_words<M: Pretrained>(mut model: M, more: usize) -> M {
    if more == 0 {
        return model;
    }
    let words = model.words();
    *words.size += more;
    for table in words.tables {
        *table = replaced(table, |rows| {
            let [_, width] = rows.dims();
            let mean = rows.clone().mean_dim(0).expand([more, width]);
            Tensor::cat(vec![rows, mean], 0)
        });
    }
    for bias in words.biases {
        *bias = replaced(bias, |bias| {
            let mean = bias.clone().mean().expand([more]);
            Tensor::cat(vec![bias, mean], 0)
        });
    }
    model
}

/// A network whose row of one word is the mean of all rows, as is done for the mask of an autoregressive model
/// that never saw one (Gong et al. 2024, arXiv:2410.17891).
///
/// # Errors
/// [`Error::Core`] for an id outside the vocabulary.
pub fn with_mean_row<M: Pretrained>(mut model: M, id: TokenId) -> Result<M, Error> {
    let words = model.words();
    dlm_core::sequence::check_ids(0, &[id], *words.size)?;
    let row = id as usize..id as usize + 1;
    for table in words.tables {
        *table = replaced(table, |rows| {
            let mean = rows.clone().mean_dim(0);
            rows.slice_assign(s![row.clone(), ..], mean)
        });
    }
    Ok(model)
}

/// The parameter with some of its rows alone; trained if it was.
fn rows<const D: usize>(param: &Param<Tensor<D>>, kept: &[i32]) -> Param<Tensor<D>> {
    replaced(param, |value| {
        let kept = TensorData::new(kept.to_vec(), [kept.len()]);
        let kept = Tensor::<1, Int>::from_data(kept, &value.device());
        value.select(0, kept)
    })
}

/// A new parameter in the place of one; trained if it was.
fn replaced<const D: usize>(
    param: &Param<Tensor<D>>,
    change: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    let value = param.val();
    let tracked = value.is_require_grad();
    let constant = value.detach().set_require_grad(false);
    Param::from_tensor(change(constant).set_require_grad(tracked))
}

impl TryFrom<Stored> for IdMap {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        let Stored { size, bos, pad, eos, mask, unknown, kept } = stored;
        Self::new(kept, &Vocabulary::new(size, bos, pad, eos, mask)?, unknown)
    }
}

impl From<IdMap> for Stored {
    fn from(map: IdMap) -> Self {
        let Vocabulary { size, bos, pad, eos, mask, .. } = map.full;
        Self { size, bos, pad, eos, mask, unknown: map.unknown, kept: map.kept }
    }
}
