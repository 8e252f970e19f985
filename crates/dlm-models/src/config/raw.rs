use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::read::Rest;
use super::{Activation, EncoderConfig, Family};
use crate::Error;

/// What DistilBERT calls differently, and what it does not have.
const DISTILBERT: [(&str, Option<&str>); 9] = [
    ("hidden_size", Some("dim")),
    ("num_hidden_layers", Some("n_layers")),
    ("num_attention_heads", Some("n_heads")),
    ("intermediate_size", Some("hidden_dim")),
    ("hidden_act", Some("activation")),
    ("hidden_dropout_prob", Some("dropout")),
    ("attention_probs_dropout_prob", Some("attention_dropout")),
    ("type_vocab_size", None),
    ("layer_norm_eps", None),
];

/// `config.json` as upstream writes it: nothing checked, optional fields optional.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Raw {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_type: Option<String>,
    vocab_size: usize,
    #[serde(alias = "dim")]
    hidden_size: usize,
    #[serde(alias = "n_layers")]
    num_hidden_layers: usize,
    #[serde(alias = "n_heads")]
    num_attention_heads: usize,
    #[serde(alias = "hidden_dim")]
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(alias = "activation")]
    hidden_act: Option<String>,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f64>,
    #[serde(alias = "dropout")]
    hidden_dropout_prob: Option<f64>,
    #[serde(alias = "attention_dropout")]
    attention_probs_dropout_prob: Option<f64>,
    pad_token_id: Option<usize>,
    initializer_range: Option<f64>,
    #[serde(flatten)]
    rest: Rest,
}

impl TryFrom<Raw> for EncoderConfig {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        let family: Family = raw.model_type.as_deref().ok_or(Error::NoFamily)?.parse()?;
        refuse_variants(&raw.rest)?;
        let config = Self {
            family,
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            intermediate_size: raw.intermediate_size,
            hidden_act: raw.hidden_act.as_deref().map_or(Ok(Activation::default()), str::parse)?,
            max_position_embeddings: raw.max_position_embeddings,
            type_vocab_size: raw.type_vocab_size.unwrap_or(2),
            layer_norm_eps: raw.layer_norm_eps.unwrap_or(1e-12),
            hidden_dropout_prob: raw.hidden_dropout_prob.unwrap_or(0.1),
            attention_probs_dropout_prob: raw.attention_probs_dropout_prob.unwrap_or(0.1),
            pad_token_id: raw.pad_token_id.unwrap_or(match family {
                Family::Bert | Family::DistilBert => 0,
                Family::Roberta | Family::XlmRoberta | Family::XlmRobertaXl => 1,
            }),
            initializer_range: raw.initializer_range.unwrap_or(0.02),
            rest: raw.rest,
        };
        config.validate()?;
        Ok(config)
    }
}

impl From<EncoderConfig> for Raw {
    fn from(config: EncoderConfig) -> Self {
        Self {
            model_type: Some(config.family.model_type().to_owned()),
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            intermediate_size: config.intermediate_size,
            max_position_embeddings: config.max_position_embeddings,
            hidden_act: Some(config.hidden_act.hidden_act().to_owned()),
            type_vocab_size: Some(config.type_vocab_size),
            layer_norm_eps: Some(config.layer_norm_eps),
            hidden_dropout_prob: Some(config.hidden_dropout_prob),
            attention_probs_dropout_prob: Some(config.attention_probs_dropout_prob),
            pad_token_id: Some(config.pad_token_id),
            initializer_range: Some(config.initializer_range),
            rest: config.rest,
        }
    }
}

impl From<EncoderConfig> for Value {
    fn from(config: EncoderConfig) -> Self {
        let family = config.family;
        // Numbers, strings and what was read as JSON cannot fail to be written.
        let mut fields = serde_json::to_value(Raw::from(config)).unwrap_or_default();
        if let (Family::DistilBert, Some(fields)) = (family, fields.as_object_mut()) {
            rename(fields);
        }
        fields
    }
}

fn rename(fields: &mut Map<String, Value>) {
    for (ours, theirs) in DISTILBERT {
        let value = fields.remove(ours);
        if let (Some(theirs), Some(value)) = (theirs, value) {
            fields.insert(theirs.to_owned(), value);
        }
    }
}

/// Fails on fields that would change the mathematics in a way the encoder does not know.
fn refuse_variants(rest: &Rest) -> Result<(), Error> {
    let plain: [(&'static str, Value); 3] = [
        ("position_embedding_type", "absolute".into()),
        ("tie_word_embeddings", true.into()),
        ("is_decoder", false.into()),
    ];
    for (field, expected) in plain {
        match rest.get(field) {
            Some(got) if *got != expected => {
                return Err(Error::Unsupported { field, got: got.to_string() });
            }
            _ => {}
        }
    }
    Ok(())
}
