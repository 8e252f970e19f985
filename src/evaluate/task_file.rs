//! How a task is read.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;

use super::error::Error;
use super::metric::lookup;
use super::task::{DRAWS, Data, Demonstrations, Length, Method, Normalise, Options, Task, TooLong};
use crate::sampling::{Candidate, Strategy};
use crate::train::data::{Form, FormText, OnBroken, ShotOrder, forms};

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
    #[serde(default)]
    too_long: TooLong,
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
    same: Option<String>,
    #[serde(default)]
    order: RawOrder,
    #[serde(default)]
    seed: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawOrder {
    #[default]
    Drawn,
    First,
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
    like: Option<String>,
    head: Option<String>,
    query: Option<String>,
    gap: Option<String>,
    answer: Option<String>,
    shot: Option<String>,
    between: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawLength {
    Beam(usize),
    WithNumber(usize),
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
            shots: raw.shots.map(|shots| file.shots(shots, raw.subject.as_ref())).transpose()?,
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
            too_long: raw.too_long,
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

/// The texts of a table, and of the form that it is like where it has none.
fn reworded<'a>(raw: &'a RawForm, like: Option<FormText<'static>>) -> FormText<'a> {
    let text = |own: &'a Option<String>, like: Option<&'static str>| own.as_deref().or(like).unwrap_or("");
    FormText {
        head: text(&raw.head, like.map(|form| form.head)),
        query: text(&raw.query, like.map(|form| form.query)),
        gap: text(&raw.gap, like.map(|form| form.gap)),
        answer: text(&raw.answer, like.map(|form| form.answer)),
        shot: raw.shot.as_deref().or(like.and_then(|form| form.shot)),
        between: text(&raw.between, like.map(|form| form.between)),
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

    /// Without a word, demonstrations share the subject of the task, which may have none.
    fn shots(&self, raw: RawShots, subject: Option<&String>) -> Result<Demonstrations, Error> {
        self.holds(
            raw.order == RawOrder::Drawn || raw.seed == 0,
            "shots.seed",
            "none with the first",
            "one",
        )?;
        let pool = RawData { files: raw.files, columns: raw.columns, on_broken: None };
        let order = match raw.order {
            RawOrder::Drawn => ShotOrder::Drawn(raw.seed),
            RawOrder::First => ShotOrder::First,
        };
        let same = raw.same.or_else(|| subject.cloned()).filter(|field| !field.is_empty());
        Ok(Demonstrations { number: raw.number, pool: self.data(pool)?, same, order })
    }

    fn form(&self, raw: Value) -> Result<Form, Error> {
        match raw {
            Value::String(name) => Ok(lookup("form", &forms::NAMED, &name)?.parse()?),
            Value::Table(_) => {
                let raw: RawForm = self.read(raw.try_into())?;
                let like = match &raw.like {
                    Some(name) => Some(lookup("form", &forms::NAMED, name)?),
                    None => None,
                };
                self.holds(like.is_some() || raw.query.is_some(), "form.query", "a text", "none")?;
                self.holds(like.is_some() || raw.answer.is_some(), "form.answer", "a text", "none")?;
                Ok(reworded(&raw, like).parse()?)
            }
            other => Err(self.wrong("form", "a name or a table", other.type_str())),
        }
    }

    fn generate(&self, raw: RawGenerate) -> Result<Method, Error> {
        self.holds(raw.steps > 0, "generate.steps", "at least 1", "0")?;
        let length = self.length(raw.length)?;
        let candidate = Candidate::at_temperature(raw.temperature)?;
        let named: Option<Strategy> = raw.strategy.map(|name| name.parse()).transpose()?;
        let strategy = named.map(|strategy| strategy.with_candidate(candidate));
        Ok(Method::Generate { length, strategy, steps: raw.steps, temperature: raw.temperature })
    }

    fn length(&self, raw: Value) -> Result<Length, Error> {
        let wrong = |got: &Value| {
            let expected = "\"oracle\", tokens, a list of tokens, { beam = 3 } or { with-number = 59 }";
            self.wrong("generate.length", expected, got)
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
            Value::Table(_) => match self.read(raw.try_into())? {
                RawLength::Beam(0) => Err(self.wrong("generate.length.beam", "at least 1", "0")),
                RawLength::Beam(beam) => Ok(Length::Predicted(beam)),
                RawLength::WithNumber(more) => Ok(Length::WithNumber(more)),
            },
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
