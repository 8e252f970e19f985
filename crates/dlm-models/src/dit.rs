//! DiT: the diffusion transformer of SEDD, MDLM, UDLM and Duo, modulated by the time (adaLN) or not.
//!
//! Sources: Peebles and Xie 2022, arXiv:2212.09748; Lou et al. 2023, arXiv:2310.16834; Sahoo et al. 2024,
//! arXiv:2406.07524; Schiff et al. 2024, arXiv:2412.10193; Sahoo et al. 2025, arXiv:2506.10892; upstream names `SEDD`,
//! `MDLM`, `UDLM`, `DUO`. What differs: logits are those of the clean token before any rule about masks and copies,
//! which are the sampler's and the loss's; SEDD's log-scores at masks are these plus what is equal for all words
//! (−ln(e^σ − 1), −ln(V − 1)), so they are left out; arithmetic is of the weights' type, without upstream's bf16.

mod config;
mod sedd;

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Initializer, Linear};
use burn::tensor::activation::silu;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use dlm_core::recompute::segment;
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};

use crate::attention::hidden_mask;
use crate::config::Activation;
use crate::grouped::{GroupedAttention, Places, Projections};
use crate::init::{linear, plain};
use crate::mlp::Mlp;
use crate::norm::LayerNorm;
use crate::position;
use crate::position::{indices, select};
use crate::rotary::{Rotary, Scaling};
use crate::stack::{answers, checked, features, run, run_seeing};

pub use self::config::{DitConfig, DitLayout, Sigma};
pub use self::sedd::Sedd;

/// Numbers that a time is spelled in.
const FREQUENCIES: usize = 256;
const LONGEST_PERIOD: f64 = 10_000.0;
const THETA: f64 = 10_000.0;
const EPSILON: f64 = 1e-5;
const STD: f64 = 0.02;

/// A bidirectional transformer that may be told how noisy its input is. Made by [`DitConfig::init`].
#[derive(Module, Debug)]
pub struct Dit {
    pub(crate) word: Param<Tensor<2>>,
    pub(crate) time: Option<TimeEmbedding>,
    pub(crate) blocks: Vec<DitBlock>,
    pub(crate) final_norm: LayerNorm,
    /// To shift and scale.
    pub(crate) modulation: Option<Linear>,
    /// `[V, D]`.
    pub(crate) decoder: Param<Tensor<2>>,
    pub(crate) bias: Param<Tensor<1>>,
    #[module(skip)]
    pub(crate) rotary: Rotary,
    #[module(skip)]
    config: DitConfig,
}

/// From σ to what modulates.
#[derive(Module, Debug)]
pub struct TimeEmbedding {
    pub(crate) inner: Linear,
    pub(crate) outer: Linear,
}

/// Attention and a feed-forward network, each over its modulated norm, gated and added.
#[derive(Module, Debug)]
pub struct DitBlock {
    pub(crate) attention_norm: LayerNorm,
    pub(crate) attention: GroupedAttention,
    pub(crate) mlp_norm: LayerNorm,
    pub(crate) mlp: Mlp,
    /// To shift, scale and gate of attention, then of the feed-forward network.
    pub(crate) modulation: Option<Linear>,
    dropout: Dropout,
}

/// What all layers share: who sees whom, where tokens stand, and the row of each token if rows are told different
/// times.
#[derive(Clone)]
struct Scene {
    places: Places,
    rows: Option<Tensor<1, Int>>,
}

fn build(config: &DitConfig, device: &Device) -> Dit {
    let width = config.hidden_dim;
    let zeros = |rows| Initializer::Zeros.init([rows, width], device);
    Dit {
        word: Initializer::Normal { mean: 0.0, std: STD }.init([config.vocab_size, width], device),
        time: (!config.causal).then(|| TimeEmbedding {
            inner: linear(FREQUENCIES, config.cond_dim, STD, device),
            outer: linear(config.cond_dim, config.cond_dim, STD, device),
        }),
        blocks: (0..config.n_blocks).map(|_| DitBlock::new(config, device)).collect(),
        final_norm: norm(width, device),
        modulation: modulation(config, 2, device),
        decoder: zeros(config.vocab_size),
        bias: Initializer::Zeros.init([config.vocab_size], device),
        rotary: Rotary::new(width / config.n_heads, THETA, Scaling::None),
        config: config.clone(),
    }
}

fn norm(width: usize, device: &Device) -> LayerNorm {
    LayerNorm::new(width, EPSILON, false, device)
}

/// A map to so many vectors, which says nothing before it is trained.
fn modulation(config: &DitConfig, vectors: usize, device: &Device) -> Option<Linear> {
    let outputs = vectors * config.hidden_dim;
    (!config.causal).then(|| Linear {
        weight: Initializer::Zeros.init([config.cond_dim, outputs], device),
        bias: Some(Initializer::Zeros.init([outputs], device)),
    })
}

impl Dit {
    /// What the network was built from.
    pub fn config(&self) -> &DitConfig {
        &self.config
    }

    /// The configuration, both tables of words and the decoder's bias.
    pub(crate) fn words_mut(
        &mut self,
    ) -> (&mut DitConfig, [&mut Param<Tensor<2>>; 2], &mut Param<Tensor<1>>) {
        (&mut self.config, [&mut self.word, &mut self.decoder], &mut self.bias)
    }

    fn scene(&self, input: &DenoiserInput<'_>, dtype: DType) -> Scene {
        let (device, [rows, len]) = (self.device(), input.shape);
        let row_of_each: Vec<usize> = (0..rows * len).map(|flat| flat / len).collect();
        let turn = self.rotary.turn(&position::ids(input, 0), input.shape, dtype, &device);
        let hidden = hidden_mask(input, self.config.n_heads, &device);
        Scene {
            places: Places { shape: input.shape, turn: Some(turn), hidden },
            rows: self.config.sees_time().then(|| indices(&row_of_each, &device)),
        }
    }

    /// What is told of the time, or of none.
    ///
    /// # Shapes
    /// - returns: `[B, C]`, or `[1, C]` if all rows are told the same
    fn told(&self, times: &[f64], dtype: DType) -> Option<Tensor<2>> {
        let sigmas: Vec<f64> = if self.config.sees_time() {
            times.iter().map(|&t| self.config.noise.at(t)).collect()
        } else {
            vec![0.0]
        };
        let time = self.time.as_ref()?;
        Some(segment(time, spelled(&sigmas, dtype, &self.device()), TimeEmbedding::forward))
    }

    /// # Shapes
    /// - returns: `[N, D]`
    fn states(&self, input: &DenoiserInput<'_>, asked: &Tensor<1, Int>) -> Tensor<2> {
        checked(self.check(input));
        let ids: Vec<usize> = input.ids.iter().map(|&id| id as usize).collect();
        let embedded = self.word.val().select(0, indices(&ids, &self.device()));
        let (scene, told) = (self.scene(input, embedded.dtype()), self.told(input.times, embedded.dtype()));
        let (blocks, within) = (self.blocks.iter(), scene.clone());
        let states = match told.clone() {
            None => run(blocks, embedded, Some(asked), move |block: &DitBlock, states, asked| {
                block.forward(states, None, &within, asked)
            }),
            Some(told) => {
                run_seeing(blocks, embedded, told, asked, move |block: &DitBlock, states, told, asked| {
                    block.forward(states, Some(told), &within, asked)
                })
            }
        };
        let states = self.final_norm.forward(states);
        match say(self.modulation.as_ref(), told, 2) {
            None => states,
            Some(said) => {
                modulate(states, scene.spread(&said[0], Some(asked)), scene.spread(&said[1], Some(asked)))
            }
        }
    }
}

/// Noise levels as numbers that a network can tell apart.
///
/// # Shapes
/// - returns: `[B, 256]`
fn spelled(sigmas: &[f64], dtype: DType, device: &Device) -> Tensor<2> {
    let half = FREQUENCIES / 2;
    let frequency = |i: usize| LONGEST_PERIOD.powf(-(i as f64) / half as f64);
    let spell = |sigma: f64| {
        let angle = move |i| sigma * frequency(i);
        (0..half).map(move |i| angle(i).cos()).chain((0..half).map(move |i| angle(i).sin()))
    };
    let spelled: Vec<f32> = sigmas.iter().flat_map(|&sigma| spell(sigma)).map(|x| x as f32).collect();
    Tensor::from_data(TensorData::new(spelled, [sigmas.len(), FREQUENCIES]), (device, dtype))
}

/// What a map makes of what was told: so many vectors, `[B, D]` or `[1, D]`; nothing without modulation.
fn say(map: Option<&Linear>, told: Option<Tensor<2>>, vectors: usize) -> Option<Vec<Tensor<2>>> {
    Some(map?.forward(told?).chunk(vectors, 1))
}

impl TimeEmbedding {
    /// # Shapes
    /// - `spelled`: `[B, 256]`
    /// - returns: `[B, C]`
    fn forward(&self, spelled: Tensor<2>) -> Tensor<2> {
        silu(self.outer.forward(silu(self.inner.forward(spelled))))
    }
}

impl Scene {
    /// To each asked token, or to all, what was said to its row: `[N, D]`, or `[1, D]` if that is the same.
    fn spread(&self, said: &Tensor<2>, asked: Option<&Tensor<1, Int>>) -> Tensor<2> {
        match (&self.rows, asked) {
            (None, _) => said.clone(),
            (Some(rows), None) => said.clone().select(0, rows.clone()),
            (Some(rows), Some(asked)) => said.clone().select(0, rows.clone().select(0, asked.clone())),
        }
    }
}

fn modulate(states: Tensor<2>, shift: Tensor<2>, scale: Tensor<2>) -> Tensor<2> {
    states * (scale + 1.0) + shift
}

impl DitBlock {
    fn new(config: &DitConfig, device: &Device) -> Self {
        let width = config.hidden_dim;
        let with_bias = |inputs, outputs| linear(inputs, outputs, STD, device);
        Self {
            attention_norm: norm(width, device),
            attention: GroupedAttention::new(
                [config.n_heads; 2],
                Projections::Fused(plain(width, 3 * width, STD, device)),
                None,
                plain(width, width, STD, device),
                0.0,
            ),
            mlp_norm: norm(width, device),
            mlp: Mlp::new(width, 4 * width, Activation::GeluTanh, with_bias),
            modulation: modulation(config, 6, device),
            dropout: DropoutConfig::new(config.dropout).init(),
        }
    }

    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - `told`: `[B, C]` or `[1, C]`
    /// - returns: `[N, D]` or `[B·L, D]`
    fn forward(
        &self,
        input: Tensor<2>,
        told: Option<Tensor<2>>,
        scene: &Scene,
        asked: Option<&Tensor<1, Int>>,
    ) -> Tensor<2> {
        let attend = |read| {
            let mixed = select(self.attention.mix(read, &scene.places), asked);
            self.dropout.forward(self.attention.output.forward(mixed))
        };
        let feed = |read| self.dropout.forward(self.mlp.forward(read));
        let read = self.attention_norm.forward(input.clone());
        let Some(said) = say(self.modulation.as_ref(), told, 6) else {
            let input = select(input, asked) + attend(read);
            return input.clone() + feed(self.mlp_norm.forward(input));
        };
        // Keys and values need every token's shift and scale; what is added, those of the asked.
        let to_all = |vector: usize| scene.spread(&said[vector], None);
        let to_asked = |vector: usize| scene.spread(&said[vector], asked);
        let attended = attend(modulate(read, to_all(0), to_all(1)));
        let input = select(input, asked) + attended * to_asked(2);
        let read = modulate(self.mlp_norm.forward(input.clone()), to_asked(3), to_asked(4));
        input + feed(read) * to_asked(5)
    }
}

impl Denoiser for Dit {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn device(&self) -> Device {
        self.word.val().device()
    }

    fn max_len(&self) -> Option<usize> {
        Some(self.config.model_length)
    }

    /// # Errors
    /// As [`DenoiserInput::check`], and [`dlm_core::Error::Length`] unless a network that sees the time is told one
    /// for each row.
    fn check(&self, input: &DenoiserInput<'_>) -> Result<(), dlm_core::Error> {
        input.check(self.vocab_size(), self.max_len())?;
        let (expected, got) = (input.shape[0], input.times.len());
        if self.config.sees_time() && expected != got {
            return Err(dlm_core::Error::Length { what: "times of a batch", expected, got });
        }
        Ok(())
    }

    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        answers(self, input)
    }

    fn time_free(&self) -> bool {
        !self.config.sees_time()
    }
}

impl Factored for Dit {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        features(self, input, |asked| self.states(input, asked))
    }

    fn decoder(&self) -> Decoder {
        Decoder { weight: self.decoder.val(), bias: Some(self.bias.val()) }
    }
}
