//! Recipes: a training run as a file.
//!
//! A recipe names a stage, what it starts from, its data and how it is trained. [`Recipe::plan`] says what
//! will happen; [`Recipe::run`] does it, and the same call goes on where an interrupted run stopped. All that
//! a run leaves is in its folder:
//!
//! ```text
//! out/
//!   recipe.toml     all fields, those that were left out too
//!   run.json        versions, seed, device, time
//!   log.jsonl       metrics, a line a reading        tensorboard/   the same, and samples
//!   samples.jsonl   what the network wrote at each validation
//!   checkpoints/    from which a run goes on         plots/         loss, validation, rate, gradient
//!   model/          the network, its tokenizer and, if the vocabulary was trimmed, id_map.json
//!   README.md       what the network is, and how it is loaded
//! ```
//!
//! `docs/recipe.toml` has every field with its default and its meaning.

mod answer;
mod card;
mod check;
mod choices;
mod error;
mod explain;
mod fits;
mod folder;
mod material;
mod memory;
mod network;
mod objective;
mod plan;
mod plots;
mod rows;
mod run;
mod same;
mod sections;
mod settings;
mod source;
mod valid;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use crate::text::Text;
pub use crate::view::View;
pub use answer::Answerer;
pub use choices::{
    BrokenChoice, CorruptionChoice, CutChoice, DecayChoice, FormChoice, FormatChoice, LengthChoice,
    MetricChoice, MissingChoice, NoiseChoice, OrderChoice, Stage, TakeChoice, WarmupChoice, WeightingChoice,
};
pub use error::Error;
pub use memory::MemoryEstimate;
pub use plan::Plan;
pub use run::{Done, Prepared};
pub use sections::{
    BatchSection, CheckpointSection, DataSection, DiffusionSection, FileSection, LengthSection, MlmSection,
    ModelSection, NewModel, TrainSection, ValidateSection,
};

/// A training run as data.
///
/// Fields that a file leaves out have the defaults of [`Default`], which are the paper's where it has any.
///
/// # Example
/// ```
/// use dlm::recipe::{Recipe, Stage};
/// let recipe = Recipe::parse(
///     r#"
///     stage = "diffusion"
///     out = "out/adapt"
///     [model]
///     folder = "assets/g2p-mlm"
///     [[data.files]]
///     path = "assets/cmudict/train.tsv"
///     [train]
///     steps = 300
///     "#,
/// )?;
/// assert_eq!(recipe.stage, Stage::Diffusion);
/// assert_eq!(recipe.diffusion.times, 50);
///
/// let error = Recipe::parse("stage = \"mlm\"\nout = \"o\"\n[train]\nstpes = 3\n").unwrap_err();
/// assert_eq!(error.to_string(), "recipe:4: there is no field train.stpes; did you mean train.steps?");
/// # Ok::<(), dlm::recipe::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Recipe {
    /// What is learnt.
    pub stage: Stage,
    /// The run's folder.
    pub out: PathBuf,
    /// What the run starts from.
    #[serde(default)]
    pub model: ModelSection,
    /// What is learnt from.
    #[serde(default)]
    pub data: DataSection,
    /// How much goes into a step.
    #[serde(default)]
    pub batch: BatchSection,
    /// Steps, learning rate, optimiser.
    #[serde(default)]
    pub train: TrainSection,
    /// The stage `mlm` alone.
    #[serde(default)]
    pub mlm: MlmSection,
    /// The stage `diffusion` alone.
    #[serde(default)]
    pub diffusion: DiffusionSection,
    /// The stage `length` alone.
    #[serde(default)]
    pub length: LengthSection,
    /// How well it goes.
    #[serde(default)]
    pub validate: ValidateSection,
    /// From where a run goes on, and what it leaves.
    #[serde(default)]
    pub checkpoints: CheckpointSection,
}

impl Recipe {
    /// Reads a TOML file. Paths in it are relative to the current directory.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Syntax`], [`Error::UnknownField`], [`Error::Value`] and [`Error::MissingField`],
    /// which name the line; [`Error::OutOfRange`] for a number without a meaning.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse_as(&path.display().to_string(), &text)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_as("recipe", text)
    }

    fn parse_as(name: &str, text: &str) -> Result<Self, Error> {
        let recipe: Self = toml::from_str(text).map_err(|error| explain::explain(name, text, &error))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// A recipe that trains a length head of `steps` steps on the network that this one leaves, with the same
    /// data, in the folder `length` of this one's. What follows from the number of steps follows from its own, and
    /// rows are not packed. [`Recipe::check`] says before the network is trained whether it can be followed.
    #[must_use]
    pub fn length_stage(&self, steps: u64) -> Self {
        let mut length = self.clone();
        length.stage = Stage::Length;
        length.out = self.out.join("length");
        length.model = ModelSection { folder: Some(self.out.join("model")), ..ModelSection::default() };
        length.batch.pack = None;
        length.train.steps = steps;
        (length.train.warmup_steps, length.train.decay_steps) = (None, None);
        length.train.label_smoothing = 0.0;
        length.validate.metric = MetricChoice::Loss;
        length.validate.lengths = LengthChoice::Reference;
        length.data.order = OrderChoice::Shuffled;
        length.data.files.iter_mut().for_each(|file| file.weight = None);
        length
    }

    /// All fields as TOML; [`Recipe::parse`] gives the same recipe back.
    ///
    /// # Errors
    /// [`Error::Unwritable`] for a path that is not text in UTF-8, which [`Recipe::check`] names, and for a number
    /// that TOML lacks.
    pub fn to_toml(&self) -> Result<String, Error> {
        Ok(toml::to_string_pretty(self)?)
    }
}
