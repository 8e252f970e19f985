//! Names of ALBERT.

use burn::tensor::Device;

use super::bert::{LayerNames, embedding_slots, layer_slots};
use crate::Error;
use crate::albert::{Albert, AlbertConfig};
use crate::checkpoint::{Pretrained, Slots, Words};
use crate::config::read::write;

const LAYER: LayerNames = LayerNames {
    attention: ["attention.query", "attention.key", "attention.value", "attention.dense"],
    inner: "ffn",
    outer: "ffn_output",
    attention_norm: "attention.LayerNorm",
    output_norm: "full_layer_layer_norm",
};

impl Pretrained for Albert {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        AlbertConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        write(self.config(), "albert", "AlbertForMaskedLM", self.embeddings.word.weight.val().dtype())
    }

    fn slots(&mut self) -> Slots<'_> {
        let mut slots = Slots::new();
        embedding_slots(&mut slots, "albert.embeddings", &mut self.embeddings);
        slots.linear("albert.encoder.embedding_hidden_mapping_in", &mut self.widening);
        for (index, layer) in self.groups.iter_mut().enumerate() {
            let stem = format!("albert.encoder.albert_layer_groups.{index}.albert_layers.0");
            layer_slots(&mut slots, &stem, layer, &LAYER);
        }
        slots.linear("predictions.dense", &mut self.head.dense);
        slots.norm("predictions.LayerNorm", &mut self.head.norm);
        slots.vector("predictions.bias", &mut self.head.bias);
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let (config, word, bias) = self.words_mut();
        let (size, ids) = config.words();
        Words { tables: vec![word], biases: vec![bias], size, ids, pad: None }
    }

    /// Without the prefix, as in folders of an encoder alone.
    fn spellings(&self, key: &str) -> Vec<String> {
        key.strip_prefix("albert.").map(str::to_owned).into_iter().collect()
    }

    fn tied(&self) -> Vec<String> {
        ["predictions.decoder.weight", "predictions.decoder.bias"].map(str::to_owned).to_vec()
    }
}
