//! How a task is read.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;

use super::error::Error;
use super::metric::lookup;
use super::task::{DRAWS, Data, Demonstrations, Length, Method, Normalise, Options, Task};
use crate::sampling::{Candidate, Route, Strategy};
use crate::train::data::{Form, FormText, OnBroken, forms};

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

#[derive(Clone, Copy, Deserialize)]
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
    #[serde(default)]
    temperature: f64,
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

    fn wrong(&self, field: &'static str, expected: &str, got: &(impl ToString + ?Sized)) -> Error {
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
        let named: Strategy = match &raw.strategy {
            Some(name) => name.parse()?,
            None => Strategy::Route(Route::paper()),
        };
        let strategy = named.with_candidate(Candidate::at_temperature(raw.temperature)?);
        Ok(Method::Generate { length, strategy, steps: raw.steps, temperature: raw.temperature })
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
