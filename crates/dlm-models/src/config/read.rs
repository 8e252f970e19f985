//! What the configurations of all families are read, checked and written with.

use burn::tensor::DType;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Activation, require};
use crate::Error;
use crate::checkpoint::{Id, torch_dtype};

/// Fields that a network does not read, kept for saving.
pub(crate) type Rest = Map<String, Value>;

/// What is asked of the text of a `config.json` before it becomes a struct.
pub(crate) struct Rules {
    /// The values that `model_type` may have.
    pub(crate) model_types: &'static [&'static str],
    /// Fields that name an [`Activation`].
    pub(crate) activations: &'static [&'static str],
    /// Fields that would change the mathematics, each with the one value (JSON) that is implemented.
    pub(crate) plain: &'static [(&'static str, &'static str)],
}

/// Reads a configuration whose absent fields have their defaults.
///
/// # Errors
/// [`Error::ConfigJson`], [`Error::NoFamily`], [`Error::Unsupported`] for the first rule that is broken.
pub(crate) fn read<C: DeserializeOwned>(text: &str, rules: &Rules) -> Result<C, Error> {
    let fields: Map<String, Value> = serde_json::from_str(text).map_err(Error::ConfigJson)?;
    let model_type = fields.get("model_type").and_then(Value::as_str).ok_or(Error::NoFamily)?;
    if !rules.model_types.contains(&model_type) {
        return Err(Error::Unsupported { field: "model_type", got: model_type.to_owned() });
    }
    for &field in rules.activations {
        if let Some(name) = fields.get(field).and_then(Value::as_str) {
            let unsupported = |_| Error::Unsupported { field, got: name.to_owned() };
            name.parse::<Activation>().map_err(unsupported)?;
        }
    }
    for &(field, expected) in rules.plain {
        if let Some(got) = fields.get(field).map(Value::to_string).filter(|got| got != expected) {
            return Err(Error::Unsupported { field, got });
        }
    }
    serde_json::from_str(text).map_err(Error::ConfigJson)
}

/// The text of a `config.json`: the fields of a configuration, and what upstream wants to know before it reads
/// the weights.
pub(crate) fn write(config: &impl Serialize, model_type: &str, architecture: &str, dtype: DType) -> String {
    // Structs of numbers and strings, and what was read as JSON, cannot fail to be written.
    let mut fields = serde_json::to_value(config).unwrap_or_default();
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("model_type".to_owned(), model_type.into());
        fields.insert("architectures".to_owned(), vec![architecture].into());
        fields.insert("torch_dtype".to_owned(), torch_dtype(dtype).into());
        fields.remove("dtype");
    }
    format!("{fields:#}")
}

/// The ids of words in a configuration: those that the network reads, by the names of their fields, and the others.
pub(crate) fn ids<'a>(
    read: impl IntoIterator<Item = (&'static str, &'a mut usize)>,
    rest: &'a mut Rest,
) -> Vec<Id<'a>> {
    let kept = rest.iter_mut().filter(|(field, _)| field.ends_with("_token_id"));
    let kept = kept.map(|(_, value)| Id::Kept(value));
    read.into_iter().map(|(field, id)| Id::Read(field, id)).chain(kept).collect()
}

/// # Errors
/// [`Error::Config`] for the first size that is zero.
pub(crate) fn require_sizes(sizes: &[(&'static str, usize)]) -> Result<(), Error> {
    sizes.iter().try_for_each(|&(field, size)| require(size > 0, field, "at least 1", size))
}

/// # Errors
/// [`Error::Config`] for the first rate of dropout that is none.
pub(crate) fn require_rates(rates: &[(&'static str, f64)]) -> Result<(), Error> {
    (rates.iter())
        .try_for_each(|&(field, rate)| require((0.0..1.0).contains(&rate), field, "in [0, 1)", rate))
}

/// # Errors
/// [`Error::Config`] for the first number that is not positive and finite.
pub(crate) fn require_positive(numbers: &[(&'static str, f64)]) -> Result<(), Error> {
    (numbers.iter()).try_for_each(|&(field, number)| {
        require(number > 0.0 && number.is_finite(), field, "a positive number", number)
    })
}
