use super::{Biases, ExpertsConfig, LlamaConfig};
use crate::Error;
use crate::config::require;

/// The upstream architectures that share Llama's shape.
///
/// They differ in the names of their weights and of their configuration, in biases, norms of queries and
/// keys, and what is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LlamaFamily {
    /// Dubey et al. 2024, arXiv:2407.21783; `llama`. With full attention and the view
    /// [`Shifted`](dlm_core::view::Shifted): DiffuLLaMA, arXiv:2410.17891.
    Llama,
    /// Jiang et al. 2023, arXiv:2310.06825; `mistral`.
    Mistral,
    /// Yang et al. 2024, arXiv:2412.15115; `qwen2`, which Qwen2.5 is too.
    Qwen2,
    /// Yang et al. 2025, arXiv:2505.09388; `qwen3`.
    Qwen3,
    /// The same with experts; `qwen3_moe`.
    Qwen3Moe,
    /// Ye et al. 2025, arXiv:2508.15487; `Dream`: Qwen2.5, answering one position late.
    Dream,
    /// Cheng et al. 2025, arXiv:2510.06303; `sdar`: Qwen3 with block-causal attention.
    Sdar,
    /// The same with experts; `sdar_moe`.
    SdarMoe,
    /// Nie et al. 2025, arXiv:2502.09992; `llada`: OLMo's names.
    Llada,
    /// Zhu et al. 2025, arXiv:2509.24389; `llada` too: Qwen3 with experts, of which a layer's weights need not sum
    /// up to 1. Told from LLaDA by `num_experts`.
    LladaMoe,
    /// Bie et al. 2025, arXiv:2512.15745; `llada2_moe`: experts, block-causal attention.
    Llada2,
}

impl LlamaFamily {
    /// One for each `model_type`.
    const ALL: [Self; 10] = [
        Self::Llama,
        Self::Mistral,
        Self::Qwen2,
        Self::Qwen3,
        Self::Qwen3Moe,
        Self::Dream,
        Self::Sdar,
        Self::SdarMoe,
        Self::Llada,
        Self::Llada2,
    ];

    /// The `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3_moe",
            Self::Dream => "Dream",
            Self::Sdar => "sdar",
            Self::SdarMoe => "sdar_moe",
            Self::Llada | Self::LladaMoe => "llada",
            Self::Llada2 => "llada2_moe",
        }
    }

    /// Whether it is Qwen3 but for names and experts.
    pub(super) fn is_qwen3(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Qwen3Moe | Self::Sdar | Self::SdarMoe | Self::LladaMoe)
    }

    /// The default experts, if the family has any.
    pub(super) fn experts(self, width: usize) -> Option<ExpertsConfig> {
        match self {
            Self::Llada2 => Some(ExpertsConfig::new(width)),
            Self::Qwen3Moe | Self::SdarMoe | Self::LladaMoe => Some(ExpertsConfig::softmax()),
            _ => None,
        }
    }

    /// The default, where it is not the width over the heads.
    pub(super) fn head_dim(self) -> Option<usize> {
        matches!(self, Self::Qwen3 | Self::Sdar).then_some(128)
    }

    pub(super) fn max_position_embeddings(self) -> usize {
        match self {
            Self::Llama => 2048,
            Self::Mistral => 131_072,
            Self::Llada => 1024,
            Self::LladaMoe => 4096,
            Self::Llada2 => 16_384,
            _ => 32_768,
        }
    }

    pub(super) fn rms_norm_eps(self) -> f64 {
        if matches!(self, Self::Llada | Self::LladaMoe | Self::Llada2) { 1e-5 } else { 1e-6 }
    }

    pub(super) fn attention_dropout(self) -> f64 {
        if matches!(self, Self::Llada | Self::Llada2) { 0.1 } else { 0.0 }
    }

    pub(super) fn partial_rotary_factor(self) -> f64 {
        if self == Self::Llada2 { 0.5 } else { 1.0 }
    }

    pub(super) fn qk_norm(self) -> bool {
        self.is_qwen3() || self == Self::Llada2
    }

    pub(super) fn biases(self) -> Biases {
        Biases { qkv: matches!(self, Self::Qwen2 | Self::Dream), output: self == Self::Llada2, mlp: false }
    }

    /// Refuses what the family's `config.json` cannot say.
    pub(super) fn validate(self, config: &LlamaConfig) -> Result<(), Error> {
        let Biases { qkv, output, mlp } = config.biases;
        let biases = match self {
            Self::Llama => qkv == output,
            _ if self.is_qwen3() => qkv == output && !mlp,
            Self::Mistral | Self::Qwen2 | Self::Dream => config.biases == self.biases(),
            Self::Llada => !output && !mlp,
            _ => !mlp,
        };
        require(biases, "biases", "some that the family can have", format!("{:?}", config.biases))?;
        let norm = self == Self::Llada2 || config.qk_norm == self.qk_norm();
        require(norm, "qk_norm", "as the family has it", config.qk_norm)?;
        let router = |config: &ExpertsConfig| std::mem::discriminant(&config.router);
        let usual = self.experts(config.hidden_size).as_ref().map(router);
        let experts = config.experts.as_ref().map(router);
        // LLaDA2's file can say that there are none.
        let none = self == Self::Llada2 && experts.is_none();
        require(experts == usual || none, "experts", "as the family has them", "others")?;
        let split = config.head_dim * config.num_attention_heads == config.hidden_size;
        if self == Self::LladaMoe {
            require(split, "hidden_size", "num_attention_heads times head_dim", config.hidden_size)?;
        }
        if self == Self::Llada {
            require(split, "d_model", "n_heads times the width of a head", config.hidden_size)?;
            let plain = config.rope_scaling == crate::rotary::Scaling::None;
            require(plain && config.partial_rotary_factor >= 1.0, "rope", "plain", "scaled or partial")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for LlamaFamily {
    type Err = Error;

    fn from_str(model_type: &str) -> Result<Self, Error> {
        (Self::ALL.into_iter().find(|family| family.model_type() == model_type))
            .ok_or_else(|| Error::Unsupported { field: "model_type", got: model_type.to_owned() })
    }
}
