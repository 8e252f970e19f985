//! What `config.json` says of GPT-2.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::read::{Rest, Rules, ids, read, require_positive, require_rates, require_sizes};
use super::{Activation, ParamCounts, require};
use crate::Error;
use crate::checkpoint::Id;

const RULES: Rules = Rules {
    model_types: &["gpt2"],
    activations: &["activation_function"],
    plain: &[
        ("tie_word_embeddings", "true"),
        ("scale_attn_weights", "true"),
        ("scale_attn_by_inverse_layer_idx", "false"),
        ("add_cross_attention", "false"),
    ],
};

/// A GPT-2's sizes and rates, named as in `config.json`.
///
/// # Example
/// ```
/// use dlm_models::Gpt2Config;
/// let config = Gpt2Config::new(100, 64, 3, 4);
/// assert_eq!(config.n_inner, 256);
/// assert_eq!(Gpt2Config::from_json(&config.to_json())?, config);
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Gpt2Config {
    /// Number of words, V.
    pub vocab_size: usize,
    /// Rows of the position table: most tokens that a row may have.
    pub n_positions: usize,
    /// Width, D.
    pub n_embd: usize,
    /// Number of layers.
    pub n_layer: usize,
    /// Attention heads a layer; they share the width.
    pub n_head: usize,
    /// Inner width of the feed-forward layers.
    pub n_inner: usize,
    /// Activation of the feed-forward layers.
    pub activation_function: Activation,
    /// Chance that training zeroes an element of what a layer adds.
    pub resid_pdrop: f64,
    /// Chance that training zeroes an element of the embeddings.
    pub embd_pdrop: f64,
    /// Chance that training zeroes an attention weight.
    pub attn_pdrop: f64,
    /// Added to the variance in every layer norm.
    pub layer_norm_epsilon: f64,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Fields that the network does not read, kept for saving.
    #[serde(flatten)]
    rest: Rest,
}

impl Default for Gpt2Config {
    /// The smallest published one.
    fn default() -> Self {
        Self::new(50_257, 768, 12, 12)
    }
}

impl Gpt2Config {
    /// A network with 1024 positions, inner width 4 · `width`, dropout 0.1.
    pub fn new(vocab_size: usize, width: usize, layers: usize, heads: usize) -> Self {
        Self {
            vocab_size,
            n_positions: 1024,
            n_embd: width,
            n_layer: layers,
            n_head: heads,
            n_inner: 4 * width,
            activation_function: Activation::GeluTanh,
            resid_pdrop: 0.1,
            embd_pdrop: 0.1,
            attn_pdrop: 0.1,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
            rest: Rest::new(),
        }
    }

    /// Sets all three dropout rates.
    #[must_use]
    pub fn with_dropout(self, rate: f64) -> Self {
        Self { resid_pdrop: rate, embd_pdrop: rate, attn_pdrop: rate, ..self }
    }

    /// Reads the text of a `config.json`. Fields that it lets out have upstream's defaults.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`] for a variant that is not implemented,
    /// [`Error::Config`] as [`Gpt2Config::validate`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let mut fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        if fields.get("n_inner").is_none_or(Value::is_null) {
            let width = fields.get("n_embd").and_then(Value::as_u64).unwrap_or(768);
            fields.insert("n_inner".to_owned(), (4 * width).into());
        }
        let mut config: Self = read(&Value::Object(fields).to_string(), &RULES)?;
        config.rest.remove("model_type");
        config.validate()?;
        Ok(config)
    }

    /// What changes with the words: V, and ids.
    pub(crate) fn words(&mut self) -> (&mut usize, Vec<Id<'_>>) {
        (&mut self.vocab_size, ids([], &mut self.rest))
    }

    /// The text of a `config.json`.
    pub fn to_json(&self) -> String {
        // Numbers, names and what was read as JSON cannot fail to be written.
        let mut fields = serde_json::to_value(self).unwrap_or_default();
        fields["model_type"] = "gpt2".into();
        format!("{fields:#}")
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        require_sizes(&[
            ("vocab_size", self.vocab_size),
            ("n_positions", self.n_positions),
            ("n_embd", self.n_embd),
            ("n_head", self.n_head),
            ("n_inner", self.n_inner),
        ])?;
        require(self.n_embd.is_multiple_of(self.n_head), "n_embd", "a multiple of n_head", self.n_embd)?;
        require_rates(&[
            ("resid_pdrop", self.resid_pdrop),
            ("embd_pdrop", self.embd_pdrop),
            ("attn_pdrop", self.attn_pdrop),
        ])?;
        require_positive(&[
            ("layer_norm_epsilon", self.layer_norm_epsilon),
            ("initializer_range", self.initializer_range),
        ])
    }

    /// How many parameters a network of these sizes has, without building it.
    pub fn param_counts(&self) -> ParamCounts {
        let (width, inner) = (self.n_embd, self.n_inner);
        let linear = |inputs: usize, outputs: usize| outputs * (inputs + 1);
        let attention = linear(width, 3 * width) + linear(width, width);
        let layer = attention + linear(width, inner) + linear(inner, width) + 4 * width;
        ParamCounts {
            embeddings: (self.vocab_size + self.n_positions) * width,
            layers: self.n_layer * layer,
            head: 2 * width,
            bias: 0,
        }
    }
}
