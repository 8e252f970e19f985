//! ESM-2, the masked language model of proteins from which DPLM starts: pre-LN, rotary positions.
//!
//! Sources: Lin et al. 2023, doi:10.1126/science.ade2574; Wang et al. 2024 (DPLM), arXiv:2402.18567; upstream name
//! `EsmForMaskedLM`. What differs: the share of masks is that of a document's tokens without padding, which
//! transformers 4.57 counts; a document of masks alone, where upstream divides by zero, embeds them as zeros. ESM-1's
//! absolute positions are refused.

use burn::module::{Module, Param};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Int, Tensor, TensorData};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};
use serde::{Deserialize, Serialize};

use crate::attention::hidden_mask;
use crate::checkpoint::Id;
use crate::config::read::{Rest, Rules, ids, read, require_sizes};
use crate::config::{Activation, EncoderConfig, Family, require};
use crate::encoder::{Head, Layer};
use crate::grouped::Places;
use crate::init::{embedding, linear, norm};
use crate::norm::LayerNorm;
use crate::position::words;
use crate::rotary::{Rotary, Scaling};
use crate::stack::{answers, checked, features, run};
use crate::{Error, position};

/// The share of tokens that upstream's training replaced by masks.
const MASKED_IN_TRAINING: f64 = 0.15 * 0.8;
const THETA: f64 = 10_000.0;

const RULES: Rules = Rules {
    model_types: &["esm"],
    activations: &[],
    plain: &[
        ("position_embedding_type", "\"rotary\""),
        ("is_folding_model", "false"),
        ("tie_word_embeddings", "true"),
        ("is_decoder", "false"),
    ],
};

/// An ESM-2's sizes and rates, named as in `config.json` and with upstream's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EsmConfig {
    /// Number of words, V.
    pub vocab_size: usize,
    /// Id of the mask, whose embedding is not read under `token_dropout`.
    pub mask_token_id: usize,
    /// Id of padding.
    pub pad_token_id: usize,
    /// Width, D.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; they share the width.
    pub num_attention_heads: usize,
    /// Inner width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Chance that training zeroes an element of a layer's output.
    pub hidden_dropout_prob: f64,
    /// Chance that training zeroes an attention weight.
    pub attention_probs_dropout_prob: f64,
    /// Most tokens of a row.
    pub max_position_embeddings: usize,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f64,
    /// Only `rotary` is implemented.
    pub position_embedding_type: String,
    /// Whether embeddings are normalised; absent is no.
    pub emb_layer_norm_before: Option<bool>,
    /// Whether masks are embedded as zeros and the rest is scaled up by their share.
    pub token_dropout: bool,
    #[serde(flatten)]
    rest: Rest,
}

impl Default for EsmConfig {
    fn default() -> Self {
        Self {
            vocab_size: 33,
            mask_token_id: 32,
            pad_token_id: 1,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 1026,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            position_embedding_type: "rotary".to_owned(),
            emb_layer_norm_before: None,
            token_dropout: false,
            rest: Rest::new(),
        }
    }
}

impl EsmConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`] for a variant that is not
    /// implemented, [`Error::Config`] as [`EsmConfig::validate`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let config: Self = read(text, &RULES)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        require_sizes(&[("max_position_embeddings", self.max_position_embeddings)])?;
        self.layer().validate()?;
        require(
            (self.hidden_size / self.num_attention_heads).is_multiple_of(2),
            "hidden_size",
            "an even number for each head",
            self.hidden_size,
        )?;
        require(self.mask_token_id < self.vocab_size, "mask_token_id", "below vocab_size", self.mask_token_id)
    }

    /// What changes with the words: V, and ids.
    pub(crate) fn words(&mut self) -> (&mut usize, Vec<Id<'_>>) {
        (
            &mut self.vocab_size,
            ids(
                [("mask_token_id", &mut self.mask_token_id), ("pad_token_id", &mut self.pad_token_id)],
                &mut self.rest,
            ),
        )
    }

    /// Builds a new network: weights N(0, `initializer_range`), biases 0, norms the identity.
    ///
    /// # Errors
    /// [`Error::Config`] as [`EsmConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<Esm, Error> {
        self.validate()?;
        let (width, std, layer) = (self.hidden_size, self.initializer_range, self.layer());
        let normed = || norm(width, self.layer_norm_eps, device);
        let maps = self.num_hidden_layers * self.num_attention_heads;
        Ok(Esm {
            word: embedding(self.vocab_size, width, std, device),
            embedding_norm: self.emb_layer_norm_before.unwrap_or(false).then(normed),
            layers: (0..self.num_hidden_layers).map(|_| block(&layer, device)).collect(),
            final_norm: normed(),
            contact: linear(maps, 1, std, device),
            head: Head::new(&layer, width, Activation::Gelu, device),
            rotary: Rotary::new(width / self.num_attention_heads, THETA, Scaling::None),
            config: self.clone(),
        })
    }

    /// The pre-LN encoder that has these layers.
    fn layer(&self) -> EncoderConfig {
        let sizes = [self.vocab_size, self.hidden_size, self.num_hidden_layers, self.num_attention_heads];
        let mut layer = EncoderConfig::new(sizes[0], sizes[1], sizes[2], sizes[3])
            .with_family(Family::XlmRobertaXl)
            .with_intermediate_size(self.intermediate_size)
            .with_pad_token_id(self.pad_token_id)
            .with_initializer_range(self.initializer_range);
        layer.hidden_dropout_prob = self.hidden_dropout_prob;
        layer.attention_probs_dropout_prob = self.attention_probs_dropout_prob;
        layer.layer_norm_eps = self.layer_norm_eps;
        layer
    }
}

/// A layer that also drops from what the feed-forward network adds.
fn block(config: &EncoderConfig, device: &Device) -> Layer {
    let mut layer = Layer::new(config, device);
    layer.output_dropout.prob = config.hidden_dropout_prob;
    layer
}

/// A bidirectional encoder of amino acids. Made by [`EsmConfig::init`].
#[derive(Module, Debug)]
pub struct Esm {
    pub(crate) word: Embedding,
    pub(crate) embedding_norm: Option<LayerNorm>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: LayerNorm,
    /// Upstream's regression of contacts in the folded protein: kept for saving, never read.
    pub(crate) contact: Linear,
    pub(crate) head: Head,
    #[module(skip)]
    pub(crate) rotary: Rotary,
    #[module(skip)]
    config: EsmConfig,
}

impl Esm {
    /// What the network was built from.
    pub fn config(&self) -> &EsmConfig {
        &self.config
    }

    /// The configuration, the word table and the decoder's bias.
    pub(crate) fn words_mut(&mut self) -> (&mut EsmConfig, &mut Param<Tensor<2>>, &mut Param<Tensor<1>>) {
        (&mut self.config, &mut self.word.weight, &mut self.head.bias)
    }

    /// # Shapes
    /// - returns: `[B·L, D]`
    fn embed(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let device = self.device();
        let mut states: Tensor<2> = self.word.forward(words(input, &device)).flatten(0, 1);
        if self.config.token_dropout {
            let scales = TensorData::new(scales(input, self.config.mask_token_id), [input.ids.len(), 1]);
            states = states.clone() * Tensor::from_data(scales, (&device, states.dtype()));
        }
        match &self.embedding_norm {
            None => states,
            Some(norm) => norm.forward(states),
        }
    }

    /// The last layer's output at the positions `asked`.
    ///
    /// # Shapes
    /// - returns: `[N, D]`
    fn states(&self, input: &DenoiserInput<'_>, asked: &Tensor<1, Int>) -> Tensor<2> {
        checked(self.check(input));
        let device = self.device();
        let hidden = hidden_mask(input, self.config.num_attention_heads, &device);
        let embedded = self.embed(input);
        let turn = self.rotary.turn(&position::ids(input, 0), input.shape, embedded.dtype(), &device);
        let places = Places { shape: input.shape, turn: Some(turn), hidden };
        let states = run(self.layers.iter(), embedded, Some(asked), move |layer: &Layer, states, asked| {
            layer.forward(states, &places, asked)
        });
        self.final_norm.forward(states)
    }
}

/// What each embedding is multiplied by: 0 at masks, elsewhere such that a document embeds as much as the
/// training's average.
fn scales(input: &DenoiserInput<'_>, mask: usize) -> Vec<f32> {
    let document = |flat: usize| (flat / input.shape[1], input.documents.map(|documents| documents[flat]));
    let is_mask = |flat: &usize| input.ids[*flat] as usize == mask;
    let flats: Vec<usize> = (0..input.ids.len()).collect();
    let mut scales = Vec::with_capacity(flats.len());
    for document in flats.chunk_by(|&left, &right| document(left) == document(right)) {
        let tokens = document.iter().filter(|&&flat| !input.pad.is_some_and(|pad| pad[flat])).count();
        let masks = document.iter().filter(|flat| is_mask(flat)).count();
        let seen = 1.0 - masks as f64 / tokens.max(1) as f64;
        let scale = if seen > 0.0 { (1.0 - MASKED_IN_TRAINING) / seen } else { 0.0 };
        scales.extend(document.iter().map(|flat| if is_mask(flat) { 0.0 } else { scale as f32 }));
    }
    scales
}

impl Denoiser for Esm {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.word.weight.val().device()
    }

    fn max_len(&self) -> Option<usize> {
        Some(self.config.max_position_embeddings)
    }

    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        answers(self, input)
    }

    fn time_free(&self) -> bool {
        true
    }
}

impl Factored for Esm {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        features(self, input, |asked| self.head.forward(self.states(input, asked)))
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.word.weight.val(), bias: Some(self.head.bias.val()) }
    }
}
