//! Instruction data: Alpaca, conversations, Natural Instructions.

use std::borrow::Cow;

use serde_json::Value;

use crate::data::file::{Complaint, Object, named, text};
use crate::data::value::written;
use crate::data::{Record, Template};

/// Which turns of a conversation are responses, and how the turns before one are written.
///
/// A conversation is a field `messages`: a list of objects, each with a `role` and a `content` of text.
/// The prompt is every turn before the response, each as `before`, its content, `after`; then the
/// response's own `before`. The two templates may use `{role}`.
///
/// # Example
/// ```
/// use dlm_train::data::{Chat, Turns};
/// let chatml = Chat {
///     turns: Turns::Every,
///     before: "<|im_start|>{role}\n".parse()?,
///     after: "<|im_end|>\n".parse()?,
/// };
/// assert_eq!(chatml.before.to_string(), "<|im_start|>{role}\n");
/// # Ok::<(), dlm_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Which assistant turns are responses.
    pub turns: Turns,
    /// Written before each turn.
    pub before: Template,
    /// Written after each turn but the response.
    pub after: Template,
}

/// Which turns of the role `assistant` are responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// The last one: one record a conversation. Turns after it are not used.
    Last,
    /// Every one: a record each, with all that was said before as its prompt.
    Every,
}

impl Chat {
    /// Turns as `role: content`, a line each.
    pub fn plain(turns: Turns) -> Self {
        let before = Template::of_field("role", ": ");
        Self { turns, before, after: Template::of_text("\n") }
    }
}

/// How much of a task of Natural Instructions goes into a record.
///
/// The prompt is the definition, `positive` of the task's examples, and the instance's input, in the words
/// of Tk-Instruct, which also ends each part with a full stop where it has no punctuation.
///
/// # Source
/// Wang et al. 2022, arXiv:2204.07705; Tk-Instruct uses 2 positive examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NaturalInstructions {
    /// At most so many positive examples.
    pub positive: usize,
    /// Which of an instance's outputs are responses.
    pub outputs: Outputs,
}

/// Which of an instance's outputs, all of them right, are responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// The first: one record an instance.
    First,
    /// Every one: a record each.
    Every,
}

/// # Source
/// Taori et al. 2023, Stanford Alpaca, `PROMPT_DICT`.
pub(super) fn alpaca(object: &Object) -> Result<Record, Complaint> {
    let instruction = text(object, "instruction")?;
    let input = match object.get("input") {
        None | Some(Value::Null) => String::new(),
        Some(_) => text(object, "input")?,
    };
    let prompt = if input.is_empty() {
        format!(
            "Below is an instruction that describes a task. Write a response that appropriately completes \
             the request.\n\n### Instruction:\n{instruction}\n\n### Response:"
        )
    } else {
        format!(
            "Below is an instruction that describes a task, paired with an input that provides further \
             context. Write a response that appropriately completes the request.\n\n### Instruction:\n\
             {instruction}\n\n### Input:\n{input}\n\n### Response:"
        )
    };
    Ok(Record { prompt, response: text(object, "output")? })
}

pub(super) fn conversation(chat: &Chat, object: &Object) -> Vec<Result<Record, Complaint>> {
    match turns(chat, object) {
        Err(complaint) => vec![Err(complaint)],
        Ok(records) if records.is_empty() => {
            vec![Err(("a turn of the role `assistant`".into(), "a conversation without it".into()))]
        }
        Ok(mut records) => match chat.turns {
            Turns::Every => records.into_iter().map(Ok).collect(),
            Turns::Last => records.pop().map(Ok).into_iter().collect(),
        },
    }
}

/// A record for each turn of the assistant.
fn turns(chat: &Chat, object: &Object) -> Result<Vec<Record>, Complaint> {
    let mut said = String::new();
    let mut records = Vec::new();
    for (place, message) in list(object, "messages")?.iter().enumerate() {
        let of_message = |(expected, got)| (format!("{expected} of message {}", place + 1), got);
        let message = as_object(message).map_err(of_message)?;
        let (role, content) =
            (text(message, "role").map_err(of_message)?, text(message, "content").map_err(of_message)?);
        let written = |template: &Template| {
            let field = |field: &str| if field == "role" { Some(role.as_str()) } else { None };
            template.render(field).map_err(|field| {
                ("only the field `role` in a chat's templates".to_owned(), format!("`{field}`"))
            })
        };
        said.push_str(&written(&chat.before)?);
        if role == "assistant" {
            records.push(Record { prompt: said.clone(), response: content.clone() });
        }
        said.push_str(&content);
        said.push_str(&written(&chat.after)?);
    }
    Ok(records)
}

/// A record of the instance at this place.
type OfInstance = (usize, Result<Record, Complaint>);

/// The records of a task, each with the place of its instance in the list, from 0. A complaint about the task itself
/// spoils them all.
pub(super) fn task(how: &NaturalInstructions, object: &Object) -> Result<Vec<OfInstance>, Complaint> {
    let definition = match object.get("Definition") {
        Some(Value::Array(texts)) => texts.first().and_then(Value::as_str),
        Some(Value::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let definition = definition.ok_or_else(|| {
        let got = named(object.get("Definition"));
        ("text, or a list of text, in the field `Definition`".to_owned(), got)
    })?;
    let mut head = format!("Definition: {}\n\n", ended(definition));
    if how.positive > 0 && object.contains_key("Positive Examples") {
        let examples = list(object, "Positive Examples")?;
        for (place, example) in examples.iter().take(how.positive).enumerate() {
            head.push_str(
                &positive(place + 1, example).map_err(|(expected, got)| {
                    (format!("{expected} of positive example {}", place + 1), got)
                })?,
            );
        }
    }
    let mut records = Vec::new();
    for (place, instance) in list(object, "Instances")?.iter().enumerate() {
        match instance_records(how.outputs, &head, instance) {
            Ok(some) => records.extend(some.into_iter().map(|record| (place, Ok(record)))),
            Err((expected, got)) => {
                records.push((place, Err((format!("{expected} of instance {}", place + 1), got))));
            }
        }
    }
    Ok(records)
}

fn positive(number: usize, example: &Value) -> Result<String, Complaint> {
    let example = as_object(example)?;
    let (input, output) = (text(example, "input")?, text(example, "output")?);
    Ok(format!(" Positive Example {number} -\nInput: {}\n Output: {}\n\n", ended(&input), ended(&output)))
}

fn instance_records(outputs: Outputs, head: &str, instance: &Value) -> Result<Vec<Record>, Complaint> {
    let instance = as_object(instance)?;
    let input = ended(&text(instance, "input")?);
    let prompt = format!("{head}Now complete the following example -\nInput: {input}\nOutput: ");
    let answers: Option<Vec<_>> = match instance.get("output") {
        Some(Value::Array(answers)) => answers.iter().map(written).collect(),
        Some(answer) => written(answer).map(|answer| vec![answer]),
        None => None,
    };
    let answers = answers.filter(|answers| !answers.is_empty()).ok_or_else(|| {
        ("text, or a list of text, in the field `output`".to_owned(), named(instance.get("output")))
    })?;
    let wanted = match outputs {
        Outputs::First => &answers[..1],
        Outputs::Every => &answers[..],
    };
    let record = |answer: &Cow<'_, str>| Record { prompt: prompt.clone(), response: answer.to_string() };
    Ok(wanted.iter().map(record).collect())
}

/// Without white space around it, and with a full stop unless it ends in ASCII punctuation.
fn ended(text: &str) -> String {
    let text = text.trim();
    let stop = if text.ends_with(|last: char| last.is_ascii_punctuation()) { "" } else { "." };
    format!("{text}{stop}")
}

fn list<'a>(object: &'a Object, field: &str) -> Result<&'a Vec<Value>, Complaint> {
    let value = object.get(field);
    value.and_then(Value::as_array).ok_or_else(|| (format!("a list in the field `{field}`"), named(value)))
}

fn as_object(value: &Value) -> Result<&Object, Complaint> {
    value.as_object().ok_or_else(|| ("an object".to_owned(), named(Some(value))))
}
