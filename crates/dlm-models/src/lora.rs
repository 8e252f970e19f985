//! Low-rank adapters: W + (α/r)·A·B with W frozen, in PEFT's layout on disk.
//!
//! Source: Hu et al. 2021, arXiv:2106.09685; the layout and the initial values are those of Python's `peft`.
//! The mathematics is burn's `LoraAdapter`; an adapted weight is a parameter like any other, so networks know
//! nothing of it, and [`Checkpoint::write`](crate::Checkpoint::write) writes merged weights.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use burn::module::{LoraAdapter, Param, ParamId, Reparameterizer};
use burn::tensor::{Device, Tensor, TensorData};
use dlm_core::{CounterRng, Purpose};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::checkpoint::elements::Layout;
use crate::checkpoint::{Pretrained, Slot, Stored, adapters};
use crate::config::require;

/// Which weights are adapted, and how.
///
/// # Example
/// ```
/// use burn::module::Module;
/// use burn::tensor::Device;
/// use dlm_models::{EncoderConfig, Lora};
/// let model = EncoderConfig::new(50, 16, 2, 4).init(&Device::flex().autodiff())?;
/// let adapted = Lora::new(4, 8.0, ["query", "value"]).attach(model)?;
/// // Two layers of two weights of 16 x 16 each got A, 16 x 4, and B, 4 x 16.
/// assert_eq!(dlm_models::trainable(&adapted), 2 * 2 * 2 * 16 * 4);
/// let merged = adapted.materialize();
/// # let _ = merged;
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Lora {
    /// r, the width of the bottleneck.
    pub rank: usize,
    /// α: updates are multiplied by α/r.
    pub alpha: f64,
    /// The last parts of upstream's names of linear layers, such as `query` or `attention.self.query`.
    pub targets: Vec<String>,
    /// Names the random numbers of A.
    pub seed: u64,
}

impl Lora {
    /// Adapters of the linear layers whose upstream names end in one of `targets`.
    pub fn new(rank: usize, alpha: f64, targets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { rank, alpha, targets: targets.into_iter().map(Into::into).collect(), seed: 0 }
    }

    /// Freezes a network and adds adapters: A uniform in ±1/√d, B zero, so that nothing changes yet.
    ///
    /// # Errors
    /// [`Error::Config`] for a rank of 0 or an α that is not finite; [`Error::NoTarget`] for a target that is
    /// no linear layer of the network.
    pub fn attach<M: Pretrained>(&self, mut model: M) -> Result<M, Error> {
        require(self.rank > 0, "r", "at least 1", self.rank)?;
        require(self.alpha.is_finite(), "lora_alpha", "finite", self.alpha)?;
        let mut adapters = HashMap::new();
        let mut met = vec![false; self.targets.len()];
        let device = model.device();
        for (key, slot) in model.slots() {
            let (Slot::Linear(param) | Slot::InputFirst(param)) = slot else { continue };
            let name = key.strip_suffix(".weight").unwrap_or(&key);
            let wanted = |target: &String| is_end(name, target);
            let Some(index) = self.targets.iter().position(wanted) else { continue };
            met[index] = true;
            let [inputs, outputs] = param.lazy_shape().dims();
            let adapter = self.new_adapter(adapters.len() as u64, inputs, outputs, &device);
            adapters.insert(param.id, adapter);
        }
        match met.iter().position(|met| !met) {
            Some(missed) => Err(Error::NoTarget { target: self.targets[missed].clone() }),
            None => Ok(model.apply_reparameterization(Attach(adapters))),
        }
    }

    fn new_adapter(&self, key: u64, inputs: usize, outputs: usize, device: &Device) -> LoraAdapter {
        let mut rng = CounterRng::new(self.seed).row(Purpose::Weights, key);
        let bound = (inputs as f64).powf(-0.5);
        let a: Vec<f32> =
            (0..inputs * self.rank).map(|i| ((2.0 * rng.uniform(i) - 1.0) * bound) as f32).collect();
        let matrix = |values, shape| parameter(TensorData::new(values, shape), device);
        LoraAdapter {
            a: matrix(a, [inputs, self.rank]),
            b: matrix(vec![0.0; self.rank * outputs], [self.rank, outputs]),
            scale: self.alpha / self.rank as f64,
        }
    }

    /// Writes the adapters of a network as `adapter_config.json` and `adapter_model.safetensors`, which
    /// Python's `peft` reads.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NoTarget`] if the network has no adapters.
    pub fn write<M: Pretrained>(model: &M, folder: impl AsRef<Path>) -> Result<(), Error> {
        let folder = folder.as_ref();
        let mut model = model.clone();
        let (mut tensors, mut targets, mut sizes) = (Vec::new(), Vec::new(), None);
        for (key, slot) in model.slots() {
            let (Slot::Linear(param) | Slot::InputFirst(param)) = slot else { continue };
            let Some(adapter) = param.adapter() else { continue };
            let name = key.strip_suffix(".weight").unwrap_or(&key);
            for (part, matrix) in [("lora_A", &adapter.a), ("lora_B", &adapter.b)] {
                let data = matrix.val().transpose().into_data().convert::<f32>();
                tensors.push((format!("{PREFIX}{name}.{part}.weight"), data));
            }
            targets.push(name.to_owned());
            let rank = adapter.a.lazy_shape()[1];
            sizes = Some((rank, adapter.scale * rank as f64));
        }
        let Some((r, lora_alpha)) = sizes else {
            return Err(Error::NoTarget { target: "any adapter".to_owned() });
        };
        let config = Config { r, lora_alpha, target_modules: Some(targets), ..Config::default() };
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let text = serde_json::to_string_pretty(&config).map_err(Error::ConfigJson)?;
        adapters::write(folder, &text, tensors)
    }

    /// Freezes a network and adds the adapters of a folder, as `peft` or [`Lora::write`] left it.
    ///
    /// # Errors
    /// [`Error::NoFile`], [`Error::Io`], [`Error::ConfigJson`], [`Error::Damaged`]; [`Error::Unsupported`] for
    /// kinds of adapters that are more than A and B; [`Error::Missing`] for half an adapter;
    /// [`Error::NoTarget`] for one of a layer that the network lacks; [`Error::Shape`], [`Error::NotFinite`].
    pub fn read<M: Pretrained>(mut model: M, folder: impl AsRef<Path>) -> Result<M, Error> {
        let (text, mut weights) = adapters::open(folder.as_ref())?;
        let config: Config = serde_json::from_str(&text).map_err(Error::ConfigJson)?;
        config.check()?;
        let root = config.r as f64;
        let scale = config.lora_alpha / if config.use_rslora { root.sqrt() } else { root };
        let mut found = HashMap::new();
        let device = model.device();
        for (key, slot) in model.slots() {
            let (Slot::Linear(param) | Slot::InputFirst(param)) = slot else { continue };
            let name = key.strip_suffix(".weight").unwrap_or(&key);
            let part = |part: &str| format!("{PREFIX}{name}.{part}.weight");
            if !weights.has(&part("lora_A")) && !weights.has(&part("lora_B")) {
                continue;
            }
            let [inputs, outputs] = param.lazy_shape().dims();
            let mut take = |key: &str, rows, columns| {
                let layout = Layout::turned([rows, columns]);
                Ok::<_, Error>(parameter(weights.take(&part(key), &layout, Stored::F32)?, &device))
            };
            let a = take("lora_A", config.r, inputs)?;
            let b = take("lora_B", outputs, config.r)?;
            found.insert(param.id, LoraAdapter { a, b, scale });
        }
        match weights.into_keys().into_iter().next() {
            Some(target) => Err(Error::NoTarget { target }),
            None => Ok(model.apply_reparameterization(Attach(found))),
        }
    }
}

/// Before every name in PEFT's files.
const PREFIX: &str = "base_model.model.";

/// Whether `target` is the whole of a dotted name or its last parts.
fn is_end(name: &str, target: &str) -> bool {
    name.strip_suffix(target).is_some_and(|stem| stem.is_empty() || stem.ends_with('.'))
}

fn parameter(data: TensorData, device: &Device) -> Param<Tensor<2>> {
    let tensor = Tensor::from_data(data, device);
    Param::from_tensor(if device.is_autodiff() { tensor.require_grad() } else { tensor })
}

/// Puts adapters where they belong and freezes everything else.
struct Attach(HashMap<ParamId, LoraAdapter>);

impl Reparameterizer for Attach {
    type Reparam = LoraAdapter;

    fn reparameterize<const D: usize>(
        &mut self,
        _path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<LoraAdapter>) {
        let adapter = self.0.remove(&param.id);
        (param.set_require_grad(false), adapter)
    }
}

/// `adapter_config.json`, as far as it matters here.
#[derive(Serialize, Deserialize)]
struct Config {
    peft_type: String,
    task_type: Option<String>,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    lora_dropout: f64,
    bias: String,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    /// A list, or a pattern.
    #[serde(default, deserialize_with = "anything", skip_serializing_if = "Option::is_none")]
    target_modules: Option<Vec<String>>,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    rank_pattern: HashMap<String, usize>,
    #[serde(default)]
    alpha_pattern: HashMap<String, f64>,
}

/// The names in the file of weights decide; those in the configuration are not read.
fn anything<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Vec<String>>, D::Error> {
    serde::de::IgnoredAny::deserialize(value).map(|_| None)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peft_type: "LORA".to_owned(),
            task_type: None,
            base_model_name_or_path: None,
            r: 0,
            lora_alpha: 0.0,
            lora_dropout: 0.0,
            bias: "none".to_owned(),
            fan_in_fan_out: false,
            use_rslora: false,
            use_dora: false,
            target_modules: None,
            modules_to_save: None,
            rank_pattern: HashMap::new(),
            alpha_pattern: HashMap::new(),
        }
    }
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        let refuse = |field, got: String| Err(Error::Unsupported { field, got });
        require(self.r > 0, "r", "at least 1", self.r)?;
        require(self.lora_alpha.is_finite(), "lora_alpha", "finite", self.lora_alpha)?;
        match self {
            Self { peft_type, .. } if peft_type != "LORA" => refuse("peft_type", peft_type.clone()),
            Self { bias, .. } if bias != "none" => refuse("bias", bias.clone()),
            Self { use_dora: true, .. } => refuse("use_dora", "true".to_owned()),
            Self { modules_to_save: Some(names), .. } if !names.is_empty() => {
                refuse("modules_to_save", names.join(", "))
            }
            Self { rank_pattern, .. } if !rank_pattern.is_empty() => {
                refuse("rank_pattern", "a map".to_owned())
            }
            Self { alpha_pattern, .. } if !alpha_pattern.is_empty() => {
                refuse("alpha_pattern", "a map".to_owned())
            }
            _ => Ok(()),
        }
    }
}
