//! What the network is asked, when, and what is made of its answers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

mod common;

use std::cell::RefCell;

use burn::tensor::{Device, Tensor};
use common::{MASK, VOCABULARY, constant, hashed, prompted, rows, vocabulary};
use dlm_core::{Denoiser, DenoiserInput, RowRng, TokenId, Vocabulary};
use dlm_sampling::plan::blocks;
use dlm_sampling::strategy::{LeftToRight, Llada, Rate, Remask};
use dlm_sampling::wrap::Counted;
use dlm_sampling::{
    Candidate, Canvas, Guess, Needs, Proposal, ReverseStep, Route, Row, Step, reverse, uniform,
};

/// A network that remembers what it was shown.
struct Shown<D> {
    inner: D,
    inputs: RefCell<Vec<Input>>,
}

/// Rows without padding, their times, the asked positions.
struct Input {
    rows: Vec<Vec<TokenId>>,
    times: Vec<f64>,
    at: Vec<usize>,
}

impl<D> Shown<D> {
    fn new(inner: D) -> Self {
        Self { inner, inputs: RefCell::default() }
    }
}

impl<D: Denoiser> Denoiser for Shown<D> {
    fn vocab_size(&self) -> usize {
        self.inner.vocab_size()
    }
    fn device(&self) -> Device {
        self.inner.device()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let (rows, times, at) = (rows(input), input.times.to_vec(), input.at.to_vec());
        self.inputs.borrow_mut().push(Input { rows, times, at });
        self.inner.logits(input)
    }
    fn time_free(&self) -> bool {
        self.inner.time_free()
    }
}

#[test]
fn a_literal_mask_token_in_the_prompt_is_text() {
    let model = Shown::new(hashed(5, true));
    let canvas = prompted(&[MASK, 4, MASK], 2);
    let end = reverse(&model, &Route::paper(), canvas, uniform(3), 0).finish().unwrap();
    assert_eq!(end.ids(0)[..4], [0, MASK, 4, MASK]);
    for input in model.inputs.borrow().iter() {
        assert!(input.at.iter().all(|at| [4, 5].contains(at)));
    }
}

#[test]
fn a_finished_row_is_not_asked_unless_it_may_be_reopened() {
    for (needs, steps) in [(Needs::new(Candidate::ARGMAX), 1), (Needs::new(Candidate::ARGMAX).remasking(), 3)]
    {
        let listener = Listener { needs: needs.at_settled(), heard: RefCell::default() };
        let model = Counted::new(hashed(5, false));
        reverse(&model, &listener, prompted(&[3], 2), uniform(3), 0).finish().unwrap();
        assert_eq!((model.forwards(), listener.heard.borrow().len()), (steps, steps));
    }
}

/// Takes everything back in the second step, without asking.
struct Relapse;

impl ReverseStep for Relapse {
    fn needs(&self) -> Needs {
        Needs::new(Candidate::ARGMAX).remasking()
    }
    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, _: &mut RowRng) {
        if step.index == 2 {
            let active = row.active().to_vec();
            assert!(said.guesses().is_empty() && active.into_iter().all(|position| row.remask(position)));
        }
        for guess in said.guesses() {
            row.commit(guess.position, guess.token, guess.log_p);
        }
    }
}

#[test]
fn a_remasking_strategy_sees_rows_about_which_it_asks_nothing() {
    let model = Counted::new(hashed(5, false));
    let run = reverse(&model, &Relapse, prompted(&[3], 4), uniform(3), 0);
    let noise = |canvas: &Canvas| canvas.noisy(0).iter().filter(|&&noisy| noisy).count();
    let counts: Vec<usize> = run.map(|snapshot| noise(&snapshot.unwrap().canvas)).collect();
    assert_eq!((counts, model.forwards()), (vec![0, 4, 0], 2));
}

#[test]
fn only_what_is_needed_is_asked() {
    let ask = |strategy: &dyn ReverseStep| -> Vec<usize> {
        let model = Shown::new(hashed(5, false));
        let run = reverse(&model, strategy, prompted(&[3, 4], 6), uniform(6), 0);
        run.finish().unwrap();
        model.inputs.borrow().iter().map(|input| input.at.len()).collect()
    };
    assert_eq!(ask(&LeftToRight::new(Candidate::ARGMAX)), [6, 5, 4, 3, 2, 1]);
    assert_eq!(ask(&Route::new(Remask::Never, Rate::Linear)), [6, 5, 4, 3, 2, 1]);
    assert_eq!(ask(&Route::paper()), [6; 6]);
}

#[test]
fn finished_rows_leave_the_batch_and_blocks_wait_their_turn() {
    let model = Shown::new(hashed(5, true));
    let canvas = Canvas::prompted(&[[3], [4]], &[2, 5], &vocabulary()).unwrap();
    let plan = blocks(canvas.longest(), 2, uniform(2)).unwrap();
    let strategy = Llada::low_confidence();
    for snapshot in reverse(&model, &strategy, canvas, plan, 0) {
        let snapshot = snapshot.unwrap();
        let begun = |row: usize| {
            (0..snapshot.canvas.editable(row).len())
                .filter(|&ordinal| ordinal >= snapshot.step.window.end)
                .all(|ordinal| snapshot.canvas.noisy(row)[snapshot.canvas.editable(row)[ordinal]])
        };
        assert!(begun(0) && begun(1), "{:?}", snapshot.step);
    }
    let sizes: Vec<usize> = model.inputs.borrow().iter().map(|input| input.rows.len()).collect();
    // Two steps for both, two for the second row alone; its last block is one token, done in one step.
    assert_eq!(sizes, [2, 2, 1, 1, 1]);
}

#[test]
fn a_time_free_network_is_asked_only_about_rows_that_changed() {
    // cosine, n = 20, S = 50: k falls by one at a time (19 in the first ten steps) and is 0 after step 49.
    let model = Counted::new(hashed(6, true));
    let route = Route::new(Remask::Never, Rate::Cosine);
    let end = reverse(&model, &route, prompted(&[3], 20), uniform(50), 0).finish().unwrap();
    assert_eq!(model.rows(), 20);
    let timed = Counted::new(hashed(6, false));
    reverse(&timed, &route, prompted(&[3], 20), uniform(50), 0).finish().unwrap();
    assert_eq!(timed.rows(), 49);
    assert!(end.is_done());
}

#[test]
fn no_forward_sees_more_rows_than_allowed() {
    let model = Shown::new(hashed(6, false));
    let canvas = Canvas::prompted(&[[3]; 7], &[2; 7], &vocabulary()).unwrap();
    let snapshot =
        reverse(&model, &Route::paper(), canvas, uniform(1), 0).with_max_rows(3).next().unwrap().unwrap();
    let sizes: Vec<usize> = model.inputs.borrow().iter().map(|input| input.rows.len()).collect();
    assert_eq!((sizes, snapshot.forwards, snapshot.evaluated), (vec![3, 3, 1], 3, 7));
    assert!(model.inputs.borrow().iter().all(|input| input.times.iter().all(|&time| time == 1.0)));
}

/// Commits all, and keeps what was said.
struct Listener {
    needs: Needs,
    heard: RefCell<Vec<Vec<Guess>>>,
}

impl ReverseStep for Listener {
    fn needs(&self) -> Needs {
        self.needs
    }
    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, _: &Step, _: &mut RowRng) {
        self.heard.borrow_mut().push(said.guesses().to_vec());
        for guess in said.guesses() {
            row.commit(guess.position, guess.token, guess.log_p);
        }
    }
}

#[test]
fn the_numbers_are_what_they_say() {
    let logits: Vec<f32> = vec![1.0, -2.0, 0.5, 3.0, f32::NEG_INFINITY, 0.0, 2.5, 1.0, -1.0, 0.0, 0.0, 8.0];
    let p: Vec<f64> = logits[..11].iter().map(|&logit| f64::from(logit).exp()).collect();
    let total: f64 = p.iter().sum();
    let p: Vec<f64> = p.into_iter().map(|p| p / total).collect();
    let entropy: f64 = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    let model = constant(logits);
    let needs =
        Needs::new(Candidate::ARGMAX).at_settled().remasking().with_entropy().with_margin().with_current();
    let listener = Listener { needs, heard: RefCell::default() };
    reverse(&model, &listener, prompted(&[3], 1), uniform(2), 0).finish().unwrap();
    let heard = listener.heard.borrow();
    let close =
        |got: f32, expected: f64| assert!((f64::from(got) - expected).abs() < 1e-5, "{got} {expected}");
    for (step, said) in heard.iter().enumerate() {
        let guess = said[0];
        assert_eq!((guess.position, guess.token), (2, 3));
        close(guess.log_p, p[3].ln());
        close(guess.entropy.unwrap(), entropy);
        close(guess.margin.unwrap(), p[3] - p[6]);
        match step {
            0 => assert_eq!(guess.current, Some(f32::NEG_INFINITY), "noise"),
            _ => close(guess.current.unwrap(), p[3].ln()),
        }
    }
    assert_eq!(heard.len(), 2);
    let plain = Listener { needs: Needs::new(Candidate::ARGMAX), heard: RefCell::default() };
    reverse(&model, &plain, prompted(&[3], 1), uniform(1), 0).finish().unwrap();
    let guess = plain.heard.borrow()[0][0];
    assert_eq!((guess.entropy, guess.margin, guess.current), (None, None, None));
}

#[test]
fn equal_first_words_have_no_margin_and_one_possible_word_no_entropy() {
    let needs = Needs::new(Candidate::SAMPLED).with_entropy().with_margin();
    let hear = |logits: Vec<f32>| {
        let listener = Listener { needs, heard: RefCell::default() };
        reverse(&constant(logits), &listener, prompted(&[3], 1), uniform(1), 0).finish().unwrap();
        listener.heard.into_inner()[0][0]
    };
    let flat = hear(vec![1.5; VOCABULARY]);
    assert_eq!(flat.margin, Some(0.0));
    assert!((flat.entropy.unwrap() - 11.0_f32.ln()).abs() < 1e-5);
    let mut sure = vec![f32::NEG_INFINITY; VOCABULARY];
    sure[4] = -7.0;
    let sure = hear(sure);
    assert_eq!((sure.token, sure.log_p, sure.margin, sure.entropy), (4, 0.0, Some(1.0), Some(0.0)));
}

#[test]
fn bf16_logits_are_reduced_in_f32() {
    struct Half;
    impl Denoiser for Half {
        fn vocab_size(&self) -> usize {
            300
        }
        fn device(&self) -> Device {
            Device::default()
        }
        fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
            Tensor::<2>::zeros([input.at.len(), 300], &self.device()).cast(burn::tensor::FloatDType::BF16)
        }
    }
    if !Device::default().supports_dtype(burn::tensor::FloatDType::BF16) {
        return;
    }
    let vocabulary = Vocabulary::new(300, 0, 1, 2, 299).unwrap();
    let canvas = Canvas::prompted(&[[3]], &[2], &vocabulary).unwrap();
    let end = reverse(&Half, &Route::paper(), canvas, uniform(1), 0).finish().unwrap();
    // bf16 counts by twos above 256.
    assert!((end.scores(0)[2] + 299.0_f32.ln()).abs() < 1e-5);
}
