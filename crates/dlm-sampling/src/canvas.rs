//! The state of the reverse process: tokens, which of them are still noise, and how sure each is.

use std::ops::Range;

use dlm_core::sequence::check_ids;
use dlm_core::{TokenId, Vocabulary};

use crate::error::Error;

/// Some rows in the making. Rows have their own lengths; padding exists only inside the loop, when a
/// batch goes to the network.
///
/// Whether a token is noise is a bit of its own. A literal mask token in a prompt is text like any other.
///
/// # Example
/// ```
/// use dlm_core::Vocabulary;
/// use dlm_sampling::Canvas;
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// // Two prompts (one of them holds a literal mask token), to be answered in 1 and in 3 tokens.
/// let canvas = Canvas::prompted(&[vec![5, 9], vec![7]], &[1, 3], &vocabulary)?;
/// assert_eq!(canvas.ids(0), [0, 5, 9, 9, 2]);
/// assert_eq!(canvas.noisy(0), [false, false, false, true, false]);
/// assert_eq!(canvas.ids(1), [0, 7, 9, 9, 9, 2]);
/// # Ok::<(), dlm_sampling::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Canvas {
    rows: Vec<Cells>,
    vocabulary: Vocabulary,
}

#[derive(Debug, Clone, PartialEq)]
struct Cells {
    ids: Vec<TokenId>,
    noisy: Vec<bool>,
    scores: Vec<f32>,
    /// Positions that may be written, ascending. A window counts along this list.
    editable: Vec<usize>,
    key: u64,
}

impl Canvas {
    /// The paper's canvas: `BOS prompt noise EOS`, with as much noise as the row's length says. BOS, the
    /// prompt and EOS are context.
    ///
    /// # Errors
    /// Core errors `Length` unless there is one length for each prompt, `UnknownToken` for an id outside
    /// the vocabulary (its position counts from BOS).
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219: EOS is learnt as part of the response, but given when decoding.
    pub fn prompted<P: AsRef<[TokenId]>>(
        prompts: &[P],
        lengths: &[usize],
        vocabulary: &Vocabulary,
    ) -> Result<Self, Error> {
        same_length("response lengths", prompts.len(), lengths.len())?;
        let rows = prompts.iter().zip(lengths).map(|(prompt, &length)| {
            let context = 1 + prompt.as_ref().len();
            let mut ids = vec![vocabulary.bos];
            ids.extend_from_slice(prompt.as_ref());
            ids.resize(context + length, vocabulary.mask);
            ids.push(vocabulary.eos);
            (ids, (context..context + length).collect())
        });
        Self::new(rows, vocabulary)
    }

    /// Rows of any form: `(ids, editable)`. Editable positions start as noise, whatever token stands
    /// there; all others are context.
    ///
    /// # Errors
    /// Core errors `Length` unless each row has one flag for each id, `UnknownToken` for an id outside the
    /// vocabulary.
    pub fn infill<I: AsRef<[TokenId]>, E: AsRef<[bool]>>(
        rows: &[(I, E)],
        vocabulary: &Vocabulary,
    ) -> Result<Self, Error> {
        for (ids, editable) in rows {
            same_length("editable flags of a row", ids.as_ref().len(), editable.as_ref().len())?;
        }
        let rows = rows.iter().map(|(ids, editable)| {
            let flags = editable.as_ref();
            (ids.as_ref().to_vec(), (0..flags.len()).filter(|&position| flags[position]).collect())
        });
        Self::new(rows, vocabulary)
    }

    /// [`Canvas::infill`] of rows that were padded, on either side: `(ids, editable, pad)`. Positions
    /// where `pad` is true are dropped, so that the result does not depend on the padding.
    ///
    /// # Errors
    /// As [`Canvas::infill`]; `Length` also unless each row has one padding flag for each id.
    pub fn infill_padded<I: AsRef<[TokenId]>, E: AsRef<[bool]>, P: AsRef<[bool]>>(
        rows: &[(I, E, P)],
        vocabulary: &Vocabulary,
    ) -> Result<Self, Error> {
        let strip = |(ids, editable, pad): &(I, E, P)| {
            let (ids, editable, pad) = (ids.as_ref(), editable.as_ref(), pad.as_ref());
            same_length("editable flags of a row", ids.len(), editable.len())?;
            same_length("padding flags of a row", ids.len(), pad.len())?;
            let kept = (0..ids.len()).filter(|&position| !pad[position]);
            Ok(kept.map(|position| (ids[position], editable[position])).unzip())
        };
        let rows: Vec<(Vec<TokenId>, Vec<bool>)> = rows.iter().map(strip).collect::<Result<_, Error>>()?;
        Self::infill(&rows, vocabulary)
    }

    fn new(
        rows: impl Iterator<Item = (Vec<TokenId>, Vec<usize>)>,
        vocabulary: &Vocabulary,
    ) -> Result<Self, Error> {
        let cells = |(row, (ids, editable)): (usize, (Vec<TokenId>, Vec<usize>))| {
            check_ids(row, &ids, vocabulary.size)?;
            let mut cells = Cells {
                noisy: vec![false; ids.len()],
                scores: vec![0.0; ids.len()],
                key: row as u64,
                ids,
                editable,
            };
            for at in 0..cells.editable.len() {
                cells.make_noise(cells.editable[at], vocabulary.mask);
            }
            Ok(cells)
        };
        Ok(Self { rows: rows.enumerate().map(cells).collect::<Result<_, Error>>()?, vocabulary: *vocabulary })
    }

    /// Names the rows' random draws, so that they do not depend on the batch a row lands in. Without keys
    /// a row's index is its key.
    ///
    /// # Errors
    /// Core error `Length` unless there is one key for each row.
    pub fn with_keys(mut self, keys: &[u64]) -> Result<Self, Error> {
        same_length("keys of a canvas", self.rows.len(), keys.len())?;
        for (cells, &key) in self.rows.iter_mut().zip(keys) {
            cells.key = key;
        }
        Ok(self)
    }

    /// Number of rows, B.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The vocabulary whose ids are written here.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Tokens of a row, context included; the mask token where it is still noise.
    ///
    /// # Panics
    /// As all getters here, if there is no such row.
    pub fn ids(&self, row: usize) -> &[TokenId] {
        &self.rows[row].ids
    }

    /// Which positions of a row are still noise.
    pub fn noisy(&self, row: usize) -> &[bool] {
        &self.rows[row].noisy
    }

    /// The score each token of a row was written with (nats, for all strategies here), −∞ where it is
    /// still noise, 0 for context.
    pub fn scores(&self, row: usize) -> &[f32] {
        &self.rows[row].scores
    }

    /// The positions of a row that may be written, ascending.
    pub fn editable(&self, row: usize) -> &[usize] {
        &self.rows[row].editable
    }

    /// The key of a row's random draws.
    pub fn key(&self, row: usize) -> u64 {
        self.rows[row].key
    }

    /// The tokens at the editable positions of a row: its response.
    pub fn response(&self, row: usize) -> Vec<TokenId> {
        let cells = &self.rows[row];
        cells.editable.iter().map(|&position| cells.ids[position]).collect()
    }

    /// Mean score over the editable positions of a row; `None` if it has none.
    pub fn mean_score(&self, row: usize) -> Option<f64> {
        let cells = &self.rows[row];
        let sum: f64 = cells.editable.iter().map(|&position| f64::from(cells.scores[position])).sum();
        (!cells.editable.is_empty()).then(|| sum / cells.editable.len() as f64)
    }

    /// The largest number of editable positions of a row: what [`blocks`](crate::plan::blocks) has to
    /// cover.
    pub fn longest(&self) -> usize {
        self.rows.iter().map(|cells| cells.editable.len()).max().unwrap_or(0)
    }

    /// Whether nothing is noise any more.
    pub fn is_done(&self) -> bool {
        self.rows.iter().all(|cells| !cells.noisy.contains(&true))
    }

    /// A row as a strategy sees it at one step.
    pub(crate) fn row<'a>(
        &'a mut self,
        row: usize,
        window: &Range<usize>,
        events: &'a mut Vec<Event>,
    ) -> Row<'a> {
        let cells = &mut self.rows[row];
        let window = clip(window, cells.editable.len());
        Row { cells, vocabulary: &self.vocabulary, window, index: row, events }
    }

    /// The positions of a row inside a window at which something may be asked: all, or the noisy ones.
    pub(crate) fn active(&self, row: usize, window: &Range<usize>, settled: bool) -> Vec<usize> {
        let cells = &self.rows[row];
        let active = &cells.editable[clip(window, cells.editable.len())];
        active.iter().copied().filter(|&position| settled || cells.noisy[position]).collect()
    }
}

impl Cells {
    fn make_noise(&mut self, position: usize, mask: TokenId) {
        self.ids[position] = mask;
        self.noisy[position] = true;
        self.scores[position] = f32::NEG_INFINITY;
    }
}

/// Something that happened to a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Row of the canvas.
    pub row: usize,
    /// Position in the row.
    pub position: usize,
    /// What happened there.
    pub change: Change,
}

/// The two things that can happen to a token.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Noise became a token.
    Committed {
        /// The token.
        token: TokenId,
        /// Its score.
        score: f32,
    },
    /// A token became noise again.
    Remasked {
        /// The token that was taken back.
        token: TokenId,
    },
}

/// One row at one step, as a strategy sees it: it can read everything and write inside the window.
#[derive(Debug)]
pub struct Row<'a> {
    cells: &'a mut Cells,
    vocabulary: &'a Vocabulary,
    window: Range<usize>,
    index: usize,
    events: &'a mut Vec<Event>,
}

impl Row<'_> {
    /// Tokens of the whole row.
    pub fn ids(&self) -> &[TokenId] {
        &self.cells.ids
    }

    /// Whether a position is still noise; false outside the row.
    pub fn is_noisy(&self, position: usize) -> bool {
        self.cells.noisy.get(position).copied().unwrap_or(false)
    }

    /// The score a token was written with: 0 for context, −∞ for noise and outside the row.
    pub fn score(&self, position: usize) -> f32 {
        self.cells.scores.get(position).copied().unwrap_or(f32::NEG_INFINITY)
    }

    /// The positions inside the window that may be written, ascending.
    pub fn active(&self) -> &[usize] {
        &self.cells.editable[self.window.clone()]
    }

    /// Those active positions that are still noise.
    pub fn noisy(&self) -> Vec<usize> {
        self.active().iter().copied().filter(|&position| self.cells.noisy[position]).collect()
    }

    /// Turns noise into a token. Refused, with `false`, unless `position` is noisy and active and `token`
    /// is a word of the vocabulary other than the mask.
    pub fn commit(&mut self, position: usize, token: TokenId, score: f32) -> bool {
        let is_word = (token as usize) < self.vocabulary.size && token != self.vocabulary.mask;
        let allowed = is_word && self.is_active(position) && self.is_noisy(position);
        if allowed {
            self.cells.ids[position] = token;
            self.cells.noisy[position] = false;
            self.cells.scores[position] = score;
            self.tell(position, Change::Committed { token, score });
        }
        allowed
    }

    /// Takes a token back. Refused, with `false`, unless `position` is active and not noisy.
    pub fn remask(&mut self, position: usize) -> bool {
        let allowed = self.is_active(position) && !self.is_noisy(position);
        if allowed {
            let token = self.cells.ids[position];
            self.cells.make_noise(position, self.vocabulary.mask);
            self.tell(position, Change::Remasked { token });
        }
        allowed
    }

    fn is_active(&self, position: usize) -> bool {
        self.active().binary_search(&position).is_ok()
    }

    fn tell(&mut self, position: usize, change: Change) {
        self.events.push(Event { row: self.index, position, change });
    }
}

/// The part of a window that exists among `len` positions.
fn clip(window: &Range<usize>, len: usize) -> Range<usize> {
    let end = window.end.min(len);
    window.start.min(end)..end
}

fn same_length(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(dlm_core::Error::Length { what, expected, got }.into()) }
}
