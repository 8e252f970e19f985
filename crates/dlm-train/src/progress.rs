//! What a run says about itself: numbers, and one line of them on the terminal.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::log::Sample;
use crate::memory::{Memory, show_bytes};

/// The numbers of one step, and of the steps since the last such line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Steps done.
    pub step: u64,
    /// Mean training loss over the steps since the last line; absent if none of them was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Learning rate of this step.
    pub lr: f64,
    /// Gradient norm of this step, before clipping; absent if the step was passed over because it was not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Steps that were passed over so far, see [`Guard`](crate::Guard).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spikes: u64,
    /// Steps that were left out so far because a gradient overflowed in f16.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overflows: u64,
    /// The factor of the loss in f16, after this step; absent in other precisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Since the last line; padding counted, validation time not.
    pub steps_per_s: f64,
    /// As above.
    pub tokens_per_s: f64,
    /// Memory of the process and of the device; absent from logs of older versions.
    #[serde(default)]
    pub memory: Memory,
    /// What a validation after this step found; empty without one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<String, f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How often a line is written where it cannot be overwritten.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// One line of progress of a run: rewritten in place on a terminal, else printed every few seconds.
#[derive(Debug)]
pub struct Progress<W: Write> {
    line: Line<W>,
    began: Instant,
    first: u64,
    total: u64,
}

impl Progress<io::Stderr> {
    /// On standard error, for a run from step `first` to step `total`.
    pub fn stderr(first: u64, total: u64) -> Self {
        Self::new(Line::stderr(), first, total)
    }
}

impl<W: Write> Progress<W> {
    fn new(line: Line<W>, first: u64, total: u64) -> Self {
        Self { line, began: Instant::now(), first, total }
    }

    /// Shows where the run is. What cannot be shown is dropped: a closed pipe stops no training.
    pub fn show(&mut self, metrics: &Metrics) {
        let last = metrics.step >= self.total;
        if self.line.is_due() || last || !metrics.validation.is_empty() {
            self.line.write(&line(metrics, self.first, self.total, self.began.elapsed()));
        }
    }

    /// Shows what the network wrote, on lines of their own.
    pub fn show_sample(&mut self, sample: &Sample) {
        self.note(&format!("  {:?} -> {:?}", sample.prompt, sample.text));
    }

    /// Shows a remark, on a line of its own.
    pub fn note(&mut self, text: &str) {
        let start = if self.line.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(self.line.out, "{start}{text}");
    }

    /// Ends the line.
    pub fn finish(&mut self) {
        self.line.finish();
    }
}

/// One line of progress of work on records, shown as that of [`Progress`] once the work has taken a second.
#[derive(Debug)]
pub struct Count<W: Write> {
    line: Line<W>,
    began: Instant,
    what: String,
    /// Once a line was shown.
    total: OnceCell<Option<usize>>,
}

impl Count<io::Stderr> {
    /// On standard error. `what` begins the line.
    ///
    /// # Example
    /// ```
    /// let mut count = dlm_train::Count::stderr("tokenised");
    /// (1..=3).for_each(|done| count.show(done, || Some(3)));
    /// count.finish();
    /// ```
    pub fn stderr(what: impl Into<String>) -> Self {
        Self { line: Line::stderr(), began: Instant::now(), what: what.into(), total: OnceCell::new() }
    }
}

impl<W: Write> Count<W> {
    /// Shows how many records are done. What cannot be shown is dropped. `total`, about how many there are, is
    /// asked when the first line is shown.
    pub fn show(&mut self, done: usize, total: impl FnOnce() -> Option<usize>) {
        let gone = self.began.elapsed();
        if gone >= Duration::from_secs(1) && self.line.is_due() {
            let total = *self.total.get_or_init(total);
            self.line.write(&count_line(&self.what, done, total, gone));
        }
    }

    /// Ends the line.
    pub fn finish(&mut self) {
        self.line.finish();
    }
}

/// A line that is rewritten on a terminal, and printed now and then elsewhere.
#[derive(Debug)]
struct Line<W: Write> {
    out: W,
    terminal: bool,
    printed: Option<Instant>,
}

impl Line<io::Stderr> {
    fn stderr() -> Self {
        let out = io::stderr();
        let terminal = out.is_terminal();
        Self { out, terminal, printed: None }
    }
}

impl<W: Write> Line<W> {
    fn is_due(&self) -> bool {
        self.terminal || self.printed.is_none_or(|at| at.elapsed() >= PLAIN_INTERVAL)
    }

    fn write(&mut self, line: &str) {
        self.printed = Some(Instant::now());
        let _ = if self.terminal { write!(self.out, "\r\x1b[K{line}") } else { writeln!(self.out, "{line}") };
        let _ = self.out.flush();
    }

    fn finish(&mut self) {
        if self.terminal && self.printed.is_some() {
            let _ = writeln!(self.out);
        }
    }
}

/// `tokenised 32.8k/121.1k records  9.8k records/s  0:03 gone, 0:09 left`
fn count_line(what: &str, done: usize, total: Option<usize>, gone: Duration) -> String {
    let rate = done as f64 / gone.as_secs_f64();
    // An estimate may be too small.
    let total = total.filter(|&total| total >= done);
    let of = total.map(|total| format!("/{}", thousands(total as f64))).unwrap_or_default();
    let left =
        total.map(|total| (total - done) as f64 / rate).and_then(|s| Duration::try_from_secs_f64(s).ok());
    let left = left.map(|left| format!(", {} left", clock(left))).unwrap_or_default();
    let (done, rate) = (thousands(done as f64), thousands(rate));
    format!("{what} {done}{of} records  {rate} records/s  {} gone{left}", clock(gone))
}

/// `step 120/500  loss 1.234  lr 1.0e-3  grad 0.52  9.8 steps/s  12.3k tokens/s  310 MiB  0:12 gone, 0:39 left`
fn line(metrics: &Metrics, first: u64, total: u64, gone: Duration) -> String {
    let done = metrics.step.saturating_sub(first).max(1) as f64;
    let left = gone.as_secs_f64() * (total.saturating_sub(metrics.step) as f64 / done);
    let left = Duration::try_from_secs_f64(left).map_or_else(|_| "for ever".to_owned(), clock);
    let number = |value: Option<f64>, digits| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
    let counted = |n: u64, what| if n > 0 { format!("  {n} {what}") } else { String::new() };
    let left_out = [counted(metrics.spikes, "spikes"), counted(metrics.overflows, "overflows")].concat();
    let scores = metrics.validation.iter().map(|(name, value)| format!("  {name} {value:.4}"));
    let memory = metrics.memory.most().map(|bytes| format!("  {}", show_bytes(bytes)));
    format!(
        "step {}/{total}  loss {}  lr {:.1e}  grad {}  {:.1} steps/s  {} tokens/s{}  {} gone, {} left{left_out}{}",
        metrics.step,
        number(metrics.loss, 4),
        metrics.lr,
        number(metrics.grad_norm, 2),
        metrics.steps_per_s,
        thousands(metrics.tokens_per_s),
        memory.unwrap_or_default(),
        clock(gone),
        left,
        scores.collect::<String>(),
    )
}

fn thousands(count: f64) -> String {
    if count < 1000.0 { format!("{count:.0}") } else { format!("{:.1}k", count / 1000.0) }
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(step: u64) -> Metrics {
        Metrics {
            step,
            loss: Some(1.25),
            lr: 1e-3,
            grad_norm: Some(0.5),
            spikes: 0,
            overflows: 0,
            loss_scale: None,
            steps_per_s: 2.0,
            tokens_per_s: 2500.0,
            memory: Memory { peak: Some(300 << 20), ..Memory::default() },
            validation: BTreeMap::new(),
        }
    }

    #[test]
    fn the_line_extrapolates_from_the_steps_of_this_run() {
        let mut metrics = metrics(300);
        metrics.validation.insert("bleu".into(), 31.5);
        let line = line(&metrics, 200, 500, Duration::from_secs(3700));
        assert_eq!(
            line,
            "step 300/500  loss 1.2500  lr 1.0e-3  grad 0.50  2.0 steps/s  2.5k tokens/s  300 MiB  \
             1:01:40 gone, 2:03:20 left  bleu 31.5000"
        );
    }

    #[test]
    fn numbers_of_steps_that_were_not_taken_are_dashes() {
        let left_out = Metrics { loss: None, grad_norm: None, spikes: 2, overflows: 3, ..metrics(3) };
        let line = line(&left_out, 0, 9, Duration::from_secs(3));
        assert!(line.starts_with("step 3/9  loss -  lr 1.0e-3  grad -  2.0 steps/s"), "{line}");
        assert!(line.ends_with("left  2 spikes  3 overflows"), "{line}");
    }

    #[test]
    fn a_run_without_an_end_shows_its_line() {
        let line = line(&metrics(1), 0, u64::MAX, Duration::from_secs(3));
        assert!(line.ends_with("0:03 gone, for ever left"), "{line}");
    }

    #[test]
    fn a_terminal_is_overwritten_and_a_file_gets_few_lines() {
        let shown = |terminal| {
            let mut out = Vec::new();
            let line = Line { out: &mut out, terminal, printed: None };
            let mut progress = Progress::new(line, 0, 3);
            (1..=3).for_each(|step| progress.show(&metrics(step)));
            progress.finish();
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(shown(true).matches('\r').count(), 3);
        assert_eq!(shown(true).matches('\n').count(), 1);
        let plain = shown(false);
        let steps: Vec<&str> = plain.lines().map(|line| &line[..8]).collect();
        assert_eq!(steps, ["step 1/3", "step 3/3"]);
    }

    #[test]
    fn a_count_tells_its_rate_and_what_is_left_if_that_is_known() {
        let line = |total| count_line("tokenised", 500, total, Duration::from_secs(4));
        assert_eq!(line(Some(8000)), "tokenised 500/8.0k records  125 records/s  0:04 gone, 1:00 left");
        for unknown in [None, Some(499)] {
            assert_eq!(line(unknown), "tokenised 500 records  125 records/s  0:04 gone");
        }
        let nothing = count_line("tokenised", 0, Some(9), Duration::from_secs(1));
        assert_eq!(nothing, "tokenised 0/9 records  0 records/s  0:01 gone");
    }
}
