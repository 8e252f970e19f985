//! Names of RDM's encoder–decoder in fairseq.

use burn::tensor::Device;

use super::bert::{LayerNames, layer_slots};
use crate::Error;
use crate::checkpoint::{Pretrained, Slots, Words};
use crate::config::read::write;
use crate::rdm::{Rdm, RdmConfig, RdmEmbedding};

const LAYER: LayerNames = LayerNames {
    attention: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"],
    inner: "fc1",
    outer: "fc2",
    attention_norm: "self_attn_layer_norm",
    output_norm: "final_layer_norm",
};

impl Pretrained for Rdm {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        RdmConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        write(self.config(), "diffusion_transformer", "diffusion_transformer", self.word.weight.val().dtype())
    }

    fn slots(&mut self) -> Slots<'_> {
        let mut slots = Slots::new();
        slots.table("encoder.embed_tokens.weight", &mut self.word.weight);
        side_slots(&mut slots, "encoder", &mut self.source);
        for (index, layer) in self.encoder.iter_mut().enumerate() {
            layer_slots(&mut slots, &format!("encoder.layers.{index}"), layer, &LAYER);
        }
        side_slots(&mut slots, "decoder", &mut self.target);
        slots.linear("decoder.time_pos_emb.output_mlp", &mut self.time);
        slots.table("decoder.embed_length.weight", &mut self.lengths.weight);
        for (index, layer) in self.decoder.iter_mut().enumerate() {
            let stem = format!("decoder.layers.{index}");
            layer_slots(&mut slots, &stem, &mut layer.layer, &LAYER);
            let across = &mut layer.across;
            for (name, map) in [
                ("q_proj", &mut across.query),
                ("k_proj", &mut across.key),
                ("v_proj", &mut across.value),
                ("out_proj", &mut across.output),
            ] {
                slots.linear(&format!("{stem}.encoder_attn.{name}"), map);
            }
            slots.norm(&format!("{stem}.encoder_attn_layer_norm"), &mut layer.across_norm);
        }
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let (config, word) = self.words_mut();
        let pad = Some(config.pad_token_id);
        let (size, ids) = config.words();
        Words { tables: vec![word], biases: Vec::new(), size, ids, pad }
    }

    /// Copies of the word table, and numbers of fairseq's format.
    fn tied(&self) -> Vec<String> {
        let copies = ["embed_tokens.weight", "output_projection.weight", "version"];
        let decoder = copies.map(|name| format!("decoder.{name}"));
        decoder.into_iter().chain(["encoder.version".to_owned()]).collect()
    }
}

fn side_slots<'a>(slots: &mut Slots<'a>, side: &str, embedding: &'a mut RdmEmbedding) {
    slots.table(format!("{side}.embed_positions.weight"), &mut embedding.position.weight);
    slots.linear(&format!("{side}.pe_fusion_ffn"), &mut embedding.fusion);
}
