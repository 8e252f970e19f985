//! How long the response will be, guessed from the prompt: one transformer layer over frozen features, their
//! mean, and a two-layer classifier (Ye et al. 2023, arXiv:2308.12219, section 3.2, and the authors' code).

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::attention::padding_mask;
use crate::config::{Activation, EncoderConfig, Family};
use crate::encoder::Layer;
use crate::grouped::Places;
use crate::init::linear;

/// Sizes of a [`LengthHead`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthHeadConfig {
    layer: EncoderConfig,
    classes: usize,
}

impl LengthHeadConfig {
    /// A head for the features of an encoder, with its heads and inner width: 514 classes, dropout 0.1.
    pub fn of(backbone: &EncoderConfig) -> Self {
        let mut layer = backbone.clone().with_dropout(0.1);
        // What PyTorch's TransformerEncoderLayer has, whatever the backbone has.
        if layer.family.norm_first() {
            layer.family = Family::Bert;
        }
        layer.hidden_act = Activation::Relu;
        layer.layer_norm_eps = 1e-5;
        Self { layer, classes: 514 }
    }

    /// Sets the number of classes: the longest response in words.
    #[must_use]
    pub fn with_classes(self, classes: usize) -> Self {
        Self { classes, ..self }
    }

    /// Sets the dropout rate.
    #[must_use]
    pub fn with_dropout(self, rate: f64) -> Self {
        Self { layer: self.layer.with_dropout(rate), ..self }
    }

    /// Width of the features it reads, D.
    pub fn width(&self) -> usize {
        self.layer.hidden_size
    }

    /// Builds a new head.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes that cannot be built.
    pub fn init(&self, device: &Device) -> Result<LengthHead, Error> {
        self.layer.validate()?;
        if self.classes == 0 {
            return Err(Error::Config { field: "classes", expected: "at least 1", got: "0".to_owned() });
        }
        let EncoderConfig { hidden_size, intermediate_size, initializer_range: std, .. } = self.layer;
        let mut layer = Layer::new(&self.layer, device);
        layer.inner_dropout.prob = self.layer.hidden_dropout_prob;
        Ok(LengthHead {
            layer,
            inner: linear(hidden_size, intermediate_size, std, device),
            outer: linear(intermediate_size, self.classes, std, device),
            config: self.clone(),
        })
    }
}

/// Classifies a prompt by the length of its response: class c means c + 1 words, EOS aside.
///
/// Trained as a second stage on features that get no gradient:
/// `head.logits(encoder.hidden(&prompts).detach(), pad)`, where a prompt is BOS and its words.
///
/// # Example
/// ```
/// use burn::tensor::Device;
/// use dlm_core::DenoiserInput;
/// use dlm_models::{EncoderConfig, LengthHead, LengthHeadConfig, top_lengths};
/// let device = Device::flex();
/// let encoder = EncoderConfig::new(10, 16, 1, 2).init(&device)?;
/// let head = LengthHeadConfig::of(encoder.config()).with_classes(8).init(&device)?;
/// let features = encoder.hidden(&DenoiserInput::new(&[0, 5, 6], [1, 3], &[]));
/// let lengths = top_lengths(head.logits(features.detach(), None), 3, &[5])?;
/// assert!(lengths[0].iter().all(|&length| (1..=5).contains(&length)));
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct LengthHead {
    pub(crate) layer: Layer,
    pub(crate) inner: Linear,
    pub(crate) outer: Linear,
    #[module(skip)]
    config: LengthHeadConfig,
}

impl LengthHead {
    /// What the head was built from.
    pub fn config(&self) -> &LengthHeadConfig {
        &self.config
    }

    /// Scores of every length, in f32 whatever the features and the head are in.
    ///
    /// # Shapes
    /// - `features`: `[B, L, D]`
    /// - `pad`: `[B, L]`, true at padding
    /// - returns: `[B, C]`
    ///
    /// # Panics
    /// If there is not one flag for each position.
    pub fn logits(&self, features: Tensor<3>, pad: Option<&[bool]>) -> Tensor<2> {
        let [rows, len, width] = features.dims();
        let device = features.device();
        let hidden = padding_mask(pad, [rows, len], self.config.layer.num_attention_heads, &device);
        let places = Places { shape: [rows, len], turn: None, hidden };
        // burn multiplies numbers of one type alone, and the head may be in another than the network.
        let dtype = self.outer.weight.dtype();
        let share = TensorData::new(shares(pad, [rows, len]), [rows, 1, len]);
        let share = Tensor::<3>::from_data(share, &device).cast(dtype);
        let states = self.layer.forward(features.cast(dtype).flatten::<2>(0, 1), &places, None);
        let states = states.reshape([rows, len, width]);
        let mean = share.matmul(states).squeeze_dim::<2>(1);
        self.outer.forward(self.inner.forward(mean).tanh()).cast(FloatDType::F32)
    }
}

/// What each position counts for in the mean of its row.
pub(crate) fn shares(pad: Option<&[bool]>, [rows, len]: [usize; 2]) -> Vec<f32> {
    let Some(pad) = pad else { return vec![(len as f32).recip(); rows * len] };
    assert_eq!(pad.len(), rows * len, "padding flags of {rows} rows of {len}");
    pad.chunks(len)
        .flat_map(|row| {
            let words = row.iter().filter(|&&pad| !pad).count().max(1);
            row.iter().map(move |&pad| if pad { 0.0 } else { (words as f32).recip() })
        })
        .collect()
}

/// The class of a response, from its number of words and EOS: `max(n, 2) − 2`, at most the last class.
pub fn length_class(words_and_eos: usize, classes: usize) -> usize {
    (words_and_eos.max(2) - 2).min(classes.saturating_sub(1))
}

/// Mean cross-entropy of some lengths, in nats.
///
/// # Shapes
/// - `logits`: `[B, C]`; `targets`: B classes as of [`length_class`]
/// - returns: `[1]`
///
/// # Panics
/// If there is not one class for each row.
pub fn length_loss(logits: Tensor<2>, targets: &[usize]) -> Tensor<1> {
    let [rows, _] = logits.dims();
    assert_eq!(rows, targets.len(), "rows of logits against targets");
    let targets: Vec<i32> = targets.iter().map(|&class| class as i32).collect();
    let index = Tensor::<2, Int>::from_data(TensorData::new(targets, [rows, 1]), &logits.device());
    log_softmax(logits, 1).gather(1, index).mean().neg()
}

/// The `beam` likeliest lengths of each row, likeliest first, cut to what fits.
///
/// Lengths that the cut makes equal are given once, so a row may have fewer than `beam`; a row where
/// nothing fits has none.
///
/// # Shapes
/// - `logits`: `[B, C]`; `most`: for each row the longest response that fits, in words
///
/// # Errors
/// [`Error::NotFiniteLogits`] names the first row with a NaN.
///
/// # Panics
/// If there is not one longest response for each row.
pub fn top_lengths(logits: Tensor<2>, beam: usize, most: &[usize]) -> Result<Vec<Vec<usize>>, Error> {
    let [rows, classes] = logits.dims();
    assert_eq!(rows, most.len(), "rows of logits against longest responses");
    let scores: Vec<f32> = logits.into_data().iter::<f32>().collect();
    (scores.chunks(classes.max(1)).zip(most).enumerate())
        .map(|(row, (scores, &most))| {
            if scores.iter().any(|score| score.is_nan()) {
                return Err(Error::NotFiniteLogits { row });
            }
            let mut order: Vec<usize> = (0..classes).collect();
            // Stable: of equal scores the shorter length comes first.
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let mut lengths = Vec::with_capacity(beam.min(classes));
            for length in order.into_iter().take(beam).map(|class| (class + 1).min(most)) {
                if length > 0 && !lengths.contains(&length) {
                    lengths.push(length);
                }
            }
            Ok(lengths)
        })
        .collect()
}
