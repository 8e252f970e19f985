//! What the losses share on the device: columns of host numbers, and a closed form of value and gradient.

use std::ops::Range;

use burn::tensor::{Device, FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, s};

use super::nll::exponentials;
use crate::sequence::TokenId;

/// Entries of the pieces in which `[N, V]` is worked through, so that what a loss needs beside the logits and
/// their gradient does not grow with N.
const PIECE: usize = 1 << 22;

/// Stands for ln 0.
pub(super) const NEVER: f64 = -1e30;

/// Host numbers as a column, `[n, 1]`, f32.
pub(super) fn column(values: &[f64], device: &Device) -> Tensor<2> {
    let rows = values.len();
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows, 1]), device)
}

/// Host numbers as a row, `[1, n]`, f32.
pub(super) fn row(values: &[f64], device: &Device) -> Tensor<2> {
    let columns = values.len();
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, columns]), device)
}

/// One word a row, `[n, 1]`.
pub(super) fn index(ids: impl Iterator<Item = TokenId>, device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i32> = ids.map(|id| id as i32).collect();
    let rows = ids.len();
    Tensor::from_data(TensorData::new(ids, [rows, 1]), device)
}

/// ln(eᵃ + eᵇ).
pub(super) fn log_add_exp(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    a.clone().max_pair(b.clone()) + (-(a - b).abs()).exp().log1p()
}

/// `matrix` with `value` added in each row at the word of `index`.
pub(super) fn add_at(matrix: Tensor<2>, index: Tensor<2, Int>, value: Tensor<2>) -> Tensor<2> {
    matrix.scatter(1, index, value, IndexingUpdateOp::Add)
}

/// What a network says of some rows.
pub(super) struct Said {
    /// ln p, `[n, V]`.
    pub(super) log_p: Tensor<2>,
    /// p, `[n, V]`.
    pub(super) p: Tensor<2>,
    /// Which rows of all they are.
    pub(super) rows: Range<usize>,
    /// Where they are.
    pub(super) device: Device,
}

impl Said {
    /// Some numbers of these rows, `[n, 1]`.
    pub(super) fn column<T>(&self, of: &[T], value: impl Fn(&T) -> f64) -> Tensor<2> {
        let values: Vec<f64> = of[self.rows.clone()].iter().map(value).collect();
        column(&values, &self.device)
    }

    /// Some words of these rows, `[n, 1]`.
    pub(super) fn index<T>(&self, of: &[T], id: impl Fn(&T) -> TokenId) -> Tensor<2, Int> {
        index(of[self.rows.clone()].iter().map(id), &self.device)
    }
}

/// The value of some rows, and how it changes with ln p.
pub(super) struct Closed {
    /// `[n, 1]`.
    pub(super) value: Tensor<2>,
    /// The derivative with respect to each ln p, as if they were free, `[n, V]`.
    pub(super) slope: Tensor<2>,
}

/// A function of the softmax of each row, `[N]`, with its gradient in closed form: nothing of size `[N, V]` but
/// the logits and their gradient is kept for the backward pass.
pub(super) fn of_softmax(logits: Tensor<2>, rule: impl Fn(&Said) -> Closed) -> Tensor<1> {
    let [asked, vocabulary] = logits.dims();
    if asked == 0 {
        return Tensor::zeros([0], &logits.device());
    }
    let logits = logits.cast(FloatDType::F32);
    let constant = logits.clone().detach();
    let device = constant.device();
    let pieces = pieces(asked, vocabulary).map(|rows| {
        let (shifted, exp, sum) = exponentials(constant.clone().slice(s![rows.clone(), ..]));
        let (log_p, p) = (shifted - sum.clone().log(), exp / sum);
        let said = Said { log_p, p, rows, device: device.clone() };
        let Closed { value, slope } = rule(&said);
        let total = slope.clone().sum_dim(1);
        (value, slope - said.p * total)
    });
    let (values, gradients): (Vec<_>, Vec<_>) = pieces.unzip();
    attach_rows(Tensor::cat(values, 0), logits, Tensor::cat(gradients, 0))
}

/// Ranges of rows that cover `0..asked`, of a bounded number of entries each.
pub(super) fn pieces(asked: usize, vocabulary: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = (PIECE / vocabulary.max(1)).max(1);
    (0..asked).step_by(rows).map(move |start| start..asked.min(start + rows))
}

/// Rows that are worth `value`, `[N, 1]`, and whose gradients with respect to those of `tensor` are the ones of
/// `gradient`.
pub(super) fn attach_rows(value: Tensor<2>, tensor: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    let linear = (tensor * gradient).sum_dim(1);
    (value + (linear.clone() - linear.detach())).squeeze_dim(1)
}
