//! From a task's data to questions a network can be asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Subject;
use super::error::Error;
use super::task::{Data, Demonstrations, Length, Method, Options, Task, TooLong};
use crate::core::TokenId;
use crate::pipeline;
use crate::train;
use crate::train::data::{Case, Prompt, Shots, Skipped, lists, read_columns, read_objects};
use crate::train::metrics::last_integer;

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
    /// Lengths to try, in tokens, unless they are predicted.
    pub(super) lengths: Vec<usize>,
    pub(super) subject: Option<String>,
    pub(super) options: Vec<String>,
    /// Whether the prompt lost its beginning.
    cut: bool,
}

/// The questions of a task.
pub(super) struct Asked {
    pub(super) questions: Vec<Question>,
    pub(super) left_out: LeftOut,
}

/// What was left out of a task, and what of it is less than it was.
#[derive(Default)]
pub(super) struct LeftOut {
    /// Broken records.
    pub(super) broken: usize,
    /// Cases that did not fit the network.
    pub(super) too_long: usize,
    /// Cases whose prompt lost its beginning.
    pub(super) cut: usize,
    /// What is wrong with the first of the records, and with the first of the cases.
    pub(super) complaints: Vec<String>,
}

/// The questions of a task, and what was left out.
pub(super) fn questions(subject: &Subject<'_>, task: &Task) -> Result<Asked, Error> {
    let (items, mut left_out) = load(&task.data)?;
    if items.is_empty() {
        return Err(Error::NoCases { task: task.name.clone(), files: task.data.files.clone() });
    }
    let pool: Vec<Case> = match &task.shots {
        None => Vec::new(),
        Some(shots) => load(&shots.pool)?.0.into_iter().map(|item| item.case).collect(),
    };
    let mut questions: Vec<Question> = Vec::new();
    for index in spread(items.len(), task.limit) {
        match (Asking { subject, task, pool: &pool, index, item: &items[index] }).question() {
            Ok(question) => questions.push(question),
            Err(error @ Error::Data(train::Error::TooLong { .. })) if task.too_long == TooLong::Skip => {
                if left_out.too_long < Skipped::KEPT {
                    left_out.complaints.push(format!("task {}: {error}", task.name));
                }
                left_out.too_long += 1;
            }
            Err(error) => return Err(error),
        }
    }
    left_out.cut = questions.iter().filter(|question| question.cut).count();
    Ok(Asked { questions, left_out })
}

/// At most `limit` places of `count`, evenly spread.
fn spread(count: usize, limit: Option<usize>) -> impl Iterator<Item = usize> {
    let most = limit.unwrap_or(count).min(count);
    (0..most).map(move |i| (i as u128 * count as u128 / most as u128) as usize)
}

fn load(data: &Data) -> Result<(Vec<Item>, LeftOut), Error> {
    let (mut items, mut left_out) = (Vec::new(), LeftOut::default());
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
        left_out.broken += loaded.skipped.count;
        left_out.complaints.extend(loaded.skipped.first.iter().map(ToString::to_string));
        left_out.complaints.truncate(Skipped::KEPT);
    }
    Ok((items, left_out))
}

/// Texts, numbers and booleans as texts, and lists of these, wherever they lie in the object.
fn item(object: &serde_json::Map<String, Value>) -> Item {
    Item { case: Case::of_object(object), lists: lists(object) }
}

/// A case that becomes a question.
struct Asking<'a> {
    subject: &'a Subject<'a>,
    task: &'a Task,
    pool: &'a [Case],
    /// Place in the data.
    index: usize,
    item: &'a Item,
}

impl Asking<'_> {
    fn question(&self) -> Result<Question, Error> {
        let (subject, task, index) = (self.subject, self.task, self.index);
        let options = match &task.method {
            Method::Choose { options: Options::Listed(options), .. } => options.clone(),
            Method::Choose { options: Options::Field(field), .. } => self.list(field)?,
            Method::Generate { .. } => Vec::new(),
        };
        let references = self.references(&options)?;
        let reference = subject.encode(&references[0])?;
        let lengths = self.lengths(&references[0], reference.len())?;
        let room = self.room(&options, &lengths, reference.len())?;
        let (text, prompt, cut) = self.prompt(room)?;
        let subject = task.subject.as_ref().map(|field| self.text(field)).transpose()?;
        Ok(Question { index, text, prompt, references, reference, lengths, subject, options, cut })
    }

    fn wrong(&self, expected: impl Into<String>, got: impl Into<String>) -> Error {
        let (expected, got) = (expected.into(), got.into());
        Error::Case { task: self.task.name.clone(), index: self.index, expected, got }
    }

    fn list(&self, field: &str) -> Result<Vec<String>, Error> {
        match self.item.lists.get(field) {
            Some(list) if !list.is_empty() => Ok(list.clone()),
            Some(_) => Err(self.wrong(format!("texts in the list `{field}`"), "an empty list")),
            None => Err(self.wrong(format!("a list of texts in the field `{field}`"), "none")),
        }
    }

    fn text(&self, field: &str) -> Result<String, Error> {
        let missing = || self.wrong(format!("text in the field `{field}`"), "none");
        self.item.case.get(field).map(str::to_owned).ok_or_else(missing)
    }

    /// The right answers, which must be among the options and fit the metrics.
    fn references(&self, options: &[String]) -> Result<Vec<String>, Error> {
        let references = match (&self.task.references, &self.task.method) {
            (Some(field), _) => self.list(field)?,
            (None, Method::Choose { right: Some(field), .. }) => {
                let place = self.text(field)?;
                let right = place.trim().parse().ok().and_then(|place: usize| options.get(place));
                let expected = || format!("a number below {} in the field `{field}`", options.len());
                vec![right.cloned().ok_or_else(|| self.wrong(expected(), place.clone()))?]
            }
            (None, _) => vec![self.task.form.answer.fill(self.index, &self.item.case)?],
        };
        if !options.is_empty() && !options.iter().any(|option| references.contains(option)) {
            return Err(
                self.wrong(format!("one of the options {options:?}"), format!("the answer {references:?}"))
            );
        }
        for metric in &self.task.metrics {
            if let Some((what, has)) = metric.wants()
                && !references.iter().any(|reference| has(reference))
            {
                let expected = format!("{what} in the right answer, for the metric {metric}");
                return Err(self.wrong(expected, format!("{references:?}")));
            }
        }
        Ok(references)
    }

    /// The lengths that are tried.
    fn lengths(&self, reference: &str, tokens: usize) -> Result<Vec<usize>, Error> {
        match &self.task.method {
            Method::Generate { length: Length::Oracle, .. } => Ok(vec![tokens]),
            Method::Generate { length: Length::Fixed(lengths), .. } => Ok(lengths.clone()),
            Method::Generate { length: Length::WithNumber(more), .. } => {
                let wrong =
                    || self.wrong("a number in the right answer, for its length", format!("{reference:?}"));
                let number = last_integer(reference).ok_or_else(wrong)?;
                Ok(vec![more + self.subject.encode(&number)?.len()])
            }
            Method::Generate { length: Length::Predicted(_), .. } | Method::Choose { .. } => Ok(Vec::new()),
        }
    }

    /// Tokens that a prompt leaves to the reference, to each option, and to the lengths that are tried.
    fn room(&self, options: &[String], lengths: &[usize], reference: usize) -> Result<usize, Error> {
        // Whatever its reference, an answer has a token.
        let mut room = lengths.iter().fold(reference.max(1), |room, &length| room.max(length));
        for option in options {
            room = room.max(self.subject.encode(option)?.len());
        }
        Ok(room)
    }

    /// The prompt in words and in tokens, with as many demonstrations as fit; and whether it was cut.
    fn prompt(&self, room: usize) -> Result<(String, Vec<TokenId>, bool), Error> {
        let (subject, task, case) = (self.subject, self.task, &self.item.case);
        let most = subject.model.max_len().unwrap_or(usize::MAX);
        // BOS and EOS need a place, too.
        let limit = most.saturating_sub(room).saturating_sub(2);
        let cutting = task.too_long == TooLong::CutLeft;
        let shots = Shots { limit: if cutting { usize::MAX } else { limit }, ..self.shots() };
        let tokens = |text: &str| -> Result<usize, pipeline::Error> { Ok(subject.encode(text)?.len()) };
        let Prompt { text, shots } = shots.prompt(&task.form, self.index, case, tokens)?;
        if shots.is_empty() {
            self.is_in_pool()?;
        }
        let ids = subject.encode(&text)?;
        if ids.len() <= limit {
            return Ok((text, ids, false));
        }
        if limit == 0 {
            // What is left would be no question.
            return Err(train::Error::TooLong { index: self.index, limit, got: ids.len() }.into());
        }
        let ids = ids[ids.len() - limit..].to_vec();
        Ok((subject.decode(&ids)?, ids, true))
    }

    /// A subject that the pool writes otherwise would silently have no demonstrations.
    fn is_in_pool(&self) -> Result<(), Error> {
        let Some(Demonstrations { number: 1.., same: Some(field), .. }) = &self.task.shots else {
            return Ok(());
        };
        let subject = self.text(field)?;
        if self.pool.iter().any(|case| case.get(field) == Some(&subject)) {
            return Ok(());
        }
        Err(self.wrong(format!("a demonstration whose `{field}` is {subject:?}"), "none in the pool"))
    }

    fn shots(&self) -> Shots<'_> {
        match &self.task.shots {
            None => Shots::drawn(&[], 0, 0),
            Some(Demonstrations { number, same, order, .. }) => {
                Shots { most: *number, same: same.as_deref(), order: *order, ..Shots::drawn(self.pool, 0, 0) }
            }
        }
    }
}
