//! How a model is trained.

use burn::module::Module;
use serde::{Deserialize, Serialize};

use crate::error::{Error, in_domain};
use crate::guard::Guard;
use crate::optim::{AdamW, Decay, Lanes, LrSchedule, Muon, Warmup};
use crate::precision::Precision;

/// How a model is trained: what decides its numbers, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Names all random draws: noise, times, dropout.
    pub seed: u64,
    /// Optimisation steps in all.
    pub steps: u64,
    /// Batches a step: their gradients are averaged.
    pub accumulation: usize,
    /// Learning rate.
    pub lr: LrSchedule,
    /// Optimiser.
    pub adamw: AdamW,
    /// Another optimiser for the matrices inside the network.
    #[serde(default)]
    pub muon: Option<Muon>,
    /// Gradient checkpointing: keeps the inputs of layers alone, and computes each layer again in the backward
    /// pass. A network takes part whose layers go through [`segment`](dlm_core::recompute::segment).
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// In what numbers the network is computed.
    #[serde(default)]
    pub precision: Precision,
    /// What is done about steps that would harm the model; without it, a loss that is not finite ends the
    /// run when it is next read.
    #[serde(default)]
    pub guard: Option<Guard>,
    /// Greatest global norm of a gradient.
    pub clip: Option<f64>,
    /// Decay of a moving average of the parameters.
    pub ema: Option<f64>,
}

impl TrainConfig {
    /// The paper's recipe: `AdamW`, gradients clipped at 1, a logarithmic warm-up over 1 % of the steps
    /// to a constant rate (5e-5 for tasks), no average.
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219, appendix, Tables 5 and 6, and its code.
    pub fn paper(lr: f64, steps: u64) -> Self {
        Self {
            seed: 0,
            steps,
            accumulation: 1,
            lr: LrSchedule::paper(lr, steps),
            adamw: AdamW::default(),
            muon: None,
            gradient_checkpointing: false,
            precision: Precision::F32,
            guard: None,
            clip: Some(1.0),
            ema: None,
        }
    }

    /// A recipe for runs of known length: as [`TrainConfig::paper`], but with a linear warm-up over 5 % of
    /// the steps, rounded up, and half a cosine from there to 5 % of the peak at the last.
    pub fn cosine(lr: f64, steps: u64) -> Self {
        let decay = Decay::Cosine { end: steps, floor: 0.05 };
        let lr = LrSchedule { peak: lr, warmup: Warmup::Linear(steps.div_ceil(20)), decay };
        Self { lr, ..Self::paper(0.0, steps) }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        in_domain(self.accumulation > 0, "accumulation", "at least 1", self.accumulation as f64)?;
        // Batches are named by their index.
        let batches = self.steps.checked_mul(self.accumulation as u64);
        let about = self.steps as f64 * self.accumulation as f64;
        in_domain(batches.is_some(), "steps times accumulation", "below 2^64", about)?;
        let peak = self.lr.peak;
        in_domain(peak >= 0.0 && peak.is_finite(), "learning rate", "finite and at least 0", peak)?;
        if let Decay::Cosine { floor, .. } | Decay::Linear { floor, .. } = self.lr.decay {
            in_domain((0.0..=1.0).contains(&floor), "floor of the learning rate", "in [0, 1]", floor)?;
        }
        self.guard.map_or(Ok(()), |guard| guard.check())?;
        let clip = self.clip.unwrap_or(1.0);
        in_domain(clip > 0.0, "clipping norm", "positive", clip)
    }

    /// The optimiser of `model`'s parameters, by their ids: after a record was loaded, build it anew.
    pub(crate) fn optimizer<M: Module>(&self, model: &M) -> Result<Lanes, Error> {
        let adamw = self.adamw.init(model)?;
        let optim = match &self.muon {
            None => adamw,
            Some(muon) => muon.join(adamw, model)?,
        };
        Ok(Lanes::new(&optim, model))
    }
}
