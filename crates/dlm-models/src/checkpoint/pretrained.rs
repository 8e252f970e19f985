use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use dlm_core::Factored;

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
    /// The id of padding, if the network makes something of it: trimming must not move it.
    pub pad: Option<usize>,
}
