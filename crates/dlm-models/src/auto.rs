//! Whatever network a folder holds.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dlm_core::{Decoder, Denoiser, DenoiserInput, Factored};
use serde_json::{Map, Value};

use crate::checkpoint::{Pretrained, Slots, Words};
use crate::{Albert, Dit, Encoder, Error, Esm, Gpt2, Llama, LlamaFamily, Llava, ModernBert, Rdm};

macro_rules! families {
    ($($(#[$about:meta])* $family:ident),+ $(,)?) => {
        /// A network of any family, as `config.json` says.
        ///
        /// # Example
        /// ```no_run
        /// use burn::tensor::Device;
        /// use dlm_core::Denoiser;
        /// use dlm_models::{AutoDenoiser, Checkpoint};
        /// let (model, report) = Checkpoint::open("LLaDA-8B-Base")?.load::<AutoDenoiser>(&Device::flex())?;
        /// println!("{} words; {report}", model.vocab_size());
        /// # Ok::<(), dlm_models::Error>(())
        /// ```
        #[derive(Module, Debug)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "a module cannot be boxed, and nobody keeps many")]
        pub enum AutoDenoiser {
            $($(#[$about])* $family($family),)+
        }

        /// Does the same with the network of any family.
        macro_rules! each {
            ($auto:expr, $model:ident => $what:expr) => {
                match $auto { $(AutoDenoiser::$family($model) => $what,)+ }
            };
        }
    };
}

families!(
    /// BERT, `DistilBERT`, RoBERTa, XLM-R and XLM-R XL.
    Encoder,
    /// ALBERT.
    Albert,
    /// `ModernBERT`.
    ModernBert,
    /// ESM-2.
    Esm,
    /// Llama, Mistral, Qwen2, Qwen3, Dream, SDAR, LLaDA, LLaDA-MoE and LLaDA2.
    Llama,
    /// GPT-2.
    Gpt2,
    /// The networks of MDLM, UDLM, Duo and SEDD.
    Dit,
    /// The encoder–decoder of RDM.
    Rdm,
    /// An encoder with a vision tower, which answers about text until it is shown pictures.
    Llava,
);

impl AutoDenoiser {
    /// Whether the published weights of the family answer about the position after the one that is asked, so that
    /// they want to be asked through [`Shifted`](dlm_core::view::Shifted).
    pub fn answers_late(&self) -> bool {
        matches!(self, Self::Llama(model) if model.config().family == LlamaFamily::Dream)
    }
}

impl Denoiser for AutoDenoiser {
    fn vocab_size(&self) -> usize {
        each!(self, model => model.vocab_size())
    }

    fn device(&self) -> Device {
        each!(self, model => model.device())
    }

    fn max_len(&self) -> Option<usize> {
        each!(self, model => model.max_len())
    }

    fn check(&self, input: &DenoiserInput<'_>) -> Result<(), dlm_core::Error> {
        each!(self, model => model.check(input))
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        each!(self, model => model.logits(input))
    }

    fn time_free(&self) -> bool {
        each!(self, model => model.time_free())
    }
}

impl Factored for AutoDenoiser {
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        each!(self, model => model.features(input))
    }

    fn decoder(&self) -> Decoder {
        each!(self, model => model.decoder())
    }
}

impl Pretrained for AutoDenoiser {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        let fields: Map<String, Value> = serde_json::from_str(json).map_err(Error::ConfigJson)?;
        Ok(match fields.get("model_type").and_then(Value::as_str) {
            // SEDD's folders have none.
            None | Some("mdlm" | "udlm" | "duo" | "DUO") => Self::Dit(Dit::from_config(json, device)?),
            Some("albert") => Self::Albert(Albert::from_config(json, device)?),
            Some("modernbert") => Self::ModernBert(ModernBert::from_config(json, device)?),
            Some("esm") => Self::Esm(Esm::from_config(json, device)?),
            Some("diffusion_transformer") => Self::Rdm(Rdm::from_config(json, device)?),
            Some("llava") => Self::Llava(Llava::from_config(json, device)?),
            Some("gpt2") => Self::Gpt2(Gpt2::from_config(json, device)?),
            Some(name) if name.parse::<LlamaFamily>().is_ok() => {
                Self::Llama(Llama::from_config(json, device)?)
            }
            // Names what it does not know.
            Some(_) => Self::Encoder(Encoder::from_config(json, device)?),
        })
    }

    fn to_config(&self) -> String {
        each!(self, model => model.to_config())
    }

    fn slots(&mut self) -> Slots<'_> {
        each!(self, model => model.slots())
    }

    fn words(&mut self) -> Words<'_> {
        each!(self, model => model.words())
    }

    fn spellings(&self, key: &str) -> Vec<String> {
        each!(self, model => model.spellings(key))
    }

    fn constants(&self) -> Vec<(String, Vec<f32>)> {
        each!(self, model => model.constants())
    }

    fn tied(&self) -> Vec<String> {
        each!(self, model => model.tied())
    }
}
