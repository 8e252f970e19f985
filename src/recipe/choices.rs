//! What a recipe chooses by name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evaluate::{self, Metric};

/// Fields of TOML are lower-case words with hyphens.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
    };
}

choice! {
    /// What a run learns.
    Stage {
        /// A masked language model.
        Mlm,
        /// A diffusion language model: adaptation of a masked one, or finetuning on a task or instructions.
        Diffusion,
        /// A network that predicts the next token: the paper's baseline.
        Autoregressive,
        /// A diffusion language model from a network that predicts the next token: attention is opened step by
        /// step, and the network keeps answering one position early.
        ArToDiffusion,
        /// The length of answers, by a head on a frozen network.
        Length,
    }
}

choice! {
    /// What becomes of the tokens that a masked language model is asked about.
    CorruptionChoice {
        /// 80 % are hidden, 10 % replaced and 10 % left, as in BERT.
        Bert,
        /// All are hidden.
        Masks,
    }
}

choice! {
    /// What becomes of weights that a folder lacks.
    MissingChoice {
        /// They are an error.
        Refuse,
        /// They are new: an encoder without a masked-LM head needs this.
        Initialise,
    }
}

choice! {
    /// How a file holds its records.
    FormatChoice {
        /// Two columns with one tab between them.
        Tsv,
        /// JSON objects, one a line or in one array, with fields that are named or filled into templates.
        Json,
        /// A document a line.
        Lines,
        /// A document up to a blank line.
        Paragraphs,
        /// JSON objects with `instruction`, `input` and `output`.
        Alpaca,
        /// JSON objects with `inputs` and `targets`.
        Flan,
        /// JSON objects with `messages`; each of the assistant's is a record.
        Chat,
        /// A task of Natural Instructions.
        NaturalInstructions,
    }
}

choice! {
    /// The paper's prompts; each says in `dlm::train::data::forms` which fields it needs.
    FormChoice {
        /// `source`, `target`.
        TranslateDeEn,
        /// `source`, `target`, without an instruction.
        TranslateDeEnBare,
        /// `source`, `target`.
        Summarise,
        /// `inputs`, `targets`.
        Flan,
        /// `question`, `answer`.
        ChainOfThought,
        /// `subject`, `question`, `A` to `D`, `answer`.
        Mmlu,
        /// `language`, `context`, `question`, `answer`.
        Tydiqa,
        /// `question`, `answer`.
        Mgsm,
        /// In German.
        MgsmDe,
        /// In Chinese.
        MgsmZh,
    }
}

choice! {
    /// What becomes of an example that is too long.
    CutChoice {
        /// The end is kept; the paper's way.
        PromptLeft,
        /// The start is kept.
        ResponseRight,
        /// It is left out.
        Drop,
        /// It is an error.
        Refuse,
    }
}

choice! {
    /// What a broken record does.
    BrokenChoice {
        /// It is an error.
        Stop,
        /// It is left out and counted.
        Skip,
    }
}

choice! {
    /// In what order the records of a mixture's source come; when all have come, they come again.
    OrderChoice {
        /// In a new random order each time.
        Shuffled,
        /// As they are given, each time; the paper's way.
        AsGiven,
    }
}

choice! {
    /// Which tokens may become noise.
    NoiseChoice {
        /// Those of the response, and EOS.
        Response,
        /// All but special tokens.
        All,
    }
}

choice! {
    /// How the learning rate rises.
    WarmupChoice {
        /// At once.
        None,
        /// In a straight line.
        Linear,
        /// As `DeepSpeed`'s `WarmupLR`; the paper's way.
        Logarithmic,
    }
}

choice! {
    /// How the learning rate falls.
    DecayChoice {
        /// It does not; the paper's way.
        Constant,
        /// With the root of the step.
        InverseSqrt,
        /// Half a cosine to the floor at the last step.
        Cosine,
        /// A straight line to the floor at the last step.
        Linear,
    }
}

choice! {
    /// Weights of the diffusion loss over time.
    WeightingChoice {
        /// T − t + 1; the paper's way.
        Linear,
        /// 1.
        Constant,
        /// 1 / t.
        Reciprocal,
    }
}

/// What a validation is judged by: `loss`, or any [`Metric`] by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum MetricChoice {
    /// The stage's loss.
    Loss,
    /// A metric of answers.
    Of(Metric),
}

impl TryFrom<String> for MetricChoice {
    type Error = evaluate::Error;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name == "loss" { Ok(Self::Loss) } else { name.parse().map(Self::Of) }
    }
}

impl From<MetricChoice> for String {
    fn from(choice: MetricChoice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for MetricChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss => write!(f, "loss"),
            Self::Of(metric) => write!(f, "{metric}"),
        }
    }
}

choice! {
    /// How long answers are while a run validates.
    LengthChoice {
        /// As long as the reference: what the paper calls oracle length.
        Reference,
        /// As is most frequent in training for a prompt of that many tokens.
        Frequent,
    }
}

choice! {
    /// Which network a run leaves in `model/`.
    TakeChoice {
        /// The last.
        Last,
        /// The one that validated best.
        Best,
    }
}

impl Stage {
    /// Whether it denoises at all noise levels.
    pub(super) fn diffuses(self) -> bool {
        matches!(self, Self::Diffusion | Self::ArToDiffusion)
    }

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlm => "mlm",
            Self::Diffusion => "diffusion",
            Self::Autoregressive => "autoregressive",
            Self::ArToDiffusion => "ar-to-diffusion",
            Self::Length => "length",
        }
    }
}
