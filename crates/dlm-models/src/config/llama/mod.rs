//! What `config.json` says of Llama and of the networks that share its shape.

mod experts;
mod family;
mod hf;
mod llada_moe;
mod olmo;
mod scaling;

use serde_json::{Map, Value};

use super::read::{Rest, ids, require_positive, require_rates, require_sizes};
use super::{Activation, ParamCounts, require};
use crate::Error;
use crate::checkpoint::Id;
use crate::rotary::Scaling;

pub use self::experts::{ExpertsConfig, Router};
pub use self::family::LlamaFamily;

/// A decoder's sizes, named as in Hugging Face's `config.json`; LLaDA's own names are said beside them.
///
/// # Example
/// ```
/// use dlm_models::{LlamaConfig, LlamaFamily};
/// let mut config = LlamaConfig::new(LlamaFamily::Qwen3, 100, 64, 3, 4);
/// config.num_key_value_heads = 2;
/// let again = LlamaConfig::from_json(&config.to_json())?;
/// assert_eq!(again, config);
/// assert_eq!(again.head_dim, 128); // apart from the width, as Qwen3 has it
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LlamaConfig {
    /// `model_type`.
    pub family: LlamaFamily,
    /// Number of words, V: rows of the table (LLaDA: `embedding_size`).
    pub vocab_size: usize,
    /// Width, D (`d_model`).
    pub hidden_size: usize,
    /// Inner width of the gated feed-forward layers (`mlp_hidden_size`).
    pub intermediate_size: usize,
    /// Number of layers (`n_layers`).
    pub num_hidden_layers: usize,
    /// Query heads a layer (`n_heads`).
    pub num_attention_heads: usize,
    /// Heads of keys and values, each read by equally many query heads (`n_kv_heads`).
    pub num_key_value_heads: usize,
    /// Width of a head; need not be the width over the heads.
    pub head_dim: usize,
    /// Activation of the gate (`activation_type`).
    pub hidden_act: Activation,
    /// Tokens of the longest text of the training (`max_sequence_length`).
    pub max_position_embeddings: usize,
    /// How far attention reaches where upstream cuts it: no row may be longer.
    pub sliding_window: Option<usize>,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// Base θ of the rotary angles.
    pub rope_theta: f64,
    /// How the angles are shrunk for long texts.
    pub rope_scaling: Scaling,
    /// The part of each head that is turned.
    pub partial_rotary_factor: f64,
    /// Which linear layers have biases.
    pub biases: Biases,
    /// Whether queries and keys are normalised, head by head.
    pub qk_norm: bool,
    /// Whether the decoder is the word table (`weight_tying`).
    pub tie_word_embeddings: bool,
    /// Chance that training zeroes an attention weight. The only dropout there is.
    pub attention_dropout: f64,
    /// Standard deviation of new weights (`init_std`).
    pub initializer_range: f64,
    /// The mixture of experts, where layers have one in the place of one feed-forward network.
    pub experts: Option<ExpertsConfig>,
    /// Fields that the network does not read, kept for saving.
    rest: Rest,
}

/// Which linear layers have biases: each family's `config.json` can say some of this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The output projection of attention.
    pub output: bool,
    /// The feed-forward layers.
    pub mlp: bool,
}

impl LlamaConfig {
    /// A network as the family makes them where nothing else is said: inner width 4 · `hidden`, one key
    /// for each query.
    pub fn new(family: LlamaFamily, vocab_size: usize, hidden: usize, layers: usize, heads: usize) -> Self {
        Self {
            family,
            vocab_size,
            hidden_size: hidden,
            intermediate_size: 4 * hidden,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: heads,
            head_dim: family.head_dim().unwrap_or(hidden / heads.max(1)),
            hidden_act: Activation::Silu,
            max_position_embeddings: family.max_position_embeddings(),
            sliding_window: None,
            rms_norm_eps: family.rms_norm_eps(),
            rope_theta: 10_000.0,
            rope_scaling: Scaling::None,
            partial_rotary_factor: family.partial_rotary_factor(),
            biases: family.biases(),
            qk_norm: family.qk_norm(),
            tie_word_embeddings: family == LlamaFamily::Llada,
            attention_dropout: family.attention_dropout(),
            initializer_range: 0.02,
            experts: family.experts(hidden),
            rest: Rest::new(),
        }
    }

    /// Reads the text of a `config.json`. Fields that upstream lets out have upstream's defaults.
    ///
    /// # Errors
    /// [`Error::ConfigJson`] for bad JSON or a missing size, [`Error::NoFamily`], [`Error::Unsupported`]
    /// for a variant that is not implemented, [`Error::Config`] as [`LlamaConfig::validate`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        let family: LlamaFamily =
            fields.get("model_type").and_then(Value::as_str).ok_or(Error::NoFamily)?.parse()?;
        let mut config = match family {
            LlamaFamily::Llada if llada_moe::is_it(&fields) => llada_moe::read(&fields)?,
            LlamaFamily::Llada => olmo::read(text, &fields)?,
            _ => hf::read(family, text, &fields)?,
        };
        let own = config.fields();
        config.rest = fields.into_iter().filter(|(key, _)| !own.contains_key(key)).collect();
        // Newer folders hold both under this name; they are written under the older two.
        config.rest.remove("rope_parameters");
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

    /// What changes with the words: V, and ids.
    pub(crate) fn words(&mut self) -> (&mut usize, Vec<Id<'_>>) {
        (&mut self.vocab_size, ids([], &mut self.rest))
    }

    fn fields(&self) -> Map<String, Value> {
        match self.family {
            LlamaFamily::Llada => olmo::fields(self),
            LlamaFamily::LladaMoe => llada_moe::fields(self),
            _ => hf::fields(self),
        }
    }

    /// The same, saying what upstream wants to know before it reads the weights.
    pub(crate) fn describing(mut self, architecture: &str, dtype: &str) -> Self {
        self.rest.insert("architectures".to_owned(), vec![architecture].into());
        self.rest.insert("torch_dtype".to_owned(), dtype.into());
        self.rest.remove("dtype");
        self
    }

    /// Most tokens that a row may have, padding aside.
    pub fn max_len(&self) -> usize {
        let longest = match self.rope_scaling {
            // The others are stretched already.
            Scaling::Dynamic { factor, original } => (factor * original as f64) as usize,
            _ => self.max_position_embeddings,
        };
        longest.min(self.sliding_window.unwrap_or(usize::MAX))
    }

    /// How many elements of each head are turned.
    pub fn rotary_width(&self) -> usize {
        (self.head_dim as f64 * self.partial_rotary_factor) as usize
    }

    /// Whether a layer has experts.
    pub(crate) fn experts_of(&self, layer: usize) -> Option<&ExpertsConfig> {
        self.experts.as_ref().filter(|experts| layer >= experts.first_k_dense_replace)
    }

    /// Checks that a network of these sizes can be built and written.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        require_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_len()),
        ])?;
        let (heads, groups) = (self.num_attention_heads, self.num_key_value_heads);
        require(
            heads.is_multiple_of(groups),
            "num_attention_heads",
            "a multiple of num_key_value_heads",
            heads,
        )?;
        let turned = self.rotary_width();
        let even = turned.is_multiple_of(2) && (2..=self.head_dim).contains(&turned);
        require(even, "partial_rotary_factor", "an even part of head_dim", self.partial_rotary_factor)?;
        require_positive(&[
            ("rms_norm_eps", self.rms_norm_eps),
            ("rope_theta", self.rope_theta),
            ("initializer_range", self.initializer_range),
        ])?;
        require_rates(&[("attention_dropout", self.attention_dropout)])?;
        scaling::validate(&self.rope_scaling, turned, self.max_position_embeddings)?;
        self.experts.as_ref().map_or(Ok(()), ExpertsConfig::validate)?;
        self.family.validate(self)
    }

    /// How many parameters a network of these sizes has, without building it.
    pub fn param_counts(&self) -> ParamCounts {
        let (width, head) = (self.hidden_size, self.head_dim);
        let linear = |inputs: usize, outputs: usize, bias: bool| outputs * (inputs + usize::from(bias));
        let (queries, keys) = (self.num_attention_heads * head, self.num_key_value_heads * head);
        let attention = linear(width, queries + 2 * keys, self.biases.qkv)
            + linear(queries, width, self.biases.output)
            + if self.qk_norm { 2 * head } else { 0 };
        let gated = |inner| 2 * linear(width, inner, self.biases.mlp) + linear(inner, width, self.biases.mlp);
        let feed = |layer| match self.experts_of(layer) {
            None => gated(self.intermediate_size),
            Some(experts) => {
                let inner = experts.moe_intermediate_size;
                experts.num_experts * (gated(inner) + width)
                    + experts.biases()
                    + gated(inner * experts.num_shared_experts)
            }
        };
        let table = self.vocab_size * width;
        ParamCounts {
            embeddings: table,
            layers: (0..self.num_hidden_layers).map(|layer| attention + feed(layer) + 2 * width).sum(),
            head: width + if self.tie_word_embeddings { 0 } else { table },
            bias: 0,
        }
    }
}
