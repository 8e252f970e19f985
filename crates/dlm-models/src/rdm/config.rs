use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{Rdm, build};
use crate::Error;
use crate::checkpoint::Id;
use crate::config::read::{Rest, Rules, ids, read, require_sizes};
use crate::config::{Activation, EncoderConfig, require};

const RULES: Rules = Rules {
    model_types: &["diffusion_transformer"],
    activations: &["activation_fn"],
    plain: &[
        ("encoder_normalize_before", "false"),
        ("decoder_normalize_before", "false"),
        ("encoder_concat_pe", "true"),
        ("decoder_concat_pe", "true"),
        ("encoder_use_rpe", "false"),
        ("decoder_use_rpe", "false"),
        ("encoder_learned_pos", "true"),
        ("decoder_learned_pos", "true"),
        ("share_all_embeddings", "true"),
        ("layernorm_embedding", "false"),
        ("src_embedding_copy", "false"),
        ("timestep_emb_type", "\"sinusoidal\""),
    ],
};

/// Sizes and rates of RDM's encoder–decoder, named as fairseq's arguments; words as in other `config.json`.
///
/// fairseq keeps arguments and dictionary elsewhere, so a folder's `config.json` is written by hand, with
/// `"model_type": "diffusion_transformer"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RdmConfig {
    /// Number of words, V.
    pub vocab_size: usize,
    /// Id of padding; positions are counted from the next number.
    pub pad_token_id: usize,
    /// Id of the token that ends a source.
    pub eos_token_id: usize,
    /// Width, D.
    pub encoder_embed_dim: usize,
    /// Inner width of the feed-forward layers.
    pub encoder_ffn_embed_dim: usize,
    /// Attention heads a layer; they share the width.
    pub encoder_attention_heads: usize,
    /// Layers that read the source.
    pub encoder_layers: usize,
    /// Layers that read the target. They are as wide as the encoder's.
    pub decoder_layers: usize,
    /// Activation of the feed-forward layers.
    pub activation_fn: Activation,
    /// Chance that training zeroes an element of the embeddings or of what a layer adds.
    pub dropout: f64,
    /// Chance that training zeroes an attention weight.
    pub attention_dropout: f64,
    /// Chance that training zeroes an inner element of a feed-forward layer.
    pub activation_dropout: f64,
    /// Most tokens of a source.
    pub max_source_positions: usize,
    /// Most tokens of a target.
    pub max_target_positions: usize,
    /// Number of steps, T: a diffusion time t is told as step t·T − 1.
    pub num_diffusion_timesteps: usize,
    /// Whether words are embedded as they are, instead of times √D.
    pub no_scale_embedding: bool,
    #[serde(flatten)]
    rest: Rest,
}

impl Default for RdmConfig {
    /// `diffusion_transformer_wmt`.
    fn default() -> Self {
        Self {
            vocab_size: 40_000,
            pad_token_id: 1,
            eos_token_id: 2,
            encoder_embed_dim: 512,
            encoder_ffn_embed_dim: 2048,
            encoder_attention_heads: 8,
            encoder_layers: 6,
            decoder_layers: 6,
            activation_fn: Activation::Relu,
            dropout: 0.1,
            attention_dropout: 0.0,
            activation_dropout: 0.0,
            max_source_positions: 1024,
            max_target_positions: 1024,
            num_diffusion_timesteps: 50,
            no_scale_embedding: false,
            rest: Rest::new(),
        }
    }
}

impl RdmConfig {
    /// `diffusion_transformer_iwslt`: what the paper's Table 1 calls 39 M parameters.
    pub fn iwslt(vocab_size: usize) -> Self {
        Self {
            vocab_size,
            encoder_ffn_embed_dim: 1024,
            encoder_attention_heads: 4,
            dropout: 0.3,
            ..Self::default()
        }
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`] for a variant that is not implemented,
    /// such as a decoder of other widths, [`Error::Config`] as [`RdmConfig::validate`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let config: Self = read(text, &RULES)?;
        for (field, size) in [
            ("decoder_embed_dim", config.encoder_embed_dim),
            ("decoder_ffn_embed_dim", config.encoder_ffn_embed_dim),
            ("decoder_attention_heads", config.encoder_attention_heads),
        ] {
            if let Some(got) = config.rest.get(field).filter(|got| **got != size) {
                return Err(Error::Unsupported { field, got: got.to_string() });
            }
        }
        config.validate()?;
        Ok(config)
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        require_sizes(&[
            ("max_source_positions", self.max_source_positions),
            ("max_target_positions", self.max_target_positions),
            ("num_diffusion_timesteps", self.num_diffusion_timesteps),
        ])?;
        self.layer().validate()?;
        require(
            self.encoder_embed_dim >= 4 && self.encoder_embed_dim.is_multiple_of(2),
            "encoder_embed_dim",
            "an even number from 4",
            self.encoder_embed_dim,
        )?;
        require(self.eos_token_id < self.vocab_size, "eos_token_id", "below vocab_size", self.eos_token_id)
    }

    /// What changes with the words: V, and ids.
    pub(crate) fn words(&mut self) -> (&mut usize, Vec<Id<'_>>) {
        (
            &mut self.vocab_size,
            ids(
                [("pad_token_id", &mut self.pad_token_id), ("eos_token_id", &mut self.eos_token_id)],
                &mut self.rest,
            ),
        )
    }

    /// Builds a new network: weights N(0, 0.02), biases 0, norms the identity.
    ///
    /// # Errors
    /// [`Error::Config`] as [`RdmConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<Rdm, Error> {
        self.validate()?;
        Ok(build(self, device))
    }

    /// The BERT that has these layers.
    pub(super) fn layer(&self) -> EncoderConfig {
        let width = self.encoder_embed_dim;
        let mut layer =
            EncoderConfig::new(self.vocab_size, width, self.encoder_layers, self.encoder_attention_heads)
                .with_intermediate_size(self.encoder_ffn_embed_dim)
                .with_pad_token_id(self.pad_token_id);
        layer.hidden_act = self.activation_fn;
        layer.hidden_dropout_prob = self.dropout;
        layer.attention_probs_dropout_prob = self.attention_dropout;
        layer.layer_norm_eps = 1e-5;
        layer
    }

    /// Position id of the first token of a side.
    pub(super) fn first_position(&self) -> usize {
        self.pad_token_id + 1
    }
}
