use burn::tensor::{FloatDType, Tensor, s};

use super::columns::{add_at, closed_rows, column, index};
use super::{Weighting, Weights};
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
    if noised.at().is_empty() {
        assert_eq!(logits.dims()[0], 0, "rows of logits against noisy positions");
        return Tensor::zeros([1], &logits.device());
    }
    let (targets, weights) = (noised.targets(), weighting.weights(noised));
    closed_rows(logits, noised, |logits, rows| {
        value_and_gradient(logits, &targets[rows.clone()], &weights.slice(rows))
    })
    .sum()
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
    let index = index(targets.iter().copied(), &logits.device());
    let (shifted, _, sum) = exponentials(logits);
    (sum.log() - shifted.gather(1, index)).squeeze_dim(1)
}

/// Makes one word impossible: its logit becomes the lowest finite number of the type.
///
/// With the mask as `id` this is the zero-masking half of MDLM's SUBS parameterisation (Sahoo et al.
/// 2024, arXiv:2406.07524, section 3.2.3, Eq. 7); its other half, copying clean tokens, needs no code, because
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

/// The loss of some rows, `[n, 1]`, and its gradient with respect to their logits, `[n, V]`. One matrix is worked
/// on in place.
pub(super) fn value_and_gradient(
    logits: Tensor<2>,
    targets: &[TokenId],
    weights: &Weights,
) -> (Tensor<2>, Tensor<2>) {
    let device = logits.device();
    let [_, vocabulary] = logits.dims();
    let index = index(targets.iter().copied(), &device);
    let weight = column(&weights.target, &device);
    let highest = logits.clone().max_dim(1);
    let shifted = logits - highest;
    let own = shifted.clone().gather(1, index.clone());
    let uniform = Some(&weights.uniform).filter(|uniform| !uniform.is_empty());
    let uniform = uniform.map(|uniform| (column(uniform, &device), shifted.clone().mean_dim(1)));
    let exp = shifted.exp();
    let sum = exp.clone().sum_dim(1);
    let log_sum = sum.clone().log();
    let loss = weight.clone() * (log_sum.clone() - own);
    let (loss, gradient) = match uniform {
        None => (loss, exp * (weight.clone() / sum)),
        Some((uniform, mean)) => {
            let gradient = exp * ((weight.clone() + uniform.clone()) / sum);
            (loss + uniform.clone() * (log_sum - mean), gradient - uniform / vocabulary as f64)
        }
    };
    (loss, add_at(gradient, index, -weight))
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
