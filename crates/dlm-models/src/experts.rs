//! A mixture of experts as LLaDA2 has it, whose router picks groups first, and as Qwen3 has it.
//!
//! Sources: Bie et al. 2025, arXiv:2512.15745 (LLaDA2); the router without a loss to balance it is that of
//! DeepSeek-AI 2024, arXiv:2412.19437, section 2.1.2; Yang et al. 2025, arXiv:2505.09388 (Qwen3).
//! What differs: nothing in the numbers. Experts are asked one after another, each about its own tokens, and the
//! choice is made on the host, which costs a read-back a layer.

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear};
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};

use crate::config::{Activation, ExpertsConfig, Router};
use crate::mlp::GatedMlp;
use crate::position::indices;

/// Experts of which a router picks a few for each token.
#[derive(Module, Debug)]
pub struct Experts {
    /// `[E, D]`.
    pub(crate) router: Param<Tensor<2>>,
    /// `[E]`: added to an expert's score when experts are picked, not when they are weighed. Its upkeep is
    /// not a gradient's: upstream moves it by how busy experts are. None behind a softmax.
    pub(crate) bias: Option<Param<Tensor<1>>>,
    pub(crate) each: Vec<GatedMlp>,
    pub(crate) shared: Option<GatedMlp>,
    #[module(skip)]
    config: ExpertsConfig,
}

impl Experts {
    /// `linear` makes a layer of so many inputs and outputs.
    pub(crate) fn new(
        config: &ExpertsConfig,
        width: usize,
        activation: Activation,
        linear: &impl Fn(usize, usize) -> Linear,
        device: &Device,
    ) -> Self {
        let count = config.num_experts;
        let inner = config.moe_intermediate_size;
        // U(−1/√D, 1/√D), as upstream's router alone is drawn.
        let uniform = Initializer::KaimingUniform { gain: 1.0 / 3f64.sqrt(), fan_out_only: false };
        let gated = |inner| GatedMlp::new(width, inner, activation, linear);
        Self {
            router: uniform.init_with([count, width], Some(width), Some(count), device),
            bias: (config.router == Router::Sigmoid).then(|| Initializer::Zeros.init([count], device)),
            each: (0..count).map(|_| gated(inner)).collect(),
            shared: (config.num_shared_experts > 0).then(|| gated(inner * config.num_shared_experts)),
            config: config.clone(),
        }
    }

    /// # Shapes
    /// - `input`: `[N, D]`
    /// - returns: `[N, D]`
    pub(crate) fn forward(&self, input: &Tensor<2>) -> Tensor<2> {
        let (device, [tokens, _]) = (input.device(), input.dims());
        // Scores and sums in single precision, whatever the network's: near ties decide who answers.
        let router = self.router.val().cast(DType::F32).transpose();
        let scores = input.clone().cast(DType::F32).matmul(router);
        let scores = match self.config.router {
            Router::Sigmoid => sigmoid(scores),
            Router::Softmax { .. } => softmax(scores, 1),
        };
        let picked = self.pick(&scores);
        let each = picked.len() / tokens;
        let weights = self.weights(scores, &picked);
        let mut sum = Tensor::<2>::zeros(input.dims(), (&device, DType::F32));
        let mut of_each = vec![Vec::new(); self.each.len()];
        for (flat, &expert) in picked.iter().enumerate() {
            of_each[expert].push(flat);
        }
        for (network, asked) in self.each.iter().zip(of_each).filter(|(_, asked)| !asked.is_empty()) {
            let rows = indices(&asked.iter().map(|flat| flat / each).collect::<Vec<_>>(), &device);
            let weight = weights.clone().select(0, indices(&asked, &device)).unsqueeze_dim(1);
            let answer = network.forward(input.clone().select(0, rows.clone())).cast(DType::F32);
            sum = sum.select_assign(0, rows, answer * weight, IndexingUpdateOp::Add);
        }
        let sum = sum.cast(input.dtype());
        match &self.shared {
            None => sum,
            Some(shared) => sum + shared.forward(input.clone()),
        }
    }

    /// The experts of each token, `[N·k]`.
    fn pick(&self, scores: &Tensor<2>) -> Vec<usize> {
        let biased = match &self.bias {
            None => scores.clone(),
            Some(bias) => scores.clone() + bias.val().cast(DType::F32).unsqueeze::<2>(),
        };
        let biased: Vec<f32> = biased.into_data().iter::<f32>().collect();
        biased.chunks(self.config.num_experts).flat_map(|scores| pick(scores, &self.config)).collect()
    }

    /// The weights of the picked experts, `[N·k]`: their scores, made to sum up to the scaling factor if the
    /// router says so.
    fn weights(&self, scores: Tensor<2>, picked: &[usize]) -> Tensor<1> {
        let [tokens, _] = scores.dims();
        let each = self.config.num_experts_per_tok;
        let device = scores.device();
        let picked: Vec<i32> = picked.iter().map(|&expert| expert as i32).collect();
        let picked = Tensor::<2, Int>::from_data(TensorData::new(picked, [tokens, each]), &device);
        let scores = scores.gather(1, picked);
        let normalised = match self.config.router {
            Router::Sigmoid => each > 1,
            Router::Softmax { normalised } => normalised,
        };
        let scores = if normalised { scores.clone() / (scores.sum_dim(1) + 1e-20) } else { scores };
        (scores * self.config.routed_scaling_factor).reshape([tokens * each])
    }
}

/// The best experts of the best groups, where a group is as good as its two best; one group is no choice.
fn pick(scores: &[f32], config: &ExpertsConfig) -> Vec<usize> {
    let size = config.num_experts / config.n_group;
    let two_best = |group: &[f32]| {
        let best = best(group, 2);
        group[best[0]] + group[best[1]]
    };
    let groups: Vec<f32> = scores.chunks(size).map(two_best).collect();
    let mut from = best(&groups, config.topk_group);
    from.sort_unstable();
    let members: Vec<usize> = from.iter().flat_map(|group| group * size..(group + 1) * size).collect();
    let scores: Vec<f32> = members.iter().map(|&expert| scores[expert]).collect();
    best(&scores, config.num_experts_per_tok).into_iter().map(|index| members[index]).collect()
}

/// Where the `count` highest numbers stand, the highest first; the first of equals.
fn best(numbers: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&left, &right| numbers[right].total_cmp(&numbers[left]));
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_expert_of_a_bad_group_is_not_picked() {
        let config = ExpertsConfig { num_experts: 6, n_group: 3, topk_group: 2, ..ExpertsConfig::default() };
        // Groups of two: 1.0, 1.1 and 1.2.
        assert_eq!(pick(&[0.95, 0.05, 0.5, 0.6, 0.3, 0.9], &config), [5, 3]);
        // Equal groups and experts: the first ones.
        assert_eq!(pick(&[0.5; 6], &config), [0, 1]);
    }
}
