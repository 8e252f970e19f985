//! The paper's decoder on predictions worked through by hand (the tables' origin: an own reference script,
//! confirmed by running the function of the RDM code).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{Fn, constant, with_log_p};
use dlm_core::{Denoiser, TokenId, Vocabulary};
use dlm_sampling::strategy::{Llada, Rate, Remask, Route, Ties};
use dlm_sampling::{Canvas, Snapshot, reverse, uniform};

const SIZE: usize = 128;
const MASK: TokenId = 127;
const STEPS: usize = 4;
const SCRIPT: [(&str, [f64; 6]); STEPS] = [
    ("abcdef", [-1.2, -0.1, -2.0, -0.5, -3.0, -0.9]),
    ("abcxef", [-0.8, -1.5, -0.4, -0.3, -2.5, -0.2]),
    ("aycdef", [-0.1, -0.2, -0.3, -0.6, -0.9, -0.05]),
    ("abcdef", [-0.1, -0.1, -0.1, -0.1, -0.4, -0.1]),
];

fn vocabulary() -> Vocabulary {
    Vocabulary::new(SIZE, 0, 1, 2, MASK).unwrap()
}

/// A network whose candidate and log-probability at step k are line k of the script.
fn scripted() -> impl Denoiser {
    let logits = |_: &[TokenId], position: usize, time: f64| {
        let (tokens, scores) = SCRIPT[((1.0 - time) * STEPS as f64).round() as usize];
        let token = TokenId::from(tokens.as_bytes()[position - 1]);
        with_log_p(SIZE, MASK, token, scores[position - 1])
    };
    Fn { size: SIZE, time_free: false, logits }
}

/// The frame of the tables: BOS, six editable positions, EOS.
fn run(strategy: Route) -> Vec<Snapshot> {
    let canvas = Canvas::prompted(&[[]], &[6], &vocabulary()).unwrap();
    reverse(&scripted(), &strategy, canvas, uniform(STEPS), 0).collect::<Result<_, _>>().unwrap()
}

fn spell(snapshot: &Snapshot) -> String {
    let letter = |&id: &TokenId| if id == MASK { 'M' } else { char::from_u32(id).unwrap() };
    snapshot.canvas.ids(0)[1..7].iter().map(letter).collect()
}

#[track_caller]
fn check(name: &str, canvases: [&str; STEPS], scores: [f32; 6], mean: f64) {
    let snapshots = run(name.parse().unwrap());
    assert_eq!(snapshots.iter().map(spell).collect::<Vec<_>>(), canvases);
    let last = &snapshots[STEPS - 1].canvas;
    for (got, expected) in last.scores(0)[1..7].iter().zip(scores) {
        assert!((got - expected).abs() < 1e-5, "{:?}, expected {scores:?}", last.scores(0));
    }
    assert!((last.mean_score(0).unwrap() - mean).abs() < 1e-4);
    assert_eq!((last.scores(0)[0], last.scores(0)[7]), (0.0, 0.0));
}

#[test]
fn uncond_cosine_follows_the_table() {
    let scores = [-0.1, -0.2, -0.3, -0.1, -0.4, -0.2];
    check("reparam-uncond-deterministic-cosine", ["MbMMMM", "MMMxMf", "aycMMf", "aycdef"], scores, -0.2167);
}

#[test]
fn uncond_linear_follows_the_table() {
    let scores = [-0.1, -0.2, -0.4, -0.5, -0.4, -0.2];
    check("reparam-uncond-deterministic-linear", ["MbMdMM", "MMcdMf", "aycdMf", "aycdef"], scores, -0.3);
}

#[test]
fn cond_cosine_follows_the_table() {
    // x survives step 3, because the prediction there is d.
    let scores = [-0.1, -0.2, -0.3, -0.3, -0.4, -0.2];
    check("reparam-cond-deterministic-cosine", ["MbMMMM", "MMMxMf", "aycxMf", "aycxef"], scores, -0.25);
}

#[test]
fn cond_linear_follows_the_table() {
    let scores = [-0.1, -0.2, -0.4, -0.5, -0.4, -0.2];
    check("reparam-cond-deterministic-linear", ["MbMdMM", "MMcdMf", "aycdMf", "aycdef"], scores, -0.3);
}

/// After the second of three linear steps (k = 2, 1, 0) on three tokens: the first token is written at -0.5
/// and then the least sure, at `second`.
fn doubted(remask: Remask, second: f64) -> Vec<bool> {
    let scores = [[-0.5, -1.0, -2.0], [second, -0.05, -0.1]];
    let logits = move |_: &[TokenId], position: usize, time: f64| {
        let step = ((1.0 - time) * 3.0).round() as usize;
        with_log_p(SIZE, MASK, 70, scores[step.min(1)][position - 1])
    };
    let model = Fn { size: SIZE, time_free: false, logits };
    let canvas = Canvas::prompted(&[[]], &[3], &vocabulary()).unwrap();
    let route = Route::new(remask, Rate::Linear);
    let end = reverse(&model, &route, canvas, uniform(3).take(2), 0).finish().unwrap();
    end.noisy(0)[1..4].to_vec()
}

#[test]
fn cond_takes_back_only_what_has_become_less_sure() {
    assert_eq!(doubted(Remask::Always, -0.4), [true, false, false]);
    assert_eq!(doubted(Remask::IfLessSure, -0.4), [false; 3]);
    assert_eq!(doubted(Remask::IfLessSure, -0.6), [true, false, false]);
}

#[test]
fn llada_commits_its_quota_of_the_surest() {
    let canvas = Canvas::prompted(&[[]], &[6], &vocabulary()).unwrap();
    let (model, strategy) = (scripted(), Llada::low_confidence());
    let run = reverse(&model, &strategy, canvas, uniform(STEPS), 0);
    let canvases: Vec<String> = run.map(|snapshot| spell(&snapshot.unwrap())).collect();
    assert_eq!(canvases, ["MbMdMM", "MbcdMf", "abcdMf", "abcdef"]);
}

#[test]
fn never_keeps_what_it_commits() {
    // k = 5, 4, 2, 0 as for the others, but only noisy positions compete.
    let snapshots = run(Route::new(Remask::Never, Rate::Cosine));
    let canvases: Vec<String> = snapshots.iter().map(spell).collect();
    assert_eq!(canvases, ["MbMMMM", "MbMMMf", "abcMMf", "abcdef"]);
    assert!(snapshots.iter().all(|snapshot| snapshot.events.len() <= 2));
}

#[test]
fn ties_leave_exactly_k_noisy_unless_strict() {
    // -1, -1, -1, -0.5 with k = 2 after the first of two linear steps.
    let scores = [-1.0, -1.0, -1.0, -0.5];
    let logits = move |_: &[TokenId], position: usize, _| with_log_p(SIZE, MASK, 70, scores[position - 1]);
    let model = Fn { size: SIZE, time_free: true, logits };
    let after_one = |route: Route| {
        let canvas = Canvas::prompted(&[[]], &[4], &vocabulary()).unwrap();
        let snapshot = reverse(&model, &route, canvas, uniform(2), 0).next().unwrap().unwrap();
        snapshot.canvas.noisy(0)[1..5].to_vec()
    };
    for remask in [Remask::Never, Remask::IfLessSure, Remask::Always] {
        let route = Route::new(remask, Rate::Linear);
        assert_eq!(after_one(route), [false, true, true, false], "of equals the later ones stay noise");
        assert_eq!(after_one(route.with_ties(Ties::Strict)), [false; 4]);
    }
}

#[test]
fn equal_scores_everywhere_still_follow_the_schedule() {
    let model = constant(with_log_p(SIZE, MASK, 70, -0.7));
    let canvas = Canvas::prompted(&[[]], &[20], &vocabulary()).unwrap();
    let noisy = |strategy: Route| -> Vec<usize> {
        let count = |s: Snapshot| s.canvas.noisy(0).iter().filter(|&&noisy| noisy).count();
        reverse(&model, &strategy, canvas.clone(), uniform(10), 0).map(|s| count(s.unwrap())).collect()
    };
    assert_eq!(noisy(Route::paper()), [19, 19, 17, 16, 14, 11, 9, 6, 3, 0]);
    assert_eq!(noisy(Route::new(Remask::Always, Rate::Linear)), [18, 16, 14, 12, 10, 8, 6, 4, 2, 0]);
}

#[test]
fn gumbel_noise_changes_the_order_and_fades_with_the_rate() {
    let route = Route::new(Remask::Never, Rate::Linear);
    let loud = run(route.with_tau(1e6).unwrap());
    let silent = run(route.with_tau(1e-9).unwrap());
    assert_eq!(
        silent.iter().map(spell).collect::<Vec<_>>(),
        run(route).iter().map(spell).collect::<Vec<_>>()
    );
    assert_ne!(loud.iter().map(spell).collect::<Vec<_>>(), run(route).iter().map(spell).collect::<Vec<_>>());
    assert!(loud[STEPS - 1].canvas.is_done());
}
