//! What is wrong with a recipe's text, in the recipe's own words.

use super::Error;
use crate::train::metrics::edit_distance;

/// Of serde's complaint: where it is, which field it is about, and what would have been right.
pub(super) fn explain(name: &str, text: &str, error: &toml::de::Error) -> Error {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let place = format!("{name}:{}", text[..start].matches('\n').count() + 1);
    let (section, key) = field_at(text, start);
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let named = |field: &str| if section.is_empty() { field.into() } else { format!("{section}.{field}") };
    if let (true, Some((&unknown, known))) = (message.starts_with("unknown field"), quoted.split_first()) {
        let hint = match nearest(unknown, known) {
            Some(near) => format!("did you mean {}?", named(near)),
            None => format!("there are {}", known.join(", ")),
        };
        return Error::UnknownField { place, field: named(unknown), hint };
    }
    if let (true, Some((&got, known))) = (message.starts_with("unknown variant"), quoted.split_first()) {
        let hint = nearest(got, known).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        let known: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
        let (expected, got) = (format!("one of {}", known.join(", ")), format!("{got:?}{hint}"));
        return Error::Value { place, field: named(&key), expected, got };
    }
    if let (true, Some(&missing)) = (message.starts_with("missing field"), quoted.first()) {
        return Error::MissingField { place, field: named(missing) };
    }
    let wrong = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "));
    if let Some((got, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        let (expected, got) = (plainly(expected), got.to_owned());
        return Error::Value { place, field: named(&key), expected, got };
    }
    // A value's own complaint.
    let reason = if key.is_empty() { message.to_owned() } else { format!("{}: {message}", named(&key)) };
    Error::Syntax { place, reason }
}

/// The section and the key of the line that holds a byte of the text; a header's own are its parent and its
/// last word.
fn field_at(text: &str, start: usize) -> (String, String) {
    let line_start = text[..start].rfind('\n').map_or(0, |end| end + 1);
    let line = text[line_start..].lines().next().unwrap_or_default().trim();
    if let Some(section) = header(line) {
        let (parent, last) = section.rsplit_once('.').unwrap_or(("", section));
        return (parent.to_owned(), last.to_owned());
    }
    let section = text[..line_start].lines().rev().find_map(|line| header(line.trim()));
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    (section.unwrap_or_default().to_owned(), key.to_owned())
}

/// The name in `[name]` or `[[name]]`.
fn header(line: &str) -> Option<&str> {
    let name = line.strip_prefix('[')?.split(']').next()?;
    Some(name.trim_start_matches('[').trim())
}

/// The known name that a mistyped one stands for, if one is near.
fn nearest<'a>(got: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &str| edit_distance(got.as_bytes(), known.as_bytes());
    let near = known.iter().copied().min_by_key(|known| distance(known))?;
    (distance(near) <= 2.max(got.chars().count() / 3)).then_some(near)
}

/// A type of Rust for people who write TOML.
fn plainly(expected: &str) -> String {
    match expected {
        "u64" | "usize" => "a whole number, at least 0".to_owned(),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" | "path string" => "text in quotes".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_or_it_is_not() {
        let known = ["steps", "lr", "warmup_steps"];
        assert_eq!(nearest("stpes", &known), Some("steps"));
        assert_eq!(nearest("warmup-step", &known), Some("warmup_steps"));
        assert_eq!(nearest("optimiser", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn a_byte_belongs_to_a_section_and_a_key() {
        let text = "out = 1\n[train]\nlr = 2\n[[data.files]] # the first\npath = 3\n";
        let at = |part: &str| field_at(text, text.find(part).unwrap_or_default());
        assert_eq!(at("out"), (String::new(), "out".into()));
        assert_eq!(at("2"), ("train".into(), "lr".into()));
        assert_eq!(at("path"), ("data.files".into(), "path".into()));
        assert_eq!(at("[train]"), (String::new(), "train".into()));
        assert_eq!(at("[[data"), ("data".into(), "files".into()));
    }
}
