use burn::tensor::{DType, Device};
use dlm_core::schedule::Geometric;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Dit, build};
use crate::Error;
use crate::checkpoint::Id;
use crate::config::read::{Rest, Rules, ids, read, require_rates, require_sizes, write};
use crate::config::require;

const RULES: Rules = Rules {
    model_types: &["mdlm", "udlm", "duo", "DUO"],
    activations: &[],
    plain: &[("cfg", "false"), ("tie_word_embeddings", "false"), ("rope_theta", "10000.0")],
};

/// What SEDD calls differently inside its `model`.
const SEDD: [(&str, &str); 6] = [
    ("hidden_dim", "hidden_size"),
    ("cond_dim", "cond_dim"),
    ("model_length", "length"),
    ("n_blocks", "n_blocks"),
    ("n_heads", "n_heads"),
    ("dropout", "dropout"),
];

/// Where α(t) of the log-linear noise ends instead of at 0, so that σ stays finite.
const REST_OF_SIGNAL: f64 = 1e-3;

/// A diffusion transformer's sizes, named as in MDLM's `config.json` and with its defaults.
///
/// Folders of MDLM, UDLM, Duo and SEDD are told apart by `model_type`, and SEDD's by having none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DitConfig {
    /// How the folder names things.
    #[serde(skip)]
    pub layout: DitLayout,
    /// Number of words with the mask, V.
    pub vocab_size: usize,
    /// Most tokens of a row.
    pub model_length: usize,
    /// Width, D.
    pub hidden_dim: usize,
    /// Width of what the time is embedded in.
    pub cond_dim: usize,
    /// Number of layers.
    pub n_blocks: usize,
    /// Attention heads a layer; they share the width.
    pub n_heads: usize,
    /// Chance that training zeroes an element of what a layer adds.
    pub dropout: f64,
    /// Whether the network is told the time. MDLM's keeps its modulation, at σ = 0; absent, as upstream has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_conditioning: Option<bool>,
    /// A network without modulation, trained to see only what precedes: Duo's autoregressive baseline. Who sees
    /// whom is the input's [`Attention`](dlm_core::Attention) here too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub causal: bool,
    /// What a time is told as.
    #[serde(skip_serializing_if = "Sigma::is_default")]
    pub noise: Sigma,
    #[serde(flatten)]
    rest: Rest,
}

/// Whose folder it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DitLayout {
    /// Sahoo et al. 2024, arXiv:2406.07524.
    #[default]
    Mdlm,
    /// Schiff et al. 2024, arXiv:2412.10193.
    Udlm,
    /// Sahoo et al. 2025, arXiv:2506.10892.
    Duo,
    /// Lou et al. 2023, arXiv:2310.16834, absorbing noise.
    Sedd,
    /// The same under uniform noise: a [`Sedd`](crate::Sedd), and no denoiser.
    SeddUniform,
}

/// σ(t), in which the network is told the diffusion time t of [`DenoiserInput`](dlm_core::DenoiserInput).
///
/// A network trained under another schedule α is told −ln α(t): its caller chooses times such that this σ gives it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Sigma {
    /// −ln(1 − (1 − 10⁻³)·t): what MDLM, UDLM, Duo and the published SEDD are told.
    #[default]
    LogLinear,
    /// σ₀^(1−t)·σ₁^t.
    Geometric {
        /// σ₀.
        sigma_min: f64,
        /// σ₁.
        sigma_max: f64,
    },
}

impl Sigma {
    /// σ at a time.
    pub fn at(self, t: f64) -> f64 {
        match self {
            Self::LogLinear => -(-(1.0 - REST_OF_SIGNAL) * t).ln_1p(),
            Self::Geometric { sigma_min, sigma_max } => sigma_min.powf(1.0 - t) * sigma_max.powf(t),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for DitConfig {
    fn default() -> Self {
        Self {
            layout: DitLayout::Mdlm,
            vocab_size: 50_258,
            model_length: 1024,
            hidden_dim: 768,
            cond_dim: 128,
            n_blocks: 12,
            n_heads: 12,
            dropout: 0.1,
            time_conditioning: None,
            causal: false,
            noise: Sigma::LogLinear,
            rest: Rest::new(),
        }
    }
}

impl DitConfig {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`] for a variant that is not implemented,
    /// such as SEDD's uniform noise or guidance by classes, [`Error::Config`] as [`DitConfig::validate`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        let config = match fields.get("model_type").and_then(Value::as_str) {
            None if is_sedd(&fields) => sedd(fields)?,
            name => {
                let layout = match name {
                    Some("udlm") => DitLayout::Udlm,
                    Some("duo" | "DUO") => DitLayout::Duo,
                    _ => DitLayout::Mdlm,
                };
                Self { layout, ..read(text, &RULES)? }
            }
        };
        config.require_logits()?;
        config.validate()?;
        Ok(config)
    }

    /// Reads the text of a SEDD's `config.json`, of any noise.
    pub(super) fn of_sedd(text: &str) -> Result<Self, Error> {
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::ConfigJson)?;
        if !is_sedd(&fields) {
            return Err(Error::NoFamily);
        }
        let config = sedd(fields)?;
        config.validate()?;
        Ok(config)
    }

    /// What SEDD says under uniform noise is no logits.
    fn require_logits(&self) -> Result<(), Error> {
        match self.layout {
            DitLayout::SeddUniform => {
                Err(Error::Unsupported { field: "graph.type", got: "\"uniform\"".to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Whether SEDD's output is less ln(e^σ − 1) and ln(V − 1) before it is a ratio.
    pub(super) fn is_scaled_by_sigma(&self) -> bool {
        self.rest.get("model").and_then(|model| model.get("scale_by_sigma")) == Some(&Value::Bool(true))
    }

    /// The text of a `config.json`.
    pub(crate) fn to_json(&self, dtype: DType) -> String {
        match self.layout {
            DitLayout::Mdlm => write(self, "mdlm", "MDLM", dtype),
            DitLayout::Udlm => write(self, "udlm", "UDLM", dtype),
            DitLayout::Duo => {
                // Published folders differ in its case.
                let theirs = self.rest.get("model_type").and_then(Value::as_str).unwrap_or("duo");
                write(self, theirs, "DUO", dtype)
            }
            DitLayout::Sedd | DitLayout::SeddUniform => self.to_sedd(),
        }
    }

    /// Whether logits depend on the time.
    pub fn sees_time(&self) -> bool {
        !self.causal && self.time_conditioning.unwrap_or(self.layout != DitLayout::Mdlm)
    }

    /// Checks that a network of these sizes can be built.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        require_sizes(&[
            ("vocab_size", self.vocab_size),
            ("model_length", self.model_length),
            ("hidden_dim", self.hidden_dim),
            ("cond_dim", self.cond_dim),
            ("n_heads", self.n_heads),
        ])?;
        require(
            self.hidden_dim.is_multiple_of(2 * self.n_heads),
            "hidden_dim",
            "an even number for each head",
            self.hidden_dim,
        )?;
        if let Sigma::Geometric { sigma_min, sigma_max } = self.noise {
            Geometric::new(sigma_min, sigma_max)?;
        }
        require_rates(&[("dropout", self.dropout)])
    }

    /// What changes with the words: V, and ids.
    pub(crate) fn words(&mut self) -> (&mut usize, Vec<Id<'_>>) {
        (&mut self.vocab_size, ids([], &mut self.rest))
    }

    /// Builds a new network: weights N(0, 0.02), biases 0, norms the identity, modulation and decoder 0 as upstream
    /// (all logits are 0 until the first step).
    ///
    /// # Errors
    /// [`Error::Config`] as [`DitConfig::validate`]; [`Error::Unsupported`] for SEDD under uniform noise.
    pub fn init(&self, device: &Device) -> Result<Dit, Error> {
        self.require_logits()?;
        self.validate()?;
        Ok(build(self, device))
    }

    /// SEDD's file, with the sizes that may have changed.
    fn to_sedd(&self) -> String {
        let mut fields = self.rest.clone();
        let masks = usize::from(self.layout == DitLayout::Sedd);
        fields.insert("tokens".to_owned(), (self.vocab_size - masks).into());
        let sizes = serde_json::to_value(self).unwrap_or_default();
        if let Some(Value::Object(model)) = fields.get_mut("model") {
            for (ours, theirs) in SEDD {
                model.insert(theirs.to_owned(), sizes[ours].clone());
            }
        }
        format!("{:#}", Value::Object(fields))
    }
}

fn is_sedd(fields: &Map<String, Value>) -> bool {
    fields.contains_key("tokens") && fields.contains_key("model")
}

fn sedd(fields: Map<String, Value>) -> Result<DitConfig, Error> {
    let text = |section: &str| fields.get(section).and_then(|section| section.get("type"));
    let refuse = |field, got: &Value| Err(Error::Unsupported { field, got: got.to_string() });
    let layout = match text("graph") {
        None => DitLayout::Sedd,
        Some(graph) if graph == "absorb" => DitLayout::Sedd,
        Some(graph) if graph == "uniform" => DitLayout::SeddUniform,
        Some(got) => return refuse("graph.type", got),
    };
    if let Some(got) = text("model").filter(|got| *got != "ddit") {
        return refuse("model.type", got);
    }
    // As upstream, which has no such scale for uniform noise.
    if let (DitLayout::SeddUniform, Some(got @ Value::Bool(true))) =
        (layout, fields["model"].get("scale_by_sigma"))
    {
        return refuse("model.scale_by_sigma", got);
    }
    let mut flat = Map::new();
    for (ours, theirs) in SEDD {
        if let Some(size) = fields["model"].get(theirs) {
            flat.insert(ours.to_owned(), size.clone());
        }
    }
    // The mask, if there is one, comes on top.
    let masks = u64::from(layout == DitLayout::Sedd);
    let tokens = fields["tokens"].as_u64().map(|tokens| tokens.saturating_add(masks));
    flat.insert("vocab_size".to_owned(), tokens.map_or(fields["tokens"].clone(), Value::from));
    flat.extend(fields.get("noise").map(|noise| ("noise".to_owned(), noise.clone())));
    let config: DitConfig = serde_json::from_value(Value::Object(flat)).map_err(Error::ConfigJson)?;
    Ok(DitConfig { layout, rest: fields, ..config })
}
