//! What a network minimises in a stage.

use burn::tensor::Tensor;

use super::choices::{CorruptionChoice, Stage, WeightingChoice};
use super::{Error, Recipe};
use crate::core::loss::Rdm;
use crate::core::schedule::Linear;
use crate::core::{Batch, CounterRng, Forward, Prior, Times, TokenId, Vocabulary};
use crate::models::AutoDenoiser;
use crate::train::objective::{Anneal, Diffused, Shift};
use crate::train::{self, CrossEntropy, Diffusion, Objective, autoregressive, bert};

/// An objective whose type does not say which.
pub(super) type Loss =
    Box<dyn Fn(&AutoDenoiser, &Batch, &CounterRng) -> Result<Tensor<1>, train::Error> + Send + Sync>;

impl Recipe {
    /// What the stages that train a network minimise.
    pub(super) fn objective(&self, vocabulary: &Vocabulary) -> Result<Loss, Error> {
        if self.stage != Stage::ArToDiffusion {
            return self.held_out(vocabulary);
        }
        let batches = self.lengths().anneal * self.batch.accumulation as u64;
        let diffusion = self.diffusion(vocabulary.mask)?;
        Ok(match self.diffusion.chunk {
            0 => boxed(Shift(Anneal::new(diffusion, batches)?)),
            rows => boxed(Shift(Anneal::new(diffusion.chunked(rows)?, batches)?)),
        })
    }

    /// What they are judged by: the same with attention as it is in the end.
    pub(super) fn held_out(&self, vocabulary: &Vocabulary) -> Result<Loss, Error> {
        let mask = vocabulary.mask;
        let (shifted, chunk) = (self.stage == Stage::ArToDiffusion, self.diffusion.chunk);
        Ok(match (self.stage, self.mlm.corruption) {
            (Stage::Mlm, CorruptionChoice::Masks) => boxed(Diffusion::mlm(mask, self.mlm.ratio)?),
            (Stage::Mlm, CorruptionChoice::Bert) => boxed(bert(*vocabulary, self.mlm.ratio)?),
            (Stage::Autoregressive, _) => boxed(autoregressive(self.train.label_smoothing)?),
            _ => match (self.diffusion(mask)?, chunk) {
                (diffusion, 0) if shifted => boxed(Shift(diffusion)),
                (diffusion, 0) => boxed(diffusion),
                (diffusion, rows) if shifted => boxed(Shift(diffusion.chunked(rows)?)),
                (diffusion, rows) => boxed(diffusion.chunked(rows)?),
            },
        })
    }

    /// The paper's loss.
    fn diffusion(&self, mask: TokenId) -> Result<CrossEntropy<Diffused<Linear>, Rdm>, Error> {
        let section = &self.diffusion;
        let weighting = match section.weighting {
            WeightingChoice::Linear => Rdm::linear(section.times)?,
            WeightingChoice::Constant => Rdm::constant(section.times)?,
            WeightingChoice::Reciprocal => Rdm::reciprocal(section.times)?,
        };
        let weighting = weighting.with_label_smoothing(self.train.label_smoothing)?;
        let forward = Forward::new(Linear, Prior::Absorbing { mask });
        let diffusion = Diffusion::new(forward, Times::grid(section.times)?, weighting);
        Ok(if section.coupled { diffusion.coupled() } else { diffusion })
    }
}

fn boxed(objective: impl Objective<AutoDenoiser> + Send + 'static) -> Loss {
    Box::new(move |model, batch, rng| objective.loss(model, batch, rng))
}
