use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use dlm_core::{Factored, TokenId};
use serde_json::Value;

use super::Slots;
use crate::Error;

/// A network that lies in a Hugging Face folder: what [`Checkpoint`](super::Checkpoint) must know to read and
/// write it.
pub trait Pretrained: Factored + Module {
    /// A new network of the sizes that the text of a `config.json` names.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`], [`Error::Config`].
    fn from_config(json: &str, device: &Device) -> Result<Self, Error>;

    /// The text of a `config.json` from which upstream builds the same network, `architectures` included.
    fn to_config(&self) -> String;

    /// Every parameter beside the name that upstream saves it by.
    fn slots(&mut self) -> Slots<'_>;

    /// What has one row or one element for each word.
    fn words(&mut self) -> Words<'_>;

    /// Other names by which files hold the parameter `key`: of folders without a head, or of older versions.
    fn spellings(&self, key: &str) -> Vec<String> {
        let _ = key;
        Vec::new()
    }

    /// Whether the parameter `key`, which a file lacks, is zero in its layout; `has` tells what the file has.
    fn is_zero(&self, key: &str, has: &dyn Fn(&str) -> bool) -> bool {
        let _ = (key, has);
        false
    }

    /// Vectors that upstream wants in the file, though they follow from the configuration, and that nobody reads here.
    fn constants(&self) -> Vec<(String, Vec<f32>)> {
        Vec::new()
    }

    /// Names of copies of tied weights, which files may hold and nobody reads.
    fn tied(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The parts of a network that grow and shrink with its vocabulary.
#[derive(Debug)]
pub struct Words<'a> {
    /// `[V, ..]`: the embedding, and the decoder unless it is the same.
    pub tables: Vec<&'a mut Param<Tensor<2>>>,
    /// `[V]`.
    pub biases: Vec<&'a mut Param<Tensor<1>>>,
    /// V in the network's configuration.
    pub size: &'a mut usize,
    /// All other ids of words in the network's configuration.
    pub ids: Vec<Id<'a>>,
    /// The id of padding, if positions are counted from it: it must stay.
    pub pad: Option<usize>,
}

/// An id of a word in a network's configuration, which follows where the word goes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Id<'a> {
    /// One that the network reads, with the name of its field.
    Read(&'static str, &'a mut usize),
    /// One, or a list, that is kept for others.
    Kept(&'a mut Value),
}

impl Id<'_> {
    /// Changes the id to that which `to` gives for it. What is kept for others is left out if its word is gone.
    ///
    /// # Errors
    /// [`Error::Config`] if the network needs a word that is gone.
    pub fn follow(self, to: impl Fn(TokenId) -> Option<TokenId>) -> Result<(), Error> {
        let new = |value: &Value| {
            let id = value.as_u64().and_then(|id| TokenId::try_from(id).ok());
            // What is no id, such as a -1 for none, stays.
            id.map_or_else(|| Some(value.clone()), |id| to(id).map(Value::from))
        };
        match self {
            Self::Read(field, id) => {
                let gone =
                    Error::Config { field, expected: "an id of a word that stays", got: id.to_string() };
                *id = TokenId::try_from(*id).ok().and_then(to).ok_or(gone)? as usize;
            }
            Self::Kept(Value::Array(ids)) => *ids = ids.iter().filter_map(new).collect(),
            Self::Kept(value) => *value = new(value).unwrap_or_default(),
        }
        Ok(())
    }
}
