//! Names of BERT, DistilBERT, RoBERTa, XLM-R and XLM-R XL.

use burn::tensor::Device;

use super::fairseq;
use crate::Error;
use crate::checkpoint::{Pretrained, Slots, Words, torch_dtype};
use crate::config::{EncoderConfig, Family};
use crate::encoder::{Embeddings, Encoder, Layer};

/// What the families call differently.
struct Names {
    /// The `architectures` of `config.json`.
    architecture: &'static str,
    /// Before every name of embeddings and layers, except in folders that hold nothing else.
    body: &'static str,
    /// Before the number of a layer.
    layers: &'static str,
    layer: &'static LayerNames,
    dense: &'static str,
    norm: &'static str,
    bias: &'static str,
    /// Copies of the word table and of the bias that older files hold.
    tied: &'static [&'static str],
}

/// What the parts of a layer are called.
pub(in crate::checkpoint) struct LayerNames {
    /// Query, key, value, and the map of what they gathered.
    pub(super) attention: [&'static str; 4],
    pub(super) inner: &'static str,
    pub(super) outer: &'static str,
    pub(super) attention_norm: &'static str,
    pub(super) output_norm: &'static str,
}

/// Those of BERT, which a length head has too.
pub(in crate::checkpoint) const BERT_LAYER: LayerNames = LayerNames {
    attention: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
    ],
    inner: "intermediate.dense",
    outer: "output.dense",
    attention_norm: "attention.output.LayerNorm",
    output_norm: "output.LayerNorm",
};

const BERT: Names = Names {
    architecture: "BertForMaskedLM",
    body: "bert.",
    layers: "encoder.layer",
    layer: &BERT_LAYER,
    dense: "cls.predictions.transform.dense",
    norm: "cls.predictions.transform.LayerNorm",
    bias: "cls.predictions.bias",
    tied: &["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"],
};

const DISTILBERT: Names = Names {
    architecture: "DistilBertForMaskedLM",
    body: "distilbert.",
    layers: "transformer.layer",
    layer: &LayerNames {
        attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
        inner: "ffn.lin1",
        outer: "ffn.lin2",
        attention_norm: "sa_layer_norm",
        output_norm: "output_layer_norm",
    },
    dense: "vocab_transform",
    norm: "vocab_layer_norm",
    bias: "vocab_projector.bias",
    tied: &["vocab_projector.weight"],
};

const ROBERTA: Names = Names {
    architecture: "RobertaForMaskedLM",
    body: "roberta.",
    dense: "lm_head.dense",
    norm: "lm_head.layer_norm",
    bias: "lm_head.bias",
    tied: &[
        "lm_head.decoder.weight",
        "lm_head.decoder.bias",
        "decoder.lm_head.weight",
        "encoder.lm_head.weight",
    ],
    ..BERT
};

const XLM_ROBERTA: Names = Names { architecture: "XLMRobertaForMaskedLM", ..ROBERTA };

const XLM_ROBERTA_XL: Names = Names {
    architecture: "XLMRobertaXLForMaskedLM",
    layer: &LayerNames {
        attention_norm: "attention.self_attn_layer_norm",
        output_norm: "LayerNorm",
        ..BERT_LAYER
    },
    ..ROBERTA
};

fn names(family: Family) -> &'static Names {
    match family {
        Family::Bert => &BERT,
        Family::DistilBert => &DISTILBERT,
        Family::Roberta => &ROBERTA,
        Family::XlmRoberta => &XLM_ROBERTA,
        Family::XlmRobertaXl => &XLM_ROBERTA_XL,
    }
}

impl Pretrained for Encoder {
    fn from_config(json: &str, device: &Device) -> Result<Self, Error> {
        EncoderConfig::from_json(json)?.init(device)
    }

    fn to_config(&self) -> String {
        let dtype = torch_dtype(self.embeddings.word.weight.val().dtype());
        self.config().clone().describing(names(self.config().family).architecture, dtype).to_json()
    }

    fn slots(&mut self) -> Slots<'_> {
        let names = names(self.config().family);
        let body = names.body;
        let mut slots = Slots::new();
        embedding_slots(&mut slots, &format!("{body}embeddings"), &mut self.embeddings);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer_slots(&mut slots, &format!("{body}{}.{index}", names.layers), layer, names.layer);
        }
        if let Some(norm) = &mut self.final_norm {
            slots.norm(&format!("{body}encoder.LayerNorm"), norm);
        }
        slots.linear(names.dense, &mut self.head.dense);
        slots.norm(names.norm, &mut self.head.norm);
        slots.vector(names.bias, &mut self.head.bias);
        slots
    }

    fn words(&mut self) -> Words<'_> {
        let (config, word, bias) = self.words_mut();
        let pad = (config.first_position() > 0).then_some(config.pad_token_id);
        let (size, ids) = config.words();
        Words { tables: vec![word], biases: vec![bias], size, ids, pad }
    }

    /// Without the prefix, as in folders of an encoder alone; with TensorFlow's names of norms; with fairseq's of
    /// everything.
    fn spellings(&self, key: &str) -> Vec<String> {
        let bare = key.strip_prefix(names(self.config().family).body);
        let stems: Vec<&str> = std::iter::once(key).chain(bare).collect();
        let older = |key: &&str| {
            let norm = |name, older| key.strip_suffix(name).map(|stem| format!("{stem}{older}"));
            norm("LayerNorm.weight", "LayerNorm.gamma").or_else(|| norm("LayerNorm.bias", "LayerNorm.beta"))
        };
        let fairseq = fairseq::spellings(key);
        bare.map(str::to_owned).into_iter().chain(stems.iter().filter_map(older)).chain(fairseq).collect()
    }

    /// fairseq has no token types.
    fn is_zero(&self, key: &str, has: &dyn Fn(&str) -> bool) -> bool {
        key.ends_with("token_type_embeddings.weight") && fairseq::is_fairseq(has)
    }

    fn tied(&self) -> Vec<String> {
        names(self.config().family).tied.iter().map(|&key| key.to_owned()).collect()
    }
}

/// The parameters of the tables that are summed.
pub(super) fn embedding_slots<'a>(slots: &mut Slots<'a>, stem: &str, embeddings: &'a mut Embeddings) {
    for (name, table) in [
        ("word", Some(&mut embeddings.word)),
        ("position", Some(&mut embeddings.position)),
        ("token_type", embeddings.token_type.as_mut()),
    ] {
        if let Some(table) = table {
            slots.table(format!("{stem}.{name}_embeddings.weight"), &mut table.weight);
        }
    }
    if let Some(norm) = &mut embeddings.norm {
        slots.norm(&format!("{stem}.LayerNorm"), norm);
    }
}

/// The parameters of a layer.
pub(in crate::checkpoint) fn layer_slots<'a>(
    slots: &mut Slots<'a>,
    stem: &str,
    layer: &'a mut Layer,
    names: &LayerNames,
) {
    let attention = &mut layer.attention;
    let maps = [&mut attention.query, &mut attention.key, &mut attention.value, &mut attention.output];
    for (name, map) in names.attention.iter().zip(maps) {
        slots.linear(&format!("{stem}.{name}"), map);
    }
    slots.linear(&format!("{stem}.{}", names.inner), &mut layer.inner);
    slots.linear(&format!("{stem}.{}", names.outer), &mut layer.outer);
    slots.norm(&format!("{stem}.{}", names.attention_norm), &mut layer.attention_norm);
    slots.norm(&format!("{stem}.{}", names.output_norm), &mut layer.output_norm);
}
