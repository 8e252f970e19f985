//! Names of MDLM, UDLM, Duo and SEDD.

use burn::tensor::Device;

use crate::Error;
use crate::checkpoint::{Pretrained, Slots, Words};
use crate::dit::{Dit, DitBlock, DitConfig, DitLayout};
use crate::grouped::Projections;

impl Pretrained for Dit {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        DitConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        self.config().to_json(self.word.val().dtype())
    }

    fn slots(&mut self) -> Slots<'_> {
        let body = body(self.config().layout);
        let mut slots = Slots::new();
        slots.table(format!("{body}vocab_embed.embedding"), &mut self.word);
        if let Some(time) = &mut self.time {
            slots.linear(&format!("{body}sigma_map.mlp.0"), &mut time.inner);
            slots.linear(&format!("{body}sigma_map.mlp.2"), &mut time.outer);
        }
        for (index, block) in self.blocks.iter_mut().enumerate() {
            block_slots(&mut slots, &format!("{body}blocks.{index}"), block);
        }
        let output = format!("{body}output_layer");
        slots.norm(&format!("{output}.norm_final"), &mut self.final_norm);
        slots.table(format!("{output}.linear.weight"), &mut self.decoder);
        slots.vector(format!("{output}.linear.bias"), &mut self.bias);
        if let Some(map) = &mut self.modulation {
            slots.linear(&format!("{output}.adaLN_modulation"), map);
        }
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let (config, tables, bias) = self.words_mut();
        let (size, ids) = config.words();
        Words { tables: tables.into(), biases: vec![bias], size, ids, pad: None }
    }

    /// With the other layouts' prefix, or none.
    fn spellings(&self, key: &str) -> Vec<String> {
        match key.strip_prefix("backbone.") {
            Some(bare) => vec![bare.to_owned()],
            None => vec![format!("backbone.{key}")],
        }
    }

    fn constants(&self) -> Vec<(String, Vec<f32>)> {
        let key = format!("{}rotary_emb.inv_freq", body(self.config().layout));
        vec![(key, self.rotary.stored())]
    }

    /// Angles that follow from the width.
    fn tied(&self) -> Vec<String> {
        ["rotary_emb.inv_freq", "backbone.rotary_emb.inv_freq"].map(str::to_owned).to_vec()
    }
}

/// Before every name, in folders of Hugging Face classes.
fn body(layout: DitLayout) -> &'static str {
    match layout {
        DitLayout::Mdlm | DitLayout::Udlm | DitLayout::Duo => "backbone.",
        DitLayout::Sedd | DitLayout::SeddUniform => "",
    }
}

fn block_slots<'a>(slots: &mut Slots<'a>, stem: &str, block: &'a mut DitBlock) {
    slots.norm(&format!("{stem}.norm1"), &mut block.attention_norm);
    if let Projections::Fused(map) = &mut block.attention.projections {
        slots.linear(&format!("{stem}.attn_qkv"), map);
    }
    slots.linear(&format!("{stem}.attn_out"), &mut block.attention.output);
    slots.norm(&format!("{stem}.norm2"), &mut block.mlp_norm);
    slots.linear(&format!("{stem}.mlp.0"), &mut block.mlp.inner);
    slots.linear(&format!("{stem}.mlp.2"), &mut block.mlp.outer);
    if let Some(map) = &mut block.modulation {
        slots.linear(&format!("{stem}.adaLN_modulation"), map);
    }
}
