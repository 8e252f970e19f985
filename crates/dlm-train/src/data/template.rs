//! Text with places for named fields.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Text with places for named fields, as in `German: {source}`.
///
/// A field's name is of letters, digits, `_` and `-`; dots lead into what is nested, as in `{translation.de}` and
/// `{choices.0}`. `{{` stands for `{` and `}}` for `}`.
///
/// # Example
/// ```
/// use dlm_train::data::{Case, Template};
/// let template: Template = "German: {source}\nEnglish:".parse()?;
/// let case = Case::from([("source", "Guten Morgen.")]);
/// assert_eq!(template.fill(0, &case)?, "German: Guten Morgen.\nEnglish:");
///
/// let error = "German: {source".parse::<Template>().unwrap_err();
/// assert_eq!(error.to_string(), "template, character 16: expected `}`, got the end");
/// let error = template.fill(7, &Case::from([("text", "Hallo.")])).unwrap_err();
/// assert_eq!(error.to_string(), "record 7: expected the field `source`, got `text`");
/// # Ok::<(), dlm_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

/// Named texts that belong together: a question, its options, its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Case(BTreeMap<String, String>);

impl Case {
    /// The text of this name.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    /// The names, in alphabetical order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Case {
    fn from(fields: [(K, V); N]) -> Self {
        fields.into_iter().map(|(name, text)| (name.into(), text.into())).collect()
    }
}

impl FromIterator<(String, String)> for Case {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl Template {
    /// A template that is this text, braces and all.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    pub(super) fn of_field(field: &str, text: &str) -> Self {
        Self(vec![Part::Field(field.to_owned()), Part::Text(text.to_owned())])
    }

    /// The names of its fields, in their order, each as often as it is used.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Field(field) => Some(field.as_str()),
        })
    }

    /// The text with the case's fields in their places. `index` is the record's, for the error.
    ///
    /// # Errors
    /// [`Error::MissingField`].
    pub fn fill(&self, index: usize, case: &Case) -> Result<String, Error> {
        self.render(|field| case.get(field)).map_err(|field| {
            let names: Vec<String> = case.fields().map(|name| format!("`{name}`")).collect();
            let got = if names.is_empty() { "no field".to_owned() } else { names.join(", ") };
            Error::MissingField { index, field: field.to_owned(), got }
        })
    }

    /// The text with each field in its place, or the name of the first that there is not.
    pub(super) fn render<T: AsRef<str>>(&self, field: impl Fn(&str) -> Option<T>) -> Result<String, &str> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Field(name) => text.push_str(field(name).ok_or(name.as_str())?.as_ref()),
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Template {
    /// What it was parsed from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Field(field) => write!(f, "{{{field}}}"),
        })
    }
}

impl FromStr for Template {
    type Err = Error;

    /// # Errors
    /// [`Error::Template`], with the character at fault.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|(expected, at)| {
            let character = at.map_or(text.chars().count(), |(before, _)| before) + 1;
            let got = at.map_or("the end".to_owned(), |(_, char)| format!("{char:?}"));
            Error::Template { character, expected, got }
        })
    }
}

/// What was expected, and the character that was there instead, with the number of those before it.
type Fault = (&'static str, Option<(usize, char)>);

fn parse(text: &str) -> Result<Template, Fault> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars().enumerate().peekable();
    while let Some((_, char)) = chars.next() {
        match (char, chars.peek().copied()) {
            ('{', Some((_, '{'))) | ('}', Some((_, '}'))) => {
                chars.next();
                plain.push(char);
            }
            ('{', _) => {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Field(field(&mut chars)?));
            }
            ('}', next) => return Err(("a second `}` after a `}` that closes no field", next)),
            (char, _) => plain.push(char),
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Template(parts))
}

/// The name of a field, whose opening brace is behind, and its closing brace.
fn field(chars: &mut impl Iterator<Item = (usize, char)>) -> Result<String, Fault> {
    let mut name = String::new();
    loop {
        match chars.next() {
            Some((_, '}')) if !name.is_empty() && !name.ends_with('.') => return Ok(name),
            Some((_, char)) if char.is_alphanumeric() || char == '_' || char == '-' => name.push(char),
            Some((_, '.')) if !name.is_empty() && !name.ends_with('.') => name.push('.'),
            other if name.is_empty() => return Err(("the name of a field, or `{{` for a brace", other)),
            other if name.ends_with('.') => return Err(("a name or a place in a list after the dot", other)),
            other => return Err(("`}`", other)),
        }
    }
}
