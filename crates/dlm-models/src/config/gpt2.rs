//! What `config.json` says of GPT-2.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Activation, ParamCounts, require};
use crate::Error;

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
#[derive(Debug, Clone, PartialEq)]
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
    rest: Map<String, Value>,
}

/// `config.json` as upstream writes it: nothing checked, optional fields optional.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    vocab_size: usize,
    n_positions: Option<usize>,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: Option<usize>,
    activation_function: Option<String>,
    resid_pdrop: Option<f64>,
    embd_pdrop: Option<f64>,
    attn_pdrop: Option<f64>,
    layer_norm_epsilon: Option<f64>,
    initializer_range: Option<f64>,
}

impl Gpt2Config {
    const MODEL_TYPE: &str = "gpt2";

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
            rest: Map::new(),
        }
    }

    /// Sets all three dropout rates.
    #[must_use]
    pub fn with_dropout(self, rate: f64) -> Self {
        Self { resid_pdrop: rate, embd_pdrop: rate, attn_pdrop: rate, ..self }
    }

    /// Reads the text of a `config.json`. Fields that upstream lets out have upstream's defaults.
    ///
    /// # Errors
    /// [`Error::ConfigJson`] for bad JSON or a missing size, [`Error::NoFamily`], [`Error::Unsupported`]
    /// for a variant that is not implemented, [`Error::Config`] as [`Gpt2Config::validate`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let raw: Raw = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        match raw.model_type.as_deref() {
            Some(Self::MODEL_TYPE) => {}
            None => return Err(Error::NoFamily),
            Some(other) => return Err(Error::Unsupported { field: "model_type", got: other.to_owned() }),
        }
        refuse_variants(&fields)?;
        let plain = Self::new(raw.vocab_size, raw.n_embd, raw.n_layer, raw.n_head);
        let activation = raw.activation_function.as_deref().map(str::parse).transpose()?;
        let mut config = Self {
            n_positions: raw.n_positions.unwrap_or(plain.n_positions),
            n_inner: raw.n_inner.unwrap_or(plain.n_inner),
            activation_function: activation.unwrap_or(plain.activation_function),
            resid_pdrop: raw.resid_pdrop.unwrap_or(plain.resid_pdrop),
            embd_pdrop: raw.embd_pdrop.unwrap_or(plain.embd_pdrop),
            attn_pdrop: raw.attn_pdrop.unwrap_or(plain.attn_pdrop),
            layer_norm_epsilon: raw.layer_norm_epsilon.unwrap_or(plain.layer_norm_epsilon),
            initializer_range: raw.initializer_range.unwrap_or(plain.initializer_range),
            ..plain
        };
        let own = config.fields();
        config.rest = fields.into_iter().filter(|(key, _)| !own.contains_key(key)).collect();
        config.validate()?;
        Ok(config)
    }

    /// The text of a `config.json`.
    pub fn to_json(&self) -> String {
        let mut all = self.rest.clone();
        all.extend(self.fields());
        // A map of strings to values cannot fail to serialise.
        serde_json::to_string_pretty(&all).unwrap_or_default()
    }

    fn fields(&self) -> Map<String, Value> {
        let all = json!({
            "model_type": Self::MODEL_TYPE,
            "vocab_size": self.vocab_size,
            "n_positions": self.n_positions,
            "n_embd": self.n_embd,
            "n_layer": self.n_layer,
            "n_head": self.n_head,
            "n_inner": self.n_inner,
            "activation_function": self.activation_function.hidden_act(),
            "resid_pdrop": self.resid_pdrop,
            "embd_pdrop": self.embd_pdrop,
            "attn_pdrop": self.attn_pdrop,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "initializer_range": self.initializer_range,
        });
        all.as_object().cloned().unwrap_or_default()
    }

    /// The same, saying what upstream wants to know before it reads the weights.
    pub(crate) fn describing(mut self, architecture: &str, dtype: &str) -> Self {
        self.rest.insert("architectures".to_owned(), vec![architecture].into());
        self.rest.insert("torch_dtype".to_owned(), dtype.into());
        self.rest.remove("dtype");
        self
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        for (field, size) in [
            ("vocab_size", self.vocab_size),
            ("n_positions", self.n_positions),
            ("n_embd", self.n_embd),
            ("n_head", self.n_head),
            ("n_inner", self.n_inner),
        ] {
            require(size > 0, field, "at least 1", size)?;
        }
        require(self.n_embd.is_multiple_of(self.n_head), "n_embd", "a multiple of n_head", self.n_embd)?;
        for (field, rate) in [
            ("resid_pdrop", self.resid_pdrop),
            ("embd_pdrop", self.embd_pdrop),
            ("attn_pdrop", self.attn_pdrop),
        ] {
            require((0.0..1.0).contains(&rate), field, "in [0, 1)", rate)?;
        }
        for (field, value) in
            [("layer_norm_epsilon", self.layer_norm_epsilon), ("initializer_range", self.initializer_range)]
        {
            require(value > 0.0 && value.is_finite(), field, "a positive number", value)?;
        }
        Ok(())
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

/// Fails on fields that would change the mathematics in a way the network does not know.
fn refuse_variants(fields: &Map<String, Value>) -> Result<(), Error> {
    for (field, expected) in [
        ("tie_word_embeddings", true),
        ("scale_attn_weights", true),
        ("scale_attn_by_inverse_layer_idx", false),
        ("add_cross_attention", false),
    ] {
        if let Some(got) = fields.get(field).filter(|&got| *got != json!(expected)) {
            return Err(Error::Unsupported { field, got: got.to_string() });
        }
    }
    Ok(())
}
