//! The reverse process: one loop for every strategy, network and plan.

use dlm_core::{CounterRng, Denoiser, Purpose, RowRng};

use crate::ask::{Asker, Question};
use crate::canvas::{Canvas, Event, Row};
use crate::error::Error;
use crate::plan::Step;
use crate::proposal::{Needs, Proposal};

/// A decoding strategy: what to do with one row at one step, `x_t → x_s`.
///
/// A strategy is an immutable rule. What it must remember lives in the canvas; what it may draw comes from
/// `rng`, addressed by position, so that no row depends on another.
pub trait ReverseStep {
    /// What the network is asked, and where.
    fn needs(&self) -> Needs;

    /// Commits and remasks tokens of `row`, given what the network `said` about it.
    ///
    /// Called for each row about which something was asked, and for every row if the strategy is
    /// [`remasking`](Needs::remasking). After the last step of a window nothing in it should be noisy.
    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, rng: &mut RowRng);
}

impl<R: ReverseStep + ?Sized> ReverseStep for &R {
    fn needs(&self) -> Needs {
        (**self).needs()
    }
    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, rng: &mut RowRng) {
        (**self).step(row, said, step, rng);
    }
}

impl<R: ReverseStep + ?Sized> ReverseStep for Box<R> {
    fn needs(&self) -> Needs {
        (**self).needs()
    }
    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, rng: &mut RowRng) {
        (**self).step(row, said, step, rng);
    }
}

/// The canvas after a step, and what the step did.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The step that led here.
    pub step: Step,
    /// The canvas now.
    pub canvas: Canvas,
    /// What happened to which token, row by row, in the order it happened.
    pub events: Vec<Event>,
    /// Forward passes of this step.
    pub forwards: usize,
    /// Rows that went through them. Rows that are finished, or unchanged under a time-free network, cost
    /// nothing.
    pub evaluated: usize,
}

/// Denoises `canvas` along `plan`: an iterator of one [`Snapshot`] a step, which ends after an error.
///
/// The result depends on the rows, the plan and `seed`, not on how rows are batched. Random draws are
/// addressed by (seed, row key, step number, position).
///
/// # Errors
/// Items are [`Error::Vocabulary`] if canvas and network count words differently, [`Error::Core`] for what
/// [`Denoiser::check`] refuses (a row longer than the network's positions), [`Error::NonFinite`],
/// [`Error::Logits`] or [`Error::Device`] if the network misbehaves.
pub fn reverse<'a, P: IntoIterator<Item = Step>>(
    model: &'a dyn Denoiser,
    strategy: &'a dyn ReverseStep,
    canvas: Canvas,
    plan: P,
    seed: u64,
) -> Reverse<'a, P::IntoIter> {
    Reverse { model, strategy, canvas, plan: plan.into_iter(), seed, asker: Asker::new(), failed: false }
}

/// A reverse process under way; see [`reverse`].
pub struct Reverse<'a, P> {
    model: &'a dyn Denoiser,
    strategy: &'a dyn ReverseStep,
    canvas: Canvas,
    plan: P,
    seed: u64,
    asker: Asker,
    failed: bool,
}

/// What a step did, without a copy of the canvas.
struct Done {
    step: Step,
    events: Vec<Event>,
    forwards: usize,
    evaluated: usize,
}

impl<P: Iterator<Item = Step>> Reverse<'_, P> {
    /// Limits the rows of one forward pass (and with them its memory); 0 counts as 1. The default is no
    /// limit.
    #[must_use]
    pub fn with_max_rows(mut self, max_rows: usize) -> Self {
        self.asker.max_rows = max_rows;
        self
    }

    /// Asks the network about every unfinished row at every step, even if it is time-free and the row has
    /// not changed. The result is the same. Saves the memory of the logits that are otherwise kept for
    /// strategies that draw candidates: at most one `[N, V]` in all.
    #[must_use]
    pub fn without_memo(mut self) -> Self {
        self.asker.memo = false;
        self
    }

    /// The canvas as it is now.
    pub fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// Walks the rest of the plan and returns the final canvas.
    ///
    /// # Errors
    /// The first error of a step; see [`reverse`].
    pub fn finish(mut self) -> Result<Canvas, Error> {
        while let Some(done) = self.advance() {
            done?;
        }
        Ok(self.canvas)
    }

    fn advance(&mut self) -> Option<Result<Done, Error>> {
        if self.failed {
            return None;
        }
        let step = self.plan.next()?;
        let done = self.take(step);
        self.failed = done.is_err();
        Some(done)
    }

    fn take(&mut self, step: Step) -> Result<Done, Error> {
        let (canvas, network) = (self.canvas.vocabulary().size, self.model.vocab_size());
        if canvas != network {
            return Err(Error::Vocabulary { canvas, network });
        }
        let needs = self.strategy.needs();
        let rng = CounterRng::new(self.seed).at_step(step.number as u64);
        let question = Question { canvas: &self.canvas, step: &step, needs: &needs, rng };
        let said = self.asker.ask(self.model, &question)?;
        let mut events = Vec::new();
        for (row, guesses) in said.rows.iter().enumerate() {
            if needs.remasks || !guesses.is_empty() {
                let mut draws = rng.row(Purpose::Rule, self.canvas.key(row));
                let mut view = self.canvas.row(row, &step.window, &mut events);
                self.strategy.step(&mut view, &Proposal::new(guesses), &step, &mut draws);
            }
        }
        Ok(Done { step, events, forwards: said.forwards, evaluated: said.evaluated })
    }
}

impl<P: Iterator<Item = Step>> Iterator for Reverse<'_, P> {
    type Item = Result<Snapshot, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let done = self.advance()?;
        Some(done.map(|Done { step, events, forwards, evaluated }| Snapshot {
            step,
            canvas: self.canvas.clone(),
            events,
            forwards,
            evaluated,
        }))
    }
}

impl<P: Iterator<Item = Step>> std::iter::FusedIterator for Reverse<'_, P> {}
