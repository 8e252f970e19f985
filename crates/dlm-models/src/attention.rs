//! Self-attention, and the only call of burn's attention operation.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Device, Tensor, TensorData};
use dlm_core::{Attention, DenoiserInput};

use crate::grouped::Places;
use crate::init::linear;

/// Multi-head self-attention with its output projection.
#[derive(Module, Debug)]
pub struct SelfAttention {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
    pub(crate) dropout: Dropout,
    heads: usize,
}

impl SelfAttention {
    pub(crate) fn new(width: usize, heads: usize, dropout: f64, std: f64, device: &Device) -> Self {
        let square = || linear(width, width, std, device);
        Self {
            query: square(),
            key: square(),
            value: square(),
            output: square(),
            dropout: DropoutConfig::new(dropout).init(),
            heads,
        }
    }

    /// What each position gathers from the others, before the output projection.
    ///
    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - returns: `[B·L, D]`
    pub(crate) fn mix(&self, input: Tensor<2>, places: &Places) -> Tensor<2> {
        let turned = |heads: Tensor<4>| match &places.turn {
            None => heads,
            Some(turn) => turn.apply(heads),
        };
        let query = turned(self.split(self.query.forward(input.clone()), places.shape));
        let key = turned(self.split(self.key.forward(input.clone()), places.shape));
        let value = self.split(self.value.forward(input), places.shape);
        joined(attend(query, key, value, places.hidden.as_ref(), &self.dropout))
    }

    /// What each position gathers from other states, before the output projection.
    ///
    /// # Shapes
    /// - `input`: `[B·L, D]`
    /// - `memory`: `[B·M, D]`
    /// - `hidden`: `[B, H, L, M]`, see [`cross_mask`]
    /// - returns: `[B·L, D]`
    pub(crate) fn mix_across(
        &self,
        input: Tensor<2>,
        memory: Tensor<2>,
        rows: usize,
        hidden: Option<&Tensor<4, Bool>>,
    ) -> Tensor<2> {
        let split = |projected: Tensor<2>| {
            let [tokens, _] = projected.dims();
            self.split(projected, [rows, tokens / rows])
        };
        let query = split(self.query.forward(input));
        let key = split(self.key.forward(memory.clone()));
        let value = split(self.value.forward(memory));
        joined(attend(query, key, value, hidden, &self.dropout))
    }

    /// # Shapes
    /// - returns: `[B, H, L, d]`
    fn split(&self, projected: Tensor<2>, [rows, len]: [usize; 2]) -> Tensor<4> {
        let [_, width] = projected.dims();
        projected.reshape([rows, len, self.heads, width / self.heads]).swap_dims(1, 2)
    }
}

/// # Shapes
/// - `heads`: `[B, H, L, d]`
/// - returns: `[B·L, H·d]`
fn joined(heads: Tensor<4>) -> Tensor<2> {
    let [rows, count, len, width] = heads.dims();
    heads.swap_dims(1, 2).reshape([rows * len, count * width])
}

/// softmax(Q·Kᵀ/√d)·V with heads that may share their keys and values.
///
/// # Shapes
/// - `query`: `[B, H, L, d]`
/// - `key`, `value`: `[B, K, M, d]`, H a multiple of K: head h reads group h·K/H
/// - `hidden`: `[B, H, L, M]`, see [`hidden_mask`]
/// - returns: `[B, H, L, d]`
pub(crate) fn attend(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    hidden: Option<&Tensor<4, Bool>>,
    dropout: &Dropout,
) -> Tensor<4> {
    let heads = query.dims()[1];
    let (key, value) = (repeated(key, heads), repeated(value, heads));
    if query.is_autodiff() {
        return attend_on_tape(query, key, value, hidden, dropout);
    }
    // The default scale is 1/√d. Naming one would cost GPUs their fused kernels.
    attention(query, key, value, hidden.cloned(), None, AttentionModuleOptions::default())
}

/// Each group once for every head that reads it: not every backend of burn shares groups by itself.
fn repeated(groups: Tensor<4>, heads: usize) -> Tensor<4> {
    let [rows, count, len, width] = groups.dims();
    if count == heads {
        return groups;
    }
    let each = heads / count;
    groups
        .reshape([rows, count, 1, len, width])
        .expand([rows, count, each, len, width])
        .reshape([rows, heads, len, width])
}

/// Attention written out: burn's operation cannot drop weights, has no backward pass of its own, and keeps three
/// tensors of the size of the weights for the one it takes apart. Here it is one, because what is divided by the
/// sums of the exponentials is the result.
fn attend_on_tape(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    hidden: Option<&Tensor<4, Bool>>,
    dropout: &Dropout,
) -> Tensor<4> {
    let [.., head_width] = query.dims();
    let scores = (query * (head_width as f64).powf(-0.5)).matmul(key.swap_dims(2, 3));
    let scores = match hidden {
        None => scores,
        // Finite, so that a row of padding alone stays finite too.
        Some(hidden) => {
            let lowest = scores.dtype().finfo().map_or(f64::from(f32::MIN), |info| info.min);
            scores.mask_fill(hidden.clone(), lowest)
        }
    };
    // Off the tape: weights do not depend on what is subtracted.
    let largest = Tensor::from_inner(scores.clone().inner().max_dim(3));
    let weights = (scores - largest).exp();
    let sums = weights.clone().sum_dim(3);
    dropout.forward(weights).matmul(value) / sums
}

/// Which pairs of positions attention must not connect; `None` if all may see all.
///
/// # Shapes
/// - returns: `[B, H, L, L]`, true where the query (third axis) must not see the key (fourth)
pub(crate) fn hidden_mask(
    input: &DenoiserInput<'_>,
    heads: usize,
    device: &Device,
) -> Option<Tensor<4, Bool>> {
    if input.attention == Attention::Full && input.documents.is_none() {
        return padding_mask(input.pad, input.shape, heads, device);
    }
    Some(pair_mask(input, heads, device, |_, _| true))
}

/// [`hidden_mask`] where besides no position sees another of its document that stands further than `reach` from
/// it.
///
/// # Shapes
/// - `positions`: `[B, L]`, where each token stands in its document
pub(crate) fn window_mask(
    input: &DenoiserInput<'_>,
    positions: &[i32],
    reach: usize,
    heads: usize,
    device: &Device,
) -> Option<Tensor<4, Bool>> {
    if input.shape[1] <= reach + 1 {
        return hidden_mask(input, heads, device);
    }
    let near = |query: usize, key: usize| positions[query].abs_diff(positions[key]) as usize <= reach;
    Some(pair_mask(input, heads, device, near))
}

/// Hides what the input hides and what is not `near`: flat positions of the query and of the key.
fn pair_mask(
    input: &DenoiserInput<'_>,
    heads: usize,
    device: &Device,
    near: impl Fn(usize, usize) -> bool,
) -> Tensor<4, Bool> {
    let [rows, len] = input.shape;
    // Without padding and documents, positions are those of every row.
    let padded = input.pad.is_some_and(|pad| pad.contains(&true));
    let alike = !padded && input.documents.is_none() && !matches!(input.attention, Attention::Prefix(_));
    let told = if alike { rows.min(1) } else { rows };
    let mut hidden = Vec::with_capacity(told * len * len);
    for (row, query) in (0..told).flat_map(|row| (0..len).map(move |query| (row, query))) {
        let seen = |key| near(row * len + query, row * len + key) && input.sees(row, query, key);
        hidden.extend((0..len).map(|key| !seen(key)));
    }
    let hidden = Tensor::<4, Bool>::from_data(TensorData::new(hidden, [told, 1, len, len]), device);
    // GPU kernels have misread masks that broadcast over heads (tracel-ai/burn#4778).
    hidden.expand([rows, heads, len, len])
}

/// [`hidden_mask`] where only padding is hidden.
pub(crate) fn padding_mask(
    pad: Option<&[bool]>,
    [rows, len]: [usize; 2],
    heads: usize,
    device: &Device,
) -> Option<Tensor<4, Bool>> {
    cross_mask(pad, [rows, len, len], heads, device)
}

/// Hides the padding of what is looked at.
///
/// # Shapes
/// - `pad`: `[B, M]`, true at padding
/// - sizes: B rows, L that look, M that are looked at
/// - returns: `[B, H, L, M]`
pub(crate) fn cross_mask(
    pad: Option<&[bool]>,
    [rows, queries, keys]: [usize; 3],
    heads: usize,
    device: &Device,
) -> Option<Tensor<4, Bool>> {
    let pad = pad.filter(|pad| pad.contains(&true))?;
    let hidden = Tensor::<4, Bool>::from_data(TensorData::new(pad.to_vec(), [rows, 1, 1, keys]), device);
    // GPU kernels have misread masks that broadcast over heads (tracel-ai/burn#4778).
    Some(hidden.expand([rows, heads, queries, keys]))
}
