//! What an evaluation found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::answer::{Answer, decoder, draws};
use super::cases::{LeftOut, Question};
use super::metric::{Judged, Metric};
use super::task::{Length, Method, Task};
use crate::view::View;

/// The scores of a task, what they cost, and what was answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The task's name.
    pub task: String,
    /// How answers were found.
    pub method: String,
    /// Cases that were answered.
    pub cases: usize,
    /// Broken records of the data, which were left out.
    pub broken: usize,
    /// Cases that did not fit the network, which were left out.
    pub too_long: usize,
    /// Cases whose prompt lost its beginning.
    pub cut: usize,
    /// What is wrong with the first records and cases that were left out, with file and line, or place in the data.
    pub complaints: Vec<String>,
    /// Seconds for the answers and for likelihoods that metrics ask for, reading aside.
    pub seconds: f64,
    /// Tokens of the answers.
    pub tokens: usize,
    /// Forward passes of the answers.
    pub forwards: usize,
    /// Rows of these passes: the NFE of the literature, summed over cases.
    pub evaluations: usize,
    /// The scores, in the task's order.
    pub scores: Vec<Score>,
    /// A line for each case.
    #[serde(skip)]
    pub outputs: Vec<Output>,
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Score {
    /// The metric's name.
    pub metric: String,
    /// Over all cases; null where there is none.
    pub value: Option<f64>,
    /// Mean over subjects, each weighing the same, if the task has them.
    #[serde(rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_mean: Option<f64>,
    /// Over the cases of each subject, if the task has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_subject: BTreeMap<String, f64>,
    /// What was computed.
    pub signature: String,
}

/// A case and what was answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Output {
    /// The task's name.
    pub task: String,
    /// Place of the case in the data, from 0.
    pub index: usize,
    /// The group it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What was asked.
    pub prompt: String,
    /// What was answered.
    pub answer: String,
    /// What should have been.
    pub references: Vec<String>,
    /// The metrics that an answer alone has.
    pub scores: BTreeMap<String, f64>,
}

/// What an evaluation cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) forwards: usize,
    pub(super) evaluations: usize,
}

/// What a report is made by.
pub(super) struct Judge<'a> {
    pub(super) task: &'a Task,
    pub(super) view: View,
}

impl Judge<'_> {
    pub(super) fn report(
        &self,
        questions: &[Question],
        answers: &[Answer],
        left_out: LeftOut,
        cost: Cost,
    ) -> Report {
        let task = self.task;
        let judged: Vec<Judged<'_>> = questions
            .iter()
            .zip(answers)
            .map(|(question, Answer { text, likelihood, .. })| Judged {
                answer: text,
                references: &question.references,
                likelihood: *likelihood,
            })
            .collect();
        let subjects: Vec<Option<&str>> =
            questions.iter().map(|question| question.subject.as_deref()).collect();
        let outputs = questions.iter().zip(&judged).map(|(question, &judged)| output(task, question, judged));
        Report {
            task: task.name.clone(),
            method: self.method(),
            cases: questions.len(),
            broken: left_out.broken,
            too_long: left_out.too_long,
            cut: left_out.cut,
            complaints: left_out.complaints,
            seconds: cost.seconds,
            tokens: answers.iter().map(|answer| answer.tokens).sum(),
            forwards: cost.forwards,
            evaluations: cost.evaluations,
            scores: task.metrics.iter().map(|&metric| self.score(metric, &judged, &subjects)).collect(),
            outputs: outputs.collect(),
        }
    }

    fn score(&self, metric: Metric, judged: &[Judged<'_>], subjects: &[Option<&str>]) -> Score {
        let mut groups: BTreeMap<&str, Vec<Judged<'_>>> = BTreeMap::new();
        for (&judged, subject) in judged.iter().zip(subjects) {
            if let Some(subject) = subject {
                groups.entry(subject).or_default().push(judged);
            }
        }
        let by_subject: BTreeMap<String, f64> = groups
            .into_iter()
            .filter_map(|(subject, judged)| Some((subject.to_owned(), metric.score(&judged)?)))
            .collect();
        let mean = by_subject.values().sum::<f64>() / by_subject.len() as f64;
        let counts: BTreeSet<usize> = judged.iter().map(|judged| judged.references.len()).collect();
        let references = match counts.first() {
            Some(count) if counts.len() == 1 => count.to_string(),
            _ => "var".to_owned(),
        };
        let draws = (self.view != View::NextToken).then(|| draws(self.task));
        Score {
            metric: metric.to_string(),
            value: metric.score(judged),
            macro_mean: (!by_subject.is_empty()).then_some(mean),
            by_subject,
            signature: metric.signature(&references, draws),
        }
    }

    /// How answers were found, in words.
    fn method(&self) -> String {
        let exact = self.view == View::NextToken;
        match &self.task.method {
            Method::Generate { length, strategy, steps, temperature } => {
                let length = match length {
                    Length::Oracle => "the reference's length".to_owned(),
                    Length::Predicted(beam) => format!("best of {beam} predicted lengths"),
                    Length::Fixed(lengths) => format!("lengths {lengths:?}"),
                    Length::WithNumber(more) => format!("the reference's number and {more} tokens"),
                };
                let strategy = decoder(self.task, *strategy, *temperature, self.view)
                    .map_or_else(|error| error.to_string(), |strategy| strategy.to_string());
                let drawn =
                    if *temperature > 0.0 { format!(" at temperature {temperature}") } else { String::new() };
                let steps = if exact { "a token a step".to_owned() } else { format!("{steps} steps") };
                format!("{strategy}{drawn}, {steps}, {length}")
            }
            Method::Choose { normalise, draws, .. } => {
                let normalise = format!("{normalise:?}").to_lowercase();
                let draws = if exact { "exact".to_owned() } else { format!("{draws} draws") };
                format!("likeliest option, normalised by {normalise}, {draws}")
            }
        }
    }
}

impl Report {
    /// Writes [`Report::outputs`] as JSON, one a line.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_outputs(&self, mut to: impl Write) -> io::Result<()> {
        for output in &self.outputs {
            serde_json::to_writer(&mut to, output)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }
}

fn output(task: &Task, question: &Question, judged: Judged<'_>) -> Output {
    let alone = task.metrics.iter().filter(|metric| metric.is_of_a_case());
    Output {
        task: task.name.clone(),
        index: question.index,
        subject: question.subject.clone(),
        prompt: question.text.clone(),
        answer: judged.answer.to_owned(),
        references: question.references.clone(),
        scores: alone.filter_map(|metric| Some((metric.to_string(), metric.score(&[judged])?))).collect(),
    }
}

/// Shows reports as a table, a line for each score.
///
/// # Example
/// ```
/// use dlm::evaluate::Table;
/// assert!(Table(&[]).to_string().starts_with("task"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Table<'a>(pub &'a [Report]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = [
            "task", "metric", "value", "macro", "cases", "broken", "too long", "cut", "NFE/case", "seconds",
            "method",
        ];
        let mut lines = vec![title.map(str::to_owned)];
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        for report in self.0 {
            for score in &report.scores {
                let nfe = report.evaluations as f64 / report.cases.max(1) as f64;
                lines.push([
                    report.task.clone(),
                    score.metric.clone(),
                    number(score.value),
                    number(score.macro_mean),
                    report.cases.to_string(),
                    report.broken.to_string(),
                    report.too_long.to_string(),
                    report.cut.to_string(),
                    format!("{nfe:.1}"),
                    format!("{:.1}", report.seconds),
                    report.method.clone(),
                ]);
            }
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..title.len()).map(width).collect();
        for line in &lines {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}
