//! Upstream names of the encoder's weights.

use burn::module::{Param, ParamId};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Tensor, TensorData};

use crate::config::Family;
use crate::encoder::{Encoder, Layer};
use crate::length::LengthHead;

/// What the families call differently.
pub(super) struct Names {
    /// The `architectures` of `config.json`.
    pub(super) architecture: &'static str,
    /// Before every name of embeddings and layers, except in folders that hold nothing else.
    pub(super) body: &'static str,
    dense: &'static str,
    norm: &'static str,
    bias: &'static str,
    /// Copies of the word table and of the bias that older files hold.
    pub(super) tied: [&'static str; 2],
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

pub(super) const WORDS: &str = "embeddings.word_embeddings.weight";

pub(super) fn names(family: Family) -> &'static Names {
    match family {
        Family::Bert => &BERT,
        Family::Roberta => &ROBERTA,
        Family::XlmRoberta => &XLM_ROBERTA,
    }
}

/// Older spellings of a name, from checkpoints that came from TensorFlow.
pub(super) fn older(key: &str) -> Option<String> {
    let norm = |name, older| key.strip_suffix(name).map(|stem| format!("{stem}{older}"));
    norm("LayerNorm.weight", "LayerNorm.gamma").or_else(|| norm("LayerNorm.bias", "LayerNorm.beta"))
}

/// A parameter and how upstream lays it out.
pub(super) enum Slot<'a> {
    /// Upstream `[out, in]`, here `[in, out]`.
    Linear(&'a mut Param<Tensor<2>>),
    /// The same on both sides.
    Table(&'a mut Param<Tensor<2>>),
    /// The same on both sides.
    Vector(&'a mut Param<Tensor<1>>),
}

impl Slot<'_> {
    /// Upstream's shape.
    pub(super) fn shape(&self) -> Vec<usize> {
        match self {
            Self::Linear(param) => param.lazy_shape().iter().rev().copied().collect(),
            Self::Table(param) => param.lazy_shape().to_vec(),
            Self::Vector(param) => param.lazy_shape().to_vec(),
        }
    }

    /// Puts elements in upstream's order in the parameter.
    pub(super) fn set(self, values: Vec<f32>) {
        let shape = self.shape();
        match self {
            Self::Linear(param) => {
                let [outputs, inputs] = [shape[0], shape[1]];
                fill(param, TensorData::new(transposed(&values, outputs, inputs), [inputs, outputs]));
            }
            Self::Table(param) => fill(param, TensorData::new(values, shape)),
            Self::Vector(param) => fill(param, TensorData::new(values, shape)),
        }
    }

    /// The parameter's elements in upstream's order.
    pub(super) fn get(&self) -> TensorData {
        match self {
            Self::Linear(param) => param.val().transpose().into_data(),
            Self::Table(param) => param.val().into_data(),
            Self::Vector(param) => param.val().into_data(),
        }
    }
}

fn fill<const D: usize>(param: &mut Param<Tensor<D>>, values: TensorData) {
    let id: ParamId = param.id;
    let value = Tensor::from_data(values, &param.lazy_device());
    // Keeps the identity and whether it is trained, and never draws the initial values.
    *param = param.clone().transform_for_load(value, id);
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

/// Every parameter of the model beside its upstream name; `body` stands before embeddings and layers.
pub(super) fn slots<'a>(model: &'a mut Encoder, body: &str) -> Slots<'a> {
    let names = names(model.config().family);
    let mut slots = Vec::new();
    let embeddings = &mut model.embeddings;
    slots.push((format!("{body}{WORDS}"), Slot::Table(&mut embeddings.word.weight)));
    for (name, table) in [("position", &mut embeddings.position), ("token_type", &mut embeddings.token_type)]
    {
        let key = format!("{body}embeddings.{name}_embeddings.weight");
        slots.push((key, Slot::Table(&mut table.weight)));
    }
    norm(&mut slots, &format!("{body}embeddings.LayerNorm"), &mut embeddings.norm);
    for (index, layer) in model.layers.iter_mut().enumerate() {
        layer_slots(&mut slots, &format!("{body}encoder.layer.{index}"), layer);
    }
    linear(&mut slots, names.dense, &mut model.head.dense);
    norm(&mut slots, names.norm, &mut model.head.norm);
    slots.push((names.bias.to_owned(), Slot::Vector(&mut model.head.bias)));
    slots
}

pub(super) type Slots<'a> = Vec<(String, Slot<'a>)>;

/// Every parameter of a length head; its layer is named as BERT's.
pub(super) fn head_slots(head: &mut LengthHead) -> Slots<'_> {
    let mut slots = Vec::new();
    layer_slots(&mut slots, "layer", &mut head.layer);
    linear(&mut slots, "inner", &mut head.inner);
    linear(&mut slots, "outer", &mut head.outer);
    slots
}

fn layer_slots<'a>(slots: &mut Slots<'a>, stem: &str, layer: &'a mut Layer) {
    for (name, layer) in [
        ("attention.self.query", &mut layer.attention.query),
        ("attention.self.key", &mut layer.attention.key),
        ("attention.self.value", &mut layer.attention.value),
        ("attention.output.dense", &mut layer.attention.output),
        ("intermediate.dense", &mut layer.inner),
        ("output.dense", &mut layer.outer),
    ] {
        linear(slots, &format!("{stem}.{name}"), layer);
    }
    for (name, layer) in [
        ("attention.output.LayerNorm", &mut layer.attention_norm),
        ("output.LayerNorm", &mut layer.output_norm),
    ] {
        norm(slots, &format!("{stem}.{name}"), layer);
    }
}

fn linear<'a>(slots: &mut Slots<'a>, stem: &str, layer: &'a mut Linear) {
    slots.push((format!("{stem}.weight"), Slot::Linear(&mut layer.weight)));
    slots.extend(layer.bias.as_mut().map(|bias| (format!("{stem}.bias"), Slot::Vector(bias))));
}

fn norm<'a>(slots: &mut Slots<'a>, stem: &str, layer: &'a mut LayerNorm) {
    slots.push((format!("{stem}.weight"), Slot::Vector(&mut layer.gamma)));
    slots.extend(layer.beta.as_mut().map(|bias| (format!("{stem}.bias"), Slot::Vector(bias))));
}
