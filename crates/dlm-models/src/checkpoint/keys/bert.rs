//! Names of BERT, RoBERTa and XLM-R.

use burn::tensor::Device;

use crate::Error;
use crate::checkpoint::{Pretrained, Slots, Words};
use crate::config::{EncoderConfig, Family};
use crate::encoder::{Encoder, Layer};

/// What the families call differently.
struct Names {
    /// The `architectures` of `config.json`.
    architecture: &'static str,
    /// Before every name of embeddings and layers, except in folders that hold nothing else.
    body: &'static str,
    dense: &'static str,
    norm: &'static str,
    bias: &'static str,
    /// Copies of the word table and of the bias that older files hold.
    tied: [&'static str; 2],
}

const BERT: Names = Names {
    architecture: "BertForMaskedLM",
    body: "bert.",
    dense: "cls.predictions.transform.dense",
    norm: "cls.predictions.transform.LayerNorm",
    bias: "cls.predictions.bias",
    tied: ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"],
};

const ROBERTA: Names = Names {
    architecture: "RobertaForMaskedLM",
    body: "roberta.",
    dense: "lm_head.dense",
    norm: "lm_head.layer_norm",
    bias: "lm_head.bias",
    tied: ["lm_head.decoder.weight", "lm_head.decoder.bias"],
};

const XLM_ROBERTA: Names = Names { architecture: "XLMRobertaForMaskedLM", ..ROBERTA };

fn names(family: Family) -> &'static Names {
    match family {
        Family::Bert => &BERT,
        Family::Roberta => &ROBERTA,
        Family::XlmRoberta => &XLM_ROBERTA,
    }
}

impl Pretrained for Encoder {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        EncoderConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        self.config().clone().describing(names(self.config().family).architecture).to_json()
    }

    fn slots(&mut self) -> Slots<'_> {
        let names = names(self.config().family);
        let body = names.body;
        let mut slots = Slots::new();
        let embeddings = &mut self.embeddings;
        for (name, table) in [
            ("word", &mut embeddings.word),
            ("position", &mut embeddings.position),
            ("token_type", &mut embeddings.token_type),
        ] {
            slots.table(format!("{body}embeddings.{name}_embeddings.weight"), &mut table.weight);
        }
        slots.norm(&format!("{body}embeddings.LayerNorm"), &mut embeddings.norm);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer_slots(&mut slots, &format!("{body}encoder.layer.{index}"), layer);
        }
        slots.linear(names.dense, &mut self.head.dense);
        slots.norm(names.norm, &mut self.head.norm);
        slots.vector(names.bias, &mut self.head.bias);
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let (config, word, bias) = self.words_mut();
        Words {
            tables: vec![word],
            biases: vec![bias],
            size: &mut config.vocab_size,
            pad: Some(config.pad_token_id),
        }
    }

    /// Without the prefix, as in folders of an encoder alone; with TensorFlow's names of norms.
    fn spellings(&self, key: &str) -> Vec<String> {
        let bare = key.strip_prefix(names(self.config().family).body);
        let stems: Vec<&str> = std::iter::once(key).chain(bare).collect();
        let older = |key: &&str| {
            let norm = |name, older| key.strip_suffix(name).map(|stem| format!("{stem}{older}"));
            norm("LayerNorm.weight", "LayerNorm.gamma").or_else(|| norm("LayerNorm.bias", "LayerNorm.beta"))
        };
        bare.map(str::to_owned).into_iter().chain(stems.iter().filter_map(older)).collect()
    }

    fn tied(&self) -> Vec<String> {
        names(self.config().family).tied.map(str::to_owned).to_vec()
    }
}

/// The parameters of a layer; those of a length head's have the same names.
pub(in crate::checkpoint) fn layer_slots<'a>(slots: &mut Slots<'a>, stem: &str, layer: &'a mut Layer) {
    for (name, layer) in [
        ("attention.self.query", &mut layer.attention.query),
        ("attention.self.key", &mut layer.attention.key),
        ("attention.self.value", &mut layer.attention.value),
        ("attention.output.dense", &mut layer.attention.output),
        ("intermediate.dense", &mut layer.inner),
        ("output.dense", &mut layer.outer),
    ] {
        slots.linear(&format!("{stem}.{name}"), layer);
    }
    for (name, layer) in [
        ("attention.output.LayerNorm", &mut layer.attention_norm),
        ("output.LayerNorm", &mut layer.output_norm),
    ] {
        slots.norm(&format!("{stem}.{name}"), layer);
    }
}
