//! Names of ESM-2.

use burn::tensor::Device;

use super::bert::{BERT_LAYER, LayerNames, layer_slots};
use crate::Error;
use crate::checkpoint::{Pretrained, Slots, Words};
use crate::config::read::write;
use crate::esm::{Esm, EsmConfig};

const LAYER: LayerNames =
    LayerNames { attention_norm: "attention.LayerNorm", output_norm: "LayerNorm", ..BERT_LAYER };

impl Pretrained for Esm {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        EsmConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        write(self.config(), "esm", "EsmForMaskedLM", self.word.weight.val().dtype())
    }

    fn slots(&mut self) -> Slots<'_> {
        let mut slots = Slots::new();
        slots.table("esm.embeddings.word_embeddings.weight", &mut self.word.weight);
        if let Some(norm) = &mut self.embedding_norm {
            slots.norm("esm.embeddings.layer_norm", norm);
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer_slots(&mut slots, &format!("esm.encoder.layer.{index}"), layer, &LAYER);
        }
        slots.norm("esm.encoder.emb_layer_norm_after", &mut self.final_norm);
        slots.linear("esm.contact_head.regression", &mut self.contact);
        slots.linear("lm_head.dense", &mut self.head.dense);
        slots.norm("lm_head.layer_norm", &mut self.head.norm);
        slots.vector("lm_head.bias", &mut self.head.bias);
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let (config, word, bias) = self.words_mut();
        let (size, ids) = config.words();
        Words { tables: vec![word], biases: vec![bias], size, ids, pad: None }
    }

    /// Without the prefix, as in folders of an encoder alone.
    fn spellings(&self, key: &str) -> Vec<String> {
        key.strip_prefix("esm.").map(str::to_owned).into_iter().collect()
    }

    /// The angles of each layer.
    fn constants(&self) -> Vec<(String, Vec<f32>)> {
        let key = |layer| format!("esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq");
        (0..self.layers.len()).map(|layer| (key(layer), self.rotary.stored())).collect()
    }

    /// The decoder, the angles, and a position table that nobody reads.
    fn tied(&self) -> Vec<String> {
        let copies = ["lm_head.decoder.weight", "esm.embeddings.position_embeddings.weight"];
        let angles = self.constants().into_iter().map(|(key, _)| key);
        copies.map(str::to_owned).into_iter().chain(angles).collect()
    }
}
