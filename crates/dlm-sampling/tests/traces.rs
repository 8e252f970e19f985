//! Records of runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Fn, VOCABULARY, prompted, vocabulary};
use dlm_core::{Denoiser, TokenId};
use dlm_sampling::strategy::{Rate, Remask};
use dlm_sampling::trace::{Style, Trace};
use dlm_sampling::{Canvas, Route, reverse, uniform};

/// First sure of the second of three tokens; then of the first and third, and of the second no more.
fn fickle() -> impl Denoiser {
    let logits = |row: &[TokenId], position: usize, _: f64| {
        let sure = if row.contains(&4) { [8.0, 1.0, 7.0] } else { [1.0, 8.0, 2.0] };
        let mut logits = vec![0.0; VOCABULARY];
        logits[2 + position] = sure[position - 1];
        logits
    };
    Fn { size: VOCABULARY, time_free: true, logits }
}

fn word(id: TokenId) -> String {
    ["<s>", "", "</s>", "a", "b", "c"][id as usize].into()
}

fn trace() -> (Canvas, Trace) {
    let route = Route::new(Remask::Always, Rate::Linear);
    Trace::run(reverse(&fickle(), &route, prompted(&[], 3), uniform(3), 0)).unwrap()
}

#[test]
fn a_trace_tells_what_happened_when() {
    let (end, trace) = trace();
    assert_eq!(end.response(0), [3, 4, 5]);
    assert_eq!(trace.len(), 3);
    assert_eq!([1, 2, 3].map(|position| trace.first_commit(0, position)), [Some(2), Some(1), Some(2)]);
    assert_eq!(trace.first_commit(0, 0), None, "context");
    assert_eq!(trace.remasked(0), [(2, 2, 4)]);
    assert_eq!(trace.order(0), [1, 3, 2]);
}

#[test]
fn a_trace_is_drawn_one_line_a_step() {
    let (_, trace) = trace();
    let plain = "\
0  <s> _ _ _ </s>
1  <s> _ [b] _ </s>
2  <s> [a] ~ [c] </s>
3  <s> a [b] c </s>
";
    assert_eq!(trace.render(0, word, Style::Plain), plain);
    let ansi = trace.render(0, word, Style::Ansi);
    assert!(
        ansi.contains("\x1b[1;32ma\x1b[0m") && ansi.contains("\x1b[31m_\x1b[0m") && ansi.contains("\x1b[2m_")
    );
    assert_eq!(ansi.lines().count(), 4);
}

#[test]
fn rows_do_not_mix_in_a_trace() {
    let canvas = Canvas::prompted::<Vec<TokenId>>(&[vec![], vec![]], &[3, 0], &vocabulary()).unwrap();
    let route = Route::new(Remask::Always, Rate::Linear);
    let (_, trace) = Trace::run(reverse(&fickle(), &route, canvas, uniform(2), 0)).unwrap();
    assert_eq!(trace.events(1).count(), 0);
    assert_eq!(trace.render(1, word, Style::Plain).lines().last(), Some("2  <s> </s>"));
}
