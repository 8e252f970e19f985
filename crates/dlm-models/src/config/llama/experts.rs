use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::require;

/// How a token's experts are picked and weighed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Router {
    /// Each expert by σ of its own score; groups first, with a bias for the picking alone. LLaDA2.
    #[default]
    Sigmoid,
    /// All experts by one softmax. Qwen3, LLaDA-MoE.
    Softmax {
        /// Whether the weights of the picked ones are made to sum up to 1; `norm_topk_prob`.
        normalised: bool,
    },
}

/// Sizes of a mixture of experts, named as in LLaDA2's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ExpertsConfig {
    /// Experts a layer, E.
    pub num_experts: usize,
    /// Experts that answer for every token, as one network of that many times the inner width.
    pub num_shared_experts: usize,
    /// Experts that answer for a token, k.
    pub num_experts_per_tok: usize,
    /// Groups of E / `n_group` experts each.
    pub n_group: usize,
    /// Groups that a token's experts may come from.
    pub topk_group: usize,
    /// What the experts' weights sum up to.
    pub routed_scaling_factor: f64,
    /// Inner width of an expert.
    pub moe_intermediate_size: usize,
    /// Layers at the bottom that have one feed-forward network and no experts.
    pub first_k_dense_replace: usize,
    /// How experts are picked.
    #[serde(skip)]
    pub router: Router,
}

impl Default for ExpertsConfig {
    /// Upstream's, but for the inner width, which has none.
    fn default() -> Self {
        Self::new(0)
    }
}

impl ExpertsConfig {
    pub(super) fn new(moe_intermediate_size: usize) -> Self {
        Self {
            num_experts: 16,
            num_shared_experts: 0,
            num_experts_per_tok: 2,
            n_group: 8,
            topk_group: 4,
            routed_scaling_factor: 2.5,
            moe_intermediate_size,
            first_k_dense_replace: 0,
            router: Router::Sigmoid,
        }
    }

    /// Qwen3's, where nothing is said.
    pub(super) fn softmax() -> Self {
        Self {
            num_experts: 128,
            num_experts_per_tok: 8,
            n_group: 1,
            topk_group: 1,
            routed_scaling_factor: 1.0,
            router: Router::Softmax { normalised: false },
            ..Self::new(768)
        }
    }

    /// Numbers by which the experts of a token are picked, beside the router's matrix.
    pub(super) fn biases(&self) -> usize {
        if self.router == Router::Sigmoid { self.num_experts } else { 0 }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let inner = self.moe_intermediate_size;
        require(inner > 0, "moe_intermediate_size", "at least 1", inner)?;
        let groups = self.n_group;
        require((1..=groups).contains(&self.topk_group), "topk_group", "from 1 to n_group", self.topk_group)?;
        // A group is judged by its two best.
        let group = self.num_experts / groups;
        let whole = self.num_experts.is_multiple_of(groups) && group >= 2;
        require(whole, "num_experts", "a multiple of n_group, at least twice it", self.num_experts)?;
        let (each, most) = (self.num_experts_per_tok, self.topk_group * group);
        require(
            (1..=most).contains(&each),
            "num_experts_per_tok",
            "from 1 to the experts of topk_group groups",
            each,
        )?;
        let scale = self.routed_scaling_factor;
        require(scale.is_finite(), "routed_scaling_factor", "finite", scale)
    }
}
