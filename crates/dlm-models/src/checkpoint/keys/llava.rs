//! Names of LLaVA, of CLIP's vision tower inside it, and of LLaVA's own projector files.

use burn::tensor::Device;

use super::bert::{LayerNames, layer_slots};
use crate::Error;
use crate::checkpoint::{Pretrained, Slot, Slots, Words};
use crate::clip::ClipVision;
use crate::config::read::write;
use crate::llava::{Llava, LlavaConfig};

const LANGUAGE: &str = "language_model.";
const TOWER: &str = "vision_tower.";
const PROJECTOR: &str = "multi_modal_projector.";

const LAYER: LayerNames = LayerNames {
    attention: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"],
    inner: "mlp.fc1",
    outer: "mlp.fc2",
    attention_norm: "layer_norm1",
    output_norm: "layer_norm2",
};

impl Pretrained for Llava {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        LlavaConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        let dtype = self.projector.inner.weight.val().dtype();
        write(self.config(), "llava", "LlavaForConditionalGeneration", dtype)
    }

    fn slots(&mut self) -> Slots<'_> {
        let mut slots = Slots::new();
        for (key, slot) in self.language.slots() {
            slots.put(format!("{LANGUAGE}{key}"), slot);
        }
        tower_slots(&mut slots, &format!("{TOWER}vision_model"), &mut self.tower);
        slots.linear(&format!("{PROJECTOR}linear_1"), &mut self.projector.inner);
        slots.linear(&format!("{PROJECTOR}linear_2"), &mut self.projector.outer);
        slots
    }

    fn words(&mut self) -> Words<'_> {
        self.language.words()
    }

    /// Those of a folder of the language model, of the tower, or of a projector alone.
    fn spellings(&self, key: &str) -> Vec<String> {
        if let Some(bare) = key.strip_prefix(LANGUAGE) {
            let older = self.language.spellings(bare);
            return std::iter::once(bare.to_owned()).chain(older).collect();
        }
        if let Some(bare) = key.strip_prefix(TOWER) {
            return vec![bare.to_owned()];
        }
        let numbered =
            |from, to| key.strip_prefix(PROJECTOR)?.strip_prefix(from).map(|end| format!("{to}{end}"));
        let number = numbered("linear_1", "0").or_else(|| numbered("linear_2", "2"));
        let files = ["mm_projector.", "model.mm_projector."];
        number.map_or_else(Vec::new, |number| files.map(|file| format!("{file}{number}")).to_vec())
    }

    fn tied(&self) -> Vec<String> {
        let copies = self.language.tied();
        let prefixed: Vec<String> = copies.iter().map(|key| format!("{LANGUAGE}{key}")).collect();
        prefixed.into_iter().chain(copies).collect()
    }
}

fn tower_slots<'a>(slots: &mut Slots<'a>, stem: &str, tower: &'a mut ClipVision) {
    let (channels, side) = (tower.config().num_channels, tower.config().patch_size);
    slots.vector(format!("{stem}.embeddings.class_embedding"), &mut tower.class);
    slots.put(
        format!("{stem}.embeddings.patch_embedding.weight"),
        Slot::Patches { weight: &mut tower.patch.weight, channels, side },
    );
    slots.table(format!("{stem}.embeddings.position_embedding.weight"), &mut tower.position.weight);
    // Upstream's spelling.
    slots.norm(&format!("{stem}.pre_layrnorm"), &mut tower.first_norm);
    for (index, layer) in tower.layers.iter_mut().enumerate() {
        layer_slots(slots, &format!("{stem}.encoder.layers.{index}"), layer, &LAYER);
    }
    slots.norm(&format!("{stem}.post_layernorm"), &mut tower.final_norm);
}
