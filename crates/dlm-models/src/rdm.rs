//! The encoder–decoder of the reparameterised discrete diffusion model.
//!
//! Source: Zheng et al. 2023, arXiv:2302.05737, and the authors' code; upstream name `diffusion_transformer`
//! (fairseq). It is Table 1's "with encoder" in Ye et al. 2023, arXiv:2308.12219. What differs: source and target come
//! in one row, and the target alone has logits; decoding tells the step that training told, where upstream's decoding
//! tells the next one; dictionaries of two languages, relative positions and pre-LN are refused.

mod config;
mod sides;

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Embedding, Linear};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored, TokenId};

use self::sides::Sides;
use crate::attention::{SelfAttention, cross_mask, hidden_mask};
use crate::encoder::Layer;
use crate::grouped::Places;
use crate::init::{embedding, linear, norm};
use crate::length::shares;
use crate::norm::LayerNorm;
use crate::position;
use crate::position::{indices, select, upload, words};
use crate::stack::{answers, checked, features, run, run_seeing};

pub use self::config::RdmConfig;

const LONGEST_PERIOD: f64 = 10_000.0;
/// Lengths that the head tells apart.
const LENGTHS: usize = 256;
const STD: f64 = 0.02;

/// Reads a source once and fills in a target. Made by [`RdmConfig::init`].
///
/// A row holds the source, which ends in its first EOS, and then the target; with
/// [`Attention::Prefix`](dlm_core::Attention) the source is the prefix. Under
/// [`Attention::Causal`](dlm_core::Attention) a target position sees the source and what precedes it: the
/// autoregressive baseline.
#[derive(Module, Debug)]
pub struct Rdm {
    pub(crate) word: Embedding,
    pub(crate) source: RdmEmbedding,
    pub(crate) target: RdmEmbedding,
    pub(crate) time: Linear,
    pub(crate) encoder: Vec<Layer>,
    pub(crate) decoder: Vec<RdmLayer>,
    /// `[256, D]`: a vector for each length.
    pub(crate) lengths: Embedding,
    dropout: Dropout,
    #[module(skip)]
    config: RdmConfig,
}

/// A word and a position, side by side, as one vector.
#[derive(Module, Debug)]
pub struct RdmEmbedding {
    pub(crate) position: Embedding,
    pub(crate) fusion: Linear,
}

/// A layer that looks at the source between its attention and its feed-forward network.
#[derive(Module, Debug)]
pub struct RdmLayer {
    pub(crate) layer: Layer,
    pub(crate) across: SelfAttention,
    pub(crate) across_norm: LayerNorm,
    dropout: Dropout,
}

/// Who sees whom in the target, and what the target does not see of the source: `[B, H, L, M]`.
#[derive(Clone)]
struct Views {
    target: Places,
    source: Option<Tensor<4, Bool>>,
}

fn build(config: &RdmConfig, device: &Device) -> Rdm {
    let (width, layer) = (config.encoder_embed_dim, config.layer());
    let with_inner_dropout = || {
        let mut layer = Layer::new(&layer, device);
        layer.inner_dropout.prob = config.activation_dropout;
        layer
    };
    let side = |positions| RdmEmbedding {
        position: embedding(positions + config.first_position(), width, STD, device),
        fusion: linear(2 * width, width, STD, device),
    };
    let across = || RdmLayer {
        layer: with_inner_dropout(),
        across: SelfAttention::new(
            width,
            config.encoder_attention_heads,
            config.attention_dropout,
            STD,
            device,
        ),
        across_norm: norm(width, layer.layer_norm_eps, device),
        dropout: DropoutConfig::new(config.dropout).init(),
    };
    Rdm {
        word: embedding(config.vocab_size, width, STD, device),
        source: side(config.max_source_positions),
        target: side(config.max_target_positions),
        time: linear(width, width, STD, device),
        encoder: (0..config.encoder_layers).map(|_| with_inner_dropout()).collect(),
        decoder: (0..config.decoder_layers).map(|_| across()).collect(),
        lengths: embedding(LENGTHS, width, STD, device),
        dropout: DropoutConfig::new(config.dropout).init(),
        config: config.clone(),
    }
}

impl Rdm {
    /// What the network was built from.
    pub fn config(&self) -> &RdmConfig {
        &self.config
    }

    /// The configuration and the word table.
    pub(crate) fn words_mut(&mut self) -> (&mut RdmConfig, &mut Param<Tensor<2>>) {
        (&mut self.config, &mut self.word.weight)
    }

    /// Scores of every length of the target: class c means c tokens, BOS and EOS among them (c − 128 more than
    /// the source has, where upstream was trained so).
    ///
    /// # Shapes
    /// - `input`: rows whose targets may be missing
    /// - returns: `[B, 256]`
    ///
    /// # Errors
    /// As [`Denoiser::check`], times aside.
    pub fn length_logits(&self, input: &DenoiserInput<'_>) -> Result<Tensor<2>, dlm_core::Error> {
        let sides = self.sides(&input.asking(&[]))?;
        let [rows, len] = sides.source.shape;
        let states = self.encode(&sides).reshape([rows, len, self.config.encoder_embed_dim]);
        let share = TensorData::new(shares(Some(sides.source.pad()), [rows, len]), [rows, 1, len]);
        let share = Tensor::<3>::from_data(share, (&self.device(), states.dtype()));
        let mean = share.matmul(states).squeeze_dim::<2>(1);
        Ok(mean.matmul(self.lengths.weight.val().transpose()))
    }

    fn sides(&self, input: &DenoiserInput<'_>) -> Result<Sides, dlm_core::Error> {
        input.check(self.config.vocab_size, None)?;
        let sides =
            Sides::of(input, self.config.eos_token_id as TokenId, self.config.pad_token_id as TokenId)?;
        sides.source.input().check(self.config.vocab_size, Some(self.config.max_source_positions))?;
        sides.target.input().check(self.config.vocab_size, Some(self.config.max_target_positions))?;
        Ok(sides)
    }

    /// [`Rdm::sides`] of rows that are told a time each.
    fn question(&self, input: &DenoiserInput<'_>) -> Result<Sides, dlm_core::Error> {
        let (expected, got) = (input.shape[0], input.times.len());
        let sides = self.sides(input)?;
        if expected != got {
            return Err(dlm_core::Error::Length { what: "times of a batch", expected, got });
        }
        Ok(sides)
    }

    /// # Shapes
    /// - returns: `[B·L, D]`
    fn embed(&self, side: &DenoiserInput<'_>, embedding: &RdmEmbedding) -> Tensor<2> {
        let device = self.device();
        let positions = upload(position::ids(side, self.config.first_position()), side.shape, &device);
        let words = self.word.forward(words(side, &device));
        let scale = (self.config.encoder_embed_dim as f64).sqrt();
        let words = if self.config.no_scale_embedding { words } else { words * scale };
        let both = Tensor::cat(vec![words, embedding.position.forward(positions)], 2);
        embedding.fusion.forward(both.flatten(0, 1))
    }

    /// # Shapes
    /// - returns: `[B·M, D]`
    fn encode(&self, sides: &Sides) -> Tensor<2> {
        let source = sides.source.input();
        let hidden = hidden_mask(&source, self.config.encoder_attention_heads, &self.device());
        let places = Places { shape: source.shape, turn: None, hidden };
        let embedded = self.dropout.forward(self.embed(&source, &self.source));
        run(self.encoder.iter(), embedded, None, move |layer: &Layer, states, asked| {
            layer.forward(states, &places, asked)
        })
    }

    /// The decoder's output at the asked positions.
    ///
    /// # Shapes
    /// - returns: `[N, D]`
    fn decode(&self, sides: &Sides, times: &[f64]) -> Tensor<2> {
        let (device, heads) = (self.device(), self.config.encoder_attention_heads);
        let (target, [rows, len]) = (sides.target(), sides.target.shape);
        let across = [rows, len, sides.source.shape[1]];
        let views = Views {
            target: Places { shape: target.shape, turn: None, hidden: hidden_mask(&target, heads, &device) },
            source: cross_mask(Some(sides.source.pad()), across, heads, &device),
        };
        let source = self.encode(sides);
        let embedded = self.embed(&target, &self.target);
        let [_, width] = embedded.dims();
        let times: Tensor<3> = self.tell(times, &embedded).unsqueeze_dim(1);
        let embedded = (embedded.reshape([rows, len, width]) + times).flatten(0, 1);
        let asked = indices(&sides.asked, &device);
        let embedded = self.dropout.forward(embedded);
        run_seeing(
            self.decoder.iter(),
            embedded,
            source,
            &asked,
            move |layer: &RdmLayer, states, source, asked| layer.forward(states, source, &views, asked),
        )
    }

    /// The times as vectors like `states`.
    ///
    /// # Shapes
    /// - returns: `[B, D]`
    fn tell(&self, times: &[f64], states: &Tensor<2>) -> Tensor<2> {
        let half = self.config.encoder_embed_dim / 2;
        let steps = self.config.num_diffusion_timesteps as f64;
        let frequency = move |i: usize| LONGEST_PERIOD.powf(-(i as f64) / (half as f64 - 1.0));
        let spell = |&t: &f64| {
            let step = (t * steps - 1.0).max(0.0);
            let angle = move |i| step * frequency(i);
            (0..half).map(move |i| angle(i).sin()).chain((0..half).map(move |i| angle(i).cos()))
        };
        let spelled: Vec<f32> = times.iter().flat_map(spell).map(|x| x as f32).collect();
        let data = TensorData::new(spelled, [times.len(), 2 * half]);
        self.time.forward(Tensor::from_data(data, (&states.device(), states.dtype())))
    }
}

impl RdmLayer {
    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - `source`: `[B·M, D]`
    /// - returns: `[N, D]` or `[B·L, D]`
    fn forward(
        &self,
        input: Tensor<2>,
        source: Tensor<2>,
        views: &Views,
        asked: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let input = self.layer.attend(input, &views.target, None);
        let [rows, _] = views.target.shape;
        let mixed = self.across.mix_across(input.clone(), source, rows, views.source.as_ref());
        let across = self.dropout.forward(self.across.output.forward(select(mixed, asked)));
        self.layer.feed(self.across_norm.forward(select(input, asked) + across))
    }
}

impl Denoiser for Rdm {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.word.weight.val().device()
    }

    /// Both sides together; each has its own limit, see [`Denoiser::check`].
    fn max_len(&self) -> Option<usize> {
        Some(self.config.max_source_positions + self.config.max_target_positions)
    }

    /// # Errors
    /// As [`DenoiserInput::check`] for each side; [`dlm_core::Error::Unanswerable`] for a row without a source, a
    /// question about the source, and attention that is not told apart into sides;
    /// [`dlm_core::Error::Length`] unless there is a time for each row.
    fn check(&self, input: &DenoiserInput<'_>) -> Result<(), dlm_core::Error> {
        self.question(input).map(drop)
    }

    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        answers(self, input)
    }
}

impl Factored for Rdm {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        features(self, input, |_| self.decode(&checked(self.question(input)), input.times))
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.word.weight.val(), bias: None }
    }
}
