//! What `config.json` says of a BERT-like encoder.

mod family;
mod gpt2;
mod llama;
mod raw;
pub(crate) mod read;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::raw::Raw;
use self::read::{Rest, ids, require_positive, require_rates, require_sizes};
use crate::Error;
use crate::checkpoint::Id;

pub use self::family::{Activation, Family};
pub use self::gpt2::Gpt2Config;
pub use self::llama::{Biases, ExpertsConfig, LlamaConfig, LlamaFamily, Router};

/// An encoder's sizes and rates, named as in `config.json`.
///
/// # Example
/// ```
/// use dlm_models::EncoderConfig;
/// let config = EncoderConfig::new(100, 128, 3, 4).with_max_position_embeddings(64);
/// assert_eq!(config.intermediate_size, 512);
/// let again = EncoderConfig::from_json(&config.to_json())?;
/// assert_eq!(again, config);
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Value")]
#[non_exhaustive]
pub struct EncoderConfig {
    /// `model_type`.
    pub family: Family,
    /// Number of words, V.
    pub vocab_size: usize,
    /// Width, D.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; they share the width.
    pub num_attention_heads: usize,
    /// Inner width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Activation of the feed-forward layers.
    pub hidden_act: Activation,
    /// Rows of the position table. See [`EncoderConfig::max_len`] for how many tokens fit.
    pub max_position_embeddings: usize,
    /// Rows of the token-type table. The encoder uses type 0 alone, and DistilBERT has none.
    pub type_vocab_size: usize,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f64,
    /// Chance that training zeroes an element of the embeddings or of a layer's output.
    pub hidden_dropout_prob: f64,
    /// Chance that training zeroes an attention weight.
    pub attention_probs_dropout_prob: f64,
    /// Id of padding; RoBERTa counts positions from the next number.
    pub pad_token_id: usize,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Fields that the encoder does not read, kept for saving.
    rest: Rest,
}

impl EncoderConfig {
    /// A new BERT: inner width 4 · `hidden`, 512 positions, one token type, dropout 0.1, padding 0.
    pub fn new(vocab_size: usize, hidden: usize, layers: usize, heads: usize) -> Self {
        Self {
            family: Family::Bert,
            vocab_size,
            hidden_size: hidden,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            intermediate_size: 4 * hidden,
            hidden_act: Activation::Gelu,
            max_position_embeddings: 512,
            type_vocab_size: 1,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            pad_token_id: 0,
            initializer_range: 0.02,
            rest: Rest::new(),
        }
    }

    /// Sets the architecture whose conventions the encoder follows.
    #[must_use]
    pub fn with_family(self, family: Family) -> Self {
        Self { family, ..self }
    }

    /// Sets the inner width of the feed-forward layers.
    #[must_use]
    pub fn with_intermediate_size(self, intermediate_size: usize) -> Self {
        Self { intermediate_size, ..self }
    }

    /// Sets the rows of the position table.
    #[must_use]
    pub fn with_max_position_embeddings(self, max_position_embeddings: usize) -> Self {
        Self { max_position_embeddings, ..self }
    }

    /// Sets both dropout rates.
    #[must_use]
    pub fn with_dropout(self, rate: f64) -> Self {
        Self { hidden_dropout_prob: rate, attention_probs_dropout_prob: rate, ..self }
    }

    /// Sets the id of padding.
    #[must_use]
    pub fn with_pad_token_id(self, pad_token_id: usize) -> Self {
        Self { pad_token_id, ..self }
    }

    /// Sets the standard deviation of new weights.
    #[must_use]
    pub fn with_initializer_range(self, initializer_range: f64) -> Self {
        Self { initializer_range, ..self }
    }

    /// Reads the text of a `config.json`. Fields that upstream lets out have upstream's defaults.
    ///
    /// # Errors
    /// [`Error::ConfigJson`] for bad JSON or a missing size, [`Error::NoFamily`], [`Error::Unsupported`]
    /// for a variant that is not implemented, [`Error::Config`] as [`EncoderConfig::validate`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        serde_json::from_str::<Raw>(text).map_err(Error::ConfigJson)?.try_into()
    }

    /// [`EncoderConfig::from_json`] of a file whose `model_type` is missing or wrong.
    ///
    /// # Errors
    /// As there.
    pub fn from_json_as(family: Family, text: &str) -> Result<Self, Error> {
        let mut raw: Raw = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        raw.model_type = Some(family.model_type().to_owned());
        raw.try_into()
    }

    /// The same, saying what upstream wants to know before it reads the weights.
    pub(crate) fn describing(mut self, architecture: &str, dtype: &str) -> Self {
        self.rest.insert("architectures".to_owned(), vec![architecture].into());
        self.rest.insert("torch_dtype".to_owned(), dtype.into());
        self.rest.remove("dtype");
        self
    }

    /// What changes with the words: V, and ids.
    pub(crate) fn words(&mut self) -> (&mut usize, Vec<Id<'_>>) {
        (&mut self.vocab_size, ids([("pad_token_id", &mut self.pad_token_id)], &mut self.rest))
    }

    /// The text of a `config.json`.
    pub fn to_json(&self) -> String {
        // A map of strings to numbers and strings cannot fail to serialise.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Position id of a row's first token: what RoBERTa calls `padding_idx + 1`.
    pub fn first_position(&self) -> usize {
        match self.family {
            Family::Bert | Family::DistilBert => 0,
            Family::Roberta | Family::XlmRoberta | Family::XlmRobertaXl => {
                self.pad_token_id.saturating_add(1)
            }
        }
    }

    /// The activation of the head.
    pub(crate) fn head_act(&self) -> Activation {
        match self.family {
            Family::Bert | Family::DistilBert => self.hidden_act,
            Family::Roberta | Family::XlmRoberta | Family::XlmRobertaXl => Activation::Gelu,
        }
    }

    /// Rows of the token-type table that there is.
    pub(crate) fn token_types(&self) -> usize {
        if self.family == Family::DistilBert { 0 } else { self.type_vocab_size }
    }

    /// Most tokens that a row may have, padding aside.
    pub fn max_len(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        require_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("type_vocab_size", self.type_vocab_size),
        ])?;
        require(
            self.hidden_size.is_multiple_of(self.num_attention_heads),
            "hidden_size",
            "a multiple of num_attention_heads",
            self.hidden_size,
        )?;
        require(
            self.max_len() > 0,
            "max_position_embeddings",
            "more than the first position",
            self.max_position_embeddings,
        )?;
        require(self.pad_token_id < self.vocab_size, "pad_token_id", "below vocab_size", self.pad_token_id)?;
        require_rates(&[
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ])?;
        require_positive(&[
            ("layer_norm_eps", self.layer_norm_eps),
            ("initializer_range", self.initializer_range),
        ])
    }

    /// How many parameters a network of these sizes has, without building it.
    pub fn param_counts(&self) -> ParamCounts {
        let (width, inner) = (self.hidden_size, self.intermediate_size);
        let square = width * width + width;
        let norm = 2 * width;
        let layer = 4 * square + width * inner + inner + inner * width + width + 2 * norm;
        let rows = self.vocab_size + self.max_position_embeddings + self.token_types();
        // One norm stands before the first layer or behind the last.
        let [before, behind] = if self.family.norm_first() { [0, norm] } else { [norm, 0] };
        ParamCounts {
            embeddings: rows * width + before,
            layers: self.num_hidden_layers * layer + behind,
            head: square + norm,
            bias: self.vocab_size,
        }
    }
}

/// Numbers of parameters of the parts of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParamCounts {
    /// Words, positions, token types, and their norm if there is one. The word table is also the decoder.
    pub embeddings: usize,
    /// The layers: what papers call non-embedding parameters.
    pub layers: usize,
    /// Dense layer and norm of the head.
    pub head: usize,
    /// The decoder's bias.
    pub bias: usize,
}

impl ParamCounts {
    /// All of them.
    pub fn total(&self) -> usize {
        self.embeddings + self.layers + self.head + self.bias
    }
}

pub(crate) fn require(
    holds: bool,
    field: &'static str,
    expected: &'static str,
    got: impl std::fmt::Display,
) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Config { field, expected, got: got.to_string() }) }
}
