//! `AdamW`, learning rates and gradient clipping.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, in_domain};

/// How the learning rate rises. Steps count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Warmup {
    /// The peak from the first step.
    None,
    /// peak · (step + 1) / n for the first n steps.
    Linear(u64),
    /// peak · ln(step + 1) / ln(n) for the first n ≥ 2 steps, as `DeepSpeed`'s `WarmupLR`. The very
    /// first step has the rate 0.
    Logarithmic(u64),
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Decay {
    /// It does not.
    Constant,
    /// peak · √(n / (step + 1)), n the steps of warm-up, at least 1.
    InverseSqrt,
    /// Half a cosine from the peak to `floor · peak` at step `end`, then constant.
    Cosine {
        /// The step at which the floor is reached.
        end: u64,
        /// The last rate as a part of the peak.
        floor: f64,
    },
    /// A straight line from the peak to `floor · peak` at step `end`, then constant.
    Linear {
        /// The step at which the floor is reached.
        end: u64,
        /// The last rate as a part of the peak.
        floor: f64,
    },
}

/// The learning rate as a function of the step.
///
/// # Example
/// ```
/// use dlm_train::{Decay, LrSchedule, Warmup};
/// let lr = LrSchedule { peak: 1e-3, warmup: Warmup::Linear(10), decay: Decay::InverseSqrt };
/// assert_eq!(lr.at(4), 0.5e-3);
/// assert_eq!(lr.at(39), 0.5e-3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LrSchedule {
    /// The highest rate.
    pub peak: f64,
    /// How it is reached.
    pub warmup: Warmup,
    /// How it is left.
    pub decay: Decay,
}

impl LrSchedule {
    /// Always `lr`.
    pub fn constant(lr: f64) -> Self {
        Self { peak: lr, warmup: Warmup::None, decay: Decay::Constant }
    }

    /// The paper's runs: logarithmic warm-up over 1 % of `steps`, rounded up, then constant.
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219: its `DeepSpeed` configuration, which overrides the inverse
    /// square root of its command line.
    pub fn paper(peak: f64, steps: u64) -> Self {
        Self { peak, warmup: Warmup::Logarithmic(steps.div_ceil(100).max(2)), decay: Decay::Constant }
    }

    /// The rate of one step, from 0.
    pub fn at(&self, step: u64) -> f64 {
        let now = step as f64 + 1.0;
        let rising = match self.warmup {
            Warmup::Linear(n) if step < n => Some(now / n as f64),
            Warmup::Logarithmic(n) if step < n => Some((now.ln() / (n.max(2) as f64).ln()).min(1.0)),
            _ => None,
        };
        self.peak * rising.unwrap_or_else(|| self.falling(step))
    }

    fn falling(&self, step: u64) -> f64 {
        let start = match self.warmup {
            Warmup::None => 0,
            Warmup::Linear(n) | Warmup::Logarithmic(n) => n,
        };
        let done = |end: u64| {
            let span = end.saturating_sub(start).max(1) as f64;
            (step.saturating_sub(start) as f64 / span).min(1.0)
        };
        match self.decay {
            Decay::Constant => 1.0,
            Decay::InverseSqrt => (start.max(1) as f64 / (step as f64 + 1.0)).sqrt(),
            Decay::Cosine { end, floor } => {
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done(end)).cos())
            }
            Decay::Linear { end, floor } => 1.0 - (1.0 - floor) * done(end),
        }
    }
}

/// `AdamW`, with the paper's numbers by default.
///
/// Weight decay applies to matrices only: biases and the gains of norms, which are all the vectors
/// there are in these networks, have none.
///
/// # Source
/// Loshchilov & Hutter 2017, arXiv:1711.05101; numbers of Ye et al. 2023, arXiv:2308.12219, appendix.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Decay of the mean of the gradient.
    pub beta1: f64,
    /// Decay of the mean of its square.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub eps: f64,
    /// Part of the weights lost each step, per unit of learning rate.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.01 }
    }
}

impl AdamW {
    /// The optimiser of `model`'s parameters, by their ids: after a record was loaded, build it anew.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless the betas lie in [0, 1), eps is positive and the decay is not
    /// negative.
    pub fn init<M: Module>(&self, model: &M) -> Result<ModuleOptimizer, Error> {
        in_domain((0.0..1.0).contains(&self.beta1), "beta1", "in [0, 1)", self.beta1)?;
        in_domain((0.0..1.0).contains(&self.beta2), "beta2", "in [0, 1)", self.beta2)?;
        in_domain(self.eps > 0.0, "eps", "positive", self.eps)?;
        in_domain(self.weight_decay >= 0.0, "weight decay", "at least 0", self.weight_decay)?;
        let config = AdamWConfig::new()
            .with_beta_1(self.beta1 as f32)
            .with_beta_2(self.beta2 as f32)
            .with_epsilon(self.eps as f32)
            .with_weight_decay(self.weight_decay as f32);
        let vectors = ParamGroup::from_ids(vectors(model));
        let plain = config.clone().with_weight_decay(0.0).build();
        Ok(config.init().with_group(vectors, plain, None))
    }
}

/// The parameters of rank 0 and 1.
fn vectors<M: Module>(model: &M) -> Vec<ParamId> {
    struct Vectors(Vec<ParamId>);
    impl ModuleVisitor for Vectors {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if D < 2 {
                self.0.push(param.id);
            }
        }
    }
    let mut found = Vectors(Vec::new());
    model.visit(&mut found);
    found.0
}

/// √Σ g² over all gradients of `model`, in f32, without asking the device for it. `None` if there is
/// no gradient.
///
/// # Shapes
/// - returns: `[1]`
pub fn global_norm<M: Module>(model: &M, grads: &GradientsParams) -> Option<Tensor<1>> {
    struct Squares<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                let square = grad.cast(FloatDType::F32).square().sum();
                self.1 = Some(match self.1.take() {
                    Some(sum) => sum + square,
                    None => square,
                });
            }
        }
    }
    let mut squares = Squares(grads, None);
    model.visit(&mut squares);
    squares.1.map(Tensor::sqrt)
}

/// Scales all gradients of `model` by one factor so that their global norm is at most `max`.
///
/// ```text
/// g ← g · min(1, max / (norm + 1e-6))
/// ```
///
/// # Shapes
/// - `norm`: `[1]`, from [`global_norm`]
///
/// # Source
/// Pascanu et al. 2012, arXiv:1211.5063; the 1e-6 is `PyTorch`'s `clip_grad_norm_`.
pub fn clip_to<M: Module>(model: &M, grads: GradientsParams, norm: &Tensor<1>, max: f64) -> GradientsParams {
    struct Scale(GradientsParams, Tensor<1>);
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.remove::<D>(param.id) {
                let factor = self.1.clone().reshape([1; D]).cast(grad.dtype());
                self.0.register::<D>(param.id, grad * factor);
            }
        }
    }
    let factor = norm.clone().add_scalar(1e-6).recip().mul_scalar(max).clamp_max(1.0);
    let mut scale = Scale(grads, factor);
    model.visit(&mut scale);
    scale.0
}
