//! Values inside a JSON object, found by paths, and the texts they are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::data::Case;
use crate::data::file::Object;

/// The value at a path: the name of a field, or names and places in lists, from 0, with dots between them, as in
/// `translation.de` and `choices.0`. A field whose own name has dots is found by the whole of it.
pub(super) fn at<'a>(object: &'a Object, path: &str) -> Option<&'a Value> {
    let nested = || {
        let mut steps = path.split('.');
        let first = object.get(steps.next()?)?;
        steps.try_fold(first, |value, step| match value {
            Value::Object(object) => object.get(step),
            Value::Array(list) => list.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    };
    object.get(path).or_else(nested)
}

/// The text that a value is: a number and a boolean are written as in JSON, 3 without a point and 3.0 with it.
pub(super) fn written(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The texts of a list, if it is a list of texts, numbers and booleans.
fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|value| written(value).map(Cow::into_owned)).collect()
}

/// Hands over each value of an object, however deep it lies, with its path; those of the object itself come last.
fn each(object: &Object, take: &mut impl FnMut(&str, &Value)) {
    for (name, value) in object {
        inside(name, value, take);
    }
    for (name, value) in object {
        take(name, value);
    }
}

/// Hands over what lies within a value.
fn inside(path: &str, value: &Value, take: &mut impl FnMut(&str, &Value)) {
    let mut step = |name: &str, value: &Value| {
        let path = format!("{path}.{name}");
        take(&path, value);
        inside(&path, value, take);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(name, value)| step(name, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(place, value)| step(&place.to_string(), value));
        }
        _ => {}
    }
}

impl Case {
    /// All texts, numbers and booleans of a JSON object, each by its path: a field's name, or names and places in
    /// lists, from 0, with dots between them. Where two have one path, as `a.b` and the `b` of `a`, the field's own
    /// name goes before.
    ///
    /// # Example
    /// ```
    /// use dlm_train::data::Case;
    /// let json = serde_json::json!({"translation": {"de": "Hallo."}, "choices": ["yes", "no"], "answer": 1});
    /// let case = Case::of_object(json.as_object().expect("an object"));
    /// assert_eq!(case.get("translation.de"), Some("Hallo."));
    /// assert_eq!((case.get("choices.1"), case.get("answer")), (Some("no"), Some("1")));
    /// ```
    pub fn of_object(object: &Object) -> Self {
        let mut fields = BTreeMap::new();
        each(object, &mut |path, value| {
            if let Some(text) = written(value) {
                fields.insert(path.to_owned(), text.into_owned());
            }
        });
        fields.into_iter().collect()
    }
}

/// All lists of texts, numbers and booleans of a JSON object, each by its path, as those of [`Case::of_object`].
///
/// # Example
/// ```
/// use dlm_train::data::lists;
/// let json = serde_json::json!({"answers": {"text": ["a", "b"], "answer_start": [1, 7]}});
/// let lists = lists(json.as_object().expect("an object"));
/// assert_eq!(lists["answers.text"], ["a", "b"]);
/// assert_eq!(lists["answers.answer_start"], ["1", "7"]);
/// ```
pub fn lists(object: &Object) -> BTreeMap<String, Vec<String>> {
    let mut lists = BTreeMap::new();
    each(object, &mut |path, value| {
        if let Some(texts) = texts(value) {
            lists.insert(path.to_owned(), texts);
        }
    });
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_into_objects_and_lists() {
        let json = serde_json::json!({
            "a": {"b": [1, {"c": true}], "": 2}, "a.b.0": "whole", "x.y": "own", "x": {"y": "inner"}, "n": 3.0,
        });
        let object = json.as_object().expect("an object");
        let text = |path: &str| at(object, path).and_then(written).map(Cow::into_owned);
        for (path, expected) in [
            ("a.b.1.c", Some("true")),
            ("a.b.0", Some("whole")),
            ("x.y", Some("own")),
            ("n", Some("3.0")),
            ("a.", Some("2")),
            ("a.b", None),
            ("a.b.2", None),
            ("a.b.x", None),
            ("n.0", None),
            ("", None),
            ("a.b.1.c.d", None),
        ] {
            assert_eq!(text(path).as_deref(), expected, "{path}");
            // A case has the same texts by the same paths.
            assert_eq!(Case::of_object(object).get(path), expected, "{path}");
        }
    }
}
