//! Rows of tokens as a stage sees them.

use std::ops::Range;
use std::sync::Arc;

use crate::core::{Sequence, TokenId, Vocabulary};
use crate::models::IdMap;
use crate::train::data::{Example, Rows};
use crate::train::{self, fingerprint};

/// Rows of prompt and response in the tokenizer's ids, in memory or in a file, seen in the network's ids with the
/// stage's flags. So one file serves all stages and any trimming.
#[derive(Clone)]
pub(super) struct Seen {
    rows: Arc<dyn Rows + Send + Sync>,
    map: Option<Arc<IdMap>>,
    vocabulary: Vocabulary,
    /// Whether all tokens but special ones may become noise.
    all: bool,
}

impl Seen {
    /// `vocabulary` is the network's.
    pub(super) fn new(
        rows: Arc<dyn Rows + Send + Sync>,
        map: Option<Arc<IdMap>>,
        vocabulary: Vocabulary,
        all: bool,
    ) -> Self {
        Self { rows, map, vocabulary, all }
    }

    /// Prompt and response of a row in the network's ids.
    pub(super) fn example(&self, row: usize) -> Result<Example, train::Error> {
        let row = self.rows.row(row)?;
        let ids = self.ids(row.ids());
        let start = row.maskable().iter().position(|&maskable| maskable).unwrap_or(ids.len());
        let response = ids[start..].strip_suffix(&[self.vocabulary.eos]).unwrap_or(&ids[start..]);
        Ok(Example { prompt: ids[1..start].to_vec(), response: response.to_vec() })
    }

    fn ids(&self, ids: &[TokenId]) -> Vec<TokenId> {
        self.map.as_ref().map_or_else(|| ids.to_vec(), |map| map.trim(ids))
    }
}

impl Rows for Seen {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn row_len(&self, row: usize) -> usize {
        self.rows.row_len(row)
    }

    fn part(&self, row: usize, span: Range<usize>) -> Result<Sequence, train::Error> {
        let part = self.rows.part(row, span)?;
        let ids = self.ids(part.ids());
        let maskable = if self.all {
            ids.iter().map(|&id| !self.vocabulary.is_special(id)).collect()
        } else {
            part.maskable().to_vec()
        };
        Ok(Sequence::new(ids, maskable)?)
    }

    fn content(&self) -> u64 {
        let kept = self.map.iter().flat_map(|map| map.kept()).map(|&id| u64::from(id));
        fingerprint([self.rows.content(), u64::from(self.all)].into_iter().chain(kept))
    }

    fn check(&self, size: usize) -> Result<(), train::Error> {
        // A map has an id for every word.
        if self.map.is_some() { Ok(()) } else { self.rows.check(size) }
    }
}
