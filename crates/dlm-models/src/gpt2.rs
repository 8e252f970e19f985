//! GPT-2 as a denoiser, as in DiffuGPT.
//!
//! Sources: Radford et al. 2019, "Language models are unsupervised multitask learners"; Gong et al. 2024,
//! arXiv:2410.17891; upstream name `GPT2LMHeadModel`.
//! What differs: who sees whom is the question's, [`Attention`](dlm_core::Attention), by default everybody;
//! positions skip padding; logits are those of the position itself, so that DiffuGPT, which answers one position
//! late, is seen through [`Shifted`](dlm_core::view::Shifted), and exist only where they are asked.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Embedding};
use burn::tensor::{Device, Int, Tensor};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};

use crate::attention::hidden_mask;
use crate::config::Gpt2Config;
use crate::grouped::{GroupedAttention, Places, Projections};
use crate::init::{embedding, linear, norm};
use crate::mlp::Mlp;
use crate::norm::LayerNorm;
use crate::position::{select, upload, words};
use crate::stack::{answers, checked, features, run};
use crate::{Error, position};

/// A pre-norm decoder with learned positions and its word table as the head.
///
/// Made by [`Gpt2Config::init`]. Its new weights are drawn when they are first read.
#[derive(Module, Debug)]
pub struct Gpt2 {
    pub(crate) words: Embedding,
    pub(crate) positions: Embedding,
    pub(crate) blocks: Vec<Gpt2Block>,
    pub(crate) norm: LayerNorm,
    dropout: Dropout,
    #[module(skip)]
    pub(crate) config: Gpt2Config,
}

/// Attention and a feed-forward network, each of a norm of its input and added to it.
#[derive(Module, Debug)]
pub struct Gpt2Block {
    pub(crate) attention_norm: LayerNorm,
    pub(crate) attention: GroupedAttention,
    pub(crate) feed_norm: LayerNorm,
    pub(crate) feed: Mlp,
    dropout: Dropout,
}

impl Gpt2Config {
    /// Builds a new network: weights N(0, `initializer_range`), those before a sum divided by the root of the
    /// number of sums, biases 0, norms the identity.
    ///
    /// # Errors
    /// [`Error::Config`] as [`Gpt2Config::validate`].
    pub fn init(&self, device: &Device) -> Result<Gpt2, Error> {
        self.validate()?;
        let table = |rows| embedding(rows, self.n_embd, self.initializer_range, device);
        Ok(Gpt2 {
            words: table(self.vocab_size),
            positions: table(self.n_positions),
            blocks: (0..self.n_layer).map(|_| Gpt2Block::new(self, device)).collect(),
            norm: norm(self.n_embd, self.layer_norm_epsilon, device),
            dropout: DropoutConfig::new(self.embd_pdrop).init(),
            config: self.clone(),
        })
    }
}

impl Gpt2 {
    /// What the network was built from.
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    /// Sets all dropout rates, of the network and of its configuration.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 ≤ rate < 1`.
    pub fn with_dropout(mut self, rate: f64) -> Result<Self, Error> {
        self.config = self.config.with_dropout(rate);
        self.config.validate()?;
        self.dropout.prob = rate;
        for block in &mut self.blocks {
            block.dropout.prob = rate;
            block.attention.dropout.prob = rate;
        }
        Ok(self)
    }

    /// The last layer's output at every position, normalised.
    ///
    /// # Shapes
    /// - returns: `[B, L, D]`; meaningless at padding
    ///
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    pub fn hidden(&self, input: &DenoiserInput<'_>) -> Tensor<3> {
        let [rows, len] = input.shape;
        self.states(input, None).reshape([rows, len, self.config.n_embd])
    }

    /// # Shapes
    /// - `asked`: `[N]`, flat, or `None` for all
    /// - returns: `[N, D]` or `[B·L, D]`
    fn states(&self, input: &DenoiserInput<'_>, asked: Option<&Tensor<1, Int>>) -> Tensor<2> {
        checked(self.check(input));
        let device = self.device();
        let hidden = hidden_mask(input, self.config.n_head, &device);
        let positions = upload(position::ids(input, 0), input.shape, &device);
        let sum = self.words.forward(words(input, &device)) + self.positions.forward(positions);
        let embedded = self.dropout.forward(sum.flatten::<2>(0, 1));
        let places = Places { shape: input.shape, turn: None, hidden };
        let states = run(self.blocks.iter(), embedded, asked, move |block: &Gpt2Block, states, asked| {
            block.forward(states, &places, asked)
        });
        self.norm.forward(states)
    }
}

impl Denoiser for Gpt2 {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.words.weight.val().device()
    }

    fn max_len(&self) -> Option<usize> {
        Some(self.config.n_positions)
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

impl Factored for Gpt2 {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        features(self, input, |asked| self.states(input, Some(asked)))
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.words.weight.val(), bias: None }
    }
}

impl Gpt2Block {
    fn new(config: &Gpt2Config, device: &Device) -> Self {
        let (width, inner, std) = (config.n_embd, config.n_inner, config.initializer_range);
        let before_sum = std / (2.0 * config.n_layer as f64).sqrt();
        let norm = || norm(width, config.layer_norm_epsilon, device);
        let attention = GroupedAttention::new(
            [config.n_head; 2],
            Projections::Fused(linear(width, 3 * width, std, device)),
            None,
            linear(width, width, before_sum, device),
            config.attn_pdrop,
        );
        let mut feed = Mlp::new(width, inner, config.activation_function, |inputs, outputs| {
            linear(inputs, outputs, std, device)
        });
        feed.outer = linear(inner, width, before_sum, device);
        Self {
            attention_norm: norm(),
            attention,
            feed_norm: norm(),
            feed,
            dropout: DropoutConfig::new(config.resid_pdrop).init(),
        }
    }

    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - `asked`: `[N]`, the flat positions whose output is wanted, or `None` for all
    /// - returns: `[N, D]` or `[B·L, D]`
    fn forward(&self, input: Tensor<2>, places: &Places, asked: Option<&Tensor<1, Int>>) -> Tensor<2> {
        let mixed = self.attention.mix(self.attention_norm.forward(input.clone()), places);
        let attended = self.dropout.forward(self.attention.output.forward(select(mixed, asked)));
        let input = select(input, asked) + attended;
        let fed = self.feed.forward(self.feed_norm.forward(input.clone()));
        input + self.dropout.forward(fed)
    }
}
