use std::ops::Range;

#[cfg(feature = "autodiff")]
use burn::tensor::Gradients;
use burn::tensor::{DType, FloatDType, Tensor, s};

use super::nll::{constant, value_and_gradient};
use super::{Weighting, Weights};
use crate::denoiser::Decoder;
use crate::forward::Noised;

/// [`nll`](super::nll) of a linear decoder, a few rows at a time: peak memory grows with `chunk · V`, not with
/// N · V, forward and backward. [`NllChunks`] also saves the tape's copy of the decoder's gradient.
///
/// # Shapes
/// - `features`: `[N, D]` at `noised.at()`
/// - returns: `[1]`, as [`nll`](super::nll)
///
/// # Panics
/// If `features` does not have one row for each noisy position, or `chunk` is 0.
///
/// # Numerics
/// The gradient of the decoder is summed over chunks in their order; it equals that of [`nll`](super::nll) up to
/// rounding. Products with features of another type are computed in that type, but for f16: there a loss scale comes
/// too late for gradients below its least number, 6e-8, and the backward products are computed in f32.
pub fn nll_chunked(
    features: Tensor<2>,
    decoder: &Decoder,
    noised: &Noised,
    weighting: &impl Weighting,
    chunk: usize,
) -> Tensor<1> {
    if noised.at().is_empty() {
        return Tensor::zeros([1], &features.device());
    }
    NllChunks::new(features, decoder, noised, weighting, chunk).taped(decoder)
}

/// The loss of [`nll_chunked`] with the decoder's gradient beside it, `[V, D]`, which is all the memory that it
/// needs apart from a chunk.
///
/// Automatic differentiation multiplies a gradient by what comes from above, into a second `[V, D]`. A training
/// step of one's own needs none: nothing is above its loss.
#[derive(Debug)]
pub struct NllChunks {
    /// On the tape by the features alone.
    loss: Tensor<1>,
    /// `[V, D]`, f32, no tape.
    weight: Tensor<2>,
    /// `[V]`, f32, no tape.
    bias: Option<Tensor<1>>,
}

impl NllChunks {
    /// The loss and its gradients.
    ///
    /// # Shapes
    /// As [`nll_chunked`].
    ///
    /// # Panics
    /// As [`nll_chunked`].
    pub fn new(
        features: Tensor<2>,
        decoder: &Decoder,
        noised: &Noised,
        weighting: &impl Weighting,
        chunk: usize,
    ) -> Self {
        assert!(chunk > 0, "a chunk needs at least one row");
        let targets = noised.targets();
        let [asked, _] = features.dims();
        assert_eq!(asked, targets.len(), "rows of features against noisy positions");
        let weights = weighting.weights(noised);
        let plain = Decoder { weight: constant(&decoder.weight), bias: decoder.bias.as_ref().map(constant) };
        let rows = constant(&features);
        let wide = FloatDType::F32;
        // What f16 has no number for would be gone before the caller's loss scale reaches it.
        let narrow = if features.dtype() == DType::F16 { DType::F32 } else { features.dtype() };
        let mut loss = Tensor::<1>::zeros([1], &rows.device()).cast(wide);
        // Filled in place: small tensors that outlive a large one keep its memory from being used again.
        let mut own = rows.zeros_like().cast(wide);
        let mut weight = plain.weight.zeros_like().cast(wide);
        let mut bias = plain.bias.as_ref().map(|bias| bias.zeros_like().cast(wide));
        for start in (0..asked).step_by(chunk) {
            let range = start..asked.min(start + chunk);
            let piece = rows.clone().slice(s![range.clone(), ..]);
            let logits = plain.forward(piece.clone()).cast(wide);
            let (value, gradient) =
                value_and_gradient(logits, &targets[range.clone()], &weights.slice(range.clone()));
            loss = loss + value.sum();
            bias = bias.map(|sum| sum + gradient.clone().sum_dim(0).squeeze_dim::<1>(0));
            let gradient = gradient.cast(narrow);
            let product = product(&gradient, &plain.weight);
            own = own.slice_assign(s![range, ..], product);
            weight = add_product(weight, &gradient, &piece.cast(narrow));
        }
        Self { loss: attach(loss, features.cast(wide), own), weight, bias }
    }

    /// The loss, `[1]`.
    pub fn value(&self) -> Tensor<1> {
        constant(&self.loss)
    }

    /// Times `factor`: what a mean over batches needs.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let Self { loss, weight, bias } = self;
        Self { loss: loss * factor, weight: weight * factor, bias: bias.map(|bias| bias * factor) }
    }

    /// The loss, `[1]`, with all of its gradients on the tape of `decoder`, from which it was made.
    pub fn taped(self, decoder: &Decoder) -> Tensor<1> {
        let wide = FloatDType::F32;
        let loss = attach(self.loss, decoder.weight.clone().cast(wide), self.weight);
        match decoder.bias.clone().zip(self.bias) {
            None => loss,
            Some((bias, gradient)) => attach(loss, bias.cast(wide), gradient),
        }
    }
}

#[cfg(feature = "autodiff")]
impl NllChunks {
    /// The backward pass through the features, and the gradients of `decoder`, from which it was made, added to
    /// what else was learnt about it. A decoder that is not learnt is passed over.
    ///
    /// # Panics
    /// If the features are on no tape; if the decoder is on the tape but no leaf of it: then
    /// [`NllChunks::taped`] is right.
    ///
    /// # Example
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use dlm_core::loss::{Mlm, NllChunks};
    /// use dlm_core::{Batch, Decoder, Noised, Prior, Sequence, Vocabulary};
    /// let vocabulary = Vocabulary::new(4, 0, 1, 2, 3)?;
    /// let batch = Batch::new(&[Sequence::whole(vec![0, 2])], &vocabulary)?;
    /// let noised = Noised::with_noise(&batch, &[0.5], &[true, false], Prior::Absorbing { mask: 3 })?;
    /// let device = Device::flex().autodiff();
    /// let features = Tensor::<2>::ones([1, 2], &device).require_grad();
    /// let decoder = Decoder { weight: Tensor::zeros([4, 2], &device).require_grad(), bias: None };
    /// let loss = NllChunks::new(features, &decoder, &noised, &Mlm, 128);
    /// assert!((loss.value().into_scalar::<f32>() - 4.0_f32.ln()).abs() < 1e-6);
    /// let gradients = loss.backward(&decoder);
    /// // p is 1/4 for each word, and the word 0 was right.
    /// let gradient: Vec<f32> = decoder.weight.grad(&gradients).unwrap().into_data().iter().collect();
    /// assert_eq!(gradient, [-0.75, -0.75, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]);
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn backward(self, decoder: &Decoder) -> Gradients {
        let mut gradients = self.loss.backward();
        hand_over(&mut gradients, &decoder.weight, self.weight);
        if let Some((bias, gradient)) = decoder.bias.as_ref().zip(self.bias) {
            hand_over(&mut gradients, bias, gradient);
        }
        gradients
    }
}

/// Adds to the gradient of a leaf.
#[cfg(feature = "autodiff")]
fn hand_over<const D: usize>(gradients: &mut Gradients, leaf: &Tensor<D>, gradient: Tensor<D>) {
    if !leaf.is_tracked() {
        return;
    }
    assert!(leaf.is_require_grad(), "a decoder that is computed from parameters");
    let gradient = gradient.inner().cast(leaf.dtype());
    let sum = match leaf.grad_remove(gradients) {
        None => gradient,
        Some(before) => gradient + before,
    };
    leaf.grad_replace(gradients, sum);
}

impl Weights {
    /// Those of some rows.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let uniform = if self.uniform.is_empty() { Vec::new() } else { self.uniform[range.clone()].to_vec() };
        Self { target: self.target[range].to_vec(), uniform }
    }
}

/// `gradient·decoder`, in f32. A decoder of another type is converted in blocks, so that no second one is there.
///
/// # Shapes
/// - `gradient`: `[n, V]`; `decoder`: `[V, D]`; returns: `[n, D]`
fn product(gradient: &Tensor<2>, decoder: &Tensor<2>) -> Tensor<2> {
    if gradient.dtype() == decoder.dtype() {
        return gradient.clone().matmul(decoder.clone()).cast(FloatDType::F32);
    }
    let ([rows, vocabulary], [_, width]) = (gradient.dims(), decoder.dims());
    let mut sum = Tensor::<2>::zeros([rows, width], &gradient.device()).cast(FloatDType::F32);
    for start in (0..vocabulary).step_by(WORDS) {
        let words = start..vocabulary.min(start + WORDS);
        let block = decoder.clone().slice(s![words.clone(), ..]).cast(gradient.dtype());
        sum = sum + gradient.clone().slice(s![.., words]).matmul(block).cast(FloatDType::F32);
    }
    sum
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

/// `value`, whose gradient with respect to `tensor` is also `gradient`.
fn attach<const D: usize>(value: Tensor<1>, tensor: Tensor<D>, gradient: Tensor<D>) -> Tensor<1> {
    let linear = (tensor * gradient).sum();
    // In this order, so that the value gets an exact zero.
    value + (linear.clone() - linear.detach())
}
