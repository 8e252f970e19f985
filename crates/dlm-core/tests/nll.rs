//! `nll` and `nll_chunked` against the same sum written naively on the tape.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Distribution, FloatDType, Int, Tensor, Tolerance};
use dlm_core::loss::{
    Mlm, Nelbo, Rdm, Reduction, Scaled, Weighting, forbid, nll, nll_chunked, nll_per_token,
};
use dlm_core::schedule::Linear;
use dlm_core::{Batch, Decoder, Noised, Prior, Sequence, Vocabulary};

const V: usize = 11;

fn device() -> Device {
    Device::default().autodiff()
}

fn noised() -> Noised {
    let vocabulary = Vocabulary::new(V, 0, 1, 2, 10).unwrap();
    let rows = [Sequence::whole(vec![3, 4, 5, 2]), Sequence::prompt_response(&[6], &[7, 8, 9], &vocabulary)];
    let batch = Batch::new(&rows, &vocabulary).unwrap();
    let mut noisy = vec![false; 2 * batch.len()];
    for i in [0, 2, 3, 8, 9, 11] {
        noisy[i] = batch.maskable()[i];
    }
    Noised::with_noise(&batch, &[0.5, 0.9], &noisy, Prior::Absorbing { mask: 10 }).unwrap()
}

/// Deterministic numbers that need no device generator.
fn numbers(rows: usize, columns: usize, scale: f32) -> Tensor<2> {
    let values: Vec<f32> =
        (0..rows * columns).map(|i| scale * ((i * i + 3 * i) as f32 * 0.7).sin()).collect();
    Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([rows, columns])
}

fn naive(logits: Tensor<2>, noised: &Noised, weighting: &impl Weighting) -> Tensor<1> {
    let weights = weighting.weights(noised);
    let log_p = log_softmax(logits, 1);
    let targets: Vec<i32> = noised.targets().iter().map(|&id| id as i32).collect();
    let index = Tensor::<1, Int>::from_ints(targets.as_slice(), &log_p.device()).unsqueeze_dim::<2>(1);
    let column = |w: &[f64]| {
        let w: Vec<f32> = w.iter().map(|&w| w as f32).collect();
        Tensor::<1>::from_floats(w.as_slice(), &log_p.device()).unsqueeze_dim::<2>(1)
    };
    let mut loss = -(column(&weights.target) * log_p.clone().gather(1, index)).sum();
    if !weights.uniform.is_empty() {
        loss = loss - (column(&weights.uniform) * log_p.mean_dim(1)).sum();
    }
    loss
}

fn same<const D: usize>(got: Tensor<D>, expected: Tensor<D>) {
    got.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
}

fn losses() -> Vec<Box<dyn Weighting>> {
    vec![
        Box::new(Mlm),
        Box::new(Nelbo::new(Linear, Reduction::Tokens)),
        Box::new(Rdm::linear(50).unwrap()),
        Box::new(Rdm::reciprocal(50).unwrap().with_label_smoothing(0.1).unwrap()),
    ]
}

#[test]
fn value_and_gradient_equal_the_naive_sum() {
    let noised = noised();
    let n = noised.at().len();
    for weighting in losses() {
        let run = |loss: &dyn Fn(Tensor<2>) -> Tensor<1>| {
            let logits = numbers(n, V, 4.0).require_grad();
            // A factor above the loss: the closed form must scale by what comes from above.
            let loss = loss(logits.clone()) * 3.0;
            let gradient = logits.grad(&loss.clone().backward()).unwrap();
            (loss.inner(), gradient)
        };
        let (value, gradient) = run(&|logits| nll(logits, &noised, &weighting));
        let (naive_value, naive_gradient) = run(&|logits| naive(logits, &noised, &weighting));
        same(value, naive_value);
        same(gradient, naive_gradient);
    }
}

#[test]
fn chunks_change_neither_value_nor_gradient() {
    let noised = noised();
    let n = noised.at().len();
    for weighting in losses() {
        for chunk in [1, 2, n, n + 7] {
            let run = |chunked: bool| {
                let features = numbers(n, 3, 1.0).require_grad();
                let weight = numbers(V, 3, 2.0).require_grad();
                let bias = numbers(1, V, 0.5).squeeze_dim::<1>(0).require_grad();
                // The weight is tied: it also makes the features, as an embedding does.
                let used = features.clone() + weight.clone().mean_dim(0);
                let decoder = Decoder { weight: weight.clone(), bias: Some(bias.clone()) };
                let loss = if chunked {
                    nll_chunked(used, &decoder, &noised, &weighting, chunk)
                } else {
                    nll(decoder.forward(used), &noised, &weighting)
                };
                let gradients = loss.backward();
                let grad = |tensor: &Tensor<2>| tensor.grad(&gradients).unwrap();
                (loss.clone().inner(), grad(&features), grad(&weight), bias.grad(&gradients).unwrap())
            };
            let (whole, pieces) = (run(false), run(true));
            same(pieces.0, whole.0);
            same(pieces.1, whole.1);
            same(pieces.2, whole.2);
            same(pieces.3, whole.3);
        }
    }
}

/// The gradients that no copy was made of are those of the tape, beside what else the decoder is used for.
#[cfg(feature = "autodiff")]
#[test]
fn the_decoders_gradient_is_handed_over() {
    use dlm_core::loss::NllChunks;

    let noised = noised();
    let n = noised.at().len();
    for (weighting, bits) in losses().into_iter().zip([3, 1, 2, 3]) {
        let features = numbers(n, 3, 1.0).require_grad();
        // Either part of the decoder may be frozen.
        let leaf = |tensor: Tensor<2>, bit| if bits & bit == 0 { tensor } else { tensor.require_grad() };
        let weight = leaf(numbers(V, 3, 2.0), 1);
        let bias = leaf(numbers(1, V, 0.5), 2).squeeze_dim::<1>(0);
        let bias = if bits & 2 == 0 { bias } else { bias.detach().require_grad() };
        let run = |handed: bool| {
            let used = features.clone() + weight.clone().mean_dim(0);
            let decoder = Decoder { weight: weight.clone(), bias: Some(bias.clone()) };
            let (value, gradients) = if handed {
                let loss = NllChunks::new(used, &decoder, &noised, &weighting, 4).scaled(0.25);
                (loss.value(), loss.backward(&decoder))
            } else {
                let loss = nll(decoder.forward(used), &noised, &weighting) * 0.25;
                (loss.clone(), loss.backward())
            };
            let grad = |tensor: &Tensor<2>| tensor.grad(&gradients);
            (value.inner(), grad(&features), grad(&weight), bias.grad(&gradients))
        };
        let (handed, taped) = (run(true), run(false));
        same(handed.0, taped.0);
        same(handed.1.unwrap(), taped.1.unwrap());
        assert_eq!((handed.2.is_some(), handed.3.is_some()), (bits & 1 != 0, bits & 2 != 0));
        handed.2.zip(taped.2).into_iter().for_each(|(got, expected)| same(got, expected));
        handed.3.zip(taped.3).into_iter().for_each(|(got, expected)| same(got, expected));
    }
}

#[cfg(feature = "autodiff")]
#[test]
#[should_panic(expected = "a decoder that is computed from parameters")]
fn a_gradient_is_handed_to_parameters_alone() {
    let noised = noised();
    let features = numbers(noised.at().len(), 3, 1.0).require_grad();
    let decoder = Decoder { weight: numbers(V, 3, 2.0).require_grad() * 2.0, bias: None };
    dlm_core::loss::NllChunks::new(features, &decoder, &noised, &Mlm, 4).backward(&decoder);
}

#[test]
fn a_forbidden_word_has_no_probability_and_no_gradient() {
    let noised = noised();
    let n = noised.at().len();
    let logits = numbers(n, V, 4.0).require_grad();
    let loss = nll(forbid(logits.clone(), 10), &noised, &Mlm);
    let gradient = logits.grad(&loss.backward()).unwrap();
    let mask_column: Vec<f32> = gradient.narrow(1, 10, 1).into_data().iter::<f32>().collect();
    assert_eq!(mask_column, vec![0.0; n]);
    // With the mask gone the other words share its mass: the loss falls.
    let with: f32 = nll(logits.clone().inner(), &noised, &Mlm).into_scalar();
    assert!(loss.into_scalar::<f32>() < with);
}

#[test]
fn per_token_values_sum_to_the_loss() {
    let noised = noised();
    let logits = numbers(noised.at().len(), V, 4.0).inner();
    let mean: f32 = nll_per_token(logits.clone(), &noised.targets()).mean().into_scalar();
    let loss: f32 = nll(logits, &noised, &Mlm).into_scalar();
    assert!((mean - loss).abs() < 1e-6);
}

#[test]
fn huge_logits_stay_finite_and_no_noise_costs_nothing() {
    let noised = noised();
    let logits = (numbers(noised.at().len(), V, 1.0) * 1e6).require_grad();
    let loss = nll(logits.clone(), &noised, &Mlm);
    assert!(loss.clone().into_scalar::<f32>().is_finite());
    let gradient = logits.grad(&loss.backward()).unwrap();
    assert!(gradient.is_finite().all().into_scalar::<bool>());

    let vocabulary = Vocabulary::new(V, 0, 1, 2, 10).unwrap();
    let batch = Batch::new(&[Sequence::whole(vec![3])], &vocabulary).unwrap();
    let clean = Noised::with_noise(&batch, &[0.1], &[false], Prior::Absorbing { mask: 10 }).unwrap();
    let empty = Tensor::<2>::random([0, V], Distribution::Default, &Device::default());
    assert_eq!(nll(empty, &clean, &Mlm).into_scalar::<f32>(), 0.0);
}

#[test]
fn losses_of_half_precision_logits_are_finite_and_close() {
    let noised = noised();
    let n = noised.at().len();
    for half in [FloatDType::BF16, FloatDType::F16] {
        if !device().supports_dtype(half) {
            continue;
        }
        // Far apart, so that a sum in f16 would overflow.
        let logits = numbers(n, V, 300.0).cast(half).require_grad();
        let weighting = Rdm::linear(50).unwrap();
        let loss = nll(logits.clone(), &noised, &weighting);
        let wide = logits.clone().inner().cast(FloatDType::F32).autodiff().require_grad();
        let expected = nll(wide.clone(), &noised, &weighting);
        assert_eq!(loss.clone().into_scalar::<f32>(), expected.clone().into_scalar::<f32>());
        let got = logits.grad(&loss.backward()).unwrap();
        assert_eq!(got.dtype(), half.into());
        let expected = wide.grad(&expected.backward()).unwrap();
        let data = expected.cast(half).into_data();
        got.into_data().assert_approx_eq::<f32>(&data, Tolerance::absolute(1e-6));
    }
}

#[test]
fn the_chunked_loss_works_in_half_precision() {
    let noised = noised();
    let half = FloatDType::BF16;
    if !device().supports_dtype(half) {
        return;
    }
    let features = numbers(noised.at().len(), 3, 1.0).cast(half).require_grad();
    let weight = numbers(V, 3, 0.5).cast(half).require_grad();
    let bias = numbers(1, V, 0.1).squeeze_dim::<1>(0).cast(half).require_grad();
    let decoder = Decoder { weight: weight.clone(), bias: Some(bias.clone()) };
    let grads = |loss: Tensor<1>| {
        let grads = loss.backward();
        [features.grad(&grads).unwrap(), weight.grad(&grads).unwrap()]
    };
    let plain = nll(decoder.forward(features.clone()), &noised, &Mlm);
    let chunked = nll_chunked(features.clone(), &decoder, &noised, &Mlm, 2);
    assert!((plain.clone().into_scalar::<f32>() - chunked.clone().into_scalar::<f32>()).abs() < 1e-5);
    for (plain, chunked) in grads(plain).into_iter().zip(grads(chunked)) {
        // bf16 has 8 bits.
        chunked.into_data().assert_approx_eq::<f32>(&plain.into_data(), Tolerance::absolute(4e-3));
    }
}

/// A loss scale multiplies what was computed before: gradients that f16 has no number for must still be there.
#[test]
fn the_chunked_loss_keeps_gradients_too_small_for_f16() {
    let noised = noised();
    let (half, scale) = (FloatDType::F16, 65536.0);
    if !device().supports_dtype(half) {
        return;
    }
    let n = noised.at().len();
    let run = |dtype: FloatDType, chunked: bool| {
        let features = numbers(n, 3, 1.0).cast(half).cast(dtype).require_grad();
        let weight = numbers(V, 3, 0.5).cast(half).cast(dtype).require_grad();
        let decoder = Decoder { weight: weight.clone(), bias: None };
        let small = Scaled::new(Mlm, vec![1e-9; 2]).unwrap();
        let loss = if chunked {
            nll_chunked(features.clone(), &decoder, &noised, &small, 2)
        } else {
            nll(decoder.forward(features.clone()), &noised, &small)
        };
        let grads = (loss * scale).backward();
        let read = |tensor: &Tensor<2>| tensor.grad(&grads).unwrap().cast(FloatDType::F32) / scale;
        [read(&features), read(&weight)]
    };
    for (got, expected) in run(half, true).into_iter().zip(run(FloatDType::F32, false)) {
        let largest = expected.clone().abs().max().into_scalar::<f32>();
        let gap = (got - expected).abs().max().into_scalar::<f32>();
        assert!(largest > 1e-11 && gap < 0.02 * largest, "{gap} of {largest}");
    }
}
