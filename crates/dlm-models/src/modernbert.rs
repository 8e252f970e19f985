//! ModernBERT: rotary positions, local and global attention by turns, gated feed-forward networks, no biases.
//!
//! Source: Warner et al. 2024, arXiv:2412.13663; upstream name `ModernBertForMaskedLM`. What differs: windows are
//! counted in tokens of a document, so that neither padding nor packing moves them; new weights are plain normal,
//! not cut off and not scaled by depth; rows longer than `max_position_embeddings` are refused.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Embedding, Initializer, Linear};
use burn::tensor::{Device, Int, Tensor};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};
use serde::{Deserialize, Serialize};

use crate::attention::{hidden_mask, window_mask};
use crate::checkpoint::Id;
use crate::config::read::{Rest, Rules, ids, read, require_positive, require_rates, require_sizes};
use crate::config::{Activation, require};
use crate::grouped::{GroupedAttention, Places, Projections};
use crate::init::{embedding, linear, plain};
use crate::norm::LayerNorm;
use crate::position::{select, words};
use crate::rotary::{Rotary, Scaling};
use crate::stack::{answers, checked, features, run};
use crate::{Error, position};

const RULES: Rules = Rules {
    model_types: &["modernbert"],
    activations: &["hidden_activation", "classifier_activation"],
    plain: &[
        ("tie_word_embeddings", "true"),
        ("rope_scaling", "null"),
        // What later versions of upstream write instead of the fields below.
        ("rope_parameters", "null"),
        ("layer_types", "null"),
    ],
};

/// A ModernBERT's sizes and rates, named as in `config.json` and with upstream's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools, reason = "upstream's fields")]
pub struct ModernBertConfig {
    /// Number of words, V.
    pub vocab_size: usize,
    /// Width, D.
    pub hidden_size: usize,
    /// Inner width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; they share the width.
    pub num_attention_heads: usize,
    /// Activation of the gates.
    pub hidden_activation: Activation,
    /// Most tokens of a row.
    pub max_position_embeddings: usize,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Added to the variance in every layer norm.
    pub norm_eps: f64,
    /// Whether norms have biases.
    pub norm_bias: bool,
    /// Id of padding.
    pub pad_token_id: usize,
    /// Base of the angles of layers that see everything.
    pub global_rope_theta: f64,
    /// Whether the maps of attention have biases.
    pub attention_bias: bool,
    /// Chance that training zeroes an attention weight, or an element of what attention adds.
    pub attention_dropout: f64,
    /// Every how many layers, from the first, one sees everything.
    pub global_attn_every_n_layers: usize,
    /// Width of what the others see: half of it on either side.
    pub local_attention: usize,
    /// Base of their angles; absent, the same.
    pub local_rope_theta: Option<f64>,
    /// Chance that training zeroes an element of the embeddings.
    pub embedding_dropout: f64,
    /// Whether the maps of feed-forward networks have biases.
    pub mlp_bias: bool,
    /// Chance that training zeroes an inner element of a feed-forward network.
    pub mlp_dropout: f64,
    /// Whether the decoder has a bias.
    pub decoder_bias: bool,
    /// Whether the head's map has a bias.
    pub classifier_bias: bool,
    /// Activation of the head.
    pub classifier_activation: Activation,
    #[serde(flatten)]
    rest: Rest,
}

impl Default for ModernBertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 50_368,
            hidden_size: 768,
            intermediate_size: 1152,
            num_hidden_layers: 22,
            num_attention_heads: 12,
            hidden_activation: Activation::Gelu,
            max_position_embeddings: 8192,
            initializer_range: 0.02,
            norm_eps: 1e-5,
            norm_bias: false,
            pad_token_id: 50_283,
            global_rope_theta: 160_000.0,
            attention_bias: false,
            attention_dropout: 0.0,
            global_attn_every_n_layers: 3,
            local_attention: 128,
            local_rope_theta: Some(10_000.0),
            embedding_dropout: 0.0,
            mlp_bias: false,
            mlp_dropout: 0.0,
            decoder_bias: true,
            classifier_bias: false,
            classifier_activation: Activation::Gelu,
            rest: Rest::new(),
        }
    }
}

impl ModernBertConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`] for a variant that is not
    /// implemented, [`Error::Config`] as [`ModernBertConfig::validate`].
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
        require_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("global_attn_every_n_layers", self.global_attn_every_n_layers),
        ])?;
        require(
            self.hidden_size.is_multiple_of(2 * self.num_attention_heads),
            "hidden_size",
            "an even number for each head",
            self.hidden_size,
        )?;
        require(self.pad_token_id < self.vocab_size, "pad_token_id", "below vocab_size", self.pad_token_id)?;
        require_rates(&[
            ("attention_dropout", self.attention_dropout),
            ("embedding_dropout", self.embedding_dropout),
            ("mlp_dropout", self.mlp_dropout),
        ])?;
        require_positive(&[
            ("initializer_range", self.initializer_range),
            ("norm_eps", self.norm_eps),
            ("global_rope_theta", self.global_rope_theta),
            ("local_rope_theta", self.local_theta()),
        ])
    }

    /// What changes with the words: V, and ids.
    pub(crate) fn words(&mut self) -> (&mut usize, Vec<Id<'_>>) {
        (&mut self.vocab_size, ids([("pad_token_id", &mut self.pad_token_id)], &mut self.rest))
    }

    /// Builds a new network: weights N(0, `initializer_range`), biases 0, norms the identity.
    ///
    /// # Errors
    /// [`Error::Config`] as [`ModernBertConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<ModernBert, Error> {
        self.validate()?;
        let width = self.hidden_size;
        let rotary = |theta| Rotary::new(width / self.num_attention_heads, theta, Scaling::None);
        Ok(ModernBert {
            word: embedding(self.vocab_size, width, self.initializer_range, device),
            norm: self.norm(device),
            dropout: DropoutConfig::new(self.embedding_dropout).init(),
            layers: (0..self.num_hidden_layers)
                .map(|index| ModernBertBlock::new(self, index, device))
                .collect(),
            final_norm: self.norm(device),
            dense: self.linear(self.classifier_bias, device)(width, width),
            head_norm: self.norm(device),
            bias: self.decoder_bias.then(|| Initializer::Zeros.init([self.vocab_size], device)),
            global: rotary(self.global_rope_theta),
            local: rotary(self.local_theta()),
            config: self.clone(),
        })
    }

    fn local_theta(&self) -> f64 {
        self.local_rope_theta.unwrap_or(self.global_rope_theta)
    }

    fn norm(&self, device: &Device) -> LayerNorm {
        LayerNorm::new(self.hidden_size, self.norm_eps, self.norm_bias, device)
    }

    /// What makes maps of so many inputs and outputs.
    fn linear(&self, bias: bool, device: &Device) -> impl Fn(usize, usize) -> Linear {
        let make = if bias { linear } else { plain };
        move |inputs, outputs| make(inputs, outputs, self.initializer_range, device)
    }
}

/// A bidirectional encoder for long texts. Made by [`ModernBertConfig::init`].
#[derive(Module, Debug)]
pub struct ModernBert {
    pub(crate) word: Embedding,
    pub(crate) norm: LayerNorm,
    dropout: Dropout,
    pub(crate) layers: Vec<ModernBertBlock>,
    pub(crate) final_norm: LayerNorm,
    pub(crate) dense: Linear,
    pub(crate) head_norm: LayerNorm,
    pub(crate) bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    global: Rotary,
    #[module(skip)]
    local: Rotary,
    #[module(skip)]
    config: ModernBertConfig,
}

/// Attention and a gated feed-forward network, each over its normalised input and added to it.
#[derive(Module, Debug)]
pub struct ModernBertBlock {
    /// The first layer reads what is normalised already.
    pub(crate) attention_norm: Option<LayerNorm>,
    pub(crate) attention: GroupedAttention,
    attention_dropout: Dropout,
    pub(crate) mlp_norm: LayerNorm,
    /// To what is activated and what it is multiplied by, side by side.
    pub(crate) inner: Linear,
    pub(crate) outer: Linear,
    inner_dropout: Dropout,
    is_global: bool,
    #[module(skip)]
    activation: Activation,
}

impl ModernBert {
    /// What the network was built from.
    pub fn config(&self) -> &ModernBertConfig {
        &self.config
    }

    /// The configuration, the word table and the decoder's bias.
    pub(crate) fn words_mut(
        &mut self,
    ) -> (&mut ModernBertConfig, &mut Param<Tensor<2>>, Option<&mut Param<Tensor<1>>>) {
        (&mut self.config, &mut self.word.weight, self.bias.as_mut())
    }

    /// The last layer's output at the positions `asked`.
    ///
    /// # Shapes
    /// - returns: `[N, D]`
    fn states(&self, input: &DenoiserInput<'_>, asked: &Tensor<1, Int>) -> Tensor<2> {
        checked(self.check(input));
        let device = self.device();
        let embedded = self.word.forward(words(input, &device)).flatten(0, 1);
        let embedded: Tensor<2> = self.dropout.forward(self.norm.forward(embedded));
        let [global, local] = self.views(input, &embedded);
        let states =
            run(self.layers.iter(), embedded, Some(asked), move |layer: &ModernBertBlock, states, asked| {
                layer.forward(states, if layer.is_global { &global } else { &local }, asked)
            });
        self.final_norm.forward(states)
    }

    /// Those of layers that see everything, and of those that do not.
    fn views(&self, input: &DenoiserInput<'_>, embedded: &Tensor<2>) -> [Places; 2] {
        let (device, heads) = (embedded.device(), self.config.num_attention_heads);
        let positions = position::ids(input, 0);
        let view = |rotary: &Rotary, hidden| {
            let turn = rotary.turn(&positions, input.shape, embedded.dtype(), &device);
            Places { shape: input.shape, turn: Some(turn), hidden }
        };
        let reach = self.config.local_attention / 2;
        [
            view(&self.global, hidden_mask(input, heads, &device)),
            view(&self.local, window_mask(input, &positions, reach, heads, &device)),
        ]
    }
}

impl ModernBertBlock {
    fn new(config: &ModernBertConfig, index: usize, device: &Device) -> Self {
        let ModernBertConfig { hidden_size: width, intermediate_size: inner, .. } = *config;
        let projection = config.linear(config.attention_bias, device);
        let map = config.linear(config.mlp_bias, device);
        Self {
            attention_norm: (index > 0).then(|| config.norm(device)),
            attention: GroupedAttention::new(
                [config.num_attention_heads; 2],
                Projections::Fused(projection(width, 3 * width)),
                None,
                projection(width, width),
                config.attention_dropout,
            ),
            attention_dropout: DropoutConfig::new(config.attention_dropout).init(),
            mlp_norm: config.norm(device),
            inner: map(width, 2 * inner),
            outer: map(inner, width),
            inner_dropout: DropoutConfig::new(config.mlp_dropout).init(),
            is_global: index.is_multiple_of(config.global_attn_every_n_layers),
            activation: config.hidden_activation,
        }
    }

    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - returns: `[N, D]` or `[B·L, D]`
    fn forward(&self, input: Tensor<2>, places: &Places, asked: Option<&Tensor<1, Int>>) -> Tensor<2> {
        let read = match &self.attention_norm {
            None => input.clone(),
            Some(norm) => norm.forward(input.clone()),
        };
        let mixed = select(self.attention.mix(read, places), asked);
        let attended = self.attention_dropout.forward(self.attention.output.forward(mixed));
        let input = select(input, asked) + attended;
        let [activated, factor] = halves(self.inner.forward(self.mlp_norm.forward(input.clone())));
        let inner = self.inner_dropout.forward(self.activation.apply(activated) * factor);
        input + self.outer.forward(inner)
    }
}

fn halves(both: Tensor<2>) -> [Tensor<2>; 2] {
    let half = both.dims()[1] / 2;
    [both.clone().narrow(1, 0, half), both.narrow(1, half, half)]
}

impl Denoiser for ModernBert {
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

impl Factored for ModernBert {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        features(self, input, |asked| {
            let states = self.dense.forward(self.states(input, asked));
            self.head_norm.forward(self.config.classifier_activation.apply(states))
        })
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.word.weight.val(), bias: self.bias.as_ref().map(Param::val) }
    }
}
