//! What an encoder minimises in a stage.

use burn::tensor::Tensor;

use super::choices::{Stage, WeightingChoice};
use super::{Error, Recipe};
use crate::core::loss::Rdm;
use crate::core::schedule::Linear;
use crate::core::{Batch, CounterRng, Forward, Prior, Times, TokenId};
use crate::models::Encoder;
use crate::train::{self, Diffusion, Objective};

/// An objective whose type does not say which.
pub(super) type Loss =
    Box<dyn Fn(&Encoder, &Batch, &CounterRng) -> Result<Tensor<1>, train::Error> + Send + Sync>;

impl Recipe {
    /// The loss of the stages that train an encoder.
    pub(super) fn objective(&self, mask: TokenId) -> Result<Loss, Error> {
        if self.stage == Stage::Mlm {
            return Ok(boxed(Diffusion::mlm(mask, self.mlm.ratio)?));
        }
        let section = &self.diffusion;
        let weighting = match section.weighting {
            WeightingChoice::Linear => Rdm::linear(section.times)?,
            WeightingChoice::Constant => Rdm::constant(section.times)?,
            WeightingChoice::Reciprocal => Rdm::reciprocal(section.times)?,
        };
        let weighting = weighting.with_label_smoothing(self.train.label_smoothing)?;
        let forward = Forward::new(Linear, Prior::Absorbing { mask });
        let diffusion = Diffusion::new(forward, Times::grid(section.times)?, weighting);
        let diffusion = if section.coupled { diffusion.coupled() } else { diffusion };
        Ok(match section.chunk {
            0 => boxed(diffusion),
            rows => boxed(diffusion.chunked(rows)?),
        })
    }
}

fn boxed(objective: impl Objective<Encoder> + Send + 'static) -> Loss {
    Box::new(move |model, batch, rng| objective.loss(model, batch, rng))
}
