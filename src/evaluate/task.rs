//! Task files.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;

use super::error::Error;
use super::metric::{Metric, lookup};
use crate::sampling::Strategy;
use crate::train::data::{Form, FormText, OnBroken, forms};

/// What is asked, how the answer is found, and how it is judged: a small TOML file.
///
/// ```toml
/// name = "questions"
/// form = "chain-of-thought"       # a name of `forms::NAMED`, or a table of head, query, gap, answer, between
/// metrics = ["accuracy", "chrf"]  # see `Metric`
/// references = "answers"          # field with a list of right answers; without: the form's answer
/// subject = "language"            # field that cases are grouped by, for means over groups
/// limit = 500                     # at most so many cases, spread evenly over the data
/// seed = 7
/// too-long = "skip"               # or "stop": what a case does that does not fit the network
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
/// seed = 1
///
/// [generate]                      # either the answer is written ...
/// length = "oracle"               # the first reference's; or 12; or [10, 12, 14]; or { beam = 3 }, predicted
/// strategy = "reparam-uncond-deterministic-cosine"
/// steps = 10
///
/// [choose]                        # ... or the likeliest of some options is taken
/// options = ["yes", "no"]         # or the name of a field with a list
/// right = "label"                 # field with the right option's place from 0; without: the form's answer
/// normalise = "sum"               # or "token", "byte": what log-likelihoods are divided by
/// draws = 32                      # of each option's likelihood
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
    pub too_long: OnBroken,
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

/// Demonstrations before each question, drawn from a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demonstrations {
    /// At most so many.
    pub number: usize,
    /// The pool.
    pub pool: Data,
    /// Of the draw.
    pub seed: u64,
}

/// How an answer is found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// It is written.
    Generate {
        /// How long it may be.
        length: Length,
        /// The decoder.
        strategy: Strategy,
        /// Its steps.
        steps: usize,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawTask {
    name: String,
    form: Value,
    metrics: Vec<String>,
    references: Option<String>,
    subject: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    seed: u64,
    too_long: Option<RawOnBroken>,
    rows: Option<usize>,
    data: RawData,
    shots: Option<RawShots>,
    generate: Option<RawGenerate>,
    choose: Option<RawChoose>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawData {
    files: Vec<PathBuf>,
    columns: Option<Vec<String>>,
    on_broken: Option<RawOnBroken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawShots {
    number: usize,
    files: Vec<PathBuf>,
    columns: Option<Vec<String>>,
    #[serde(default)]
    seed: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawOnBroken {
    Stop,
    Skip,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGenerate {
    length: Value,
    strategy: Option<String>,
    steps: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChoose {
    options: Options,
    right: Option<String>,
    #[serde(default)]
    normalise: Normalise,
    draws: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawForm {
    #[serde(default)]
    head: String,
    query: String,
    #[serde(default)]
    gap: String,
    answer: String,
    #[serde(default)]
    between: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBeam {
    beam: usize,
}

impl Task {
    /// Reads a task file.
    ///
    /// # Errors
    /// [`Error::Io`], and as [`Task::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the text of a task file. Paths in it are relative to the folder of `path`, which need not
    /// exist.
    ///
    /// # Errors
    /// [`Error::Toml`], which places the fault; [`Error::Task`] and [`Error::UnknownName`] for values that
    /// make no sense; [`Error::Data`] for a form that is no template; [`Error::Sampling`] for an unknown
    /// strategy.
    pub fn parse(text: &str, path: impl AsRef<Path>) -> Result<Self, Error> {
        let file = File(path.as_ref());
        let raw: RawTask = file.read(toml::from_str(text))?;
        file.holds(!raw.metrics.is_empty(), "metrics", "at least one", "none")?;
        file.holds(raw.limit != Some(0), "limit", "at least 1", "0")?;
        file.holds(raw.rows != Some(0), "rows", "at least 1", "0")?;
        Ok(Self {
            name: raw.name,
            data: file.data(raw.data)?,
            form: file.form(raw.form)?,
            shots: raw.shots.map(|shots| file.shots(shots)).transpose()?,
            method: match (raw.generate, raw.choose) {
                (Some(generate), None) => file.generate(generate)?,
                (None, Some(choose)) => file.choose(choose)?,
                (one, _) => {
                    let got = if one.is_some() { "both" } else { "neither" };
                    return Err(file.wrong("generate, choose", "one of the two", got));
                }
            },
            references: raw.references,
            subject: raw.subject,
            metrics: raw.metrics.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
            limit: raw.limit,
            seed: raw.seed,
            too_long: on_broken(raw.too_long),
            rows: raw.rows.unwrap_or(64),
        })
    }
}

fn on_broken(raw: Option<RawOnBroken>) -> OnBroken {
    match raw {
        Some(RawOnBroken::Skip) => OnBroken::Skip,
        Some(RawOnBroken::Stop) | None => OnBroken::Stop,
    }
}

/// The task file, for paths and errors.
struct File<'a>(&'a Path);

impl File<'_> {
    fn read<T>(&self, parsed: Result<T, toml::de::Error>) -> Result<T, Error> {
        parsed.map_err(|source| Error::Toml { path: self.0.to_owned(), source: Box::new(source) })
    }

    fn wrong(&self, field: &'static str, expected: &str, got: impl ToString) -> Error {
        Error::Task { path: self.0.to_owned(), field, expected: expected.to_owned(), got: got.to_string() }
    }

    fn holds(&self, holds: bool, field: &'static str, expected: &str, got: &str) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(self.wrong(field, expected, got)) }
    }

    fn data(&self, raw: RawData) -> Result<Data, Error> {
        self.holds(!raw.files.is_empty(), "data.files", "at least one", "none")?;
        let folder = self.0.parent().unwrap_or(Path::new(""));
        let files = raw.files.into_iter().map(|file| folder.join(file)).collect();
        Ok(Data { files, columns: raw.columns, on_broken: on_broken(raw.on_broken) })
    }

    fn shots(&self, raw: RawShots) -> Result<Demonstrations, Error> {
        let pool = RawData { files: raw.files, columns: raw.columns, on_broken: None };
        Ok(Demonstrations { number: raw.number, pool: self.data(pool)?, seed: raw.seed })
    }

    fn form(&self, raw: Value) -> Result<Form, Error> {
        match raw {
            Value::String(name) => Ok(lookup("form", &forms::NAMED, &name)?.parse()?),
            Value::Table(_) => {
                let RawForm { head, query, gap, answer, between } = self.read(raw.try_into())?;
                let text =
                    FormText { head: &head, query: &query, gap: &gap, answer: &answer, between: &between };
                Ok(text.parse()?)
            }
            other => Err(self.wrong("form", "a name or a table", other.type_str())),
        }
    }

    fn generate(&self, raw: RawGenerate) -> Result<Method, Error> {
        self.holds(raw.steps > 0, "generate.steps", "at least 1", "0")?;
        let length = self.length(raw.length)?;
        let strategy = raw.strategy.as_deref().unwrap_or("reparam-uncond-deterministic-cosine").parse()?;
        Ok(Method::Generate { length, strategy, steps: raw.steps })
    }

    fn length(&self, raw: Value) -> Result<Length, Error> {
        let wrong = |got: &Value| {
            self.wrong("generate.length", "\"oracle\", tokens, a list of tokens, or { beam = 3 }", got)
        };
        let tokens = |value: &Value| {
            value.as_integer().and_then(|tokens| usize::try_from(tokens).ok()).ok_or_else(|| wrong(value))
        };
        match &raw {
            Value::String(name) if name == "oracle" => Ok(Length::Oracle),
            Value::Integer(_) => Ok(Length::Fixed(vec![tokens(&raw)?])),
            Value::Array(list) if !list.is_empty() => {
                Ok(Length::Fixed(list.iter().map(tokens).collect::<Result<_, _>>()?))
            }
            Value::Table(_) => {
                let RawBeam { beam } = self.read(raw.try_into())?;
                self.holds(beam > 0, "generate.length.beam", "at least 1", "0")?;
                Ok(Length::Predicted(beam))
            }
            other => Err(wrong(other)),
        }
    }

    fn choose(&self, raw: RawChoose) -> Result<Method, Error> {
        if let Options::Listed(options) = &raw.options {
            let got = options.len().to_string();
            self.holds(options.len() > 1, "choose.options", "at least 2", &got)?;
        }
        let draws = raw.draws.unwrap_or(DRAWS);
        self.holds(draws > 1, "choose.draws", "at least 2", &draws.to_string())?;
        let RawChoose { options, right, normalise, draws: _ } = raw;
        Ok(Method::Choose { options, right, normalise, draws })
    }
}
