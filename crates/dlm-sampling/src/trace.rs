//! What happened when: a record of a run, to look at and to analyse.

use dlm_core::TokenId;

use crate::canvas::{Canvas, Change, Event};
use crate::error::Error;
use crate::plan::Step;
use crate::reverse::{Reverse, Snapshot};

/// The events of a run, from which every canvas in between can be seen again.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    start: Canvas,
    /// The events of each step.
    steps: Vec<Vec<Event>>,
}

/// How a trace is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `_` noise, `[word]` just committed, `~` just taken back.
    Plain,
    /// For terminals: noise dim, fresh words bold green, what was taken back red.
    Ansi,
}

/// What a position looks like after a step.
#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Word(TokenId),
    Noise,
    Fresh(TokenId),
    TakenBack,
}

impl Trace {
    /// A record that starts at `canvas`.
    pub fn new(canvas: &Canvas) -> Self {
        Self { start: canvas.clone(), steps: Vec::new() }
    }

    /// Walks a run to its end; returns the final canvas and the record.
    ///
    /// # Errors
    /// The first error of a step; see [`reverse`](crate::reverse()).
    pub fn run<P: Iterator<Item = Step>>(run: Reverse<'_, P>) -> Result<(Canvas, Self), Error> {
        Self::watch(run, |_| ())
    }

    /// [`Trace::run`], showing the record as it grows: at the start, and after each step.
    ///
    /// # Errors
    /// As there.
    pub fn watch<P: Iterator<Item = Step>>(
        run: Reverse<'_, P>,
        mut show: impl FnMut(&Self),
    ) -> Result<(Canvas, Self), Error> {
        let mut trace = Self::new(run.canvas());
        let mut canvas = run.canvas().clone();
        show(&trace);
        for snapshot in run {
            let snapshot = snapshot?;
            trace.push(&snapshot);
            show(&trace);
            canvas = snapshot.canvas;
        }
        Ok((canvas, trace))
    }

    /// Adds the next step.
    pub fn push(&mut self, snapshot: &Snapshot) {
        self.steps.push(snapshot.events.clone());
    }

    /// Number of recorded steps. Steps count from 1 below.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether no step was recorded.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The events of a row with the step each belongs to, in order.
    pub fn events(&self, row: usize) -> impl Iterator<Item = (usize, Event)> {
        let steps = self.steps.iter().zip(1..);
        let all = steps.flat_map(|(events, step)| events.iter().map(move |&event| (step, event)));
        all.filter(move |(_, event)| event.row == row)
    }

    /// The step at which a position was first committed, if it ever was.
    pub fn first_commit(&self, row: usize, position: usize) -> Option<usize> {
        let commit =
            |event: &Event| event.position == position && matches!(event.change, Change::Committed { .. });
        self.events(row).find(|(_, event)| commit(event)).map(|(step, _)| step)
    }

    /// What was taken back in a row: (step, position, token).
    pub fn remasked(&self, row: usize) -> Vec<(usize, usize, TokenId)> {
        let taken = |(step, event): (usize, Event)| match event.change {
            Change::Remasked { token } => Some((step, event.position, token)),
            Change::Committed { .. } => None,
        };
        self.events(row).filter_map(taken).collect()
    }

    /// The generation order of a row: its committed positions in the order of their last commit.
    pub fn order(&self, row: usize) -> Vec<usize> {
        let mut order = Vec::new();
        for (_, event) in self.events(row) {
            order.retain(|&position| position != event.position);
            if matches!(event.change, Change::Committed { .. }) {
                order.push(event.position);
            }
        }
        order
    }

    /// One line a step, context included, after a line for the start. `word` spells a token.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn render(&self, row: usize, word: impl Fn(TokenId) -> String, style: Style) -> String {
        let width = self.steps.len().to_string().len();
        let lines = self.lines(row, word, style).enumerate();
        let numbered: Vec<String> =
            lines.map(|(number, line)| format!("{number:>width$}  {line}\n")).collect();
        numbered.concat()
    }

    /// What a row looks like at the start and after each step, context included. `word` spells a token.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn lines(
        &self,
        row: usize,
        word: impl Fn(TokenId) -> String,
        style: Style,
    ) -> impl Iterator<Item = String> {
        let start = self.start.ids(row).iter().zip(self.start.noisy(row));
        let mut cells: Vec<Cell> =
            start.map(|(&id, &noisy)| if noisy { Cell::Noise } else { Cell::Word(id) }).collect();
        std::iter::once(None).chain(self.steps.iter().map(Some)).map(move |events| {
            cells.iter_mut().for_each(Cell::age);
            for event in events.into_iter().flatten().filter(|event| event.row == row) {
                cells[event.position] = match event.change {
                    Change::Committed { token, .. } => Cell::Fresh(token),
                    Change::Remasked { .. } => Cell::TakenBack,
                };
            }
            let words: Vec<String> = cells.iter().map(|cell| cell.draw(&word, style)).collect();
            words.join(" ")
        })
    }
}

impl Cell {
    fn age(&mut self) {
        *self = match *self {
            Self::Fresh(id) => Self::Word(id),
            Self::TakenBack => Self::Noise,
            same => same,
        };
    }

    fn draw(self, word: &impl Fn(TokenId) -> String, style: Style) -> String {
        match (self, style) {
            (Self::Word(id), _) => word(id),
            (Self::Noise, Style::Plain) => "_".into(),
            (Self::Fresh(id), Style::Plain) => format!("[{}]", word(id)),
            (Self::TakenBack, Style::Plain) => "~".into(),
            (Self::Noise, Style::Ansi) => "\x1b[2m_\x1b[0m".into(),
            (Self::Fresh(id), Style::Ansi) => format!("\x1b[1;32m{}\x1b[0m", word(id)),
            (Self::TakenBack, Style::Ansi) => "\x1b[31m_\x1b[0m".into(),
        }
    }
}
