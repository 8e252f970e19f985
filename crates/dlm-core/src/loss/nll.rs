use burn::tensor::{Device, FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, s};

use super::{Weighting, Weights};
use crate::denoiser::Decoder;
use crate::forward::Noised;
use crate::sequence::TokenId;

/// Σ w·CE over the noisy positions (see the [module](super)).
///
/// The gradient is computed in closed form beside the value (softmax minus one-hot), so that nothing
/// of size `[N, V]` but the logits and their gradient is kept for the backward pass.
///
/// # Shapes
/// - `logits`: `[N, V]` at `noised.at()`, any float type; reduced in f32
/// - returns: `[1]`, nats times whatever `weighting` weighs by; 0 if nothing is noisy
///
/// # Panics
/// If `logits` does not have one row for each noisy position.
///
/// # Numerics
/// First order only: the gradient is a constant to automatic differentiation. Label smoothing averages
/// log p over all words, so it has no meaning on logits that went through [`forbid`].
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use dlm_core::{Batch, Noised, Prior, Sequence, Vocabulary};
/// use dlm_core::loss::{Mlm, nll};
/// let vocabulary = Vocabulary::new(4, 0, 1, 2, 3)?;
/// let batch = Batch::new(&[Sequence::whole(vec![0, 2])], &vocabulary)?;
/// let prior = Prior::Absorbing { mask: 3 };
/// let noised = Noised::with_noise(&batch, &[0.5], &[true, false], prior)?;
/// // A network that knows nothing pays ln 4 nats.
/// let loss = nll(Tensor::zeros([1, 4], &Device::flex()), &noised, &Mlm);
/// assert!((loss.into_scalar::<f32>() - 4.0_f32.ln()).abs() < 1e-6);
/// # Ok::<(), dlm_core::Error>(())
/// ```
pub fn nll(logits: Tensor<2>, noised: &Noised, weighting: &impl Weighting) -> Tensor<1> {
    let targets = noised.targets();
    let [asked, _] = logits.dims();
    assert_eq!(asked, targets.len(), "rows of logits against noisy positions");
    if asked == 0 {
        return Tensor::zeros([1], &logits.device());
    }
    let weights = weighting.weights(noised);
    let logits = logits.cast(FloatDType::F32);
    let (loss, gradient) = value_and_gradient(constant(&logits), &targets, &weights);
    attach(loss, [(logits, gradient)])
}

/// [`nll`] of a linear decoder, a few rows at a time: peak memory grows with `chunk · V`, not with N · V,
/// forward and backward.
///
/// # Shapes
/// - `features`: `[N, D]` at `noised.at()`
/// - returns: `[1]`, as [`nll`]
///
/// # Panics
/// If `features` does not have one row for each noisy position, or `chunk` is 0.
///
/// # Numerics
/// The gradient of the decoder is summed over chunks in their order; it equals that of [`nll`] up to
/// rounding.
pub fn nll_chunked(
    features: Tensor<2>,
    decoder: &Decoder,
    noised: &Noised,
    weighting: &impl Weighting,
    chunk: usize,
) -> Tensor<1> {
    assert!(chunk > 0, "a chunk needs at least one row");
    let targets = noised.targets();
    let [asked, _] = features.dims();
    assert_eq!(asked, targets.len(), "rows of features against noisy positions");
    if asked == 0 {
        return Tensor::zeros([1], &features.device());
    }
    let weights = weighting.weights(noised);
    let plain = Decoder { weight: constant(&decoder.weight), bias: decoder.bias.as_ref().map(constant) };
    let rows = constant(&features);
    let (wide, narrow) = (FloatDType::F32, features.dtype());
    let mut loss = Tensor::<1>::zeros([1], &rows.device()).cast(wide);
    // Filled in place: small tensors that outlive a large one keep its memory from being used again.
    let mut feature_gradient = rows.zeros_like().cast(wide);
    let mut weight_gradient = plain.weight.zeros_like().cast(wide);
    let mut bias_gradient = plain.bias.as_ref().map(|bias| bias.zeros_like().cast(wide));
    for start in (0..asked).step_by(chunk) {
        let range = start..asked.min(start + chunk);
        let piece = rows.clone().slice(s![range.clone(), ..]);
        let (value, gradient) = value_and_gradient(
            plain.forward(piece.clone()).cast(wide),
            &targets[range.clone()],
            &weights.slice(range.clone()),
        );
        loss = loss + value;
        bias_gradient = bias_gradient.map(|sum| sum + gradient.clone().sum_dim(0).squeeze_dim::<1>(0));
        let gradient = gradient.cast(narrow);
        let own = gradient.clone().matmul(plain.weight.clone()).cast(wide);
        feature_gradient = feature_gradient.slice_assign(s![range, ..], own);
        weight_gradient = add_product(weight_gradient, &gradient, &piece);
    }
    let loss = attach(
        loss,
        [(features.cast(wide), feature_gradient), (decoder.weight.clone().cast(wide), weight_gradient)],
    );
    match decoder.bias.clone().zip(bias_gradient) {
        None => loss,
        Some((bias, gradient)) => attach(loss, [(bias.cast(wide).unsqueeze(), gradient.unsqueeze())]),
    }
}

/// −log p(target) of each row, without a gradient: for evaluation and attribution.
///
/// # Shapes
/// - `logits`: `[N, V]`; `targets`: N ids
/// - returns: `[N]`, nats, f32
///
/// # Panics
/// If the lengths differ.
pub fn nll_per_token(logits: Tensor<2>, targets: &[TokenId]) -> Tensor<1> {
    let logits = logits.detach().cast(FloatDType::F32);
    let index = index(targets, &logits.device());
    let (shifted, _, sum) = exponentials(logits);
    (sum.log() - shifted.gather(1, index)).squeeze_dim(1)
}

/// Makes one word impossible: its logit becomes the lowest finite number of the type.
///
/// With the mask as `id` this is the zero-masking half of MDLM's SUBS parameterisation (Sahoo et al.
/// 2024, arXiv:2406.07524, section 3.2.3); its other half, copying clean tokens, needs no code, because
/// losses and samplers look at noisy positions alone.
///
/// # Shapes
/// - `logits`: `[N, V]`
/// - returns: `[N, V]`
pub fn forbid(logits: Tensor<2>, id: TokenId) -> Tensor<2> {
    let lowest = logits.dtype().finfo().map_or(f64::from(f32::MIN), |info| info.min);
    let id = id as usize;
    logits.slice_fill(s![.., id..=id], lowest)
}

impl Weights {
    fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let uniform = if self.uniform.is_empty() { Vec::new() } else { self.uniform[range.clone()].to_vec() };
        Self { target: self.target[range].to_vec(), uniform }
    }
}

/// Words whose gradient is summed at a time: large enough for a fast product, small beside the decoder.
const WORDS: usize = 8192;

/// `sum + gradientᵀ·rows`, in place, so that no second matrix of the decoder's size is there.
///
/// # Shapes
/// - `sum`: `[V, D]`; `gradient`: `[n, V]`; `rows`: `[n, D]`
fn add_product(mut sum: Tensor<2>, gradient: &Tensor<2>, rows: &Tensor<2>) -> Tensor<2> {
    let [vocabulary, _] = sum.dims();
    for start in (0..vocabulary).step_by(WORDS) {
        let words = start..vocabulary.min(start + WORDS);
        let more = gradient.clone().slice(s![.., words.clone()]).transpose().matmul(rows.clone());
        let block = sum.clone().slice(s![words.clone(), ..]) + more.cast(FloatDType::F32);
        sum = sum.slice_assign(s![words, ..], block);
    }
    sum
}

/// The loss of some rows and its gradient with respect to their logits, `[n, V]`.
fn value_and_gradient(logits: Tensor<2>, targets: &[TokenId], weights: &Weights) -> (Tensor<1>, Tensor<2>) {
    let device = logits.device();
    let [rows, vocabulary] = logits.dims();
    let column = |values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|&w| w as f32).collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows, 1]), &device)
    };
    let index = index(targets, &device);
    let weight = column(&weights.target);
    let (shifted, exp, sum) = exponentials(logits);
    let log_sum = sum.clone().log();
    let mut loss = (weight.clone() * (log_sum.clone() - shifted.clone().gather(1, index.clone()))).sum();
    let mut total = weight.clone();
    let mut gradient_shift = None;
    if !weights.uniform.is_empty() {
        let uniform = column(&weights.uniform);
        loss = loss + (uniform.clone() * (log_sum - shifted.mean_dim(1))).sum();
        total = total + uniform.clone();
        gradient_shift = Some(uniform / vocabulary as f64);
    }
    let mut gradient = exp * (total / sum);
    if let Some(shift) = gradient_shift {
        gradient = gradient - shift;
    }
    (loss, gradient.scatter(1, index, -weight, IndexingUpdateOp::Add))
}

/// The tensor off the tape: a detached leaf would still have everything computed from it recorded.
pub(super) fn constant<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    tensor.clone().detach().set_require_grad(false)
}

/// Logits less their row maximum, their exponentials, and the row sums of those.
pub(super) fn exponentials(logits: Tensor<2>) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    let highest = logits.clone().max_dim(1);
    let shifted = logits - highest;
    let exp = shifted.clone().exp();
    let sum = exp.clone().sum_dim(1);
    (shifted, exp, sum)
}

fn index(targets: &[TokenId], device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i32> = targets.iter().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(ids, [targets.len(), 1]), device)
}

/// A scalar that is worth `value` and whose gradient with respect to each tensor is the one beside it.
fn attach<const K: usize>(value: Tensor<1>, gradients: [(Tensor<2>, Tensor<2>); K]) -> Tensor<1> {
    gradients.into_iter().fold(value, |value, (tensor, gradient)| {
        let linear = (tensor * gradient).sum();
        // In this order, so that the value gets an exact zero.
        value + (linear.clone() - linear.detach())
    })
}
