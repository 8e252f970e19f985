//! From a recipe's words to the libraries' settings: the one place where they meet.

use std::num::NonZero;

use super::answer::Answerer;
use super::choices::{CutChoice, DecayChoice, Stage, WarmupChoice};
use super::network::Network;
use super::{NoiseChoice, OrderChoice, Recipe, Text};
use crate::train::data::{Cut, Pass};
use crate::train::{AdamW, BatchSize, Decay, LrSchedule, TrainConfig, Warmup};
use crate::view::View;

/// Tokens of a batch, where a recipe names no size.
const TOKENS: usize = 4096;

/// Steps that follow from the number of all where a recipe leaves them out.
pub(super) struct Lengths {
    pub(super) warmup: u64,
    pub(super) decay: u64,
    pub(super) anneal: u64,
}

impl Recipe {
    pub(super) fn lengths(&self) -> Lengths {
        let steps = self.train.steps;
        Lengths {
            warmup: self.train.warmup_steps.unwrap_or(steps.div_ceil(100)),
            decay: self.train.decay_steps.unwrap_or(steps),
            anneal: self.diffusion.anneal_steps.unwrap_or(steps.div_ceil(2)),
        }
    }

    /// The same recipe with nothing that follows from the number of steps, so that a run with more of them goes on
    /// as it began.
    pub(super) fn resolved(&self) -> Self {
        let Lengths { warmup, decay, anneal } = self.lengths();
        let mut resolved = self.clone();
        if self.train.warmup != WarmupChoice::None {
            resolved.train.warmup_steps = Some(warmup);
        }
        if matches!(self.train.decay, DecayChoice::Cosine | DecayChoice::Linear) {
            resolved.train.decay_steps = Some(decay);
        }
        if self.stage == Stage::ArToDiffusion {
            resolved.diffusion.anneal_steps = Some(anneal);
        }
        resolved
    }

    /// How the trainer trains.
    pub fn train_config(&self) -> TrainConfig {
        let train = &self.train;
        let Lengths { warmup: warmup_steps, decay: end, .. } = self.lengths();
        let warmup = match train.warmup {
            WarmupChoice::None => Warmup::None,
            WarmupChoice::Linear => Warmup::Linear(warmup_steps),
            WarmupChoice::Logarithmic => Warmup::Logarithmic(warmup_steps.max(2)),
        };
        let floor = train.floor;
        let decay = match train.decay {
            DecayChoice::Constant => Decay::Constant,
            DecayChoice::InverseSqrt => Decay::InverseSqrt,
            DecayChoice::Cosine => Decay::Cosine { end, floor },
            DecayChoice::Linear => Decay::Linear { end, floor },
        };
        let adamw = AdamW {
            beta1: train.beta1,
            beta2: train.beta2,
            eps: train.eps,
            weight_decay: train.weight_decay,
        };
        TrainConfig {
            seed: train.seed,
            accumulation: self.batch.accumulation,
            lr: LrSchedule { peak: train.lr, warmup, decay },
            adamw,
            muon: train.muon.clone(),
            gradient_checkpointing: train.gradient_checkpointing,
            precision: train.precision,
            guard: train.guard,
            clip: (train.clip > 0.0).then_some(train.clip),
            ema: (train.ema > 0.0).then_some(train.ema),
            ..TrainConfig::paper(train.lr, train.steps)
        }
    }

    /// How much goes into a batch.
    pub fn batch_size(&self) -> BatchSize {
        match (self.batch.sequences, self.batch.tokens) {
            (Some(sequences), _) => BatchSize::Sequences(sequences),
            (None, tokens) => BatchSize::Tokens(tokens.unwrap_or(TOKENS)),
        }
    }

    /// Threads of what does not depend on them: tokenising, answering, and steps without dropout.
    pub fn threads(&self) -> usize {
        match self.batch.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            threads => threads,
        }
    }

    /// Batches of a step that are worked on at once: with dropout, which threads draw in the order in which they
    /// come, one, unless the recipe names more.
    pub(super) fn threads_of_steps(&self, config: &Network) -> usize {
        let drops = self.dropout(config).iter().any(|&rate| rate > 0.0);
        if drops && self.batch.threads == 0 { 1 } else { self.threads() }
    }

    /// Dropout of what is trained: of layers, and of attention.
    pub(super) fn dropout(&self, config: &Network) -> [f64; 2] {
        match (self.stage, self.model.dropout) {
            (Stage::Length, _) => [self.length.dropout; 2],
            (_, Some(rate)) => [rate; 2],
            (_, None) => config.dropout(),
        }
    }

    pub(super) fn cut(&self) -> Cut {
        match self.data.cut {
            CutChoice::PromptLeft => Cut::PromptLeft,
            CutChoice::ResponseRight => Cut::ResponseRight,
            CutChoice::Drop => Cut::Drop,
            CutChoice::Refuse => Cut::Refuse,
        }
    }

    pub(super) fn pass(&self) -> Pass {
        match self.data.order {
            OrderChoice::Shuffled => Pass::Shuffled,
            OrderChoice::AsGiven => Pass::AsGiven,
        }
    }

    /// What lets the stage's network answer.
    pub fn answerer<'a>(&self, text: &'a Text) -> Answerer<'a> {
        Answerer { text, view: self.view(), steps: self.validate.steps, threads: self.threads() }
    }

    /// How the stage's network is asked.
    pub fn view(&self) -> View {
        match self.stage {
            Stage::Autoregressive => View::NextToken,
            Stage::ArToDiffusion => View::Shifted,
            Stage::Mlm | Stage::Diffusion | Stage::Length => View::Denoiser,
        }
    }

    pub(super) fn noise(&self) -> NoiseChoice {
        let usual = if self.stage == Stage::Mlm { NoiseChoice::All } else { NoiseChoice::Response };
        self.data.noise.unwrap_or(usual)
    }
}
