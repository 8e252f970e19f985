//! Names of GPT-2, whose linear layers are stored input first.

use burn::nn::Linear;
use burn::tensor::Device;

use crate::Error;
use crate::checkpoint::{Pretrained, Slot, Slots, Words};
use crate::config::Gpt2Config;
use crate::config::read::write;
use crate::gpt2::{Gpt2, Gpt2Block};
use crate::grouped::Projections;

const WORDS: &str = "transformer.wte.weight";

impl Pretrained for Gpt2 {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        Gpt2Config::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        write(&self.config, "gpt2", "GPT2LMHeadModel", self.words.weight.val().dtype())
    }

    fn slots(&mut self) -> Slots<'_> {
        let mut slots = Slots::new();
        slots.table(WORDS, &mut self.words.weight);
        slots.table("transformer.wpe.weight", &mut self.positions.weight);
        for (index, block) in self.blocks.iter_mut().enumerate() {
            block_slots(&mut slots, &format!("transformer.h.{index}"), block);
        }
        slots.norm("transformer.ln_f", &mut self.norm);
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let (size, ids) = self.config.words();
        Words { tables: vec![&mut self.words.weight], biases: Vec::new(), size, ids, pad: None }
    }

    /// Without the prefix, as in the oldest folders, and as in those of DiffuGPT.
    fn spellings(&self, key: &str) -> Vec<String> {
        let Some(bare) = key.strip_prefix("transformer.") else { return Vec::new() };
        let beside = (key == WORDS).then(|| "embed_tokens.weight".to_owned());
        [bare.to_owned(), format!("denoise_model.{bare}")].into_iter().chain(beside).collect()
    }

    fn tied(&self) -> Vec<String> {
        vec!["lm_head.weight".to_owned()]
    }
}

fn block_slots<'a>(slots: &mut Slots<'a>, stem: &str, block: &'a mut Gpt2Block) {
    slots.norm(&format!("{stem}.ln_1"), &mut block.attention_norm);
    if let Projections::Fused(all) = &mut block.attention.projections {
        input_first(slots, &format!("{stem}.attn.c_attn"), all);
    }
    input_first(slots, &format!("{stem}.attn.c_proj"), &mut block.attention.output);
    slots.norm(&format!("{stem}.ln_2"), &mut block.feed_norm);
    input_first(slots, &format!("{stem}.mlp.c_fc"), &mut block.feed.inner);
    input_first(slots, &format!("{stem}.mlp.c_proj"), &mut block.feed.outer);
}

/// Upstream's `Conv1D`, `[in, out]` as here.
fn input_first<'a>(slots: &mut Slots<'a>, stem: &str, layer: &'a mut Linear) {
    slots.put(format!("{stem}.weight"), Slot::InputFirst(&mut layer.weight));
    if let Some(bias) = &mut layer.bias {
        slots.vector(format!("{stem}.bias"), bias);
    }
}
