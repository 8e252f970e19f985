//! ALBERT: BERT with one layer for all depths, and a word table narrower than the network.
//!
//! Source: Lan et al. 2019, arXiv:1909.11942; upstream name `AlbertForMaskedLM`. What differs: as in
//! [`Encoder`](crate::Encoder).

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Int, Tensor};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::attention::hidden_mask;
use crate::checkpoint::Id;
use crate::config::read::{Rest, Rules, ids, read, require_sizes};
use crate::config::{Activation, EncoderConfig, require};
use crate::encoder::{Embeddings, Head, Layer};
use crate::grouped::Places;
use crate::init::linear;
use crate::stack::{answers, checked, features, run};

const RULES: Rules = Rules {
    model_types: &["albert"],
    activations: &["hidden_act"],
    plain: &[
        ("position_embedding_type", "\"absolute\""),
        ("inner_group_num", "1"),
        ("tie_word_embeddings", "true"),
        ("is_decoder", "false"),
    ],
};

/// An ALBERT's sizes and rates, named as in `config.json` and with upstream's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AlbertConfig {
    /// Number of words, V.
    pub vocab_size: usize,
    /// Width of the word table.
    pub embedding_size: usize,
    /// Width, D.
    pub hidden_size: usize,
    /// How often a layer is applied.
    pub num_hidden_layers: usize,
    /// Number of layers that there are: the first is applied first, for its share of the depth.
    pub num_hidden_groups: usize,
    /// Attention heads; they share the width.
    pub num_attention_heads: usize,
    /// Inner width of the feed-forward networks.
    pub intermediate_size: usize,
    /// Activation of the feed-forward networks and of the head.
    pub hidden_act: Activation,
    /// Chance that training zeroes an element of the embeddings or of what attention adds.
    pub hidden_dropout_prob: f64,
    /// Chance that training zeroes an attention weight.
    pub attention_probs_dropout_prob: f64,
    /// Rows of the position table: most tokens of a row.
    pub max_position_embeddings: usize,
    /// Rows of the token-type table, of which type 0 is used.
    pub type_vocab_size: usize,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f64,
    /// Id of padding.
    pub pad_token_id: usize,
    #[serde(flatten)]
    rest: Rest,
}

impl Default for AlbertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30_000,
            embedding_size: 128,
            hidden_size: 4096,
            num_hidden_layers: 12,
            num_hidden_groups: 1,
            num_attention_heads: 64,
            intermediate_size: 16_384,
            hidden_act: Activation::GeluTanh,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
            rest: Rest::new(),
        }
    }
}

impl AlbertConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`] for a variant that is not
    /// implemented, [`Error::Config`] as [`AlbertConfig::validate`].
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
            ("embedding_size", self.embedding_size),
            ("num_hidden_groups", self.num_hidden_groups),
        ])?;
        require(
            self.num_hidden_layers.is_multiple_of(self.num_hidden_groups),
            "num_hidden_layers",
            "a multiple of num_hidden_groups",
            self.num_hidden_layers,
        )?;
        self.layer().validate()
    }

    /// What changes with the words: V, and ids.
    pub(crate) fn words(&mut self) -> (&mut usize, Vec<Id<'_>>) {
        (&mut self.vocab_size, ids([("pad_token_id", &mut self.pad_token_id)], &mut self.rest))
    }

    /// Builds a new network: weights N(0, `initializer_range`), biases 0, norms the identity.
    ///
    /// # Errors
    /// [`Error::Config`] as [`AlbertConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<Albert, Error> {
        self.validate()?;
        let layer = self.layer();
        let mut tables = layer.clone();
        tables.hidden_size = self.embedding_size;
        Ok(Albert {
            embeddings: Embeddings::new(&tables, device),
            widening: linear(self.embedding_size, self.hidden_size, self.initializer_range, device),
            groups: (0..self.num_hidden_groups).map(|_| group(&layer, device)).collect(),
            head: Head::new(&layer, self.embedding_size, self.hidden_act, device),
            config: self.clone(),
        })
    }

    /// The BERT that has these layers.
    fn layer(&self) -> EncoderConfig {
        let sizes = [self.vocab_size, self.hidden_size, self.num_hidden_layers, self.num_attention_heads];
        let mut layer = EncoderConfig::new(sizes[0], sizes[1], sizes[2], sizes[3])
            .with_intermediate_size(self.intermediate_size)
            .with_max_position_embeddings(self.max_position_embeddings)
            .with_pad_token_id(self.pad_token_id)
            .with_initializer_range(self.initializer_range);
        layer.hidden_act = self.hidden_act;
        layer.hidden_dropout_prob = self.hidden_dropout_prob;
        layer.attention_probs_dropout_prob = self.attention_probs_dropout_prob;
        layer.type_vocab_size = self.type_vocab_size;
        layer.layer_norm_eps = self.layer_norm_eps;
        layer
    }
}

/// What the feed-forward network adds is kept whole.
fn group(config: &EncoderConfig, device: &Device) -> Layer {
    let mut layer = Layer::new(config, device);
    layer.output_dropout.prob = 0.0;
    layer
}

/// A bidirectional encoder whose depths share their weights. Made by [`AlbertConfig::init`].
#[derive(Module, Debug)]
pub struct Albert {
    pub(crate) embeddings: Embeddings,
    pub(crate) widening: Linear,
    pub(crate) groups: Vec<Layer>,
    pub(crate) head: Head,
    #[module(skip)]
    config: AlbertConfig,
}

impl Albert {
    /// What the network was built from.
    pub fn config(&self) -> &AlbertConfig {
        &self.config
    }

    /// The configuration, the word table and the decoder's bias.
    pub(crate) fn words_mut(&mut self) -> (&mut AlbertConfig, &mut Param<Tensor<2>>, &mut Param<Tensor<1>>) {
        (&mut self.config, &mut self.embeddings.word.weight, &mut self.head.bias)
    }

    /// The last layer's output at the positions `asked`.
    ///
    /// # Shapes
    /// - returns: `[N, D]`
    fn states(&self, input: &DenoiserInput<'_>, asked: &Tensor<1, Int>) -> Tensor<2> {
        checked(self.check(input));
        let AlbertConfig { num_hidden_layers: depth, num_hidden_groups: groups, .. } = self.config;
        let hidden = hidden_mask(input, self.config.num_attention_heads, &self.device());
        let embedded = self.widening.forward(self.embeddings.forward(input, 0, None));
        let places = Places { shape: input.shape, turn: None, hidden };
        let layers = (0..depth).map(|index| &self.groups[index * groups / depth]);
        run(layers, embedded, Some(asked), move |layer: &Layer, states, asked| {
            layer.forward(states, &places, asked)
        })
    }
}

impl Denoiser for Albert {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.embeddings.word.weight.val().device()
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

impl Factored for Albert {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        features(self, input, |asked| self.head.forward(self.states(input, asked)))
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.embeddings.word.weight.val(), bias: Some(self.head.bias.val()) }
    }
}
