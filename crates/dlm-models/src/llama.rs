//! The pre-norm decoder of Llama and of all that share its shape, as a denoiser: Mistral, Qwen2, Qwen3, Dream,
//! SDAR, LLaDA, LLaDA-MoE, LLaDA2.
//!
//! Sources: beside each [`LlamaFamily`](crate::LlamaFamily); upstream names `LlamaForCausalLM`, .., Dream's
//! `DreamModel`, `SDARForCausalLM`, `LLaDAModelLM`, `LLaDA2MoeModelLM`.
//! What differs: who sees whom is the question's, [`Attention`](dlm_core::Attention), and by default everybody sees
//! everybody; upstream's causal models are [`Attention::Causal`](dlm_core::Attention::Causal), SDAR and LLaDA2
//! [`Attention::BlockCausal`](dlm_core::Attention::BlockCausal). Positions skip padding. Logits are those of the
//! position itself: networks that answer one position late are seen through
//! [`Shifted`](dlm_core::view::Shifted). Logits exist only where they are asked.

use burn::module::{Module, Param};
use burn::nn::{Embedding, Initializer, Linear, RmsNorm};
use burn::tensor::{Device, Int, Tensor};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};

use crate::attention::hidden_mask;
use crate::config::LlamaConfig;
use crate::experts::Experts;
use crate::grouped::{Apart, GroupedAttention, Places, Projections, QueryKeyNorms};
use crate::init::{embedding, linear, plain, rms_norm};
use crate::mlp::GatedMlp;
use crate::position::{select, words};
use crate::rotary::Rotary;
use crate::stack::{answers, checked, features, run};
use crate::{Error, LlamaFamily, position};

/// A decoder that answers with logits of the clean token, whatever the time.
///
/// Made by [`LlamaConfig::init`]. Its new weights are drawn when they are first read.
#[derive(Module, Debug)]
pub struct Llama {
    pub(crate) words: Embedding,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: RmsNorm,
    /// `[V, D]`; none if it is the word table.
    pub(crate) head: Option<Param<Tensor<2>>>,
    #[module(skip)]
    rotary: Rotary,
    #[module(skip)]
    pub(crate) config: LlamaConfig,
}

/// Attention and a feed-forward network, each of a norm of its input and added to it.
#[derive(Module, Debug)]
pub struct Block {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) attention: GroupedAttention,
    pub(crate) feed_norm: RmsNorm,
    pub(crate) feed: Feed,
}

/// What follows attention.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a layer has one")]
pub enum Feed {
    /// One network for all tokens.
    Dense(GatedMlp),
    /// A few of many for each.
    Mixture(Experts),
}

impl LlamaConfig {
    /// Builds a new network: weights N(0, `initializer_range`), biases 0, norms the identity.
    ///
    /// # Errors
    /// [`Error::Config`] as [`LlamaConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<Llama, Error> {
        self.validate()?;
        let (width, std) = (self.hidden_size, self.initializer_range);
        Ok(Llama {
            words: embedding(self.vocab_size, width, std, device),
            blocks: (0..self.num_hidden_layers).map(|layer| Block::new(self, layer, device)).collect(),
            norm: rms_norm(width, self.rms_norm_eps, device),
            head: (!self.tie_word_embeddings)
                .then(|| Initializer::Normal { mean: 0.0, std }.init([self.vocab_size, width], device)),
            rotary: Rotary::new(self.rotary_width(), self.rope_theta, self.rope_scaling.clone()),
            config: self.clone(),
        })
    }

    fn linear(&self, bias: bool, device: &Device) -> impl Fn(usize, usize) -> Linear {
        let (std, make) = (self.initializer_range, if bias { linear } else { plain });
        move |inputs, outputs| make(inputs, outputs, std, device)
    }
}

impl Llama {
    /// What the network was built from.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Sets the rate of attention's dropout, the only one there is, of the network and of its configuration.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 ≤ rate < 1`.
    pub fn with_dropout(mut self, rate: f64) -> Result<Self, Error> {
        self.config.attention_dropout = rate;
        self.config.validate()?;
        for block in &mut self.blocks {
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
        self.states(input, None).reshape([rows, len, self.config.hidden_size])
    }

    /// # Shapes
    /// - `asked`: `[N]`, flat, or `None` for all
    /// - returns: `[N, D]` or `[B·L, D]`
    fn states(&self, input: &DenoiserInput<'_>, asked: Option<&Tensor<1, Int>>) -> Tensor<2> {
        checked(self.check(input));
        let device = self.device();
        let hidden = hidden_mask(input, self.config.num_attention_heads, &device);
        let embedded = self.words.forward(words(input, &device)).flatten::<2>(0, 1);
        let turn = self.rotary.turn(&position::ids(input, 0), input.shape, embedded.dtype(), &device);
        let places = Places { shape: input.shape, turn: Some(turn), hidden };
        let states = run(self.blocks.iter(), embedded, asked, move |block: &Block, states, asked| {
            block.forward(states, &places, asked)
        });
        self.norm.forward(states)
    }
}

impl Denoiser for Llama {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.words.weight.val().device()
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

impl Factored for Llama {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        features(self, input, |asked| self.states(input, Some(asked)))
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.head.as_ref().unwrap_or(&self.words.weight).val(), bias: None }
    }
}

impl Block {
    fn new(config: &LlamaConfig, layer: usize, device: &Device) -> Self {
        let norm = || rms_norm(config.hidden_size, config.rms_norm_eps, device);
        let gated = config.linear(config.biases.mlp, device);
        let feed = match config.experts_of(layer) {
            None => {
                let inner = config.intermediate_size;
                Feed::Dense(GatedMlp::new(config.hidden_size, inner, config.hidden_act, gated))
            }
            Some(experts) => {
                Feed::Mixture(Experts::new(experts, config.hidden_size, config.hidden_act, &gated, device))
            }
        };
        Self { attention_norm: norm(), attention: attention(config, device), feed_norm: norm(), feed }
    }

    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - `asked`: `[N]`, the flat positions whose output is wanted, or `None` for all
    /// - returns: `[N, D]` or `[B·L, D]`
    fn forward(&self, input: Tensor<2>, places: &Places, asked: Option<&Tensor<1, Int>>) -> Tensor<2> {
        let mixed = self.attention.mix(self.attention_norm.forward(input.clone()), places);
        let input = select(input, asked) + self.attention.output.forward(select(mixed, asked));
        let normed = self.feed_norm.forward(input.clone());
        input
            + match &self.feed {
                Feed::Dense(network) => network.forward(normed),
                Feed::Mixture(experts) => experts.forward(&normed),
            }
    }
}

fn attention(config: &LlamaConfig, device: &Device) -> GroupedAttention {
    let (width, head) = (config.hidden_size, config.head_dim);
    let (heads, groups) = (config.num_attention_heads, config.num_key_value_heads);
    let inner = config.linear(config.biases.qkv, device);
    let projections = if config.family == LlamaFamily::Llada2 {
        Projections::Fused(inner(width, (heads + 2 * groups) * head))
    } else {
        let [query, key, value] = [heads, groups, groups].map(|count| inner(width, count * head));
        Projections::Apart(Apart { query, key, value })
    };
    let norm = || rms_norm(head, config.rms_norm_eps, device);
    let norms = config.qk_norm.then(|| QueryKeyNorms { query: norm(), key: norm() });
    let output = config.linear(config.biases.output, device)(heads * head, width);
    GroupedAttention::new([heads, groups], projections, norms, output, config.attention_dropout)
}
