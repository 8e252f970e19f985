//! `rope_scaling`: what upstream calls the ways to stretch rotary positions.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::config::require;
use crate::rotary::Scaling;

/// `rope_scaling`, or `rope_parameters` of newer folders, which names θ as well.
#[derive(Default, Deserialize)]
pub(super) struct Raw {
    rope_type: Option<String>,
    /// The older name of the same.
    #[serde(rename = "type")]
    kind: Option<String>,
    pub(super) rope_theta: Option<f64>,
    pub(super) partial_rotary_factor: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    attention_factor: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
}

impl Raw {
    /// `longest`: `max_position_embeddings`.
    pub(super) fn read(&self, longest: usize) -> Result<Scaling, Error> {
        let kind = self.rope_type.as_deref().or(self.kind.as_deref()).unwrap_or("default");
        let unsupported = |field, got: &str| Err(Error::Unsupported { field, got: got.to_owned() });
        let factor = || needed("rope_scaling.factor", self.factor);
        match kind {
            "default" => Ok(Scaling::None),
            "linear" => Ok(Scaling::Linear { factor: factor()? }),
            "llama3" => Ok(Scaling::Llama3 {
                factor: factor()?,
                low: needed("rope_scaling.low_freq_factor", self.low_freq_factor)?,
                high: needed("rope_scaling.high_freq_factor", self.high_freq_factor)?,
                original: needed(
                    "rope_scaling.original_max_position_embeddings",
                    self.original_max_position_embeddings,
                )?,
            }),
            "yarn" if self.mscale.is_some() || self.mscale_all_dim.is_some() => {
                unsupported("rope_scaling.mscale", "a number")
            }
            "yarn" if self.truncate == Some(false) => unsupported("rope_scaling.truncate", "false"),
            "yarn" => Ok(Scaling::Yarn {
                factor: factor()?,
                fast: self.beta_fast.unwrap_or(32.0),
                slow: self.beta_slow.unwrap_or(1.0),
                original: self.original_max_position_embeddings.unwrap_or(longest),
                sharpness: self.attention_factor,
            }),
            other => unsupported("rope_scaling.rope_type", other),
        }
    }
}

fn needed<T>(field: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::Config { field, expected: "a number", got: "nothing".to_owned() })
}

pub(super) fn write(scaling: Scaling) -> Value {
    match scaling {
        Scaling::None => Value::Null,
        Scaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        Scaling::Llama3 { factor, low, high, original } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": original,
        }),
        Scaling::Yarn { factor, fast, slow, original, sharpness } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "beta_fast": fast,
            "beta_slow": slow,
            "original_max_position_embeddings": original,
            "attention_factor": sharpness,
        }),
    }
}

pub(super) fn validate(scaling: Scaling) -> Result<(), Error> {
    let positive =
        |field, value: f64| require(value > 0.0 && value.is_finite(), field, "a positive number", value);
    let length = |original| {
        require(original > 0, "rope_scaling.original_max_position_embeddings", "at least 1", original)
    };
    match scaling {
        Scaling::None => Ok(()),
        Scaling::Linear { factor } => positive("rope_scaling.factor", factor),
        Scaling::Llama3 { factor, low, high, original } => {
            positive("rope_scaling.factor", factor)?;
            positive("rope_scaling.low_freq_factor", low)?;
            require(high > low, "rope_scaling.high_freq_factor", "above low_freq_factor", high)?;
            length(original)
        }
        Scaling::Yarn { factor, fast, slow, original, sharpness } => {
            positive("rope_scaling.factor", factor)?;
            positive("rope_scaling.beta_fast", fast)?;
            positive("rope_scaling.beta_slow", slow)?;
            sharpness.map_or(Ok(()), |sharpness| positive("rope_scaling.attention_factor", sharpness))?;
            length(original)
        }
    }
}
