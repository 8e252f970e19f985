//! The ends of the domain: bad input, bad networks, nothing to do.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

mod common;

use burn::tensor::{Device, Tensor};
use common::{Fn, MASK, VOCABULARY, constant, error_of, hashed, prompted, vocabulary};
use dlm_core::schedule::Polynomial;
use dlm_core::{Attention, Denoiser, DenoiserInput, RowRng, TokenId};
use dlm_sampling::length::expand;
use dlm_sampling::plan::{blocks, cosine};
use dlm_sampling::strategy::{Ancestral, LeftToRight, Llada};
use dlm_sampling::wrap::{Counted, Suppressed, Threads};
use dlm_sampling::{
    Candidate, Canvas, Error, Needs, Proposal, ReverseStep, Route, Row, Step, Strategy, reverse, uniform,
};

fn flat() -> impl Denoiser {
    constant(vec![0.0; VOCABULARY])
}

#[test]
fn ids_outside_the_vocabulary_are_refused_where_they_stand() {
    let error = error_of(Canvas::prompted(&[vec![3], vec![4, 12]], &[1, 1], &vocabulary()));
    let expected = dlm_core::Error::UnknownToken { row: 1, position: 2, id: 12, size: VOCABULARY };
    assert_eq!(error, Error::Core(expected));
    let error = error_of(Canvas::infill(&[([99], [true])], &vocabulary()));
    assert!(matches!(error, Error::Core(dlm_core::Error::UnknownToken { row: 0, position: 0, id: 99, .. })));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let is_length = |error| matches!(error, Error::Core(dlm_core::Error::Length { .. }));
    assert!(is_length(error_of(Canvas::prompted(&[[3]], &[1, 2], &vocabulary()))));
    assert!(is_length(error_of(Canvas::infill(&[(vec![3], vec![])], &vocabulary()))));
    assert!(is_length(error_of(Canvas::infill_padded(&[([3], [true], vec![])], &vocabulary()))));
    assert!(is_length(error_of(prompted(&[3], 1).with_keys(&[]))));
    assert!(is_length(error_of(expand(&[[3]], &[], &vocabulary()))));
    let error = error_of(expand(&[[3]], &[vec![]], &vocabulary()));
    assert!(matches!(error, Error::Core(dlm_core::Error::Empty { .. })));
}

#[test]
fn temperatures_and_blocks_outside_their_domain_are_refused() {
    for temperature in [-0.1, f64::NAN, f64::INFINITY] {
        let error = error_of(Candidate::at_temperature(temperature));
        assert!(matches!(error, Error::Core(dlm_core::Error::OutOfDomain { name: "temperature", .. })));
    }
    assert!(Route::paper().with_tau(f64::NAN).is_err());
    assert!(blocks(4, 0, uniform(1)).is_err());
}

#[test]
fn names_of_strategies_are_read_and_written() {
    for name in ["cmlm", "ar", "llada-low-confidence", "llada-random", "reparam-uncond-deterministic-cosine"]
    {
        assert_eq!(name.parse::<Strategy>().unwrap().to_string(), name);
    }
    let error = error_of("maskgit".parse::<Strategy>());
    assert!(error.to_string().contains("maskgit"), "{error}");
}

#[test]
fn logits_that_are_not_finite_name_row_and_position() {
    for bad in [f32::NAN, f32::INFINITY] {
        for needs in [Candidate::ARGMAX, Candidate::SAMPLED] {
            // The third row of the canvas is the second that is asked; its prompt is two tokens long.
            let logits = move |row: &[TokenId], position: usize, _| {
                let mut logits = vec![0.5; VOCABULARY];
                logits[7] = if row[1] == 6 && position == 4 { bad } else { 1.0 };
                logits
            };
            let model = Fn { size: VOCABULARY, time_free: true, logits };
            let canvas =
                Canvas::prompted(&[vec![5], vec![5], vec![6, 5]], &[2, 0, 3], &vocabulary()).unwrap();
            let strategy = Llada::low_confidence().with_candidate(needs);
            let mut run = reverse(&model, &strategy, canvas, uniform(3), 0);
            assert_eq!(run.next().unwrap(), Err(Error::NonFinite { row: 2, position: 4 }));
            assert!(run.next().is_none(), "an error ends the run");
            assert_eq!(run.canvas().ids(0)[2], MASK, "and leaves the canvas as it was");
        }
    }
}

#[test]
fn impossible_words_are_fine_until_none_is_left() {
    let mut logits = vec![f32::NEG_INFINITY; VOCABULARY];
    logits[MASK as usize] = 3.0;
    let error = |logits: Vec<f32>| {
        reverse(&constant(logits), &Route::paper(), prompted(&[3], 2), uniform(2), 0).finish()
    };
    assert_eq!(error_of(error(logits.clone())), Error::NonFinite { row: 0, position: 2 });
    logits[4] = -1e30;
    let end = error(logits).unwrap();
    assert_eq!((end.response(0), end.scores(0)[2]), (vec![4, 4], 0.0));
}

#[test]
fn a_network_with_another_vocabulary_is_refused() {
    let model = constant(vec![0.0; 7]);
    let error = error_of(reverse(&model, &Route::paper(), prompted(&[3], 1), uniform(1), 0).finish());
    assert_eq!(error, Error::Vocabulary { canvas: VOCABULARY, network: 7 });
}

/// A network with few positions.
struct Short<D>(D, usize);

impl<D: Denoiser> Denoiser for Short<D> {
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }
    fn device(&self) -> Device {
        self.0.device()
    }
    fn max_len(&self) -> Option<usize> {
        Some(self.1)
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        input.check(self.vocab_size(), self.max_len()).expect("the loop asks first");
        self.0.logits(input)
    }
}

#[test]
fn a_row_longer_than_the_network_is_an_error_that_names_it() {
    // The second row is finished before it starts, so the third is the second one asked about.
    let rows = [vec![3], vec![3, 4, 5, 6], vec![3, 4, 5]];
    let canvas = || Canvas::prompted(&rows, &[2, 0, 2], &vocabulary()).unwrap();
    let (six, seven) = (Short(hashed(1, true), 6), Short(hashed(1, true), 7));
    let expected = || Error::Core(dlm_core::Error::TooLong { row: 2, got: 7, most: 6 });
    let refused =
        |model: &dyn Denoiser| error_of(reverse(model, &Route::paper(), canvas(), uniform(2), 0).finish());
    assert_eq!(refused(&six), expected());
    assert_eq!(refused(&Counted::new(&six)), expected());
    assert_eq!(refused(&Threads::new(&six, 2)), expected());
    assert_eq!(refused(&Suppressed::new(&six, &[3]).unwrap()), expected());
    // Padding is not counted.
    reverse(&seven, &Route::paper(), canvas(), uniform(2), 0).finish().unwrap();
}

#[test]
fn threads_give_the_same_answers_in_the_order_of_the_questions() {
    let ids: Vec<TokenId> = (0..15).map(|i| 3 + i * 5 % 8).collect();
    let pad: Vec<bool> = (0..15).map(|i| i % 3 == 2 && i > 5).collect();
    let times = [0.1, 0.2, 0.3, 0.4, 0.5];
    let model = hashed(9, false);
    // Nothing is asked about the third row; the fourth comes first.
    for at in [vec![9, 0, 4, 1, 12, 10], vec![0, 1, 3, 10, 13], vec![4], vec![]] {
        let input = DenoiserInput::new(&ids, [5, 3], &at).with_times(&times);
        for input in [input, input.with_pad(&pad)] {
            let expected = model.logits(&input).into_data();
            for threads in [0, 1, 2, 3, 5, 9] {
                assert_eq!(Threads::new(&model, threads).logits(&input).into_data(), expected, "{threads}");
            }
        }
    }
    // A prefix goes with its row.
    let prefixed = Fn { size: 5, time_free: true, logits: |_: &[TokenId], _, _| vec![0.0; 5] };
    let prefixes = [1, 2, 3, 4, 5];
    let seen = Prefixes(prefixed, std::sync::Mutex::default());
    let at = [0, 3, 6, 9, 12];
    let input = DenoiserInput::new(&ids, [5, 3], &at).with_times(&times);
    Threads::new(&seen, 2).logits(&input.with_attention(Attention::Prefix(&prefixes)));
    let mut parts = seen.1.into_inner().unwrap();
    parts.sort();
    assert_eq!(parts, [vec![1, 2, 3], vec![4, 5]]);
}

/// Remembers the prefixes it was given.
struct Prefixes<D>(D, std::sync::Mutex<Vec<Vec<usize>>>);

impl<D: Denoiser> Denoiser for Prefixes<D> {
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }
    fn device(&self) -> Device {
        self.0.device()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let Attention::Prefix(prefixes) = input.attention else { panic!("{:?}", input.attention) };
        self.1.lock().unwrap().push(prefixes.to_vec());
        self.0.logits(input)
    }
}

#[test]
fn logits_of_the_wrong_shape_are_refused() {
    struct Short;
    impl Denoiser for Short {
        fn vocab_size(&self) -> usize {
            VOCABULARY
        }
        fn device(&self) -> Device {
            Device::default()
        }
        fn logits(&self, _: &DenoiserInput<'_>) -> Tensor<2> {
            Tensor::zeros([1, VOCABULARY], &self.device())
        }
    }
    let error = error_of(reverse(&Short, &Route::paper(), prompted(&[3], 2), uniform(1), 0).finish());
    assert_eq!(error, Error::Logits { expected: [2, VOCABULARY], got: [1, VOCABULARY] });
}

#[test]
fn nothing_to_do_costs_nothing() {
    let no_row = Canvas::prompted::<Vec<TokenId>>(&[], &[], &vocabulary()).unwrap();
    let empty_row = Canvas::infill(&[(vec![], vec![])], &vocabulary()).unwrap();
    let frozen = Canvas::infill(&[([MASK, 3], [false, false])], &vocabulary()).unwrap();
    for canvas in [no_row, empty_row, frozen, prompted(&[3], 0)] {
        for name in ["cmlm", "ar", "llada-random", "reparam-uncond-stochastic1.0-cosine"] {
            let model = Counted::new(flat());
            let strategy: Strategy = name.parse().unwrap();
            let end = reverse(&model, &strategy, canvas.clone(), uniform(3), 0).finish().unwrap();
            assert_eq!((model.forwards(), &end), (0, &canvas));
            assert!(end.is_done());
        }
    }
    assert_eq!(prompted(&[3], 0).mean_score(0), None);
}

#[test]
fn a_plan_without_steps_leaves_the_noise() {
    let plans: [Vec<Step>; 3] =
        [uniform(0).collect(), cosine(0).collect(), blocks(4, 2, uniform(0)).unwrap().collect()];
    for plan in plans {
        let end = reverse(&flat(), &Route::paper(), prompted(&[3], 4), plan, 0).finish().unwrap();
        assert_eq!(end, prompted(&[3], 4));
    }
}

#[test]
fn cosine_times_run_from_one_to_zero_without_a_gap() {
    let steps: Vec<Step> = cosine(7).collect();
    assert_eq!((steps[0].t, steps[6].s), (1.0, 0.0));
    assert!(steps.windows(2).all(|pair| pair[0].s == pair[1].t && pair[1].s < pair[1].t));
    assert!((steps[0].s - (std::f64::consts::FRAC_PI_2 / 7.0).cos()).abs() < 1e-12);
}

#[test]
fn the_mask_is_never_a_candidate() {
    let mut logits = vec![0.0; VOCABULARY];
    logits[MASK as usize] = 50.0;
    for temperature in [0.0, 1.0, 1e-30, 1e30] {
        let candidate = Candidate::at_temperature(temperature).unwrap();
        let model = constant(logits.clone());
        let end = reverse(&model, &LeftToRight::new(candidate), prompted(&[3], 400), uniform(1), 0).finish();
        let end = end.unwrap();
        assert!(!end.response(0).contains(&MASK));
        // The score is that of 11 equal words.
        assert!((end.scores(0)[2] + 11.0_f32.ln()).abs() < 1e-5);
    }
}

#[test]
fn the_last_step_finishes_whatever_came_before() {
    let steep = Polynomial::new(200.0).unwrap();
    let strategies: [Box<dyn ReverseStep>; 5] = [
        // Here α(t) is 1 in floating point, and the chance to be revealed 0/0.
        Box::new(Ancestral::new(steep, Candidate::ARGMAX)),
        Box::new(Llada::low_confidence()),
        Box::new(Llada::random()),
        Box::new(LeftToRight::new(Candidate::ARGMAX)),
        Box::new(Route::paper()),
    ];
    for strategy in strategies {
        let last = uniform(100).skip(99);
        assert!(reverse(&flat(), &strategy, prompted(&[3], 9), last, 0).finish().unwrap().is_done());
    }
}

#[test]
fn draws_belong_to_the_number_of_a_step() {
    let strategy = LeftToRight::new(Candidate::SAMPLED);
    let decode = |number: usize| {
        let step = Step { number, ..uniform(1).next().unwrap() };
        reverse(&flat(), &strategy, prompted(&[3], 30), [step], 0).finish().unwrap().response(0)
    };
    assert_eq!(decode(4), decode(4));
    assert_ne!(decode(4), decode(5));
    let numbers: Vec<usize> = blocks(6, 2, uniform(2)).unwrap().map(|step| step.number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn steps_fewer_than_tokens_and_more_than_tokens_both_finish() {
    let committed = |steps: usize| -> Vec<usize> {
        let strategy = LeftToRight::new(Candidate::ARGMAX);
        let model = flat();
        let run = reverse(&model, &strategy, prompted(&[3], 7), uniform(steps), 0);
        run.map(|snapshot| snapshot.unwrap().events.len()).collect()
    };
    assert_eq!(committed(1), [7]);
    assert_eq!(committed(3), [3, 2, 2]);
    assert_eq!(committed(9), [1, 1, 1, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn a_row_refuses_what_is_not_allowed() {
    struct Rude;
    impl ReverseStep for Rude {
        fn needs(&self) -> Needs {
            Needs::new(Candidate::ARGMAX).remasking()
        }
        fn step(&self, row: &mut Row<'_>, _: &Proposal<'_>, _: &Step, _: &mut RowRng) {
            // Row: BOS 3 | noise, noise, noise | EOS; the window is the first two.
            assert_eq!((row.active(), row.noisy()), (&[2, 3][..], vec![2, 3]));
            assert!(!row.commit(1, 5, -1.0), "context");
            assert!(!row.commit(4, 5, -1.0), "outside the window");
            assert!(!row.commit(99, 5, -1.0), "outside the row");
            assert!(!row.commit(2, MASK, -1.0), "the mask");
            assert!(!row.commit(2, 12, -1.0), "no word");
            assert!(!row.remask(2) && !row.remask(1) && !row.remask(99), "nothing to take back");
            assert!(row.commit(2, 5, -1.0));
            assert!(!row.commit(2, 6, -1.0), "not noisy any more");
            assert_eq!((row.score(2), row.ids()[2]), (-1.0, 5));
            assert!(row.remask(2));
            assert_eq!((row.score(2), row.is_noisy(2)), (f32::NEG_INFINITY, true));
        }
    }
    let step = Step { window: 0..2, ..uniform(1).next().unwrap() };
    let end = reverse(&flat(), &Rude, prompted(&[3], 3), [step], 0).finish().unwrap();
    assert_eq!(end, prompted(&[3], 3));
}

#[test]
fn suppressed_words_do_not_appear() {
    let model = Suppressed::new(hashed(8, true), &[0, 1, 2]).unwrap();
    let strategy = LeftToRight::new(Candidate::SAMPLED);
    let end = reverse(&model, &strategy, prompted(&[3], 60), uniform(4), 0).finish().unwrap();
    assert!(end.response(0).iter().all(|&id| id > 2));
    let error = error_of(Suppressed::new(flat(), &[12]));
    assert!(matches!(error, Error::Core(dlm_core::Error::UnknownSpecial { id: 12, .. })));
    let none: Vec<TokenId> = (0..11).collect();
    let model = Suppressed::new(flat(), &none).unwrap();
    let error = error_of(reverse(&model, &strategy, prompted(&[3], 1), uniform(1), 0).finish());
    assert_eq!(error, Error::NonFinite { row: 0, position: 2 });
}

#[test]
fn the_surest_length_is_chosen() {
    // Word 3 at a probability that falls with the number of tokens in the row.
    let logits = |row: &[TokenId], _: usize, _: f64| {
        let mut logits = vec![0.0; VOCABULARY];
        logits[3] = if row.len() == 6 { 5.0 } else { 1.0 };
        logits
    };
    let model = Fn { size: VOCABULARY, time_free: true, logits };
    let lengths = [vec![0, 2, 3, 4], vec![5, 5], vec![0]];
    let (canvas, candidates) = expand(&[[3], [4], [5]], &lengths, &vocabulary()).unwrap();
    let end = reverse(&model, &Route::paper(), canvas, uniform(2), 0).finish().unwrap();
    assert_eq!(candidates.best(&end).unwrap(), [2, 4, 6]);
    assert!(candidates.best(&prompted(&[3], 1)).is_err());
}

#[test]
fn candidates_of_one_prompt_do_not_depend_on_those_of_another() {
    let strategy = LeftToRight::new(Candidate::SAMPLED);
    let model = hashed(3, true);
    let decode = |lengths: &[Vec<usize>]| {
        let (canvas, _) = expand(&[[3], [4]], lengths, &vocabulary()).unwrap();
        let end = reverse(&model, &strategy, canvas, uniform(3), 0).finish().unwrap();
        (0..end.rows()).map(|row| end.response(row)).collect::<Vec<_>>()
    };
    let few = decode(&[vec![2], vec![4, 4]]);
    let many = decode(&[vec![2, 3, 5], vec![4, 4]]);
    assert_eq!((&few[0], &few[1..]), (&many[0], &many[3..]));
    assert_ne!(few[1], few[2], "copies of a length are different draws");
}
