//! The encoder of BERT, DistilBERT, RoBERTa, XLM-R (post-LN) and XLM-R XL (pre-LN), with its tied head.
//!
//! Sources: Devlin et al. 2018, arXiv:1810.04805; Sanh et al. 2019, arXiv:1910.01108; Liu et al. 2019,
//! arXiv:1907.11692; Conneau et al. 2019, arXiv:1911.02116; Goyal et al. 2021, arXiv:2105.00572; upstream names
//! `BertForMaskedLM`, `DistilBertForMaskedLM`, `RobertaForMaskedLM`, `XLMRobertaForMaskedLM`,
//! `XLMRobertaXLForMaskedLM`.
//! What differs: token type 0 is the only one; BERT's positions skip padding, as RoBERTa's do, so that a
//! row gives the same logits whichever side it is padded on; logits exist only where they are asked.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Embedding, Initializer, Linear};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData, s};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};

use crate::attention::{SelfAttention, hidden_mask};
use crate::config::{Activation, EncoderConfig, Family};
use crate::grouped::Places;
use crate::init::{embedding, linear, norm};
use crate::norm::LayerNorm;
use crate::position::{indices, select, upload, words};
use crate::stack::{answers, checked, features, run};
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
    /// Behind the last layer, where layers normalise what they read.
    pub(crate) final_norm: Option<LayerNorm>,
    pub(crate) head: Head,
    #[module(skip)]
    config: EncoderConfig,
}

/// The tables that are summed at each position.
#[derive(Module, Debug)]
pub struct Embeddings {
    pub(crate) word: Embedding,
    pub(crate) position: Embedding,
    pub(crate) token_type: Option<Embedding>,
    pub(crate) norm: Option<LayerNorm>,
    dropout: Dropout,
}

/// Attention and a feed-forward network, each added to its input; what they leave is normalised, or what they
/// read.
#[derive(Module, Debug)]
pub struct Layer {
    pub(crate) attention: SelfAttention,
    pub(crate) attention_norm: LayerNorm,
    pub(crate) inner: Linear,
    pub(crate) outer: Linear,
    pub(crate) output_norm: LayerNorm,
    norm_first: bool,
    /// Of what attention adds, which DistilBERT keeps whole.
    dropout: Dropout,
    /// Of what the feed-forward network adds, which XLM-R XL keeps whole.
    pub(crate) output_dropout: Dropout,
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
            final_norm: (self.family.norm_first())
                .then(|| norm(self.hidden_size, self.layer_norm_eps, device)),
            head: Head::new(self, self.hidden_size, self.head_act(), device),
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
            layer.attention.dropout.prob = rate;
            [layer.dropout, layer.output_dropout] = residual_dropout(&self.config);
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
        checked(self.check(input));
        let [rows, len] = input.shape;
        self.states(input, None, None).reshape([rows, len, self.config.hidden_size])
    }

    /// The last layer's output at the positions `asked`, or at all.
    ///
    /// # Shapes
    /// - `asked`: `[N]`, flat
    /// - `beyond`: `[W, D]`, embeddings of the words V, V + 1, ..
    /// - returns: `[N, D]` or `[B·L, D]`
    fn states(
        &self,
        input: &DenoiserInput<'_>,
        asked: Option<&Tensor<1, Int>>,
        beyond: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        let hidden = hidden_mask(input, self.config.num_attention_heads, &self.device());
        let embedded = self.embeddings.forward(input, self.config.first_position(), beyond);
        let places = Places { shape: input.shape, turn: None, hidden };
        let states = run(self.layers.iter(), embedded, asked, move |layer: &Layer, states, asked| {
            layer.forward(states, &places, asked)
        });
        match &self.final_norm {
            None => states,
            Some(norm) => norm.forward(states),
        }
    }
}

impl Encoder {
    /// [`Factored::features`] of an input that is checked already, whose words may go on beyond the vocabulary.
    ///
    /// # Shapes
    /// - `beyond`: `[W, D]`, embeddings of the words V, V + 1, ..
    pub(crate) fn features_beyond(&self, input: &DenoiserInput<'_>, beyond: Option<&Tensor<2>>) -> Tensor<2> {
        // Before the head, so that `[B, L, V]` never exists, and inside the last layer.
        features(self, input, |asked| self.head.forward(self.states(input, Some(asked), beyond)))
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
        answers(self, input)
    }

    fn time_free(&self) -> bool {
        true
    }
}

impl Factored for Encoder {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        checked(self.check(input));
        self.features_beyond(input, None)
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.embeddings.word.weight.val(), bias: Some(self.head.bias.val()) }
    }
}

impl Embeddings {
    pub(crate) fn new(config: &EncoderConfig, device: &Device) -> Self {
        let table = |rows| embedding(rows, config.hidden_size, config.initializer_range, device);
        Self {
            word: table(config.vocab_size),
            position: table(config.max_position_embeddings),
            token_type: (config.token_types() > 0).then(|| table(config.token_types())),
            norm: (!config.family.norm_first())
                .then(|| norm(config.hidden_size, config.layer_norm_eps, device)),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
        }
    }

    /// # Shapes
    /// - `beyond`: `[W, D]`, embeddings of the words V, V + 1, ..
    /// - returns: `[B·L, D]`
    pub(crate) fn forward(
        &self,
        input: &DenoiserInput<'_>,
        first_position: usize,
        beyond: Option<&Tensor<2>>,
    ) -> Tensor<2> {
        let device = self.word.weight.val().device();
        let words = match beyond {
            None => self.word.forward(words(input, &device)),
            Some(table) => self.words_beyond(input, table),
        };
        let positions = upload(position::ids(input, first_position), input.shape, &device);
        let positions = self.position.forward(positions);
        let mut sum: Tensor<2> = (words + positions).flatten(0, 1);
        if let Some(table) = &self.token_type {
            sum = sum + table.weight.val().slice(s![0..1, ..]);
        }
        self.dropout.forward(match &self.norm {
            None => sum,
            Some(norm) => norm.forward(sum),
        })
    }
}

impl Embeddings {
    /// # Shapes
    /// - `table`: `[W, D]`
    /// - returns: `[B, L, D]`
    fn words_beyond(&self, input: &DenoiserInput<'_>, table: &Tensor<2>) -> Tensor<3> {
        let (words, [rows, len]) = (self.word.weight.val(), input.shape);
        let ([count, width], [others, _]) = (words.dims(), table.dims());
        let ids = || input.ids.iter().map(|&id| id as usize);
        let pick = |table: Tensor<2>, ids: Vec<usize>| table.select(0, indices(&ids, &words.device()));
        let known = pick(words.clone(), ids().map(|id| id.min(count - 1)).collect());
        let other = pick(table.clone(), ids().map(|id| id.saturating_sub(count).min(others - 1)).collect());
        let is_other: Vec<bool> = ids().map(|id| id >= count).collect();
        let is_other =
            Tensor::<2, Bool>::from_data(TensorData::new(is_other, [rows * len, 1]), &words.device());
        known.mask_where(is_other.expand([rows * len, width]), other).reshape([rows, len, width])
    }
}

impl Layer {
    pub(crate) fn new(config: &EncoderConfig, device: &Device) -> Self {
        let (width, inner, std) = (config.hidden_size, config.intermediate_size, config.initializer_range);
        let [dropout, output_dropout] = residual_dropout(config);
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
            norm_first: config.family.norm_first(),
            dropout,
            output_dropout,
            inner_dropout: DropoutConfig::new(0.0).init(),
            activation: config.hidden_act,
        }
    }

    /// Rows are laid end to end, because products of many small matrices are slower than one of a large
    /// one.
    ///
    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - `asked`: `[N]`, the flat positions whose output is wanted, or `None` for all
    /// - returns: `[N, D]` or `[B·L, D]`
    pub(crate) fn forward(
        &self,
        input: Tensor<2>,
        places: &Places,
        asked: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        self.feed(self.attend(input, places, asked))
    }

    /// The first half of [`Layer::forward`].
    pub(crate) fn attend(
        &self,
        input: Tensor<2>,
        places: &Places,
        asked: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let read = self.reading(&self.attention_norm, input.clone());
        let mixed = select(self.attention.mix(read, places), asked);
        let attended = self.dropout.forward(self.attention.output.forward(mixed));
        self.leaving(&self.attention_norm, select(input, asked) + attended)
    }

    /// The second half.
    pub(crate) fn feed(&self, input: Tensor<2>) -> Tensor<2> {
        let read = self.reading(&self.output_norm, input.clone());
        let inner = self.inner_dropout.forward(self.activation.apply(self.inner.forward(read)));
        let fed = self.output_dropout.forward(self.outer.forward(inner));
        self.leaving(&self.output_norm, input + fed)
    }

    fn reading(&self, norm: &LayerNorm, states: Tensor<2>) -> Tensor<2> {
        if self.norm_first { norm.forward(states) } else { states }
    }

    fn leaving(&self, norm: &LayerNorm, states: Tensor<2>) -> Tensor<2> {
        if self.norm_first { states } else { norm.forward(states) }
    }
}

impl Head {
    /// From the width of the states to `width`, that of the word table.
    pub(crate) fn new(config: &EncoderConfig, width: usize, activation: Activation, device: &Device) -> Self {
        Self {
            dense: linear(config.hidden_size, width, config.initializer_range, device),
            norm: norm(width, config.layer_norm_eps, device),
            bias: Initializer::Zeros.init([config.vocab_size], device),
            activation,
        }
    }

    pub(crate) fn forward(&self, asked: Tensor<2>) -> Tensor<2> {
        self.norm.forward(self.activation.apply(self.dense.forward(asked)))
    }
}

/// What is dropped of attention's and of the feed-forward network's output.
fn residual_dropout(config: &EncoderConfig) -> [Dropout; 2] {
    let rate = config.hidden_dropout_prob;
    let rates = match config.family {
        Family::DistilBert => [0.0, rate],
        Family::XlmRobertaXl => [rate, 0.0],
        Family::Bert | Family::Roberta | Family::XlmRoberta => [rate, rate],
    };
    rates.map(|rate| DropoutConfig::new(rate).init())
}
