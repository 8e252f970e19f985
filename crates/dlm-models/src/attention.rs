//! Self-attention, and the only call of burn's attention operation.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Device, Tensor, TensorData};
use dlm_core::{Attention, DenoiserInput};

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
    /// - `shape`: `[B, L]`
    /// - `hidden`: who must not see whom, see [`hidden_mask`]
    /// - returns: `[B·L, D]`
    pub(crate) fn mix(
        &self,
        input: Tensor<2>,
        [rows, len]: [usize; 2],
        hidden: Option<&Tensor<4, Bool>>,
    ) -> Tensor<2> {
        let [tokens, width] = input.dims();
        let split = |projected: Tensor<2>| {
            projected.reshape([rows, len, self.heads, width / self.heads]).swap_dims(1, 2)
        };
        let query = split(self.query.forward(input.clone()));
        let key = split(self.key.forward(input.clone()));
        let value = split(self.value.forward(input));
        attend(query, key, value, hidden, &self.dropout).swap_dims(1, 2).reshape([tokens, width])
    }
}

/// softmax(Q·Kᵀ/√d)·V with heads that may share their keys and values.
///
/// # Shapes
/// - `query`: `[B, H, L, d]`
/// - `key`, `value`: `[B, K, L, d]`, H a multiple of K: head h reads group h·K/H
/// - `hidden`: `[B, H, L, L]`, see [`hidden_mask`]
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
    if dropout.prob > 0.0 && dropout.training.is_enabled() && query.device().is_autodiff() {
        return attend_with_dropout(query, key, value, hidden, dropout);
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

/// Attention written out, because burn's operation cannot drop weights.
fn attend_with_dropout(
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
    dropout.forward(softmax(scores, 3)).matmul(value)
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
    let [rows, len] = input.shape;
    let padded = input.pad.is_some_and(|pad| pad.contains(&true));
    let alike = !padded && input.documents.is_none() && !matches!(input.attention, Attention::Prefix(_));
    let told = if alike { rows.min(1) } else { rows };
    let mut hidden = Vec::with_capacity(told * len * len);
    for (row, query) in (0..told).flat_map(|row| (0..len).map(move |query| (row, query))) {
        hidden.extend((0..len).map(|key| !input.sees(row, query, key)));
    }
    Some(over_all(TensorData::new(hidden, [told, 1, len, len]), [rows, heads], device))
}

/// [`hidden_mask`] where only padding is hidden.
pub(crate) fn padding_mask(
    pad: Option<&[bool]>,
    [rows, len]: [usize; 2],
    heads: usize,
    device: &Device,
) -> Option<Tensor<4, Bool>> {
    let pad = pad.filter(|pad| pad.contains(&true))?;
    Some(over_all(TensorData::new(pad.to_vec(), [rows, 1, 1, len]), [rows, heads], device))
}

fn over_all(hidden: TensorData, [rows, heads]: [usize; 2], device: &Device) -> Tensor<4, Bool> {
    let [_, _, _, len] = hidden.shape().dims();
    // GPU kernels have misread masks that broadcast over heads (tracel-ai/burn#4778).
    Tensor::<4, Bool>::from_data(hidden, device).expand([rows, heads, len, len])
}
