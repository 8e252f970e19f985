//! CLIP's vision tower: a picture as one vector for each of its patches.
//!
//! Source: Radford et al. 2021, arXiv:2103.00020; upstream name `CLIPVisionModel`. What differs: pictures come as
//! they are read, in the tower's size, without resizing and without interpolated positions; nothing is pooled.

use burn::module::{Module, Param};
use burn::nn::{Embedding, Initializer, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;
use crate::config::read::{Rest, Rules, read, require_sizes};
use crate::config::{Activation, EncoderConfig, Family, require};
use crate::encoder::Layer;
use crate::grouped::Places;
use crate::init::{embedding, norm, plain};
use crate::norm::LayerNorm;
use crate::stack::run;

const RULES: Rules = Rules { model_types: &["clip_vision_model"], activations: &["hidden_act"], plain: &[] };

/// Mean and standard deviation of red, green and blue in CLIP's training, of values in [0, 1].
const COLOURS: [[f32; 2]; 3] =
    [[0.481_454_66, 0.268_629_54], [0.457_827_5, 0.261_302_6], [0.408_210_73, 0.275_777_1]];

/// A vision tower's sizes, named as in `config.json` and with upstream's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ClipVisionConfig {
    /// Width, D.
    pub hidden_size: usize,
    /// Inner width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; they share the width.
    pub num_attention_heads: usize,
    /// Colours of a pixel, C.
    pub num_channels: usize,
    /// Side of a picture in pixels, S.
    pub image_size: usize,
    /// Side of a patch in pixels, P.
    pub patch_size: usize,
    /// Activation of the feed-forward layers.
    pub hidden_act: Activation,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f64,
    /// Chance that training zeroes an attention weight.
    pub attention_dropout: f64,
    /// Standard deviation of new weights.
    pub initializer_range: f64,
    #[serde(flatten)]
    rest: Rest,
}

impl Default for ClipVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            attention_dropout: 0.0,
            initializer_range: 0.02,
            rest: Rest::new(),
        }
    }
}

impl ClipVisionConfig {
    /// ViT-L/14 for pictures of `image_size` pixels: 224, or 336 as in LLaVA-1.5.
    pub fn large(image_size: usize) -> Self {
        Self {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            image_size,
            patch_size: 14,
            ..Self::default()
        }
    }

    /// Reads the text of a `config.json`, of a tower alone or of a whole CLIP.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`] for a variant that is not
    /// implemented, [`Error::Config`] as [`ClipVisionConfig::validate`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        let config: Self = match fields.get("vision_config").and_then(Value::as_object) {
            None => read(text, &RULES)?,
            Some(tower) => {
                let mut tower = tower.clone();
                // Whole CLIPs may leave it out.
                tower.entry("model_type").or_insert_with(|| RULES.model_types[0].into());
                read(&Value::Object(tower).to_string(), &RULES)?
            }
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        require_sizes(&[("num_channels", self.num_channels), ("patch_size", self.patch_size)])?;
        let whole = self.image_size > 0 && self.image_size.is_multiple_of(self.patch_size);
        require(whole, "image_size", "a multiple of patch_size", self.image_size)?;
        self.layer().validate()
    }

    /// Vectors of a picture: its patches, row by row.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Numbers of a picture, C·S·S.
    pub fn pixels(&self) -> usize {
        self.num_channels * self.image_size * self.image_size
    }

    /// Builds a new network: weights N(0, `initializer_range`), biases 0, norms the identity.
    ///
    /// # Errors
    /// [`Error::Config`] as [`ClipVisionConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<ClipVision, Error> {
        self.validate()?;
        let (width, std, layer) = (self.hidden_size, self.initializer_range, self.layer());
        let patch = self.num_channels * self.patch_size * self.patch_size;
        let normed = || norm(width, self.layer_norm_eps, device);
        Ok(ClipVision {
            class: Initializer::Normal { mean: 0.0, std }.init([width], device),
            patch: plain(patch, width, std, device),
            position: embedding(self.patches() + 1, width, std, device),
            first_norm: normed(),
            layers: (0..self.num_hidden_layers).map(|_| Layer::new(&layer, device)).collect(),
            final_norm: normed(),
            config: self.clone(),
        })
    }

    /// The pre-LN encoder that has these layers.
    fn layer(&self) -> EncoderConfig {
        let mut layer =
            EncoderConfig::new(1, self.hidden_size, self.num_hidden_layers, self.num_attention_heads)
                .with_family(Family::XlmRobertaXl)
                .with_dropout(0.0)
                .with_intermediate_size(self.intermediate_size)
                .with_initializer_range(self.initializer_range);
        layer.hidden_act = self.hidden_act;
        layer.attention_probs_dropout_prob = self.attention_dropout;
        layer.layer_norm_eps = self.layer_norm_eps;
        layer
    }
}

/// Makes pictures into vectors. Made by [`ClipVisionConfig::init`].
#[derive(Module, Debug)]
pub struct ClipVision {
    /// What stands before the patches.
    pub(crate) class: Param<Tensor<1>>,
    pub(crate) patch: Linear,
    pub(crate) position: Embedding,
    pub(crate) first_norm: LayerNorm,
    pub(crate) layers: Vec<Layer>,
    /// Of the class alone, for CLIP's own use: kept for saving, never read.
    pub(crate) final_norm: LayerNorm,
    #[module(skip)]
    config: ClipVisionConfig,
}

impl ClipVision {
    /// What the network was built from.
    pub fn config(&self) -> &ClipVisionConfig {
        &self.config
    }

    /// The states behind the first `depth` layers, or all if there are fewer: of the class, then of each patch.
    ///
    /// # Shapes
    /// - `pictures`: `[B, C, S, S]`, see [`normalised`]
    /// - returns: `[B, patches + 1, D]`
    ///
    /// # Errors
    /// [`Error::Core`] unless `pictures` are whole pictures.
    pub fn states(&self, pictures: &[f32], depth: usize) -> Result<Tensor<3>, Error> {
        let (pixels, width) = (self.config.pixels(), self.config.hidden_size);
        let (count, tokens) = (pictures.len() / pixels, self.config.patches() + 1);
        if count == 0 || !pictures.len().is_multiple_of(pixels) {
            let (expected, got) = (count.max(1) * pixels, pictures.len());
            return Err(dlm_core::Error::Length { what: "numbers of pictures", expected, got }.into());
        }
        let class = self.class.val();
        let cut: Vec<f32> = pictures.chunks(pixels).flat_map(|picture| self.cut(picture)).collect();
        let [inputs, _] = self.patch.weight.lazy_shape().dims();
        let cut = TensorData::new(cut, [count * (tokens - 1), inputs]);
        let patches = self.patch.forward(Tensor::<2>::from_data(cut, (&class.device(), class.dtype())));
        let patches = patches.reshape([count, tokens - 1, width]);
        let class = class.reshape([1, 1, width]).expand([count, 1, width]);
        let positions = self.position.weight.val().reshape([1, tokens, width]);
        let embedded = self.first_norm.forward(Tensor::cat(vec![class, patches], 1) + positions);
        let places = Places { shape: [count, tokens], turn: None, hidden: None };
        let layers = self.layers[..depth.min(self.layers.len())].iter();
        let states = run(layers, embedded.flatten(0, 1), None, move |layer: &Layer, states, asked| {
            layer.forward(states, &places, asked)
        });
        Ok(states.reshape([count, tokens, width]))
    }

    /// A picture's patches end to end, each colour by colour and line by line.
    fn cut(&self, picture: &[f32]) -> Vec<f32> {
        let ClipVisionConfig { num_channels, image_size: side, patch_size: patch, .. } = self.config;
        let mut cut = Vec::with_capacity(picture.len());
        for (top, left) in
            (0..side).step_by(patch).flat_map(|top| (0..side).step_by(patch).map(move |left| (top, left)))
        {
            for (colour, line) in (0..num_channels).flat_map(|c| (top..top + patch).map(move |y| (c, y))) {
                cut.extend_from_slice(&picture[(colour * side + line) * side + left..][..patch]);
            }
        }
        cut
    }
}

/// The numbers of a picture as CLIP was trained on them, `[3, S, S]`, from red, green and blue of each pixel,
/// `[S, S, 3]`.
pub fn normalised(rgb: &[u8]) -> Vec<f32> {
    let number = |value: u8, [mean, deviation]: [f32; 2]| (f32::from(value) / 255.0 - mean) / deviation;
    let plane = |colour: usize| rgb.iter().skip(colour).step_by(3).map(move |&v| number(v, COLOURS[colour]));
    (0..3).flat_map(plane).collect()
}
