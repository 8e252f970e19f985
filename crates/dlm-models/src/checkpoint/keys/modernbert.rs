//! Names of ModernBERT.

use burn::tensor::Device;

use crate::Error;
use crate::checkpoint::{Pretrained, Slots, Words};
use crate::config::read::write;
use crate::grouped::Projections;
use crate::modernbert::{ModernBert, ModernBertConfig};

impl Pretrained for ModernBert {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        ModernBertConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        write(self.config(), "modernbert", "ModernBertForMaskedLM", self.word.weight.val().dtype())
    }

    fn slots(&mut self) -> Slots<'_> {
        let mut slots = Slots::new();
        slots.table("model.embeddings.tok_embeddings.weight", &mut self.word.weight);
        slots.norm("model.embeddings.norm", &mut self.norm);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let stem = format!("model.layers.{index}");
            if let Some(norm) = &mut layer.attention_norm {
                slots.norm(&format!("{stem}.attn_norm"), norm);
            }
            if let Projections::Fused(map) = &mut layer.attention.projections {
                slots.linear(&format!("{stem}.attn.Wqkv"), map);
            }
            slots.linear(&format!("{stem}.attn.Wo"), &mut layer.attention.output);
            slots.norm(&format!("{stem}.mlp_norm"), &mut layer.mlp_norm);
            slots.linear(&format!("{stem}.mlp.Wi"), &mut layer.inner);
            slots.linear(&format!("{stem}.mlp.Wo"), &mut layer.outer);
        }
        slots.norm("model.final_norm", &mut self.final_norm);
        slots.linear("head.dense", &mut self.dense);
        slots.norm("head.norm", &mut self.head_norm);
        if let Some(bias) = &mut self.bias {
            slots.vector("decoder.bias", bias);
        }
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let (config, word, bias) = self.words_mut();
        let (size, ids) = config.words();
        Words { tables: vec![word], biases: bias.into_iter().collect(), size, ids, pad: None }
    }

    /// Without the prefix, as in folders of an encoder alone.
    fn spellings(&self, key: &str) -> Vec<String> {
        key.strip_prefix("model.").map(str::to_owned).into_iter().collect()
    }

    fn tied(&self) -> Vec<String> {
        vec!["decoder.weight".to_owned()]
    }
}
