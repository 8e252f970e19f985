//! The post-LN encoder of BERT, RoBERTa and XLM-R, with its tied head.
//!
//! Sources: Devlin et al. 2018, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692; Conneau et al. 2019,
//! arXiv:1911.02116; upstream names `BertForMaskedLM`, `RobertaForMaskedLM`, `XLMRobertaForMaskedLM`.
//! What differs: token type 0 is the only one; BERT's positions skip padding, as RoBERTa's do, so that a
//! row gives the same logits whichever side it is padded on; logits exist only where they are asked.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Embedding, Initializer, LayerNorm, Linear};
use burn::tensor::{Bool, Device, Int, Tensor, s};
use dlm_core::recompute::segment;
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};

use crate::attention::{SelfAttention, hidden_mask};
use crate::config::{Activation, EncoderConfig, Family};
use crate::init::{embedding, linear, norm};
use crate::position::{indices, select, upload, words};
use crate::{Error, position};

/// A bidirectional encoder that answers with logits of the clean token, whatever the time.
///
/// Nothing is added to the masked language model: a network pretrained to fill in 15 % of a text is a
/// denoiser trained at one noise level.
///
/// Made by [`EncoderConfig::init`]. Its new weights are drawn when they are first read: whoever needs the
/// same ones again visits every parameter right after `device.seed(..)`.
#[derive(Module, Debug)]
pub struct Encoder {
    pub(crate) embeddings: Embeddings,
    pub(crate) layers: Vec<Layer>,
    pub(crate) head: Head,
    #[module(skip)]
    config: EncoderConfig,
}

/// The tables that are summed at each position.
#[derive(Module, Debug)]
pub struct Embeddings {
    pub(crate) word: Embedding,
    pub(crate) position: Embedding,
    pub(crate) token_type: Embedding,
    pub(crate) norm: LayerNorm,
    dropout: Dropout,
}

/// Attention and a feed-forward network, each added to its input and then normalised.
#[derive(Module, Debug)]
pub struct Layer {
    pub(crate) attention: SelfAttention,
    pub(crate) attention_norm: LayerNorm,
    pub(crate) inner: Linear,
    pub(crate) outer: Linear,
    pub(crate) output_norm: LayerNorm,
    dropout: Dropout,
    /// Between the maps of the feed-forward network, where BERT has none.
    pub(crate) inner_dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

/// From hidden states to what the tied decoder is applied to, and the decoder's own bias.
#[derive(Module, Debug)]
pub struct Head {
    pub(crate) dense: Linear,
    pub(crate) norm: LayerNorm,
    pub(crate) bias: Param<Tensor<1>>,
    #[module(skip)]
    activation: Activation,
}

impl EncoderConfig {
    /// Builds a new network: weights N(0, `initializer_range`), biases 0, norms the identity.
    ///
    /// # Errors
    /// [`Error::Config`] as [`EncoderConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<Encoder, Error> {
        self.validate()?;
        Ok(Encoder {
            embeddings: Embeddings::new(self, device),
            layers: (0..self.num_hidden_layers).map(|_| Layer::new(self, device)).collect(),
            head: Head::new(self, device),
            config: self.clone(),
        })
    }
}

impl Encoder {
    /// What the network was built from.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The configuration, the word table and the decoder's bias.
    pub(crate) fn words_mut(&mut self) -> (&mut EncoderConfig, &mut Param<Tensor<2>>, &mut Param<Tensor<1>>) {
        (&mut self.config, &mut self.embeddings.word.weight, &mut self.head.bias)
    }

    /// Sets both dropout rates, of the network and of its configuration.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 ≤ rate < 1`.
    pub fn with_dropout(mut self, rate: f64) -> Result<Self, Error> {
        self.config = self.config.with_dropout(rate);
        self.config.validate()?;
        self.embeddings.dropout.prob = rate;
        for layer in &mut self.layers {
            layer.dropout.prob = rate;
            layer.attention.dropout.prob = rate;
        }
        Ok(self)
    }

    /// The last layer's output at every position.
    ///
    /// # Shapes
    /// - returns: `[B, L, D]`; meaningless at padding
    ///
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    pub fn hidden(&self, input: &DenoiserInput<'_>) -> Tensor<3> {
        let [rows, len] = input.shape;
        self.states(input, None).reshape([rows, len, self.config.hidden_size])
    }

    /// The last layer's output at the positions `asked`, or at all.
    ///
    /// # Shapes
    /// - `asked`: `[N]`, flat
    /// - returns: `[N, D]` or `[B·L, D]`
    fn states(&self, input: &DenoiserInput<'_>, asked: Option<&Tensor<1, Int>>) -> Tensor<2> {
        if let Err(error) = self.check(input) {
            panic!("{error}");
        }
        let hidden = hidden_mask(input, self.config.num_attention_heads, &self.device());
        let embedded = self.embeddings.forward(input, self.config.first_position());
        let Some((last, layers)) = self.layers.split_last() else {
            return select(embedded, asked);
        };
        let shape = input.shape;
        let forward = |layer: &Layer, states, asked: Option<&Tensor<1, Int>>| {
            let (hidden, asked) = (hidden.clone(), asked.cloned());
            segment(layer, states, move |layer, states| {
                layer.forward(states, shape, hidden.as_ref(), asked.as_ref())
            })
        };
        let states = layers.iter().fold(embedded, |states, layer| forward(layer, states, None));
        forward(last, states, asked)
    }
}

impl Denoiser for Encoder {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.embeddings.word.weight.val().device()
    }

    fn max_len(&self) -> Option<usize> {
        Some(self.config.max_len())
    }

    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        if input.at.is_empty() {
            return Tensor::zeros([0, self.config.vocab_size], &self.device());
        }
        self.decoder().forward(self.features(input))
    }

    fn time_free(&self) -> bool {
        true
    }
}

impl Factored for Encoder {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        if input.at.is_empty() {
            return Tensor::zeros([0, self.config.hidden_size], &self.device());
        }
        // Before the head, so that `[B, L, V]` never exists, and inside the last layer.
        self.head.forward(self.states(input, Some(&indices(input.at, &self.device()))))
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.embeddings.word.weight.val(), bias: Some(self.head.bias.val()) }
    }
}

impl Embeddings {
    fn new(config: &EncoderConfig, device: &Device) -> Self {
        let table = |rows| embedding(rows, config.hidden_size, config.initializer_range, device);
        Self {
            word: table(config.vocab_size),
            position: table(config.max_position_embeddings),
            token_type: table(config.type_vocab_size),
            norm: norm(config.hidden_size, config.layer_norm_eps, device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
        }
    }

    /// # Shapes
    /// - returns: `[B·L, D]`
    fn forward(&self, input: &DenoiserInput<'_>, first_position: usize) -> Tensor<2> {
        let device = self.word.weight.val().device();
        let words = self.word.forward(words(input, &device));
        let positions = upload(position::ids(input, first_position), input.shape, &device);
        let positions = self.position.forward(positions);
        let [_, width] = self.token_type.weight.val().dims();
        let token_type = self.token_type.weight.val().slice(s![0..1, ..]).reshape([1, 1, width]);
        let sum: Tensor<3> = words + positions + token_type;
        self.dropout.forward(self.norm.forward(sum.flatten::<2>(0, 1)))
    }
}

impl Layer {
    pub(crate) fn new(config: &EncoderConfig, device: &Device) -> Self {
        let (width, inner, std) = (config.hidden_size, config.intermediate_size, config.initializer_range);
        Self {
            attention: SelfAttention::new(
                width,
                config.num_attention_heads,
                config.attention_probs_dropout_prob,
                std,
                device,
            ),
            attention_norm: norm(width, config.layer_norm_eps, device),
            inner: linear(width, inner, std, device),
            outer: linear(inner, width, std, device),
            output_norm: norm(width, config.layer_norm_eps, device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            inner_dropout: DropoutConfig::new(0.0).init(),
            activation: config.hidden_act,
        }
    }

    /// Rows are laid end to end, because products of many small matrices are slower than one of a large
    /// one.
    ///
    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - `shape`: `[B, L]`
    /// - `asked`: `[N]`, the flat positions whose output is wanted, or `None` for all
    /// - returns: `[N, D]` or `[B·L, D]`
    pub(crate) fn forward(
        &self,
        input: Tensor<2>,
        shape: [usize; 2],
        hidden: Option<&Tensor<4, Bool>>,
        asked: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let mixed = select(self.attention.mix(input.clone(), shape, hidden), asked);
        let attended = self.dropout.forward(self.attention.output.forward(mixed));
        let input = self.attention_norm.forward(select(input, asked) + attended);
        let inner = self.activation.apply(self.inner.forward(input.clone()));
        let fed = self.dropout.forward(self.outer.forward(self.inner_dropout.forward(inner)));
        self.output_norm.forward(input + fed)
    }
}

impl Head {
    fn new(config: &EncoderConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        Self {
            dense: linear(width, width, config.initializer_range, device),
            norm: norm(width, config.layer_norm_eps, device),
            bias: Initializer::Zeros.init([config.vocab_size], device),
            activation: match config.family {
                Family::Bert => config.hidden_act,
                Family::Roberta | Family::XlmRoberta => Activation::Gelu,
            },
        }
    }

    fn forward(&self, asked: Tensor<2>) -> Tensor<2> {
        self.norm.forward(self.activation.apply(self.dense.forward(asked)))
    }
}
