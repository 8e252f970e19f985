//! A masked language model that sees: a vision tower, a two-layer projector, and pictures as words.
//!
//! Sources: Liu et al. 2023, arXiv:2304.08485 and arXiv:2310.03744 (LLaVA-1.5, whose projector this is); Ye et al.
//! 2023, arXiv:2308.12219, version 3, section 4.6; upstream name `LlavaForConditionalGeneration`. What differs: the
//! language model is an [`Encoder`], for which upstream has no class, under names in upstream's manner; a picture is not
//! a placeholder that is replaced but words beyond the vocabulary, one for each patch.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;
use crate::clip::{ClipVision, ClipVisionConfig};
use crate::config::read::{Rest, Rules, read};
use crate::config::{Activation, EncoderConfig};
use crate::encoder::Encoder;
use crate::init::linear;
use crate::mlp::Mlp;
use crate::stack::checked;

const RULES: Rules = Rules {
    model_types: &["llava"],
    activations: &["projector_hidden_act"],
    plain: &[("vision_feature_select_strategy", "\"default\""), ("multimodal_projector_bias", "true")],
};

/// Sizes of a language model that sees, named as in `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LlavaConfig {
    /// The language model.
    pub text_config: EncoderConfig,
    /// The vision tower.
    pub vision_config: ClipVisionConfig,
    /// Behind which layer of the tower pictures are taken: −1 is the last, −2 the one before it; 1 is the first.
    #[serde(default = "before_last")]
    pub vision_feature_layer: i64,
    /// Between the maps of the projector.
    #[serde(default)]
    pub projector_hidden_act: Activation,
    #[serde(flatten)]
    rest: Rest,
}

fn before_last() -> i64 {
    -2
}

impl LlavaConfig {
    /// LLaVA-1.5's way of joining the two: states before the tower's last layer, and GELU in the projector.
    pub fn new(text: EncoderConfig, vision: ClipVisionConfig) -> Self {
        Self {
            text_config: text,
            vision_config: vision,
            vision_feature_layer: before_last(),
            projector_hidden_act: Activation::Gelu,
            rest: Rest::new(),
        }
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], also for what is wrong with the language model's part; [`Error::NoFamily`],
    /// [`Error::Unsupported`], [`Error::Config`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        let part = |name: &str| fields.get(name).map(Value::to_string).unwrap_or_default();
        let config = Self {
            text_config: EncoderConfig::from_json(&part("text_config"))?,
            vision_config: ClipVisionConfig::from_json(&part("vision_config"))?,
            ..read(text, &RULES)?
        };
        config.depth()?;
        Ok(config)
    }

    /// Builds a new network.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes that cannot be built.
    pub fn init(&self, device: &Device) -> Result<Llava, Error> {
        self.depth()?;
        let (seen, width) = (self.vision_config.hidden_size, self.text_config.hidden_size);
        let map = |inputs, outputs| linear(inputs, outputs, self.text_config.initializer_range, device);
        Ok(Llava {
            language: self.text_config.init(device)?,
            tower: self.vision_config.init(device)?,
            projector: Mlp::between([seen, width, width], self.projector_hidden_act, map),
            config: self.clone(),
        })
    }

    /// Layers of the tower that a picture passes.
    fn depth(&self) -> Result<usize, Error> {
        let (layers, layer) = (self.vision_config.num_hidden_layers, self.vision_feature_layer);
        let depth = if layer < 0 { layers as i64 + 1 + layer } else { layer };
        usize::try_from(depth).ok().filter(|&depth| depth <= layers).ok_or(Error::Config {
            field: "vision_feature_layer",
            expected: "a layer of the tower",
            got: layer.to_string(),
        })
    }
}

/// A language model with a vision tower. Made by [`LlavaConfig::init`].
///
/// By itself it answers about text. [`Llava::see`] gives the network that knows some pictures.
///
/// To start from two folders, load each into a new network with
/// [`Missing::Initialise`](crate::Missing::Initialise): what a folder does not hold stays as it is. The first stage
/// of LLaVA's training, of the projector alone, is that of a network that is frozen elsewhere:
/// `freeze(model, |key| !key.starts_with("multi_modal_projector."))`, see [`freeze`](crate::freeze).
#[derive(Module, Debug)]
pub struct Llava {
    pub(crate) language: Encoder,
    pub(crate) tower: ClipVision,
    /// From what the tower sees to what the language model reads.
    pub(crate) projector: Mlp,
    #[module(skip)]
    config: LlavaConfig,
}

/// A network that knows some pictures: beyond its V words it has a word for each of their patches.
///
/// Those words stand in rows as others do, in a prompt where nothing is noised, and are never an answer: their
/// logits are −∞. Made by [`Llava::see`].
#[derive(Debug)]
pub struct Seeing<'a> {
    network: &'a Llava,
    /// `[pictures · patches, D]`.
    patches: Tensor<2>,
}

impl Llava {
    /// What the network was built from.
    pub fn config(&self) -> &LlavaConfig {
        &self.config
    }

    /// The language model.
    pub fn language(&self) -> &Encoder {
        &self.language
    }

    /// The vision tower.
    pub fn tower(&self) -> &ClipVision {
        &self.tower
    }

    /// Looks at pictures, on the tape if the network is.
    ///
    /// # Shapes
    /// - `pictures`: `[pictures, C, S, S]`, see [`normalised`](crate::normalised)
    ///
    /// # Errors
    /// [`Error::Core`] unless `pictures` are whole pictures.
    pub fn see(&self, pictures: &[f32]) -> Result<Seeing<'_>, Error> {
        let states = self.tower.states(pictures, self.config.depth()?)?;
        let [count, tokens, width] = states.dims();
        let patches = states.narrow(1, 1, tokens - 1).reshape([count * (tokens - 1), width]);
        Ok(Seeing { network: self, patches: self.projector.forward(patches) })
    }
}

impl Seeing<'_> {
    /// The words of a picture, patch by patch, counted from 0.
    pub fn words(&self, picture: usize) -> Vec<TokenId> {
        let each = self.network.config.vision_config.patches();
        let first = self.network.language.vocab_size() + picture * each;
        (first..first + each).map(|id| id as TokenId).collect()
    }

    fn count(&self) -> usize {
        self.patches.dims()[0]
    }
}

impl Denoiser for Seeing<'_> {
    /// With the words of the pictures.
    fn vocab_size(&self) -> usize {
        self.network.language.vocab_size() + self.count()
    }

    fn device(&self) -> Device {
        self.network.language.device()
    }

    fn max_len(&self) -> Option<usize> {
        self.network.language.max_len()
    }

    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let words = self.network.language.decoder().forward(self.features(input));
        let [asked, _] = words.dims();
        let never = Tensor::full([asked, self.count()], f32::NEG_INFINITY, (&words.device(), words.dtype()));
        Tensor::cat(vec![words, never], 1)
    }

    fn time_free(&self) -> bool {
        true
    }
}

impl Factored for Seeing<'_> {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        checked(self.check(input));
        self.network.language.features_beyond(input, Some(&self.patches))
    }

    /// A copy of the language model's, with impossible words.
    fn decoder(&self) -> Decoder {
        let Decoder { weight, bias } = self.network.language.decoder();
        let ([words, width], options) = (weight.dims(), (&weight.device(), weight.dtype()));
        let bias = bias.unwrap_or_else(|| Tensor::zeros([words], options));
        let none = Tensor::zeros([self.count(), width], options);
        let never = Tensor::full([self.count()], f32::NEG_INFINITY, options);
        Decoder { weight: Tensor::cat(vec![weight, none], 0), bias: Some(Tensor::cat(vec![bias, never], 0)) }
    }
}

impl Denoiser for Llava {
    fn vocab_size(&self) -> usize {
        self.language.vocab_size()
    }

    fn device(&self) -> Device {
        self.language.device()
    }

    fn max_len(&self) -> Option<usize> {
        self.language.max_len()
    }

    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        self.language.logits(input)
    }

    fn time_free(&self) -> bool {
        true
    }
}

impl Factored for Llava {
    /// # Panics
    /// If [`Denoiser::check`] fails, with its message.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        self.language.features(input)
    }

    fn decoder(&self) -> Decoder {
        self.language.decoder()
    }
}
