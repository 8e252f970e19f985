//! The sections of a recipe, field by field.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::choices::{
    BrokenChoice, CorruptionChoice, CutChoice, DecayChoice, FormChoice, FormatChoice, LengthChoice,
    MetricChoice, MissingChoice, NoiseChoice, OrderChoice, TakeChoice, WarmupChoice, WeightingChoice,
};
use crate::train::{Guard, Muon, Precision};

/// `[model]`: a folder, or the sizes of a new network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSection {
    /// Hugging Face folder of an encoder, a Llama or one of its relatives, or a GPT-2, or the `model/` of another run.
    pub folder: Option<PathBuf>,
    /// What becomes of weights that the folder lacks.
    pub missing: MissingChoice,
    /// A `tokenizer.json`; the folder's if left out.
    pub tokenizer: Option<PathBuf>,
    /// Dropout while training; the folder's, or 0.1 for a new network, if left out.
    pub dropout: Option<f64>,
    /// Cuts the vocabulary down to the words of the training data.
    pub trim: bool,
    /// Sizes of a new network.
    pub new: Option<NewModel>,
}

impl Default for ModelSection {
    fn default() -> Self {
        let missing = MissingChoice::Refuse;
        Self { folder: None, missing, tokenizer: None, dropout: None, trim: false, new: None }
    }
}

/// `[model.new]`: a BERT with new weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewModel {
    /// Width.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads a layer.
    pub heads: usize,
    /// Inner width of the feed-forward layers; 4 times the width if left out.
    pub inner: Option<usize>,
    /// Most tokens of a row.
    pub positions: usize,
}

impl Default for NewModel {
    fn default() -> Self {
        Self { hidden: 128, layers: 3, heads: 4, inner: None, positions: 512 }
    }
}

/// `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// Most tokens of a row, BOS and EOS counted; what the network takes if left out.
    pub limit: Option<usize>,
    /// What becomes of longer ones.
    pub cut: CutChoice,
    /// What a broken record does.
    pub on_broken: BrokenChoice,
    /// Which tokens may become noise; `all` for the stage `mlm` and `response` for others if left out.
    pub noise: Option<NoiseChoice>,
    /// In what order the records of each source of a mixture come.
    pub order: OrderChoice,
    /// Share of the training records, evenly spaced in each source of a mixture, that is held out for validation;
    /// without `valid` alone.
    pub held_out: f64,
    /// A folder in which rows of tokens and the records that are held out are kept, in files named by what they were
    /// made from. Rows are then read from there, batch by batch, and data may be larger than memory. In memory, made
    /// anew each time, if left out.
    pub cache: Option<PathBuf>,
    /// What is learnt from: `[[data.files]]`, one or more.
    pub files: Vec<FileSection>,
    /// What is validated on: `[data.valid]`.
    pub valid: Option<FileSection>,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            limit: None,
            cut: CutChoice::PromptLeft,
            on_broken: BrokenChoice::Stop,
            noise: None,
            order: OrderChoice::Shuffled,
            held_out: 0.0,
            cache: None,
            files: Vec::new(),
            valid: None,
        }
    }
}

/// `[[data.files]]` and `[data.valid]`: a file, or several of one kind, and how prompt and response are made of the
/// records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSection {
    /// The file; empty beside `paths`.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub path: PathBuf,
    /// Several files instead, such as the pieces of one data set, which are read one after the other and share one
    /// weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathBuf>,
    /// How it holds its records.
    #[serde(default = "tsv")]
    pub format: FormatChoice,
    /// Names of a TSV file's two columns, for templates.
    #[serde(default = "columns")]
    pub columns: [String; 2],
    /// Template of the prompt, such as `"German: {source}\nEnglish:"`, over columns or JSON fields; `{translation.de}`
    /// and `{choices.0}` lead into nested ones.
    pub prompt: Option<String>,
    /// Template of the response.
    pub response: Option<String>,
    /// One of the paper's prompts, instead of templates.
    pub form: Option<FormChoice>,
    /// How often a sample comes from this file, in proportion to the others; all or none of the files.
    pub weight: Option<f64>,
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn tsv() -> FormatChoice {
    FormatChoice::Tsv
}

fn columns() -> [String; 2] {
    ["prompt".to_owned(), "response".to_owned()]
}

/// `[batch]`: a batch is of so many sequences or so many tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSection {
    /// Sequences of a batch.
    pub sequences: Option<usize>,
    /// At most this many tokens of a batch, padding counted; 4096 if both are left out.
    pub tokens: Option<usize>,
    /// Lays rows of the data end to end in rows of so many tokens, which see themselves alone; a longer one is cut
    /// into several. Batches then have `sequences` such rows, or as many as make `tokens`.
    pub pack: Option<usize>,
    /// Batches of a step; their gradients are averaged.
    pub accumulation: usize,
    /// Batches worked on at once; 0 for as many as there are processors, and for one with dropout, which more
    /// threads would not draw alike on every run.
    pub threads: usize,
}

impl Default for BatchSection {
    fn default() -> Self {
        Self { sequences: None, tokens: None, pack: None, accumulation: 1, threads: 0 }
    }
}

/// `[train]`; the paper's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSection {
    /// Names all random draws.
    pub seed: u64,
    /// Optimisation steps.
    pub steps: u64,
    /// Highest learning rate.
    pub lr: f64,
    /// How it is reached.
    pub warmup: WarmupChoice,
    /// In so many steps; 1 % of all if left out.
    pub warmup_steps: Option<u64>,
    /// How it is left.
    pub decay: DecayChoice,
    /// The step at which `cosine` and `linear` are at their floor, where the rate then stays; the last if left out.
    pub decay_steps: Option<u64>,
    /// The last rate as a part of the highest, for `cosine` and `linear`.
    pub floor: f64,
    /// Greatest global norm of a gradient; 0 for any.
    pub clip: f64,
    /// Part of the weights lost each step, per unit of learning rate.
    pub weight_decay: f64,
    /// Decay of the mean of the gradient.
    pub beta1: f64,
    /// Decay of the mean of its square.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub eps: f64,
    /// Decay of a moving average of the parameters, which is then what is validated and left; 0 for none.
    pub ema: f64,
    /// Share of the target that is spread over the vocabulary; 0 in the stages `mlm` and `length`.
    pub label_smoothing: f64,
    /// Reads loss and gradient every so many steps.
    pub log_every: u64,
    /// Computes each layer again in the backward pass: less memory, more time.
    pub gradient_checkpointing: bool,
    /// In what numbers the network is computed: `f32`, `bf16`, `f16`.
    pub precision: Precision,
    /// `[train.muon]`: another optimiser for the matrices inside the network.
    pub muon: Option<Muon>,
    /// `[train.guard]`: what is done about steps that would harm the model.
    pub guard: Option<Guard>,
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 1000,
            lr: 5e-5,
            warmup: WarmupChoice::Logarithmic,
            warmup_steps: None,
            decay: DecayChoice::Constant,
            decay_steps: None,
            floor: 0.0,
            clip: 1.0,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            ema: 0.0,
            label_smoothing: 0.0,
            log_every: 10,
            gradient_checkpointing: false,
            precision: Precision::F32,
            muon: None,
            guard: None,
        }
    }
}

/// `[mlm]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MlmSection {
    /// Chance that a token is asked about.
    pub ratio: f64,
    /// What becomes of those tokens.
    pub corruption: CorruptionChoice,
}

impl Default for MlmSection {
    fn default() -> Self {
        Self { ratio: 0.15, corruption: CorruptionChoice::Bert }
    }
}

/// `[diffusion]`; the paper's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiffusionSection {
    /// Times of the forward process, T.
    pub times: usize,
    /// Weights of the loss over time.
    pub weighting: WeightingChoice,
    /// Noises each row at two times, the noise of the earlier a part of the later's.
    pub coupled: bool,
    /// Logits are made for so many noisy tokens at a time; 0 for all at once.
    pub chunk: usize,
    /// In the stage ar-to-diffusion, steps over which attention opens; half of all without.
    pub anneal_steps: Option<u64>,
}

impl Default for DiffusionSection {
    fn default() -> Self {
        Self { times: 50, weighting: WeightingChoice::Linear, coupled: true, chunk: 0, anneal_steps: None }
    }
}

/// `[length]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthSection {
    /// The longest answer, in tokens.
    pub classes: usize,
    /// Dropout of the head.
    pub dropout: f64,
}

impl Default for LengthSection {
    fn default() -> Self {
        Self { classes: 514, dropout: 0.1 }
    }
}

/// `[validate]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateSection {
    /// Validates every so many steps and after the last; 0 for never.
    pub every: u64,
    /// On at most so many records, evenly spaced; 0 for all.
    pub examples: usize,
    /// What decides which network is best; logs call its score `metric`. The loss is always measured. The
    /// stage `length` is judged by how far its lengths are off.
    pub metric: MetricChoice,
    /// Decoding steps of an answer.
    pub steps: usize,
    /// How long answers are.
    pub lengths: LengthChoice,
    /// Stops after so many validations without a better one; 0 for never.
    pub patience: u64,
    /// Answers of so many records are kept at each validation.
    pub samples: usize,
}

impl Default for ValidateSection {
    fn default() -> Self {
        Self {
            every: 500,
            examples: 200,
            metric: MetricChoice::Loss,
            steps: 10,
            lengths: LengthChoice::Reference,
            patience: 0,
            samples: 3,
        }
    }
}

/// `[checkpoints]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointSection {
    /// Saves every so many steps and after the last.
    pub every: u64,
    /// Keeps so many, and the best.
    pub keep: usize,
    /// Which network becomes `model/`.
    pub take: TakeChoice,
    /// Or the mean of the weights of so many newest checkpoints, at most as many as are kept; 0 for none.
    pub average: usize,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self { every: 500, keep: 2, take: TakeChoice::Last, average: 0 }
    }
}
