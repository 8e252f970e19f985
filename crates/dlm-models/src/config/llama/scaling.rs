//! `rope_scaling`: what upstream calls the ways to stretch rotary positions.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::config::read::require_positive;
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
    short_factor: Option<Vec<f64>>,
    long_factor: Option<Vec<f64>>,
}

impl Raw {
    /// `longest`: `max_position_embeddings`; `original`: `original_max_position_embeddings` beside it, which goes before.
    pub(super) fn read(&self, longest: usize, original: Option<usize>) -> Result<Scaling, Error> {
        let kind = self.rope_type.as_deref().or(self.kind.as_deref()).unwrap_or("default");
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
            "dynamic" => Ok(Scaling::Dynamic { factor: factor()?, original: longest }),
            "longrope" | "su" => self.long(longest, original),
            "yarn" => Ok(Scaling::Yarn {
                factor: factor()?,
                fast: self.beta_fast.unwrap_or(32.0),
                slow: self.beta_slow.unwrap_or(1.0),
                original: self.original_max_position_embeddings.unwrap_or(longest),
                sharpness: self.attention_factor.or_else(|| self.sharpness()),
                truncate: self.truncate.unwrap_or(true),
            }),
            other => Err(Error::Unsupported { field: "rope_scaling.rope_type", got: other.to_owned() }),
        }
    }

    fn long(&self, longest: usize, original: Option<usize>) -> Result<Scaling, Error> {
        let stretched = |original: usize| longest as f64 / original as f64;
        let factor = match original {
            Some(original) => stretched(original),
            None => needed("rope_scaling.factor", self.factor)?,
        };
        let original = original.or(self.original_max_position_embeddings).unwrap_or(longest);
        Ok(Scaling::LongRope {
            factor,
            short: needed("rope_scaling.short_factor", self.short_factor.clone())?,
            long: needed("rope_scaling.long_factor", self.long_factor.clone())?,
            original,
            sharpness: self.attention_factor,
        })
    }

    /// What YaRN's `mscale` and `mscale_all_dim` say together.
    fn sharpness(&self) -> Option<f64> {
        let factor = self.factor.filter(|&factor| factor > 1.0)?;
        let sharpness = |scale: f64| 0.1 * scale * factor.ln() + 1.0;
        let [above, below] = [self.mscale?, self.mscale_all_dim?];
        (above != 0.0 && below != 0.0).then(|| sharpness(above) / sharpness(below))
    }
}

fn needed<T>(field: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::Config { field, expected: "given", got: "nothing".to_owned() })
}

pub(super) fn write(scaling: &Scaling) -> Value {
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
        Scaling::Yarn { factor, fast, slow, original, sharpness, truncate } => json!({
            "rope_type": "yarn",
            "factor": factor,
            "beta_fast": fast,
            "beta_slow": slow,
            "original_max_position_embeddings": original,
            "attention_factor": sharpness,
            "truncate": truncate,
        }),
        Scaling::Dynamic { factor, .. } => json!({ "rope_type": "dynamic", "factor": factor }),
        Scaling::LongRope { factor, short, long, sharpness, .. } => json!({
            "rope_type": "longrope",
            "factor": factor,
            "short_factor": short,
            "long_factor": long,
            "attention_factor": sharpness,
        }),
    }
}

/// The field beside `max_position_embeddings` that some say.
pub(super) fn original(scaling: &Scaling, longest: usize) -> Option<usize> {
    match scaling {
        Scaling::LongRope { original, .. } => Some(*original).filter(|&original| original != longest),
        _ => None,
    }
}

/// `width`: the elements of a head that are turned; `longest`: `max_position_embeddings`.
pub(super) fn validate(scaling: &Scaling, width: usize, longest: usize) -> Result<(), Error> {
    let positive = |field, &value: &f64| require_positive(&[(field, value)]);
    let length = |&original: &usize| {
        require(original > 0, "rope_scaling.original_max_position_embeddings", "at least 1", original)
    };
    let sharp = |sharpness: &Option<f64>| {
        sharpness.as_ref().map_or(Ok(()), |sharpness| positive("rope_scaling.attention_factor", sharpness))
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
        Scaling::Yarn { factor, fast, slow, original, sharpness, .. } => {
            positive("rope_scaling.factor", factor)?;
            positive("rope_scaling.beta_fast", fast)?;
            positive("rope_scaling.beta_slow", slow)?;
            sharp(sharpness)?;
            length(original)
        }
        Scaling::Dynamic { factor, original } => {
            let factor_is = *factor >= 1.0 && factor.is_finite();
            require(factor_is, "rope_scaling.factor", "at least 1", factor)?;
            require(width > 2, "head_dim", "more than 2 turned elements under dynamic scaling", width)?;
            require(*original == longest, "max_position_embeddings", "that of the training", longest)
        }
        Scaling::LongRope { factor, short, long, original, sharpness } => {
            positive("rope_scaling.factor", factor)?;
            for (field, factors) in [("rope_scaling.short_factor", short), ("rope_scaling.long_factor", long)]
            {
                factors.iter().try_for_each(|factor| positive(field, factor))?;
                require(factors.len() == width / 2, field, "one number for each pair", factors.len())?;
            }
            sharp(sharpness)?;
            // Its logarithm divides.
            require(*original > 1, "original_max_position_embeddings", "at least 2", original)
        }
    }
}
