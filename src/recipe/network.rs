//! The networks that recipes train: what is known of one before it is built.

use burn::tensor::Device;
use serde_json::Value;

use super::check::require;
use super::{Error, Recipe, Stage};
use crate::models::{AutoDenoiser, EncoderConfig, Gpt2Config, LlamaConfig, LlamaFamily, ParamCounts};

/// The configuration of a network.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "a run has one")]
pub(super) enum Network {
    Encoder(EncoderConfig),
    Llama(LlamaConfig),
    Gpt2(Gpt2Config),
}

/// Sizes that memory depends on.
pub(super) struct Shape {
    pub(super) width: usize,
    /// Of the feed-forward layers, gates counted.
    pub(super) inner: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Numbers of all layers' matrices, and of the head's that are no decoder.
    pub(super) matrices: usize,
}

impl Network {
    /// Of a `config.json`, whichever family it is of.
    pub(super) fn from_json(text: &str) -> Result<Self, Error> {
        let fields: Value = serde_json::from_str(text).map_err(crate::models::Error::ConfigJson)?;
        let family = fields.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let untrained =
            ["albert", "modernbert", "esm", "diffusion_transformer", "llava", "mdlm", "udlm", "duo"];
        let expected = "an encoder (BERT, DistilBERT, RoBERTa, XLM-R), a Llama, Mistral, Qwen, LLaDA or Dream, or a GPT-2: \
                        others are trained with dlm::train::Trainer";
        require(!untrained.contains(&family), "model.folder", expected, family)?;
        Ok(match family {
            "gpt2" => Self::Gpt2(Gpt2Config::from_json(text)?),
            name if name.parse::<LlamaFamily>().is_ok() => Self::Llama(LlamaConfig::from_json(text)?),
            // Names what it does not know.
            _ => Self::Encoder(EncoderConfig::from_json(text)?),
        })
    }

    /// Words of the vocabulary.
    pub(super) fn words(&self) -> usize {
        match self {
            Self::Encoder(config) => config.vocab_size,
            Self::Llama(config) => config.vocab_size,
            Self::Gpt2(config) => config.vocab_size,
        }
    }

    /// The same for a vocabulary of another size.
    pub(super) fn with_words(mut self, words: usize) -> Self {
        match &mut self {
            Self::Encoder(config) => config.vocab_size = words,
            Self::Llama(config) => config.vocab_size = words,
            Self::Gpt2(config) => config.vocab_size = words,
        }
        self
    }

    /// Most tokens of a row.
    pub(super) fn max_len(&self) -> usize {
        match self {
            Self::Encoder(config) => config.max_len(),
            Self::Llama(config) => config.max_len(),
            Self::Gpt2(config) => config.n_positions,
        }
    }

    /// Dropout of layers, and of attention.
    pub(super) fn dropout(&self) -> [f64; 2] {
        match self {
            Self::Encoder(config) => [config.hidden_dropout_prob, config.attention_probs_dropout_prob],
            Self::Llama(config) => [0.0, config.attention_dropout],
            Self::Gpt2(config) => [config.resid_pdrop.max(config.embd_pdrop), config.attn_pdrop],
        }
    }

    /// How many parameters it has.
    pub(super) fn parameters(&self) -> usize {
        self.counts().total()
    }

    fn counts(&self) -> ParamCounts {
        match self {
            Self::Encoder(config) => config.param_counts(),
            Self::Llama(config) => config.param_counts(),
            Self::Gpt2(config) => config.param_counts(),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        let of = |[width, inner, layers, heads]: [usize; 4], head| {
            let matrices = layers * (4 * width * width + 2 * width * inner) + head;
            Shape { width, inner, layers, heads, matrices }
        };
        match self {
            Self::Encoder(c) => of(
                [c.hidden_size, c.intermediate_size, c.num_hidden_layers, c.num_attention_heads],
                c.hidden_size * c.hidden_size,
            ),
            Self::Gpt2(c) => of([c.n_embd, c.n_inner, c.n_layer, c.n_head], 0),
            Self::Llama(c) => Shape {
                width: c.hidden_size,
                inner: 2 * c.intermediate_size,
                layers: c.num_hidden_layers,
                heads: c.num_attention_heads,
                // Biases and norms are few beside them, and experts are matrices too.
                matrices: self.counts().layers - 2 * c.hidden_size * c.num_hidden_layers,
            },
        }
    }

    /// With new weights.
    pub(super) fn init(&self, device: &Device) -> Result<AutoDenoiser, Error> {
        Ok(match self {
            Self::Encoder(config) => AutoDenoiser::Encoder(config.init(device)?),
            Self::Llama(config) => AutoDenoiser::Llama(config.init(device)?),
            Self::Gpt2(config) => AutoDenoiser::Gpt2(config.init(device)?),
        })
    }
}

/// A network with another dropout.
pub(super) fn with_dropout(model: AutoDenoiser, rate: f64) -> Result<AutoDenoiser, Error> {
    Ok(match model {
        AutoDenoiser::Encoder(model) => AutoDenoiser::Encoder(model.with_dropout(rate)?),
        AutoDenoiser::Llama(model) => AutoDenoiser::Llama(model.with_dropout(rate)?),
        AutoDenoiser::Gpt2(model) => AutoDenoiser::Gpt2(model.with_dropout(rate)?),
        other => other,
    })
}

impl Recipe {
    /// The encoder whose features the stage `length` reads.
    pub(super) fn backbone<'a>(&self, network: &'a Network) -> Result<&'a EncoderConfig, Error> {
        match network {
            Network::Encoder(config) => Ok(config),
            _ => Err(self.needs_encoder()),
        }
    }

    /// Why there is no length head on another network.
    pub(super) fn needs_encoder(&self) -> Error {
        let expected =
            "another than length for a network that is no encoder (BERT, DistilBERT, RoBERTa, XLM-R)";
        let got = self.stage.name().to_owned();
        Error::OutOfRange { field: "stage", expected: expected.to_owned(), got }
    }

    /// Whether the stage asks the network as it answers.
    pub(super) fn check_view(&self, model: &AutoDenoiser) -> Result<(), Error> {
        let Some(folder) = &self.model.folder else { return Ok(()) };
        let late = crate::view::View::of_folder(folder, model)? == crate::view::View::Shifted;
        let asks_at_once = matches!(self.stage, Stage::Mlm | Stage::Diffusion);
        require(
            !(late && asks_at_once),
            "stage",
            "\"ar-to-diffusion\", with diffusion.anneal_steps = 1, for a network that answers one position late",
            self.stage.name(),
        )
    }
}
