//! Hugging Face folders, in and out.

mod head;
mod keys;
mod report;
mod save;
mod weights;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use tokenizers::Tokenizer;

use self::keys::Names;
use self::weights::Weights;
use crate::config::{EncoderConfig, Family};
use crate::encoder::Encoder;
use crate::{Error, tokenizer};

pub use self::report::Report;

pub(crate) const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

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
/// file or in several with an index, and possibly `tokenizer.json`.
///
/// # Example
/// ```no_run
/// use burn::tensor::Device;
/// use dlm_models::{Checkpoint, Missing};
/// let checkpoint = Checkpoint::open("minilm")?.with_missing(Missing::Initialise);
/// let (model, report) = checkpoint.load(&Device::flex())?;
/// println!("{report}"); // what was loaded, what is new, what was left
/// Checkpoint::write(&model, "elsewhere", None)?;
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    folder: PathBuf,
    family: Option<Family>,
    missing: Missing,
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
        Ok(Self { folder, family: None, missing: Missing::Refuse })
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

    /// Reads the configuration.
    ///
    /// # Errors
    /// [`Error::NoFile`], [`Error::Io`], and those of [`EncoderConfig::from_json`].
    pub fn config(&self) -> Result<EncoderConfig, Error> {
        let path = self.folder.join(CONFIG);
        if !path.is_file() {
            return Err(Error::NoFile { path: self.folder.clone(), file: CONFIG });
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        match self.family {
            None => EncoderConfig::from_json(&text),
            Some(family) => EncoderConfig::from_json_as(family, &text),
        }
    }

    /// Reads the network onto a device. Weights of any float type become f32.
    ///
    /// # Errors
    /// Those of [`Checkpoint::config`]; [`Error::NoFile`] without weights, [`Error::Damaged`] for files
    /// that are cut short or are something else, [`Error::Missing`] if missing weights are refused,
    /// [`Error::Shape`], [`Error::Dtype`], [`Error::NotFinite`].
    pub fn load(&self, device: &Device) -> Result<(Encoder, Report), Error> {
        let mut model = self.config()?.init(device)?;
        let names = keys::names(model.config().family);
        let mut weights = Weights::open(&self.folder)?;
        let mut report = fill(&mut model, names, &mut weights)?;
        if self.missing == Missing::Refuse && !report.missing.is_empty() {
            return Err(Error::Missing { keys: report.missing });
        }
        report.unused = weights.into_keys();
        Ok((model, report))
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
        tokenizer::read(&path, self.config()?.vocab_size).map(Some)
    }

    /// Writes a folder that both this crate and Python's transformers read: `config.json`,
    /// `model.safetensors` (f32), and a copy of `tokenizer`. The tied decoder is not written twice.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(model: &Encoder, folder: impl AsRef<Path>, tokenizer: Option<&Path>) -> Result<(), Error> {
        save::write(model, folder.as_ref(), tokenizer)
    }
}

/// Moves weights into the model as far as they are there.
fn fill(model: &mut Encoder, names: &Names, weights: &mut Weights) -> Result<Report, Error> {
    let bare = !weights.has(&format!("{}{}", names.body, keys::WORDS)) && weights.has(keys::WORDS);
    let body = if bare { "" } else { names.body };
    let mut report = Report::default();
    for (key, slot) in keys::slots(model, body) {
        let shape = slot.shape();
        let values = match weights.take(&key, &shape)? {
            None => keys::older(&key).map_or(Ok(None), |older| weights.take(&older, &shape))?,
            values => values,
        };
        match values {
            None => report.missing.push(key),
            Some(values) => {
                slot.set(values);
                report.loaded.push(key);
            }
        }
    }
    let tied = names.tied.iter().filter(|key| weights.discard(key));
    report.tied = tied.map(|&key| key.to_owned()).collect();
    Ok(report)
}
