//! What a task is.

use std::path::PathBuf;

use serde::Deserialize;

use super::metric::Metric;
use crate::sampling::Strategy;
use crate::train::data::{Form, OnBroken, ShotOrder};

/// What is asked, how the answer is found, and how it is judged: a small TOML file.
///
/// ```toml
/// name = "questions"
/// form = "chain-of-thought"       # a name of `forms::NAMED`, or a table of query, answer and, where they are not
///                                 # empty, head, gap, shot, between; like = "mgsm" takes what is not said from there
/// metrics = ["accuracy", "chrf"]  # see `Metric`
/// references = "answers"          # field with a list of right answers; without: the form's answer
/// subject = "language"            # field that cases are grouped by, for means over groups
/// limit = 500                     # at most so many cases, spread evenly over the data
/// seed = 7
/// too-long = "skip"               # or "stop", "cut-left": what a case does that does not fit the network
/// rows = 64                       # of one forward pass; no result depends on it
///
/// [data]                          # paths are relative to the task file
/// files = ["test.jsonl"]          # JSON objects, one a line or in one array ...
/// columns = ["question", "answer"] # ... or, with names of columns, tab-separated lines
/// on-broken = "skip"              # or "stop": what a broken line does
///
/// [shots]                         # demonstrations before each question; files and columns as above
/// number = 4
/// files = ["train.jsonl"]
/// same = "language"               # field that they share with the question; without: the subject; "": none
/// order = "drawn"                 # for each question; or "first": the pool's first for all
/// seed = 1
///
/// [generate]                      # either the answer is written ...
/// length = "oracle"               # the first reference's; or 12; or [10, 12, 14]; or { beam = 3 }, predicted; or
///                                 # { with-number = 59 }: those of the reference's last integer, and 59
/// strategy = "reparam-uncond-deterministic-cosine" # without: this, or left to right if the network predicts so
/// steps = 10
/// temperature = 1.0               # words are drawn; without: the likeliest
///
/// [choose]                        # ... or the likeliest of some options is taken
/// options = ["yes", "no"]         # or the name of a field with a list
/// right = "label"                 # field with the right option's place from 0; without: the form's answer
/// normalise = "sum"               # or "token", "byte": what log-likelihoods are divided by
/// draws = 32                      # of each option's likelihood, unless it is known without
/// ```
///
/// # Example
/// ```
/// use dlm::evaluate::Task;
/// let task = Task::parse(
///     r#"
///         name = "capitals"
///         form = { head = "", query = "{country}:", gap = " ", answer = "{capital}", between = "\n" }
///         metrics = ["accuracy"]
///         data = { files = ["capitals.tsv"], columns = ["country", "capital"] }
///         generate = { length = [1, 2], strategy = "cmlm", steps = 2 }
///     "#,
///     "tasks/capitals.toml",
/// )?;
/// assert_eq!(task.data.files, [std::path::Path::new("tasks/capitals.tsv")]);
/// # Ok::<(), dlm::evaluate::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Task {
    /// Names it in reports.
    pub name: String,
    /// The cases.
    pub data: Data,
    /// How a case is put into words.
    pub form: Form,
    /// Demonstrations, if there are any.
    pub shots: Option<Demonstrations>,
    /// How answers are found.
    pub method: Method,
    /// The field with several references.
    pub references: Option<String>,
    /// The field that cases are grouped by.
    pub subject: Option<String>,
    /// How answers are judged.
    pub metrics: Vec<Metric>,
    /// At most so many cases.
    pub limit: Option<usize>,
    /// Of every draw but that of demonstrations.
    pub seed: u64,
    /// What a case does that does not fit the network.
    pub too_long: TooLong,
    /// Rows of one forward pass.
    pub rows: usize,
}

/// Files of cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Read one after the other.
    pub files: Vec<PathBuf>,
    /// Names of the columns of tab-separated lines; `None` for JSON.
    pub columns: Option<Vec<String>>,
    /// What a broken record does.
    pub on_broken: OnBroken,
}

/// What a case does that does not fit the network with its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TooLong {
    /// It loses demonstrations; if it is too long without, that is an error.
    #[default]
    Stop,
    /// It loses demonstrations; if it is too long without, it is left out, counted and reported.
    Skip,
    /// It keeps the last tokens of its prompt, as many as fit, demonstrations or not, and is counted; where the
    /// answer leaves room for none, that is an error.
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219, as published: of 512 tokens. There BOS goes, too; here it stays.
    CutLeft,
}

/// Demonstrations before each question, from a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demonstrations {
    /// At most so many.
    pub number: usize,
    /// The pool.
    pub pool: Data,
    /// The field that they share with the question.
    pub same: Option<String>,
    /// Which of the pool.
    pub order: ShotOrder,
}

/// How an answer is found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// It is written.
    Generate {
        /// How long it may be.
        length: Length,
        /// The decoder; without, the paper's, or left to right for a network that predicts the next token.
        strategy: Option<Strategy>,
        /// Its steps.
        steps: usize,
        /// What its candidates are drawn at; 0 takes the likeliest.
        temperature: f64,
    },
    /// It is the likeliest of some options.
    Choose {
        /// What there is to choose from.
        options: Options,
        /// The field with the place of the right option, from 0.
        right: Option<String>,
        /// What log-likelihoods are divided by.
        normalise: Normalise,
        /// Draws of each option's likelihood.
        draws: usize,
    },
}

/// How long a written answer may be, in tokens; of several lengths the surest answer is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Length {
    /// As long as the first reference.
    Oracle,
    /// The likeliest so many by the length head.
    Predicted(usize),
    /// These.
    Fixed(Vec<usize>),
    /// As long as the last integer of the first reference, and so many tokens more: the paper's placeholders
    /// for answers to MGSM and GSM8K.
    WithNumber(usize),
}

/// What there is to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Options {
    /// The same for all cases.
    Listed(Vec<String>),
    /// The list in this field.
    Field(String),
}

/// What an option's log-likelihood is divided by before options are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// Nothing.
    #[default]
    Sum,
    /// Its tokens, EOS counted.
    Token,
    /// Its bytes.
    Byte,
}

/// Draws of a likelihood where a task does not say.
pub(super) const DRAWS: usize = 32;
