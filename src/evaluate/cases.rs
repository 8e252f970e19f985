//! From a task's data to questions a network can be asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Subject;
use super::error::Error;
use super::task::{Data, Length, Method, Options, Task};
use crate::core::TokenId;
use crate::pipeline;
use crate::train;
use crate::train::data::{Case, OnBroken, Shots, read_columns, read_objects};

/// A case as the data has it.
pub(super) struct Item {
    case: Case,
    lists: BTreeMap<String, Vec<String>>,
}

/// A case in words and in tokens.
pub(super) struct Question {
    /// Place in the data, from 0.
    pub(super) index: usize,
    pub(super) text: String,
    pub(super) prompt: Vec<TokenId>,
    /// Right answers, at least one.
    pub(super) references: Vec<String>,
    /// Tokens of the first reference.
    pub(super) reference: Vec<TokenId>,
    pub(super) subject: Option<String>,
    pub(super) options: Vec<String>,
}

/// The questions of a task, and how many records and cases were left out.
pub(super) fn questions(subject: &Subject<'_>, task: &Task) -> Result<(Vec<Question>, usize), Error> {
    let (items, mut skipped) = load(&task.data)?;
    if items.is_empty() {
        return Err(Error::NoCases { task: task.name.clone(), files: task.data.files.clone() });
    }
    let pool: Vec<Case> = match &task.shots {
        None => Vec::new(),
        Some(shots) => load(&shots.pool)?.0.into_iter().map(|item| item.case).collect(),
    };
    let mut questions = Vec::new();
    for index in spread(items.len(), task.limit) {
        match question(subject, task, &pool, index, &items[index]) {
            Ok(question) => questions.push(question),
            Err(Error::Data(train::Error::TooLong { .. })) if task.too_long == OnBroken::Skip => skipped += 1,
            Err(error) => return Err(error),
        }
    }
    Ok((questions, skipped))
}

/// At most `limit` places of `count`, evenly spread.
fn spread(count: usize, limit: Option<usize>) -> impl Iterator<Item = usize> {
    let most = limit.unwrap_or(count).min(count);
    (0..most).map(move |i| (i as u128 * count as u128 / most as u128) as usize)
}

fn load(data: &Data) -> Result<(Vec<Item>, usize), Error> {
    let (mut items, mut skipped) = (Vec::new(), 0);
    for file in &data.files {
        let loaded = match &data.columns {
            None => read_objects(file, data.on_broken, |object| Ok(item(object)))?,
            Some(columns) => {
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                let loaded = read_columns(file, &columns, data.on_broken)?;
                let item = |case| Item { case, lists: BTreeMap::new() };
                let records = loaded.records.into_iter().map(item).collect();
                train::data::Loaded { records, skipped: loaded.skipped }
            }
        };
        items.extend(loaded.records);
        skipped += loaded.skipped.count;
    }
    Ok((items, skipped))
}

/// Texts, numbers and booleans as texts, and lists of these; what else there is is left out.
fn item(object: &serde_json::Map<String, Value>) -> Item {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let list = |value: &Value| value.as_array()?.iter().map(text).collect::<Option<Vec<_>>>();
    let field = |(name, value): (&String, &Value)| Some((name.clone(), text(value)?));
    let lists = |(name, value): (&String, &Value)| Some((name.clone(), list(value)?));
    Item { case: object.iter().filter_map(field).collect(), lists: object.iter().filter_map(lists).collect() }
}

fn question(
    subject: &Subject<'_>,
    task: &Task,
    pool: &[Case],
    index: usize,
    item: &Item,
) -> Result<Question, Error> {
    let wrong = |expected: String, got: String| Error::Case { task: task.name.clone(), index, expected, got };
    let list = |field: &String| match item.lists.get(field) {
        Some(list) if !list.is_empty() => Ok(list.clone()),
        Some(_) => Err(wrong(format!("texts in the list `{field}`"), "an empty list".into())),
        None => Err(wrong(format!("a list of texts in the field `{field}`"), "none".into())),
    };
    let text = |field: &String| {
        let missing = || wrong(format!("text in the field `{field}`"), "none".into());
        item.case.get(field).map(str::to_owned).ok_or_else(missing)
    };
    let options = match &task.method {
        Method::Choose { options: Options::Listed(options), .. } => options.clone(),
        Method::Choose { options: Options::Field(field), .. } => list(field)?,
        Method::Generate { .. } => Vec::new(),
    };
    let references = match (&task.references, &task.method) {
        (Some(field), _) => list(field)?,
        (None, Method::Choose { right: Some(field), .. }) => {
            let place = text(field)?;
            let right = place.trim().parse().ok().and_then(|place: usize| options.get(place));
            let expected = || format!("a number below {} in the field `{field}`", options.len());
            vec![right.cloned().ok_or_else(|| wrong(expected(), place.clone()))?]
        }
        (None, _) => vec![task.form.answer.fill(index, &item.case)?],
    };
    if !options.is_empty() && !options.iter().any(|option| references.contains(option)) {
        return Err(wrong(format!("one of the options {options:?}"), format!("the answer {references:?}")));
    }
    let reference = subject.encode(&references[0])?;
    let room = room(subject, task, &options, reference.len())?;
    let text_of_prompt = prompt(subject, task, pool, index, &item.case, room)?;
    Ok(Question {
        index,
        prompt: subject.encode(&text_of_prompt)?,
        text: text_of_prompt,
        references,
        reference,
        subject: task.subject.as_ref().map(text).transpose()?,
        options,
    })
}

/// Tokens that a prompt leaves to the reference, to each option, or to the lengths that are tried.
fn room(subject: &Subject<'_>, task: &Task, options: &[String], reference: usize) -> Result<usize, Error> {
    // Whatever its reference, an answer has a token.
    let mut room = reference.max(1);
    for option in options {
        room = room.max(subject.encode(option)?.len());
    }
    match &task.method {
        Method::Generate { length: Length::Fixed(lengths), .. } => {
            Ok(lengths.iter().fold(room, |room, &length| room.max(length)))
        }
        Method::Generate { .. } | Method::Choose { .. } => Ok(room),
    }
}

/// The prompt, with as many demonstrations as fit.
fn prompt(
    subject: &Subject<'_>,
    task: &Task,
    pool: &[Case],
    index: usize,
    case: &Case,
    room: usize,
) -> Result<String, Error> {
    let most = subject.model.max_len().unwrap_or(usize::MAX);
    let (number, seed) = task.shots.as_ref().map_or((0, 0), |shots| (shots.number, shots.seed));
    // BOS and EOS need a place, too.
    let limit = most.saturating_sub(room).saturating_sub(2);
    let shots = Shots { pool, most: number, limit, seed };
    let tokens = |text: &str| -> Result<usize, pipeline::Error> { Ok(subject.encode(text)?.len()) };
    Ok(shots.prompt(&task.form, index, case, tokens)?.text)
}
