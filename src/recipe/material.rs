//! All that a run needs and no network yet: tokens, words, sizes.

use std::path::PathBuf;

use super::choices::{MissingChoice, Stage};
use super::source::FileRecords;
use super::{Error, NoiseChoice, Recipe};
use crate::core::{Sequence, TokenId, Vocabulary};
use crate::models::{Checkpoint, EncoderConfig, Missing};
use crate::text::{self, Text};
use crate::train::data::{Example, Limit, Mixture, Record, Source, sequences, tokenise};
use crate::train::{BatchSize, BatchSource, Batches, Foreign};

/// Records as text, as tokens, and as rows of batches.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) weight: f64,
    pub(super) records: Vec<Record>,
    pub(super) examples: Vec<Example>,
    pub(super) rows: Vec<Sequence>,
}

/// What a run is made of.
pub(super) struct Material {
    pub(super) text: Text,
    pub(super) config: EncoderConfig,
    pub(super) parts: Vec<Part>,
    pub(super) valid: Part,
    /// Broken records that were left out.
    pub(super) skipped: usize,
    /// Examples that were left out for their length.
    pub(super) dropped: usize,
}

impl Recipe {
    /// Reads and tokenises everything.
    pub(super) fn material(&self) -> Result<Material, Error> {
        let (text, mut config) = self.text_and_config()?;
        let (mut parts, mut valid, skipped) = self.parts()?;
        let full = |part: &mut Part| -> Result<(), Error> {
            let encode = |words: &str| -> Result<Vec<TokenId>, Foreign> { text.encode_full(words) };
            part.examples = tokenise(&part.records, encode)?;
            Ok(())
        };
        parts.iter_mut().chain([&mut valid]).try_for_each(full)?;
        let text = if self.model.trim { text.trimmed(words(&parts))? } else { text };
        config.vocab_size = text.vocabulary().size;
        let limit = self.limit(&config)?;
        let mut dropped = 0;
        for part in parts.iter_mut().chain([&mut valid]) {
            dropped += part.fit(self, &text, limit)?;
        }
        Ok(Material { text, config, parts, valid, skipped, dropped })
    }

    /// The folder that the run starts from, if it does.
    pub(super) fn checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        let missing = match self.model.missing {
            MissingChoice::Refuse => Missing::Refuse,
            MissingChoice::Initialise => Missing::Initialise,
        };
        let open = |folder: &PathBuf| Checkpoint::open(folder).map(|folder| folder.with_missing(missing));
        Ok(self.model.folder.as_ref().map(open).transpose()?)
    }

    fn text_and_config(&self) -> Result<(Text, EncoderConfig), Error> {
        let Some(checkpoint) = self.checkpoint()? else {
            let path = self.model.tokenizer.clone().unwrap_or_default();
            let text = Text::open(path, None, None)?;
            let new = self.model.new.clone().unwrap_or_default();
            let pad = text.vocabulary().pad as usize;
            let config = EncoderConfig::new(text.vocabulary().size, new.hidden, new.layers, new.heads)
                .with_max_position_embeddings(new.positions)
                .with_intermediate_size(new.inner.unwrap_or(4 * new.hidden))
                .with_dropout(self.model.dropout.unwrap_or(0.1))
                .with_pad_token_id(pad);
            return Ok((text, config));
        };
        let config = EncoderConfig::from_json(&checkpoint.config()?)?;
        let folder = checkpoint.folder();
        let path = self.model.tokenizer.clone().unwrap_or_else(|| folder.join("tokenizer.json"));
        let map = text::id_map(folder)?;
        if map.is_some() && self.model.trim {
            let expected = "false for a folder that is trimmed already".to_owned();
            return Err(Error::OutOfRange { field: "model.trim", expected, got: "true".to_owned() });
        }
        Ok((Text::open(path, Some(config.vocab_size), map)?, config))
    }

    /// Training and validation records, untokenised, and how many were broken.
    fn parts(&self) -> Result<(Vec<Part>, Part, usize), Error> {
        let on_broken = self.data.on_broken;
        let (mut parts, mut held) = (Vec::new(), Vec::new());
        let mut skipped = 0;
        for file in &self.data.files {
            let FileRecords { records, skipped: broken } = file.records(on_broken)?;
            skipped += broken;
            let (kept, out) = hold_out(records, self.data.held_out);
            held.extend(out);
            parts.push(Part::new(file.name(), file.weight.unwrap_or(1.0), kept));
        }
        if !self.is_mixture() {
            let records = parts.drain(..).flat_map(|part| part.records).collect();
            parts.push(Part::new("all files".to_owned(), 1.0, records));
        }
        if let Some(file) = &self.data.valid {
            let loaded = file.records(on_broken)?;
            skipped += loaded.skipped;
            held = loaded.records;
        }
        let valid = evenly(held, self.validate.examples);
        Ok((parts, Part::new("validation".to_owned(), 1.0, valid), skipped))
    }

    fn limit(&self, config: &EncoderConfig) -> Result<Limit, Error> {
        let most = config.max_len();
        let tokens = self.data.limit.unwrap_or(most);
        if tokens > most {
            let expected = format!("at most {most}, what the network has positions for");
            return Err(Error::OutOfRange { field: "data.limit", expected, got: tokens.to_string() });
        }
        Ok(Limit { tokens, cut: self.cut() })
    }
}

impl Part {
    fn new(name: String, weight: f64, records: Vec<Record>) -> Self {
        Self { name, weight, records, examples: Vec::new(), rows: Vec::new() }
    }

    /// Puts examples into the network's words and the limit, and makes rows of them. Returns how many were
    /// left out.
    fn fit(&mut self, recipe: &Recipe, text: &Text, limit: Limit) -> Result<usize, Error> {
        let vocabulary = text.vocabulary();
        let (records, examples) = (std::mem::take(&mut self.records), std::mem::take(&mut self.examples));
        let before = records.len();
        for (index, (record, full)) in records.into_iter().zip(examples).enumerate() {
            let example = Example { prompt: text.trim(full.prompt), response: text.trim(full.response) };
            let fitted =
                sequences(&[example], vocabulary, limit).map_err(|error| of_example(index, error))?;
            let Some(row) = fitted.into_iter().next() else { continue };
            let example = as_example(&row, vocabulary);
            self.rows.push(match (recipe.stage, recipe.noise()) {
                (Stage::Length, _) => question(&example, vocabulary),
                (_, NoiseChoice::All) => all_maskable(&row, vocabulary)?,
                (_, NoiseChoice::Response) => row,
            });
            self.examples.push(example);
            self.records.push(record);
        }
        Ok(before - self.records.len())
    }
}

/// An error about the only example, named by its place.
fn of_example(index: usize, error: crate::train::Error) -> crate::train::Error {
    match error {
        crate::train::Error::TooLong { limit, got, .. } => crate::train::Error::TooLong { index, limit, got },
        other => other,
    }
}

/// What is left of an example in a row of prompt and response.
fn as_example(row: &Sequence, vocabulary: &Vocabulary) -> Example {
    let start = row.maskable().iter().position(|&maskable| maskable).unwrap_or(row.len());
    let response = &row.ids()[start..];
    let response = response.strip_suffix(&[vocabulary.eos]).unwrap_or(response);
    Example { prompt: row.ids()[1..start].to_vec(), response: response.to_vec() }
}

/// What a length head sees.
fn question(example: &Example, vocabulary: &Vocabulary) -> Sequence {
    Sequence::whole([&[vocabulary.bos], example.prompt.as_slice()].concat())
}

impl Material {
    /// How many bytes texts, tokens and rows take, the rows twice: here and in the batches.
    pub(super) fn bytes(&self) -> u64 {
        let row = |row: &Sequence| 2 * (size_of::<Sequence>() + row.len() * (size_of::<TokenId>() + 1));
        let part = |part: &Part| {
            let texts: usize = part.records.iter().map(|r| r.prompt.len() + r.response.len()).sum();
            let tokens: usize = part.examples.iter().map(|e| e.prompt.len() + e.response.len()).sum();
            let each = size_of::<Record>() + size_of::<Example>();
            let rows: usize = part.rows.iter().map(row).sum();
            texts + tokens * size_of::<TokenId>() + part.records.len() * each + rows
        };
        self.parts.iter().chain([&self.valid]).map(part).sum::<usize>() as u64
    }

    /// The training data in batches.
    pub(super) fn batches(&self, size: BatchSize, seed: u64) -> Result<Data, Error> {
        let vocabulary = *self.text.vocabulary();
        if let ([_, _, ..], BatchSize::Sequences(rows)) = (self.parts.as_slice(), size) {
            let source = |part: &Part| Source {
                name: part.name.clone(),
                weight: part.weight,
                rows: part.rows.clone(),
            };
            let sources = self.parts.iter().map(source).collect();
            return Ok(Data::Mixture(Box::new(Mixture::new(sources, vocabulary, rows, seed)?)));
        }
        let rows = self.parts.iter().flat_map(|part| part.rows.iter().cloned()).collect();
        Ok(Data::Batches(Batches::new(rows, vocabulary, size, seed)?))
    }
}

/// Where a recipe's batches come from.
#[derive(Clone)]
pub(super) enum Data {
    Batches(Batches),
    Mixture(Box<Mixture>),
}

impl BatchSource for Data {
    fn batch(&mut self, index: u64) -> Result<crate::core::Batch, crate::train::Error> {
        match self {
            Self::Batches(batches) => batches.batch(index),
            Self::Mixture(mixture) => mixture.batch(index),
        }
    }

    fn fingerprint(&self) -> u64 {
        match self {
            Self::Batches(batches) => batches.fingerprint(),
            Self::Mixture(mixture) => mixture.fingerprint(),
        }
    }
}

/// All words of the training data, in full ids.
fn words(parts: &[Part]) -> impl Iterator<Item = TokenId> + '_ {
    let examples = parts.iter().flat_map(|part| &part.examples);
    examples.flat_map(|example| example.prompt.iter().chain(&example.response).copied())
}

/// The same row with every token maskable that is not special.
fn all_maskable(row: &Sequence, vocabulary: &Vocabulary) -> Result<Sequence, Error> {
    let maskable = row.ids().iter().map(|&id| !vocabulary.is_special(id)).collect();
    Ok(Sequence::new(row.ids().to_vec(), maskable)?)
}

/// Splits off a share of the records, evenly spaced.
fn hold_out(records: Vec<Record>, share: f64) -> (Vec<Record>, Vec<Record>) {
    let (mut kept, mut held) = (Vec::new(), Vec::new());
    for (index, record) in records.into_iter().enumerate() {
        let before = (index as f64 * share).floor();
        let out = ((index + 1) as f64 * share).floor() > before;
        if out { held.push(record) } else { kept.push(record) }
    }
    (kept, held)
}

/// At most `most` of the records, evenly spaced; 0 for all.
fn evenly(records: Vec<Record>, most: usize) -> Vec<Record> {
    let every = records.len().checked_div(most).unwrap_or(1).max(1);
    let most = if most == 0 { records.len() } else { most };
    records.into_iter().step_by(every).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(n: usize) -> Vec<Record> {
        (0..n).map(|i| Record { prompt: i.to_string(), response: String::new() }).collect()
    }

    #[test]
    fn a_held_out_share_is_evenly_spaced_and_disjoint() {
        let (kept, held) = hold_out(records(20), 0.25);
        let names =
            |records: &[Record]| records.iter().map(|record| record.prompt.clone()).collect::<Vec<_>>();
        assert_eq!(names(&held), ["3", "7", "11", "15", "19"]);
        assert_eq!(kept.len(), 15);
        assert!(names(&kept).iter().all(|name| !names(&held).contains(name)));
        assert_eq!(names(&evenly(records(10), 4)), ["0", "2", "4", "6"]);
        assert_eq!(evenly(records(10), 0).len(), 10);
        assert_eq!(evenly(records(3), 9).len(), 3);
    }
}
