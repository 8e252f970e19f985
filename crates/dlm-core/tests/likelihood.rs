//! Likelihoods against distributions small enough to enumerate.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use burn::tensor::{Device, Tensor, TensorData};
use dlm_core::likelihood::{MOST_ANY_ORDER, any_order, any_order_by_token};
use dlm_core::prior::{Mixed, Words};
use dlm_core::schedule::{Clipped, Cosine, Linear, Schedule, Truncated};
use dlm_core::{
    Denoiser, DenoiserInput, Error, Estimator, Forward, Likelihood, Prior, Sequence, TokenId, Vocabulary,
};

const WORDS: [TokenId; 3] = [4, 5, 6];
const MASK: TokenId = 3;
const V: usize = 7;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(V, 0, 1, 2, MASK).unwrap()
}

/// All texts of `len` words.
fn texts(len: usize) -> Vec<Vec<TokenId>> {
    (0..len).fold(vec![vec![]], |texts, _| {
        texts.iter().flat_map(|text| WORDS.map(|word| [text.as_slice(), &[word]].concat())).collect()
    })
}

/// Some uneven positive numbers.
fn uneven(text: &[TokenId]) -> f64 {
    let mixed = text.iter().fold(7_u32, |sum, &id| sum.wrapping_mul(31).wrapping_add(id * id));
    0.05 + f64::from(mixed % 97) / 97.0
}

/// The true conditional distributions of a joint distribution over texts of one length.
struct Exact(Vec<(Vec<TokenId>, f64)>);

impl Exact {
    fn new(len: usize) -> Self {
        let all = texts(len);
        let total: f64 = all.iter().map(|text| uneven(text)).sum();
        Self(all.into_iter().map(|text| (text.clone(), uneven(&text) / total)).collect())
    }

    /// Probability of all texts that agree with `seen` where it is no mask.
    fn mass(&self, seen: &[TokenId]) -> f64 {
        let agrees = |text: &[TokenId]| seen.iter().zip(text).all(|(&seen, &id)| seen == MASK || seen == id);
        self.0.iter().filter(|(text, _)| agrees(text)).map(|(_, p)| p).sum()
    }
}

impl Denoiser for Exact {
    fn vocab_size(&self) -> usize {
        V
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        table(input, |row, position, word| {
            let mut seen = row.to_vec();
            seen[position] = word;
            self.mass(&seen) as f32
        })
    }
}

/// Conditional distributions that belong to no joint one.
struct Inconsistent;

impl Denoiser for Inconsistent {
    fn vocab_size(&self) -> usize {
        V
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        table(input, |row, position, word| uneven(&[row, &[position as TokenId, word]].concat()) as f32)
    }
}

/// The logarithms of unnormalised probabilities of words; all else is impossible.
fn table(input: &DenoiserInput<'_>, p: impl Fn(&[TokenId], usize, TokenId) -> f32) -> Tensor<2> {
    let len = input.shape[1];
    let logit = |at: usize, id: TokenId| {
        let row = &input.ids[at / len * len..][..len];
        if WORDS.contains(&id) { p(row, at % len, id).ln() } else { -1e30 }
    };
    let logits: Vec<f32> =
        input.at.iter().flat_map(|&at| (0..V as TokenId).map(move |id| logit(at, id))).collect();
    Tensor::from_data(TensorData::new(logits, [input.at.len(), V]), &Device::default())
}

/// The first `context` words are given.
fn row(text: &[TokenId], context: usize) -> Sequence {
    Sequence::new(text.to_vec(), (0..text.len()).map(|position| position >= context).collect()).unwrap()
}

fn within(estimate: Likelihood, truth: f64) -> bool {
    (estimate.nats - truth).abs() <= 4.0 * estimate.standard_error
}

#[test]
fn all_orders_of_the_exact_conditionals_give_the_true_likelihood() {
    let model = Exact::new(4);
    for context in 0..4 {
        let all: Vec<Sequence> = texts(4).iter().map(|text| row(text, context)).collect();
        let exact = any_order(&model, &all, &vocabulary(), 100).unwrap();
        for (text, exact) in texts(4).iter().zip(&exact) {
            let given = [&text[..context], &[MASK; 4][context..]].concat();
            let truth = -(model.mass(text) / model.mass(&given)).ln();
            assert!((exact.nats - truth).abs() < 1e-5, "{} is not {truth}", exact.nats);
            assert_eq!((exact.tokens, exact.standard_error), (4 - context, 0.0));
        }
    }
}

#[test]
fn all_orders_of_any_network_are_the_mean_over_permutations() {
    let text = [4, 6, 5];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let cost = |order: [usize; 3]| {
        let mut seen = vec![MASK; 3];
        let mut nats = 0.0;
        for position in order {
            let p = |word| uneven(&[seen.as_slice(), &[position as TokenId, word]].concat());
            nats -= (p(text[position]) / WORDS.map(p).iter().sum::<f64>()).ln();
            seen[position] = text[position];
        }
        nats
    };
    let expected = orders.map(cost).iter().sum::<f64>() / 6.0;
    let got = any_order(&Inconsistent, &[row(&text, 0)], &vocabulary(), 2).unwrap()[0];
    assert!((got.nats - expected).abs() < 1e-5, "{} is not {expected}", got.nats);
    assert!((got.bits_per_token() - expected / 3.0 / 2.0_f64.ln()).abs() < 1e-5);
    assert!((got.perplexity_bound() - (expected / 3.0).exp()).abs() < 1e-5);
    for estimator in [Estimator::times(6000).unwrap(), Estimator::counts(6000).unwrap()] {
        let got = estimator.with_max_rows(500).estimate(&Inconsistent, &[row(&text, 0)], &vocabulary());
        assert!(within(got.unwrap()[0], expected));
    }
}

#[test]
fn estimates_agree_with_the_truth_and_counts_vary_less_than_times() {
    let model = Exact::new(4);
    let rows: Vec<Sequence> = texts(4).iter().step_by(9).map(|text| row(text, 1)).collect();
    let truths = any_order(&model, &rows, &vocabulary(), 64).unwrap();
    let estimate = |estimator: Result<Estimator, Error>, seed| {
        estimator.unwrap().with_seed(seed).with_max_rows(512).estimate(&model, &rows, &vocabulary()).unwrap()
    };
    let (times, counts) = (estimate(Estimator::times(2000), 1), estimate(Estimator::counts(2000), 1));
    for ((truth, times), counts) in truths.iter().zip(&times).zip(&counts) {
        assert!(within(*counts, truth.nats), "{counts:?} {truth:?}");
        assert!(counts.standard_error < 0.5 * times.standard_error, "{counts:?} {times:?}");
    }
    // Rare small t weigh so much that the error of a single row is far from normal.
    let total = |estimates: &[Likelihood]| estimates.iter().copied().sum::<Likelihood>();
    assert!(within(total(&times), total(&truths).nats), "{:?} {:?}", total(&times), total(&truths));
    let even = estimate(Estimator::counts(2000).map(Estimator::stratified), 1);
    let error = |estimates: &[Likelihood]| -> f64 {
        estimates.iter().zip(&truths).map(|(estimate, truth)| (estimate.nats - truth.nats).abs()).sum()
    };
    assert!(even.iter().zip(&truths).all(|(estimate, truth)| within(*estimate, truth.nats)));
    assert!(error(&even) < error(&counts));
}

#[test]
fn one_maskable_token_is_exact_and_asked_once() {
    let model = Exact::new(3);
    let truth = -(model.mass(&[4, 5, 6]) / model.mass(&[4, 5, MASK])).ln();
    for estimator in [Estimator::times(50).unwrap(), Estimator::counts(50).unwrap().stratified()] {
        let got = estimator.estimate(&model, &[row(&[4, 5, 6], 2)], &vocabulary()).unwrap()[0];
        assert!((got.nats - truth).abs() < 1e-5);
        assert_eq!((got.tokens, got.standard_error), (1, 0.0));
    }
}

#[test]
fn an_estimate_depends_neither_on_the_batch_nor_on_other_rows() {
    let model = Exact::new(3);
    let rows = [row(&[4, 5, 6], 0).with_key(9), row(&[6, 6, 4], 1).with_key(2)];
    let estimator = Estimator::counts(20).unwrap().with_seed(3);
    let together = estimator.estimate(&model, &rows, &vocabulary()).unwrap();
    for (row, expected) in rows.iter().zip(together) {
        for max_rows in [0, 1, 7] {
            let alone = estimator.with_max_rows(max_rows);
            let got = alone.estimate(&model, std::slice::from_ref(row), &vocabulary()).unwrap()[0];
            assert!((got.nats - expected.nats).abs() < 1e-6);
        }
    }
    assert_eq!(rows[0].key(), Some(9));
}

#[test]
fn rows_add_up_to_a_corpus() {
    let row = |nats, tokens, standard_error| Likelihood { nats, tokens, standard_error };
    assert_eq!([row(1.0, 2, 3.0), row(2.0, 3, 4.0)].into_iter().sum::<Likelihood>(), row(3.0, 5, 5.0));
}

#[test]
fn a_text_costs_what_its_parts_cost_one_after_the_other() {
    let model = Exact::new(4);
    let exact = |maskable: [bool; 4]| {
        let row = Sequence::new(vec![4, 6, 5, 5], maskable.to_vec()).unwrap();
        any_order(&model, &[row], &vocabulary(), 64).unwrap()[0].nats
    };
    // An infill between two given sides, and each of its tokens given the other.
    let infill = exact([false, true, true, false]);
    let truth = -(model.mass(&[4, 6, 5, 5]) / model.mass(&[4, MASK, MASK, 5])).ln();
    assert!((infill - truth).abs() < 1e-5, "{infill} {truth}");
    let given = [model.mass(&[4, 6, MASK, 5]), model.mass(&[4, MASK, 5, 5])];
    let whole = model.mass(&[4, MASK, MASK, 5]);
    let row = Sequence::new(vec![4, 6, 5, 5], vec![false, true, true, false]).unwrap();
    let tokens = any_order_by_token(&model, &[row], &vocabulary(), 64).unwrap().remove(0);
    // Half of the orders reveal a token first, half second.
    let first = -0.5 * ((given[0] / whole).ln() + (model.mass(&[4, 6, 5, 5]) / given[1]).ln());
    assert!((tokens[0].nats - first).abs() < 1e-5 && tokens[0].position == 1, "{tokens:?} {first}");
    assert!((tokens[0].nats + tokens[1].nats - infill).abs() < 1e-9 && tokens[1].position == 2);
    // The whole text is the prompt, and then the response to it.
    let all = exact([true; 4]);
    let response = exact([false, false, true, true]);
    let prompt = -(model.mass(&[4, 6, MASK, MASK])).ln();
    assert!((all - response - prompt).abs() < 1e-5, "{all} {response} {prompt}");
}

#[test]
fn the_parts_of_the_tokens_sum_to_the_estimate() {
    let rows = [row(&[4, 5, 6, 6], 1), row(&[6, 6, 4, 5], 0)];
    for estimator in [Estimator::times(40).unwrap(), Estimator::counts(40).unwrap().stratified().antithetic()]
    {
        let whole = estimator.estimate(&Inconsistent, &rows, &vocabulary()).unwrap();
        let tokens = estimator.by_token(&Inconsistent, &rows, &vocabulary()).unwrap();
        for ((row, whole), tokens) in rows.iter().zip(whole).zip(tokens) {
            let positions: Vec<usize> = tokens.iter().map(|token| token.position).collect();
            assert_eq!(positions, (4 - whole.tokens..4).collect::<Vec<_>>());
            assert!((tokens.iter().map(|token| token.nats).sum::<f64>() - whole.nats).abs() < 1e-9);
            assert!(tokens.iter().all(|token| token.standard_error > 0.0), "{row:?}");
        }
    }
    let many =
        Estimator::counts(4000).unwrap().with_max_rows(512).by_token(&Inconsistent, &rows, &vocabulary());
    let exact = any_order_by_token(&Inconsistent, &rows, &vocabulary(), 64).unwrap();
    for (many, exact) in many.unwrap().iter().flatten().zip(exact.iter().flatten()) {
        assert!((many.nats - exact.nats).abs() < 4.0 * many.standard_error, "{many:?} {exact:?}");
    }
}

#[test]
fn antithetic_pairs_are_unbiased_and_vary_less() {
    let row = [row(&[4, 6, 5, 5], 0)];
    let truth = any_order(&Inconsistent, &row, &vocabulary(), 64).unwrap()[0];
    let run = |estimator: Estimator| {
        estimator.with_max_rows(512).estimate(&Inconsistent, &row, &vocabulary()).unwrap()[0]
    };
    let plain = run(Estimator::counts(4000).unwrap());
    let pairs = run(Estimator::counts(4000).unwrap().antithetic());
    assert!(within(pairs, truth.nats), "{pairs:?} {truth:?}");
    assert!(pairs.standard_error < 0.8 * plain.standard_error, "{pairs:?} {plain:?}");
    let odd = run(Estimator::counts(3).unwrap().antithetic());
    assert_eq!(odd, run(Estimator::counts(4).unwrap().antithetic()), "pairs are whole");
}

#[test]
fn intervals_contain_the_truth_as_often_as_they_say() {
    let row = [row(&[4, 6, 5, 5], 0)];
    let truth = any_order(&Inconsistent, &row, &vocabulary(), 64).unwrap()[0];
    let held = |antithetic: bool| {
        let holds = |&seed: &u64| {
            let estimator = Estimator::counts(60).unwrap().with_seed(seed);
            let estimator = if antithetic { estimator.antithetic() } else { estimator };
            let estimate = estimator.estimate(&Inconsistent, &row, &vocabulary()).unwrap()[0];
            let [low, high] = estimate.interval(0.9).unwrap();
            low <= truth.nats && truth.nats <= high
        };
        (0..400).filter(holds).count()
    };
    // 360 of 400 are expected, give or take 6.
    assert!((335..=385).contains(&held(false)), "{}", held(false));
    assert!((335..=385).contains(&held(true)), "{}", held(true));

    let text = Likelihood { nats: 20.0, tokens: 10, standard_error: 0.5 };
    let [low, high] = text.bits_per_token_interval(0.95).unwrap();
    let half = 1.959_964 * text.bits_per_token_error();
    assert!((high - low - 2.0 * half).abs() < 1e-6 && (text.bits_per_token() - low - half).abs() < 1e-6);
    let [low, high] = text.perplexity_interval(0.95).unwrap();
    assert!((low - 1.902_001_8_f64.exp()).abs() < 1e-5 && (high - 2.097_998_2_f64.exp()).abs() < 1e-5);
    assert!((text.perplexity_error() - 0.05 * 2.0_f64.exp()).abs() < 1e-12);
    assert_eq!(text.interval(1.0).unwrap_err().to_string(), "level of an interval must be in (0, 1), got 1");
    assert!(text.perplexity_interval(f64::NAN).is_err());
}

/// Independent tokens: what the other tokens say changes nothing, so one network is exact under every noise.
struct Independent;

impl Denoiser for Independent {
    fn vocab_size(&self) -> usize {
        V
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        table(input, |_, position, word| (1 + position as u32 * (word - 3)) as f32)
    }
}

#[test]
fn bounds_under_any_noise_agree_with_the_truth() {
    let rows = [row(&[4, 6, 5], 0), row(&[5, 6], 1)];
    let p = |position: u32, word: u32| {
        f64::from(1 + position * (word - 3)) / (1..4).map(|w| f64::from(1 + position * w)).sum::<f64>()
    };
    let truths = [-(p(0, 4) * p(1, 6) * p(2, 5)).ln(), -p(1, 6).ln()];
    let words = || Words::uniform(&vocabulary()).unwrap();
    let priors = [
        Prior::Absorbing { mask: MASK },
        Prior::Words(words()),
        Prior::Mixed(Mixed::new(MASK, words(), 0.4).unwrap()),
    ];
    let estimator = Estimator::times(3000).unwrap().stratified();
    for prior in priors {
        let forward = Forward::new(Cosine, prior.clone());
        let got = estimator.estimate_under(&forward, &Independent, &rows, &vocabulary()).unwrap();
        let tokens = estimator.by_token_under(&forward, &Independent, &rows, &vocabulary()).unwrap();
        for ((got, truth), tokens) in got.iter().zip(truths).zip(&tokens) {
            assert!((got.nats - truth).abs() < 4.0 * got.standard_error, "{prior:?}: {got:?} {truth}");
            assert!(got.standard_error < 0.3 && tokens.len() == got.tokens, "{prior:?}: {got:?}");
            assert!((tokens.iter().map(|token| token.nats).sum::<f64>() - got.nats).abs() < 1e-9);
        }
        let few = Estimator::times(20).unwrap().antithetic().with_seed(5);
        let together = few.estimate_under(&forward, &Independent, &rows, &vocabulary()).unwrap();
        let apart =
            few.with_max_rows(1).estimate_under(&forward, &Independent, &rows, &vocabulary()).unwrap();
        assert!(together.iter().zip(&apart).all(|(a, b)| (a.nats - b.nats).abs() < 1e-6));
    }
    let forward = Forward::new(Linear, Prior::Words(words()));
    let counts = Estimator::counts(9).unwrap();
    let error = counts.estimate_under(&forward, &Independent, &rows, &vocabulary()).unwrap_err();
    assert_eq!(error.to_string(), "an estimator of counts does not go with noise by a schedule");
    let other = Forward::new(Linear, Prior::Words(Words::weighted(&[1.0; 9]).unwrap()));
    assert!(matches!(
        estimator.estimate_under(&other, &Independent, &rows, &vocabulary()),
        Err(Error::Incompatible { .. })
    ));
    let short: [Box<dyn Schedule>; 3] = [
        Box::new(Truncated::end(Linear, 1e-3).unwrap()),
        Box::new(Clipped::new(Linear, 0.0, 0.8).unwrap()),
        Box::new(Clipped::new(Linear, 0.1, 1.0).unwrap()),
    ];
    for schedule in short {
        let short = Forward::new(schedule, Prior::Words(words()));
        let error = estimator.estimate_under(&short, &Independent, &rows, &vocabulary()).unwrap_err();
        assert_eq!(error.to_string(), "a schedule short of the ends does not go with a bound");
    }
    let fixed = estimator.estimate_under(&forward, &Independent, &[row(&[4, 5], 2)], &vocabulary());
    assert_eq!(fixed, Err(Error::NothingMaskable { row: 0 }));
}

#[test]
fn what_has_no_likelihood_is_an_error() {
    struct NotFinite;
    impl Denoiser for NotFinite {
        fn vocab_size(&self) -> usize {
            V
        }
        fn device(&self) -> Device {
            Device::default()
        }
        fn max_len(&self) -> Option<usize> {
            Some(9)
        }
        fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
            Tensor::full([input.at.len(), V], f32::NAN, &self.device())
        }
    }
    for draws in [0, 1] {
        let expected = Error::OutOfDomain { name: "draws", expected: "at least 2", got: draws as f64 };
        assert_eq!(Estimator::times(draws), Err(expected.clone()));
        assert_eq!(Estimator::counts(draws), Err(expected));
    }
    let estimate = |model: &dyn Denoiser, rows: &[Sequence]| {
        Estimator::counts(2).unwrap().estimate(model, rows, &vocabulary()).unwrap_err()
    };
    let exact = Exact::new(2);
    let rows = [row(&[4, 5], 0), row(&[4, 5], 2)];
    assert_eq!(estimate(&exact, &rows), Error::NothingMaskable { row: 1 });
    assert_eq!(any_order(&exact, &rows, &vocabulary(), 8), Err(Error::NothingMaskable { row: 1 }));
    assert!(matches!(estimate(&exact, &[row(&[4, 99], 0)]), Error::UnknownToken { id: 99, .. }));
    assert_eq!(estimate(&NotFinite, &[row(&[4, 5], 1)]), Error::NonFinite { row: 0, position: 1 });
    assert!(matches!(estimate(&NotFinite, &[row(&[4; 10], 1)]), Error::TooLong { got: 10, most: 9, .. }));
    let long = row(&[4; MOST_ANY_ORDER + 1], 0);
    assert!(matches!(any_order(&exact, &[long], &vocabulary(), 8), Err(Error::OutOfDomain { .. })));
    assert_eq!(Estimator::counts(2).unwrap().estimate(&exact, &[], &vocabulary()), Ok(vec![]));
}
