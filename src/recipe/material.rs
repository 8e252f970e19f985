//! All that a run needs and no network yet: tokens, words, sizes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::choices::{MissingChoice, Stage};
use super::network::Network;
use super::rows::Seen;
use super::source::{Group, Share};
use super::{Error, NoiseChoice, Recipe};
use crate::core::{Sequence, TokenId, Vocabulary};
use crate::models::{Checkpoint, EncoderConfig, IdMap, Missing};
use crate::text::{self, Text};
use crate::train::data::{
    self, Corpus, Example, Limit, Mixture, Packed, Packing, Record, Rows, Source, Taken, TokenMixture,
    cached, in_memory,
};
use crate::train::{self, BatchSize, BatchSource, Batches, Count, Foreign};

type Shared = Arc<dyn Rows + Send + Sync>;

/// Rows that are drawn from together.
pub(super) struct Part {
    name: String,
    weight: f64,
    pub(super) rows: Seen,
}

/// What a validation looks at: records as text, as tokens, and as rows of batches.
#[derive(Default)]
pub(super) struct Valid {
    pub(super) records: Vec<Record>,
    pub(super) examples: Vec<Example>,
    pub(super) rows: Vec<Sequence>,
}

/// What a run is made of.
pub(super) struct Material {
    pub(super) text: Text,
    pub(super) config: Network,
    pub(super) parts: Vec<Part>,
    pub(super) valid: Valid,
    /// Of the stage `length`, prompts and lengths of answers.
    pub(super) questions: Vec<(Vec<TokenId>, usize)>,
    /// What became of all records.
    pub(super) taken: Taken,
    /// Whether rows stay on disk.
    on_disk: bool,
}

impl Recipe {
    /// Reads and tokenises everything.
    pub(super) fn material(&self) -> Result<Material, Error> {
        let (text, config) = self.text_and_config()?;
        let limit = self.limit(&config)?;
        let full = data::Recipe {
            tokeniser: self.data.cache.is_some().then(|| text.name()).transpose()?.unwrap_or_default(),
            vocabulary: text.full_vocabulary()?,
            limit: if self.batch.pack.is_some() && self.data.limit.is_none() {
                // What is longer than a row goes on in another.
                Limit { tokens: usize::MAX, ..limit }
            } else {
                limit
            },
            threads: self.threads(),
        };
        let mut taken = Taken::default();
        let mut made = Vec::new();
        let groups = self.groups()?;
        for group in &groups {
            let (rows, of) = self.rows(group, &text, &full)?;
            taken.join(of);
            made.push((group.name.clone(), group.weight, rows));
        }
        let text =
            if self.model.trim { text.trimmed(words(made.iter().map(|part| &part.2))?)? } else { text };
        let config = config.with_words(text.vocabulary().size);
        let how = data::Recipe { limit, threads: 1, ..full };
        let valid = self.valid(&groups, &text, &how, &mut taken)?;
        let map = text.map().cloned().map(Arc::new);
        let seen = |(name, weight, rows)| Part { name, weight, rows: self.seen(rows, map.clone(), &text) };
        let mut parts: Vec<Part> = made.into_iter().map(seen).collect();
        let questions =
            if self.stage == Stage::Length { self.questions(&mut parts, &text)? } else { Vec::new() };
        let on_disk = self.data.cache.is_some() && self.stage != Stage::Length;
        Ok(Material { text, config, parts, valid, questions, taken, on_disk })
    }

    /// Prompts and lengths of answers; what is left of the rows is the prompts.
    fn questions(&self, parts: &mut [Part], text: &Text) -> Result<Vec<(Vec<TokenId>, usize)>, Error> {
        let mut questions = Vec::new();
        for part in parts {
            let examples = (0..part.rows.len()).map(|row| part.rows.example(row));
            let examples = examples.collect::<Result<Vec<_>, _>>()?;
            let rows = examples.iter().map(|example| question(example, text.vocabulary()));
            part.rows = self.seen(Arc::new(rows.collect::<Vec<_>>()), None, text);
            questions.extend(examples.into_iter().map(|example| (example.prompt, example.response.len())));
        }
        Ok(questions)
    }

    /// The rows of some files, in the tokenizer's ids, but for those that are held out. Progress is shown on
    /// standard error.
    fn rows(&self, group: &Group, text: &Text, how: &data::Recipe) -> Result<(Shared, Taken), Error> {
        let corpus = Share { group, part: self.data.held_out, held_out: false };
        let encode = |words: &str| -> Result<Vec<TokenId>, Foreign> { text.encode_full(words) };
        let mut count = Count::stderr(format!("tokenised, of {},", group.name));
        let mut progress = |done| count.show(done, || corpus.estimate());
        let made: (Shared, Taken) = if let Some(folder) = &self.data.cache {
            let cached = cached(folder, &corpus, how, encode, &mut progress)?;
            (Arc::new(cached.store), cached.taken)
        } else {
            let (rows, taken) = in_memory(&corpus, how, encode, &mut progress)?;
            (Arc::new(rows), taken)
        };
        count.finish();
        Ok(made)
    }

    /// Rows with the flags of the stage.
    pub(super) fn seen(&self, rows: Shared, map: Option<Arc<IdMap>>, text: &Text) -> Seen {
        let all = self.noise() == NoiseChoice::All && self.stage != Stage::Length;
        Seen::new(rows, map, *text.vocabulary(), all)
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

    fn text_and_config(&self) -> Result<(Text, Network), Error> {
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
            return Ok((text, Network::Encoder(config)));
        };
        let config = Network::from_json(&checkpoint.config()?)?;
        let folder = checkpoint.folder();
        let path = self.model.tokenizer.clone().unwrap_or_else(|| folder.join("tokenizer.json"));
        let map = text::id_map(folder)?;
        if map.is_some() && self.model.trim {
            let expected = "false for a folder that is trimmed already".to_owned();
            return Err(Error::OutOfRange { field: "model.trim", expected, got: "true".to_owned() });
        }
        Ok((Text::open(path, Some(config.words()), map)?, config))
    }

    fn limit(&self, config: &Network) -> Result<Limit, Error> {
        let most = config.max_len();
        let tokens = self.data.limit.unwrap_or(most);
        if tokens > most {
            let expected = format!("at most {most}, what the network has positions for");
            return Err(Error::OutOfRange { field: "data.limit", expected, got: tokens.to_string() });
        }
        let pack = self.batch.pack.unwrap_or(3);
        if pack > most {
            let expected = format!("at most {most}, what the network has positions for");
            return Err(Error::OutOfRange { field: "batch.pack", expected, got: pack.to_string() });
        }
        Ok(Limit { tokens, cut: self.cut() })
    }
}

/// What a length head sees.
pub(super) fn question(example: &Example, vocabulary: &Vocabulary) -> Sequence {
    Sequence::whole([&[vocabulary.bos], example.prompt.as_slice()].concat())
}

/// All words of some rows.
fn words<'a>(parts: impl Iterator<Item = &'a Shared>) -> Result<BTreeSet<TokenId>, Error> {
    let mut words = BTreeSet::new();
    for rows in parts {
        for row in 0..rows.len() {
            words.extend(rows.row(row)?.ids());
        }
    }
    Ok(words)
}

impl Material {
    /// Training rows.
    pub(super) fn records(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    /// Tokens of each training row.
    pub(super) fn row_lens(&self) -> impl Iterator<Item = usize> + '_ {
        self.parts.iter().flat_map(|part| (0..part.rows.len()).map(|row| part.rows.row_len(row)))
    }

    /// How many bytes training data take in memory: rows, unless they stay on disk, and their order.
    pub(super) fn bytes(&self) -> u64 {
        // Where a row begins, its place in an epoch, and a number to shuffle it by.
        const ORDER: usize = 8 + 8 + 16;
        let rows = self.records();
        let tokens: usize = self.row_lens().sum();
        let held = rows * size_of::<Sequence>() + tokens * (size_of::<TokenId>() + 1);
        (rows * ORDER + if self.on_disk { 0 } else { held }) as u64
    }

    /// The training data in batches.
    pub(super) fn batches(&self, recipe: &Recipe) -> Result<Data, Error> {
        let (vocabulary, seed, size) = (*self.text.vocabulary(), recipe.train.seed, recipe.batch_size());
        let (Some(part), false) = (self.parts.first(), recipe.is_mixture()) else {
            let source = |part: &Part| Source {
                name: part.name.clone(),
                weight: part.weight,
                rows: part.rows.clone(),
            };
            let sources = self.parts.iter().map(source).collect();
            let pass = recipe.pass();
            return Ok(match size {
                BatchSize::Sequences(rows) => {
                    Data::Mixture(Box::new(Mixture::over(sources, vocabulary, rows, seed)?.with_pass(pass)))
                }
                BatchSize::Tokens(tokens) => {
                    let mixture = Mixture::over(sources, vocabulary, 1, seed)?.with_pass(pass);
                    Data::TokenMixture(Box::new(mixture.by_tokens(tokens)?))
                }
            });
        };
        let rows = part.rows.clone();
        let Some(len) = recipe.batch.pack else {
            return Ok(Data::Batches(Batches::over(rows, vocabulary, size, seed)?));
        };
        let of_batch = match size {
            BatchSize::Sequences(rows) => rows,
            BatchSize::Tokens(tokens) => (tokens / len).max(1),
        };
        Ok(Data::Packed(Packed::over(rows, vocabulary, Packing { len, rows: of_batch }, seed)?))
    }
}

/// Where a recipe's batches come from.
#[derive(Clone)]
pub(super) enum Data {
    Batches(Batches<Seen>),
    Packed(Packed<Seen>),
    Mixture(Box<Mixture<Seen>>),
    TokenMixture(Box<TokenMixture<Seen>>),
}

impl Data {
    fn source(&self) -> &dyn BatchSource {
        match self {
            Self::Batches(batches) => batches,
            Self::Packed(batches) => batches,
            Self::Mixture(batches) => &**batches,
            Self::TokenMixture(batches) => &**batches,
        }
    }
}

impl BatchSource for Data {
    fn batch(&mut self, index: u64) -> Result<crate::core::Batch, train::Error> {
        match self {
            Self::Batches(batches) => batches.batch(index),
            Self::Packed(batches) => batches.batch(index),
            Self::Mixture(batches) => batches.batch(index),
            Self::TokenMixture(batches) => batches.batch(index),
        }
    }

    fn fingerprint(&self) -> u64 {
        self.source().fingerprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_a_packed_row_are_whole_and_apart() {
        let recipe = Recipe::parse(
            r#"
            stage = "mlm"
            out = "o"
            [model]
            folder = "assets/g2p-mlm"
            [batch]
            pack = 64
            sequences = 8
            [[data.files]]
            path = "assets/cmudict/valid.tsv"
            "#,
        )
        .unwrap();
        let material = recipe.material().unwrap();
        let vocabulary = *material.text.vocabulary();
        let batch = material.batches(&recipe).unwrap().batch(0).unwrap();
        let (documents, len) = (batch.documents().unwrap(), batch.len());
        assert_eq!((batch.rows(), len), (8, 64));
        let mut tokens = 0;
        for row in 0..batch.rows() {
            let span = row * len..(row + 1) * len;
            let filled = batch.pad()[span.clone()].iter().filter(|&&pad| !pad).count();
            let (ids, documents) = (&batch.ids()[span.clone()][..filled], &documents[span][..filled]);
            for document in documents.chunk_by(|a, b| a == b).scan(0, |start, document| {
                *start += document.len();
                Some(*start - document.len()..*start)
            }) {
                let ids = &ids[document];
                assert_eq!((ids[0], ids[ids.len() - 1]), (vocabulary.bos, vocabulary.eos));
                assert_eq!(ids.iter().filter(|&&id| id == vocabulary.bos).count(), 1);
            }
            tokens += filled;
        }
        assert!(tokens > 8 * 60, "{tokens} of 512 positions are filled");
    }
}
