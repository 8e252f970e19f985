//! What is at the edge of the losses' domains: a typed error, or the value that the documentation says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use burn::tensor::{Device, Tensor};
use dlm_core::loss::{
    Cart, Confidence, D3pm, Elbo, Flat, FlowMatching, GenMd4, LogScores, Mlm, Nelbo, Rdm, Reduction, Scaled,
    ScoreEntropy, TokenLoss, Weighting, Weights, forbid, nll,
};
use dlm_core::schedule::{Cosine, Linear, PerToken};
use dlm_core::{Batch, CounterRng, Error, Forward, Noised, Prior, Sequence, Times, TokenId, Vocabulary};

const V: usize = 7;
const MASK: TokenId = 6;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(V, 0, 1, 2, MASK).unwrap()
}

fn masks() -> Prior {
    Prior::Absorbing { mask: MASK }
}

/// Logits of the asked positions, the mask forbidden.
fn logits(noised: &Noised) -> Tensor<2> {
    let n = noised.at().len();
    let values: Vec<f32> = (0..n * V).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
    let device = Device::flex().autodiff();
    if n == 0 {
        return Tensor::zeros([0, V], &device);
    }
    forbid(Tensor::<1>::from_floats(values.as_slice(), &device).reshape([n, V]), MASK)
}

fn weightings() -> Vec<(&'static str, Box<dyn Weighting>)> {
    vec![
        ("nelbo", Box::new(Nelbo::new(Linear, Reduction::RowTokens))),
        ("rdm", Box::new(Rdm::linear(50).unwrap().with_label_smoothing(0.1).unwrap())),
        ("mlm", Box::new(Mlm)),
        ("flat", Box::new(Flat::new(0.5, Reduction::Tokens).unwrap())),
        ("cart", Box::new(Cart::new(0.3, Reduction::Positions).unwrap())),
        ("scaled", Box::new(Scaled::new(Mlm, vec![0.5; 9]).unwrap())),
    ]
}

#[test]
fn empty_rows_and_rows_with_nothing_to_noise_cost_nothing() {
    let rows = [
        Sequence::whole(vec![]),
        Sequence::new(vec![3, 4], vec![false; 2]).unwrap(),
        Sequence::whole(vec![5, 3]),
    ];
    let batch = Batch::new(&rows, &vocabulary()).unwrap();
    for prior in [masks(), Prior::uniform(&vocabulary()).unwrap()] {
        let forward = Forward::new(Linear, prior);
        let noised = forward.noise(&batch, &[1.0; 3], &CounterRng::new(0)).unwrap();
        assert_eq!(noised.at(), [4, 5], "only the third row is asked");
        assert_eq!(noised.maskable(), [0, 0, 2]);
        let terms = Elbo::new(&forward).terms(logits(&noised), &noised);
        for reduction in [Reduction::Rows, Reduction::RowTokens, Reduction::Noisy] {
            assert!(
                reduction.reduce(terms.clone(), &noised).into_scalar::<f32>().is_finite(),
                "{reduction:?}"
            );
        }
    }
    let noised = Forward::new(Linear, masks()).noise(&batch, &[1.0; 3], &CounterRng::new(0)).unwrap();
    for (name, weighting) in weightings() {
        assert!(weighting.weights(&noised).check().is_ok(), "{name}");
        assert!(nll(logits(&noised), &noised, &weighting).into_scalar::<f32>().is_finite(), "{name}");
    }
}

#[test]
fn rows_without_noise_cost_nothing_and_rows_of_noise_alone_are_finite() {
    let batch = Batch::new(&vec![Sequence::whole(vec![3, 4, 5]); 2], &vocabulary()).unwrap();
    let forward = Forward::new(Cosine, masks());
    let clean = forward.noise(&batch, &[0.0; 2], &CounterRng::new(0)).unwrap();
    let half = forward.noise(&batch, &[1.0, 0.0], &CounterRng::new(0)).unwrap();
    assert_eq!((clean.at(), half.at()), ([].as_slice(), [0, 1, 2].as_slice()));
    for (name, weighting) in weightings() {
        assert_eq!(nll(logits(&clean), &clean, &weighting).into_scalar::<f32>(), 0.0, "{name}");
        let weights = weighting.weights(&half);
        assert!(weights.check().is_ok() && weights.target.len() == 3, "{name}");
    }
    // No clean token is near: nothing to go by, so Dream's weight is 0.
    assert_eq!(Cart::new(0.3, Reduction::Sum).unwrap().weights(&half).target, [0.0; 3]);
    let terms = D3pm::new(&forward, 10).unwrap().terms(logits(&clean), &clean);
    assert_eq!(Reduction::Noisy.reduce(terms, &clean).into_scalar::<f32>(), 0.0);
}

#[test]
fn losses_of_tokens_are_finite_on_rows_of_noise_alone_and_nothing_on_rows_without() {
    let batch = Batch::new(&vec![Sequence::whole(vec![3, 4, 5]); 2], &vocabulary()).unwrap();
    let forward = Forward::new(Cosine, masks());
    let noised = forward.noise(&batch, &[1.0, 0.0], &CounterRng::new(0)).unwrap();
    let none = forward.noise(&batch, &[0.0; 2], &CounterRng::new(0)).unwrap();
    let losses: [Box<dyn TokenLoss<Output = Tensor<2>> + '_>; 5] = [
        Box::new(Elbo::new(&forward)),
        Box::new(D3pm::new(&forward, 4).unwrap()),
        Box::new(FlowMatching::new(Cosine)),
        Box::new(GenMd4::new(PerToken::new(&[1.5; V]).unwrap())),
        Box::new(Confidence),
    ];
    for (index, loss) in losses.iter().enumerate() {
        let terms: Vec<f32> = loss.terms(logits(&noised), &noised).into_data().iter().collect();
        assert!(terms.len() == 3 && terms.iter().all(|term| term.is_finite()), "loss {index}: {terms:?}");
        let nothing = Reduction::Rows.reduce(loss.terms(logits(&none), &none), &none);
        assert_eq!(nothing.into_scalar::<f32>(), 0.0, "loss {index}");
    }
    for noised in [noised, none] {
        let scores = LogScores::from_logits(logits(&noised), &noised, &forward);
        let terms = ScoreEntropy::new(&forward).terms(scores, &noised);
        assert!(Reduction::Rows.reduce(terms, &noised).into_scalar::<f32>().is_finite());
    }
}

#[test]
fn near_clean_tokens_weigh_more_in_their_own_document_alone() {
    let document = |n: usize| Sequence::whole(vec![3; n]);
    let weights = |batch: &Batch, noisy: &[bool]| {
        let noised = Noised::with_noise(batch, &vec![0.5; batch.rows()], noisy, masks()).unwrap();
        Cart::new(0.3, Reduction::Sum).unwrap().weights(&noised).target
    };
    let close = |got: &[f64], by_hand: &[f64]| {
        got.len() == by_hand.len() && got.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-12)
    };
    // Clean, noise, noise, clean: one clean token next to each and one two places off; padding is none.
    let padded = Batch::new(&[document(4), document(6)], &vocabulary()).unwrap();
    let noisy: Vec<bool> = [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1].map(|flag| flag == 1).to_vec();
    let got = weights(&padded, &noisy);
    let far: f64 = (0..5).map(|distance| 0.15 * 0.7_f64.powi(distance)).sum();
    assert!(close(&got, &[0.15 + 0.105, 0.105 + 0.15, far]), "{got:?}");
    let packed = Batch::packed(&[vec![document(2), document(2)]], &vocabulary()).unwrap();
    let got = weights(&packed, &[false, true, true, false]);
    assert!(close(&got, &[0.15, 0.15]), "{got:?}");
    // The mean is of the weighted terms.
    let noised = Noised::with_noise(&packed, &[0.5], &[false, true, true, false], masks()).unwrap();
    let mean = Cart::new(0.3, Reduction::Positions).unwrap().weights(&noised).target;
    assert!(close(&mean, &[0.15 / 4.0, 0.15 / 4.0]), "{mean:?}");
}

#[test]
fn gradients_are_nothing_where_no_loss_is() {
    let batch = Batch::new(&[Sequence::whole(vec![3, 4, 5, 4])], &vocabulary()).unwrap();
    let noisy = [true, false, true, false];
    let noised = Noised::with_noise(&batch, &[0.5], &noisy, masks()).unwrap().everywhere(&batch).unwrap();
    let forward = Forward::new(Linear, masks());
    let losses: [Box<dyn TokenLoss<Output = Tensor<2>> + '_>; 2] =
        [Box::new(Elbo::new(&forward)), Box::new(D3pm::new(&forward, 4).unwrap())];
    for loss in losses {
        let leaf = logits(&noised).detach().require_grad();
        let terms = loss.terms(leaf.clone(), &noised);
        let values: Vec<f32> = terms.clone().into_data().iter().collect();
        let gradient: Vec<f32> = leaf.grad(&terms.sum().backward()).unwrap().into_data().iter().collect();
        for (position, &noisy) in noisy.iter().enumerate() {
            let gradient = &gradient[position * V..][..V];
            assert_eq!(values[position].abs() > 1e-6, noisy, "{values:?}");
            assert_eq!(gradient.iter().any(|g| g.abs() > 1e-6), noisy, "position {position}: {gradient:?}");
            assert_eq!(gradient[MASK as usize], 0.0);
        }
    }
    // The hybrid loss: a bound, and a cross-entropy of every token.
    let direct = Flat::new(0.1, Reduction::Sum).unwrap().weights(&noised).target;
    assert_eq!(direct, [0.1; 4]);
    let rdm = Rdm::reciprocal(4).unwrap().with_reduction(Reduction::Sum).weights(&noised).target;
    assert_eq!(rdm, [2.0, 0.0, 2.0, 0.0], "T/k where there is noise");
}

#[test]
fn everywhere_is_that_of_its_batch() {
    let batch = Batch::new(&[Sequence::whole(vec![3, 4, 5])], &vocabulary()).unwrap();
    let forward = Forward::new(Linear, masks());
    let twice = forward.noise_coupled(&batch, &[(0.9, 0.1)], &CounterRng::new(0)).unwrap();
    assert_eq!(twice.everywhere(&batch).unwrap().at(), [0, 1, 2, 3, 4, 5]);
    let noised = forward.noise(&batch, &[0.5], &CounterRng::new(0)).unwrap();
    let longer = Batch::new(&[Sequence::whole(vec![3; 4])], &vocabulary()).unwrap();
    let more = Batch::new(&vec![Sequence::whole(vec![3; 3]); 2], &vocabulary()).unwrap();
    assert!(matches!(noised.clone().everywhere(&longer), Err(Error::Length { .. })));
    assert!(matches!(noised.everywhere(&more), Err(Error::Length { .. })));
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let batch = Batch::new(&[Sequence::whole(vec![3])], &vocabulary()).unwrap();
    // Noise at t = 0, which the process never makes.
    let noised = Noised::with_noise(&batch, &[0.0], &[true], masks()).unwrap();
    let weights = Nelbo::new(Linear, Reduction::Sum).weights(&noised);
    assert_eq!(weights.check().unwrap_err().to_string(), "weight must be finite, got inf");
    let nan = Weights { target: vec![1.0], uniform: vec![f64::NAN] };
    assert!(matches!(nan.check(), Err(Error::OutOfDomain { name: "weight", .. })));
    for factor in [f64::NAN, f64::INFINITY] {
        assert!(matches!(Scaled::new(Mlm, vec![1.0, factor]), Err(Error::OutOfDomain { .. })));
        assert!(Flat::new(factor, Reduction::Sum).is_err());
    }
    let few = Scaled::new(Mlm, vec![]).unwrap();
    assert_eq!(few.check(&noised), Err(Error::Length { what: "factors of rows", expected: 1, got: 0 }));
    assert!(Scaled::new(Mlm, vec![2.0]).unwrap().check(&noised).is_ok());
}

#[test]
fn what_has_no_steps_or_no_chance_is_refused() {
    let forward = Forward::new(Linear, masks());
    assert_eq!(D3pm::new(&forward, 0).unwrap_err().to_string(), "steps must be at least 1, got 0");
    assert!(Times::grid(0).is_err() && Rdm::linear(0).is_err());
    for p in [0.0, 1.1, f64::NAN] {
        assert!(Cart::new(p, Reduction::Sum).is_err());
    }
    let unknown = Vocabulary::new(V, 0, 1, 2, V as TokenId).unwrap_err().to_string();
    assert_eq!(unknown, "the mask id 7 is not below the vocabulary size 7");
    let batch = Batch::new(&[Sequence::whole(vec![3, 7])], &vocabulary());
    assert!(matches!(batch, Err(Error::UnknownToken { row: 0, position: 1, id: 7, size: 7 })));
    let empty = Batch::new(&[Sequence::whole(vec![]), Sequence::whole(vec![])], &vocabulary());
    assert_eq!(empty, Err(Error::Empty { what: "the batch" }));
}

#[test]
fn noise_at_the_ends_of_time_is_none_and_all() {
    let batch = Batch::new(&[Sequence::whole(vec![3; 500])], &vocabulary()).unwrap();
    for prior in [masks(), Prior::uniform(&vocabulary()).unwrap()] {
        let forward = Forward::new(Linear, prior);
        let none = forward.noise(&batch, &[0.0], &CounterRng::new(1)).unwrap();
        assert_eq!(none.xt(), none.x0());
        let all = forward.noise(&batch, &[1.0], &CounterRng::new(1)).unwrap();
        let stayed = all.xt().iter().filter(|&&id| id == 3).count();
        let by_chance = if forward.prior().mask().is_some() { 0..1 } else { 120..215 };
        assert!(by_chance.contains(&stayed), "{stayed}");
        for t in [-1e-9, 1.0 + 1e-9, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                forward.noise(&batch, &[t], &CounterRng::new(1)),
                Err(Error::OutOfDomain { name: "t", .. })
            ));
        }
    }
}

#[test]
fn the_weights_of_rdm_have_their_published_sums() {
    let batch = Batch::new(&[Sequence::whole(vec![3])], &vocabulary()).unwrap();
    // A token is noise with probability k/T at k, uniform in 1..=T.
    let total = |rdm: Rdm| -> f64 {
        let at = |k: u32| {
            let t = f64::from(k) / 50.0;
            let noised = Noised::with_noise(&batch, &[t], &[true], masks()).unwrap();
            t * rdm.weights(&noised).target[0] / 50.0
        };
        (1..=50).map(at).sum()
    };
    assert!((total(Rdm::linear(50).unwrap()) - 8.84).abs() < 1e-9);
    assert!((total(Rdm::constant(50).unwrap()) - 25.5).abs() < 1e-9);
    assert!((total(Rdm::reciprocal(50).unwrap()) - 1.0).abs() < 1e-9);
}
