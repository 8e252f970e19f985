//! Asks the network about a canvas: which rows, in which batches, and what need not be asked again.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dlm_core::{CounterRng, Denoiser, DenoiserInput, Purpose, TokenId};

use crate::canvas::Canvas;
use crate::error::Error;
use crate::plan::Step;
use crate::proposal::{self, Asked, Guess, Needs, Reduced};

/// Puts rows before the network, and keeps its last answer about each.
#[derive(Debug)]
pub(crate) struct Asker {
    /// Rows a forward pass may see; 0 counts as 1.
    pub(crate) max_rows: usize,
    /// Whether a time-free network's answer is kept while a row does not change.
    pub(crate) memo: bool,
    kept: Vec<Option<Kept>>,
}

/// An answer and the question it belongs to.
#[derive(Debug)]
struct Kept {
    ids: Vec<TokenId>,
    at: Vec<usize>,
    answer: Answer,
}

/// A deterministic candidate is kept as it is; for a drawn one the logits are, so that each step draws
/// anew, with the law it would have if the network were asked again.
#[derive(Debug)]
enum Answer {
    Guesses(Vec<Guess>),
    Logits(Box<Tensor<2>>),
}

/// What one step was told, and what that cost.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The guesses of each row; none where nothing was asked.
    pub(crate) rows: Vec<Vec<Guess>>,
    /// Forward passes.
    pub(crate) forwards: usize,
    /// Rows that went through them.
    pub(crate) evaluated: usize,
}

/// What a step asks.
pub(crate) struct Question<'a> {
    pub(crate) canvas: &'a Canvas,
    pub(crate) step: &'a Step,
    pub(crate) needs: &'a Needs,
    /// The draws of this step.
    pub(crate) rng: CounterRng,
}

impl Asker {
    pub(crate) fn new() -> Self {
        Self { max_rows: usize::MAX, memo: true, kept: Vec::new() }
    }

    /// Asks `model`, or remembers, what the question names about the active positions of its canvas.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::Logits`], [`Error::Device`].
    pub(crate) fn ask(&mut self, model: &dyn Denoiser, question: &Question<'_>) -> Result<Said, Error> {
        let rows = question.canvas.rows();
        let keep = self.memo && model.time_free();
        let mut said = Said { rows: vec![Vec::new(); rows], ..Said::default() };
        let mut answers = Vec::new();
        let mut fresh = Vec::new();
        self.kept.resize_with(rows, || None);
        for row in (0..rows).map(|row| question.row(row)).filter(|row| !row.at.is_empty()) {
            match self.kept[row.index].as_ref().filter(|kept| kept.ids == row.ids && kept.at == row.at) {
                None => fresh.push(row),
                Some(Kept { answer: Answer::Guesses(guesses), .. }) => {
                    said.rows[row.index].clone_from(guesses);
                }
                Some(Kept { answer: Answer::Logits(logits), .. }) => {
                    answers.push(question.reduce(logits.as_ref().clone(), &[row]));
                }
            }
        }
        for rows in fresh.chunks(self.max_rows.max(1)) {
            let logits = question.forward(model, rows)?;
            if keep && !question.needs.candidate.is_deterministic() {
                self.keep_logits(rows, &logits);
            }
            answers.push(question.reduce(logits, rows));
            said.forwards += 1;
            said.evaluated += rows.len();
        }
        for (row, guess) in proposal::read(answers, question.needs)? {
            said.rows[row].push(guess);
        }
        if keep && question.needs.candidate.is_deterministic() {
            for row in fresh {
                let guesses = said.rows[row.index].clone();
                self.kept[row.index] = Some(row.kept(Answer::Guesses(guesses)));
            }
        }
        Ok(said)
    }

    fn keep_logits(&mut self, rows: &[Asking<'_>], logits: &Tensor<2>) {
        let mut start = 0;
        for row in rows {
            let end = start + row.at.len();
            // A copy and not a view: a view would hold the logits of the whole batch in memory.
            let own = logits.clone().detach().select(0, indices(start..end, &logits.device()));
            self.kept[row.index] = Some(row.kept(Answer::Logits(Box::new(own))));
            start = end;
        }
    }
}

/// A row and the positions asked about.
#[derive(Debug, Clone)]
struct Asking<'a> {
    index: usize,
    ids: &'a [TokenId],
    at: Vec<usize>,
}

impl Asking<'_> {
    fn kept(&self, answer: Answer) -> Kept {
        Kept { ids: self.ids.to_vec(), at: self.at.clone(), answer }
    }
}

impl<'a> Question<'a> {
    /// Asks nothing about a row that is finished for good.
    fn row(&self, index: usize) -> Asking<'a> {
        let mut at = self.canvas.active(index, &self.step.window, false);
        if self.needs.settled && (self.needs.remasks || !at.is_empty()) {
            at = self.canvas.active(index, &self.step.window, true);
        }
        Asking { index, ids: self.canvas.ids(index), at }
    }

    /// Logits `[N, V]` at the asked positions of `rows`, in that order. Short rows are padded on the right.
    fn forward(&self, model: &dyn Denoiser, rows: &[Asking<'_>]) -> Result<Tensor<2>, Error> {
        let len = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let mut ids = vec![self.canvas.vocabulary().pad; rows.len() * len];
        let mut pad = vec![true; rows.len() * len];
        let mut at = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let start = place * len;
            ids[start..][..row.ids.len()].copy_from_slice(row.ids);
            pad[start..][..row.ids.len()].fill(false);
            at.extend(row.at.iter().map(|&position| start + position));
        }
        let times = vec![self.step.t; rows.len()];
        let mut input = DenoiserInput::new(&ids, [rows.len(), len], &at).with_times(&times);
        if pad.contains(&true) {
            input = input.with_pad(&pad);
        }
        model.check(&input).map_err(|error| in_canvas(error, rows))?;
        let logits = model.logits(&input);
        let (expected, got) = ([at.len(), model.vocab_size()], logits.dims());
        if got == expected { Ok(logits) } else { Err(Error::Logits { expected, got }) }
    }

    /// The numbers wanted of the logits of `rows`, on the device, beside the question they answer.
    fn reduce(&self, logits: Tensor<2>, rows: &[Asking<'_>]) -> (Asked, Reduced) {
        let mut asked = Asked::default();
        for row in rows {
            let mut draws = self.rng.row(Purpose::Token, self.canvas.key(row.index));
            for &position in &row.at {
                asked.places.push((row.index, position));
                asked.tokens.push(row.ids[position]);
                if !self.needs.candidate.is_deterministic() {
                    asked.uniforms.push(draws.uniform(position) as f32);
                }
            }
        }
        let reduced = proposal::reduce(logits, self.canvas.vocabulary().mask, self.needs, &asked);
        (asked, reduced)
    }
}

/// An error about a row of a forward pass, as one about the row of the canvas that it was.
fn in_canvas(error: dlm_core::Error, rows: &[Asking<'_>]) -> dlm_core::Error {
    use dlm_core::Error::{TooLong, UnknownToken};
    match error {
        TooLong { row, got, most } => TooLong { row: rows[row].index, got, most },
        UnknownToken { row, position, id, size } => UnknownToken { row: rows[row].index, position, id, size },
        other => other,
    }
}

fn indices(range: Range<usize>, device: &Device) -> Tensor<1, Int> {
    let indices: Vec<i32> = range.map(|index| index as i32).collect();
    let len = indices.len();
    Tensor::from_data(TensorData::new(indices, [len]), device)
}
