//! Optimisers, learning rates and gradient clipping.

mod clip;
mod fused;
mod lanes;
mod lr;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdjustLrFn, ModuleOptimizer, MuonConfig};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

pub use self::clip::{clip_to, global_norm};
use self::fused::FusedAdamW;
pub(crate) use self::lanes::Lanes;
pub use self::lr::{Decay, LrSchedule, Warmup};
use crate::error::{Error, in_domain};

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
        let vectors = ParamGroup::from_ids(vectors(model));
        let plain = FusedAdamW::new(Self { weight_decay: 0.0, ..*self });
        Ok(ModuleOptimizer::from(FusedAdamW::new(*self)).with_group(vectors, plain, None))
    }
}

/// Muon for the matrices inside a network; its vectors and embeddings stay with [`AdamW`], and so does what
/// `except` names.
///
/// ```text
/// m ← μ·m + g      u = orthogonalised(g + μ·m)      W ← W·(1 − lr·decay) − lr · 0.2·√max(rows, columns) · u
/// ```
///
/// The factor 0.2·√max gives an update the size of `AdamW`'s, so that both share one learning rate.
///
/// # Source
/// Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>; the factor and the decay: Liu et al. 2025,
/// arXiv:2502.16982, Eq. 4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Muon {
    /// μ, with Nesterov's look ahead.
    pub momentum: f64,
    /// Part of the weights lost each step, per unit of learning rate.
    pub weight_decay: f64,
    /// Newton–Schulz iterations of the orthogonalisation.
    pub iterations: usize,
    /// Names of modules, anywhere on a parameter's path, whose matrices stay with `AdamW`: those that turn
    /// into scores of words.
    pub except: Vec<String>,
}

impl Default for Muon {
    fn default() -> Self {
        let except = ["decoder", "lm_head", "classifier"].map(str::to_owned).to_vec();
        Self { momentum: 0.95, weight_decay: 0.01, iterations: 5, except }
    }
}

impl Muon {
    /// `optim` with Muon for the matrices of `model`.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless the momentum lies in [0, 1), the decay is not negative and there is an
    /// iteration.
    pub fn join<M: Module>(&self, optim: ModuleOptimizer, model: &M) -> Result<ModuleOptimizer, Error> {
        in_domain((0.0..1.0).contains(&self.momentum), "momentum of Muon", "in [0, 1)", self.momentum)?;
        in_domain(self.weight_decay >= 0.0, "weight decay of Muon", "at least 0", self.weight_decay)?;
        in_domain(self.iterations > 0, "iterations of Muon", "at least 1", self.iterations as f64)?;
        let momentum = MomentumConfig { momentum: self.momentum, dampening: 0.0, nesterov: true };
        let muon = MuonConfig::new()
            .with_momentum(momentum)
            .with_weight_decay(Some(WeightDecayConfig::new(self.weight_decay as f32)))
            .with_ns_steps(self.iterations)
            .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW);
        Ok(optim.with_group(ParamGroup::from_ids(self.matrices(model)), muon.build(), None))
    }

    /// The matrices that are no embeddings, unless excepted.
    fn matrices<M: Module>(&self, model: &M) -> Vec<ParamId> {
        struct Matrices<'a> {
            found: Vec<ParamId>,
            /// For each module around, whether its matrices are left out.
            left_out: Vec<bool>,
            except: &'a [String],
        }
        impl ModuleVisitor for Matrices<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if D == 2 && !self.left_out.contains(&true) {
                    self.found.push(param.id);
                }
            }
            fn enter_module(&mut self, name: &str, kind: &str) {
                self.left_out
                    .push(kind == "Struct:Embedding" || self.except.iter().any(|other| other == name));
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.left_out.pop();
            }
        }
        let mut matrices = Matrices { found: Vec::new(), left_out: Vec::new(), except: &self.except };
        model.visit(&mut matrices);
        matrices.found
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
