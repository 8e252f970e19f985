//! Names of the Llama shape: Hugging Face's. LLaDA's and LLaDA2's stand in [`super::llada`].

use burn::tensor::Device;

use super::llada::{LLADA, LLADA2};
use crate::Error;
use crate::checkpoint::{Pretrained, Slots, Words, torch_dtype};
use crate::config::{LlamaConfig, LlamaFamily};
use crate::experts::Experts;
use crate::grouped::{GroupedAttention, Projections};
use crate::llama::{Block, Feed, Llama};
use crate::mlp::GatedMlp;

/// What the families call differently; names within a layer come after its number.
pub(super) struct Names {
    pub(super) words: &'static str,
    pub(super) layers: &'static str,
    pub(super) norm: &'static str,
    pub(super) head: &'static str,
    pub(super) attention_norm: &'static str,
    /// Queries, keys, values.
    pub(super) projections: [&'static str; 3],
    /// The three in one.
    pub(super) fused: &'static str,
    /// Of queries and of keys.
    pub(super) norms: [&'static str; 2],
    pub(super) output: &'static str,
    pub(super) feed_norm: &'static str,
    /// Gate, up, down.
    pub(super) feed: [&'static str; 3],
}

pub(super) const LLAMA: Names = Names {
    words: "model.embed_tokens.weight",
    layers: "model.layers",
    norm: "model.norm",
    head: "lm_head.weight",
    attention_norm: "input_layernorm",
    projections: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    fused: "self_attn.qkv_proj",
    norms: ["self_attn.q_norm", "self_attn.k_norm"],
    output: "self_attn.o_proj",
    feed_norm: "post_attention_layernorm",
    feed: ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
};

fn names(family: LlamaFamily) -> &'static Names {
    match family {
        LlamaFamily::Llada => &LLADA,
        LlamaFamily::Llada2 => &LLADA2,
        _ => &LLAMA,
    }
}

fn architecture(family: LlamaFamily) -> &'static str {
    match family {
        LlamaFamily::Llama => "LlamaForCausalLM",
        LlamaFamily::Mistral => "MistralForCausalLM",
        LlamaFamily::Qwen2 => "Qwen2ForCausalLM",
        LlamaFamily::Qwen3 => "Qwen3ForCausalLM",
        LlamaFamily::Qwen3Moe => "Qwen3MoeForCausalLM",
        LlamaFamily::Dream => "DreamModel",
        LlamaFamily::Sdar => "SDARForCausalLM",
        LlamaFamily::SdarMoe => "SDARMoeForCausalLM",
        LlamaFamily::Llada => "LLaDAModelLM",
        LlamaFamily::LladaMoe => "LLaDAMoEModelLM",
        LlamaFamily::Llada2 => "LLaDA2MoeModelLM",
    }
}

impl Pretrained for Llama {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        LlamaConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        let dtype = torch_dtype(self.words.weight.val().dtype());
        self.config.clone().describing(architecture(self.config.family), dtype).to_json()
    }

    fn slots(&mut self) -> Slots<'_> {
        let names = names(self.config.family);
        let mut slots = Slots::new();
        slots.table(names.words, &mut self.words.weight);
        for (index, block) in self.blocks.iter_mut().enumerate() {
            block_slots(&mut slots, names, &format!("{}.{index}", names.layers), block);
        }
        slots.rms_norm(names.norm, &mut self.norm);
        if let Some(head) = &mut self.head {
            slots.table(names.head, head);
        }
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let tables = std::iter::once(&mut self.words.weight).chain(self.head.as_mut()).collect();
        let (size, ids) = self.config.words();
        Words { tables, biases: Vec::new(), size, ids, pad: None }
    }

    /// As in folders of the body alone, and as in those of `DiffuLLaMA`.
    fn spellings(&self, key: &str) -> Vec<String> {
        let Some(bare) = key.strip_prefix("model.") else { return Vec::new() };
        vec![bare.to_owned(), format!("denoise_model.{bare}")]
    }

    fn tied(&self) -> Vec<String> {
        self.head.is_none().then(|| names(self.config.family).head.to_owned()).into_iter().collect()
    }
}

fn block_slots<'a>(slots: &mut Slots<'a>, names: &Names, stem: &str, block: &'a mut Block) {
    slots.rms_norm(&format!("{stem}.{}", names.attention_norm), &mut block.attention_norm);
    attention_slots(slots, names, stem, &mut block.attention);
    slots.rms_norm(&format!("{stem}.{}", names.feed_norm), &mut block.feed_norm);
    match &mut block.feed {
        Feed::Dense(network) => gated_slots(slots, names.feed, stem, network),
        Feed::Mixture(experts) => experts_slots(slots, names, stem, experts),
    }
}

fn attention_slots<'a>(
    slots: &mut Slots<'a>,
    names: &Names,
    stem: &str,
    attention: &'a mut GroupedAttention,
) {
    match &mut attention.projections {
        Projections::Apart(apart) => {
            let layers = [&mut apart.query, &mut apart.key, &mut apart.value];
            for (name, layer) in names.projections.iter().zip(layers) {
                slots.linear(&format!("{stem}.{name}"), layer);
            }
        }
        Projections::Fused(layer) => slots.linear(&format!("{stem}.{}", names.fused), layer),
    }
    if let Some(norms) = &mut attention.norms {
        for (name, norm) in names.norms.iter().zip([&mut norms.query, &mut norms.key]) {
            slots.rms_norm(&format!("{stem}.{name}"), norm);
        }
    }
    slots.linear(&format!("{stem}.{}", names.output), &mut attention.output);
}

fn gated_slots<'a>(slots: &mut Slots<'a>, names: [&str; 3], stem: &str, network: &'a mut GatedMlp) {
    for (name, layer) in names.iter().zip([&mut network.gate, &mut network.up, &mut network.down]) {
        slots.linear(&format!("{stem}.{name}"), layer);
    }
}

fn experts_slots<'a>(slots: &mut Slots<'a>, names: &Names, stem: &str, experts: &'a mut Experts) {
    let within = names.feed.map(|name| name.trim_start_matches("mlp."));
    slots.table(format!("{stem}.mlp.gate.weight"), &mut experts.router);
    if let Some(bias) = &mut experts.bias {
        slots.vector(format!("{stem}.mlp.gate.expert_bias"), bias);
    }
    for (index, network) in experts.each.iter_mut().enumerate() {
        gated_slots(slots, within, &format!("{stem}.mlp.experts.{index}"), network);
    }
    if let Some(shared) = &mut experts.shared {
        gated_slots(slots, within, &format!("{stem}.mlp.shared_experts"), shared);
    }
}
