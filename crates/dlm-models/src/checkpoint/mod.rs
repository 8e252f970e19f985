//! Hugging Face folders, in and out.

pub(crate) mod adapters;
pub(crate) mod elements;
mod head;
#[cfg(feature = "hub")]
mod hub;
mod keys;
mod pretrained;
mod report;
mod safetensors_file;
mod save;
mod slot;
pub(crate) mod weights;

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, TensorData};
use serde_json::Value;
use tokenizers::Tokenizer;

use self::weights::Weights;
use crate::config::Family;
use crate::{Error, tokenizer};

pub use self::pretrained::{Id, Pretrained, Words};
pub use self::report::Report;
pub use self::slot::{Slot, Slots};

/// Name of the tokenizer's file in a folder.
pub const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// What `save_pretrained` splits at: 50 GB.
const SHARD: usize = 50_000_000_000;

/// What becomes of a parameter that a checkpoint lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missing {
    /// Loading fails and names it.
    #[default]
    Refuse,
    /// It keeps its initial value and stands in the [`Report`]. A folder that holds an encoder without a
    /// head, such as a sentence-embedding model, needs this.
    Initialise,
}

/// A folder as Hugging Face's `save_pretrained` leaves it.
///
/// It holds `config.json` and the weights as `model.safetensors` or `pytorch_model.bin`, either in one
/// file or in several with an index, and possibly `tokenizer.json`. Of fairseq's folders `model.pt` is read, by
/// [`Checkpoint::load_into`].
///
/// # Example
/// ```no_run
/// use burn::tensor::Device;
/// use dlm_models::{Checkpoint, Encoder, Missing};
/// let checkpoint = Checkpoint::open("minilm")?.with_missing(Missing::Initialise);
/// let (model, report) = checkpoint.load::<Encoder>(&Device::flex())?;
/// println!("{report}"); // what was loaded, what is new, what was left
/// Checkpoint::write(&model, "elsewhere", None)?;
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    folder: PathBuf,
    family: Option<Family>,
    missing: Missing,
    dtype: Stored,
}

/// Of which type loaded weights are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stored {
    /// f32, whatever the file holds.
    #[default]
    F32,
    /// What the file holds.
    Kept,
    /// This float type.
    As(DType),
}

impl Stored {
    /// What a weight becomes that is `own` in its file.
    fn of(self, own: DType) -> DType {
        match self {
            Self::Kept => own,
            Self::F32 => DType::F32,
            Self::As(dtype) => dtype,
        }
    }
}

impl Checkpoint {
    /// Names a folder; nothing is read yet.
    ///
    /// # Errors
    /// [`Error::NoFolder`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        if !folder.is_dir() {
            return Err(Error::NoFolder { path: folder });
        }
        Ok(Self { folder, family: None, missing: Missing::Refuse, dtype: Stored::F32 })
    }

    /// Names the family, for old folders whose configuration does not.
    #[must_use]
    pub fn with_family(self, family: Family) -> Self {
        Self { family: Some(family), ..self }
    }

    /// Decides about missing weights.
    #[must_use]
    pub fn with_missing(self, missing: Missing) -> Self {
        Self { missing, ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps weights in the type of the file, or makes them of one type; else they become f32.
    #[must_use]
    pub fn with_dtype(self, dtype: Stored) -> Self {
        Self { dtype, ..self }
    }

    /// The text of `config.json`, with the family's `model_type` if one was named.
    ///
    /// # Errors
    /// [`Error::NoFile`], [`Error::Io`], [`Error::ConfigJson`].
    pub fn config(&self) -> Result<String, Error> {
        let path = self.folder.join(CONFIG);
        if !path.is_file() {
            return Err(Error::NoFile { path: self.folder.clone(), file: CONFIG });
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let Some(family) = self.family else { return Ok(text) };
        let mut fields: serde_json::Map<String, Value> =
            serde_json::from_str(&text).map_err(Error::ConfigJson)?;
        fields.insert("model_type".to_owned(), family.model_type().into());
        serde_json::to_string(&fields).map_err(Error::ConfigJson)
    }

    /// Reads the network onto a device.
    ///
    /// # Errors
    /// Those of [`Checkpoint::config`] and of [`Pretrained::from_config`]; [`Error::NoFile`] without weights,
    /// [`Error::Damaged`] for files that are cut short or are something else, [`Error::Missing`] if missing
    /// weights are refused, [`Error::Shape`], [`Error::Dtype`], [`Error::NotFinite`], also for a number that the
    /// type that was asked for cannot hold, [`Error::Unsupported`] for a type that is no float or that `device` lacks.
    pub fn load<M: Pretrained>(&self, device: &Device) -> Result<(M, Report), Error> {
        let mut model = M::from_config(&self.config()?, device)?;
        let report = self.load_into(&mut model)?;
        Ok((model, report))
    }

    /// Reads weights into a network that was built by other means, such as one of a folder without
    /// `config.json`.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], configurations aside. The network may then have been loaded in part.
    pub fn load_into<M: Pretrained>(&self, model: &mut M) -> Result<Report, Error> {
        let mut weights = Weights::open(&self.folder)?;
        let mut report = self.fill(model, &mut weights)?;
        if self.missing == Missing::Refuse && !report.missing.is_empty() {
            return Err(Error::Missing { keys: report.missing });
        }
        report.unused = weights.into_keys();
        Ok(report)
    }

    /// Moves weights into the model as far as they are there.
    fn fill<M: Pretrained>(&self, model: &mut M, weights: &mut Weights) -> Result<Report, Error> {
        let (names, tied, keys) = (model.clone(), model.tied(), weights.keys());
        let dtype = self.dtype.of(weights.dtype());
        let mut report = Report::default();
        for (key, slot) in model.slots() {
            let layout = slot.layout();
            let spellings = std::iter::once(key.clone()).chain(names.spellings(&key));
            match spellings.into_iter().find(|key| weights.has(key)) {
                None if names.is_zero(&key, &|key| keys.contains(key)) => {
                    let zeros = TensorData::zeros::<f32, _>(layout.here());
                    slot.set(zeros.convert_dtype(dtype))?;
                    report.loaded.push(key);
                }
                None => report.missing.push(key),
                Some(found) => {
                    slot.set(weights.take(&found, &layout, self.dtype)?)?;
                    report.loaded.push(key);
                }
            }
        }
        report.tied = tied.into_iter().filter(|key| weights.discard(key)).collect();
        Ok(report)
    }

    /// Reads the tokenizer, if the folder has one. It neither pads nor truncates, whatever its file says.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a file that is no tokenizer; [`Error::TokenizerTooLarge`] if it does not fit
    /// the network; those of [`Checkpoint::config`].
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, Error> {
        let path = self.folder.join(TOKENIZER);
        if !path.is_file() {
            return Ok(None);
        }
        tokenizer::read(&path, self.vocab_size()?).map(Some)
    }

    /// The number of words that the configuration names.
    fn vocab_size(&self) -> Result<usize, Error> {
        #[derive(serde::Deserialize)]
        struct Sizes {
            vocab_size: usize,
            /// Where the table has more rows than the tokenizer has words.
            embedding_size: Option<usize>,
        }
        let sizes: Sizes = serde_json::from_str(&self.config()?).map_err(Error::ConfigJson)?;
        Ok(sizes.vocab_size.max(sizes.embedding_size.unwrap_or(0)))
    }

    /// Writes a folder that both this crate and Python's transformers read: `config.json`,
    /// `model.safetensors` in the types of the parameters, and a copy of `tokenizer`. Tied decoders are not
    /// written twice. More than 50 GB are split over several files.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write<M: Pretrained>(
        model: &M,
        folder: impl AsRef<Path>,
        tokenizer: Option<&Path>,
    ) -> Result<(), Error> {
        Self::write_sharded(model, folder, tokenizer, SHARD)
    }

    /// [`Checkpoint::write`] with files of at most `most` bytes of weights, unless one weight alone has more.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_sharded<M: Pretrained>(
        model: &M,
        folder: impl AsRef<Path>,
        tokenizer: Option<&Path>,
        most: usize,
    ) -> Result<(), Error> {
        save::write(model, folder.as_ref(), tokenizer, most)
    }
}

/// What `config.json` calls a type of weights.
pub(crate) fn torch_dtype(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "float64",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => "float32",
    }
}
