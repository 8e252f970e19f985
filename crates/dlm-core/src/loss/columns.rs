//! What the losses share on the device: columns of host numbers, and a closed form of value and gradient.

use std::ops::Range;

use burn::tensor::{Device, FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, s};

use super::nll::constant;
use super::place::{Piece, Places};
use crate::forward::Noised;
use crate::sequence::TokenId;

/// Entries of the pieces in which `[N, V]` is worked through, so that what a loss needs beside the logits and
/// their gradient does not grow with N.
const PIECE: usize = 1 << 20;

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
    /// p, `[n, V]`.
    pub(super) p: Tensor<2>,
    /// ln p at x₀ and at `x_t`, `[n, 1]`.
    pub(super) log_p_x0: Tensor<2>,
    pub(super) log_p_xt: Tensor<2>,
    /// The words x₀ and `x_t`, `[n, 1]`.
    pub(super) x0: Tensor<2, Int>,
    pub(super) xt: Tensor<2, Int>,
    /// Which rows of all they are.
    pub(super) rows: Range<usize>,
    /// Where they are.
    pub(super) device: Device,
}

impl Said {
    fn new(logits: Tensor<2>, rows: Range<usize>, noised: &Noised) -> Self {
        let device = logits.device();
        let words = |of: &[TokenId]| index(noised.at()[rows.clone()].iter().map(|&at| of[at]), &device);
        let (x0, xt) = (words(noised.x0()), words(noised.xt()));
        let highest = logits.clone().max_dim(1);
        let shifted = logits - highest;
        let (shifted_x0, shifted_xt) =
            (shifted.clone().gather(1, x0.clone()), shifted.clone().gather(1, xt.clone()));
        let exp = shifted.exp();
        let sum = exp.clone().sum_dim(1);
        let log_sum = sum.clone().log();
        let (log_p_x0, log_p_xt) = (shifted_x0 - log_sum.clone(), shifted_xt - log_sum);
        Self { p: exp / sum, log_p_x0, log_p_xt, x0, xt, rows, device }
    }

    /// Some numbers of these rows, `[n, 1]`.
    pub(super) fn column<T>(&self, of: &[T], value: impl Fn(&T) -> f64) -> Tensor<2> {
        let values: Vec<f64> = of[self.rows.clone()].iter().map(value).collect();
        column(&values, &self.device)
    }

    /// The places of these rows.
    pub(super) fn places<'a>(&'a self, of: &'a Places<'_>) -> Piece<'a> {
        of.piece(self.rows.clone(), &self.device)
    }
}

/// The value of some rows, and how it changes with ln p.
pub(super) struct Closed {
    /// `[n, 1]`.
    pub(super) value: Tensor<2>,
    /// The derivative with respect to each ln p, as if they were free, `[n, V]`.
    pub(super) slope: Tensor<2>,
}

/// A function of the softmax of each asked row, `[N]`, with its gradient in closed form: nothing of size `[N, V]`
/// but the logits and their gradient is kept for the backward pass.
///
/// # Panics
/// If there is not one row for each asked position.
pub(super) fn of_softmax(logits: Tensor<2>, noised: &Noised, rule: impl Fn(&Said) -> Closed) -> Tensor<1> {
    closed_rows(logits, noised, |logits, rows| {
        let said = Said::new(logits, rows, noised);
        let Closed { value, slope } = rule(&said);
        let total = slope.clone().sum_dim(1);
        (value, slope - said.p * total)
    })
}

/// A function of each asked row, `[N]`, piece by piece: `rule` gives the values `[n, 1]` of some rows and their
/// gradients `[n, V]`.
///
/// # Panics
/// If there is not one row for each asked position.
pub(super) fn closed_rows(
    output: Tensor<2>,
    noised: &Noised,
    rule: impl Fn(Tensor<2>, Range<usize>) -> (Tensor<2>, Tensor<2>),
) -> Tensor<1> {
    let [asked, vocabulary] = output.dims();
    assert_eq!(asked, noised.at().len(), "rows of logits or scores against asked positions");
    if asked == 0 {
        return Tensor::zeros([0], &output.device());
    }
    let output = output.cast(FloatDType::F32);
    let fixed = constant(&output);
    let parts =
        pieces(asked, vocabulary).map(|rows| rule(fixed.clone().slice(s![rows.clone(), ..]), rows.clone()));
    let (values, gradients): (Vec<_>, Vec<_>) = parts.unzip();
    attach_rows(Tensor::cat(values, 0), output, Tensor::cat(gradients, 0))
}

/// Ranges of rows that cover `0..asked`, of a bounded number of entries each.
fn pieces(asked: usize, vocabulary: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = (PIECE / vocabulary.max(1)).max(1);
    (0..asked).step_by(rows).map(move |start| start..asked.min(start + rows))
}

/// Rows that are worth `value`, `[N, 1]`, and whose gradients with respect to those of `tensor` are the ones of
/// `gradient`.
fn attach_rows(value: Tensor<2>, tensor: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    let linear = (tensor * gradient).sum_dim(1);
    (value + (linear.clone() - linear.detach())).squeeze_dim(1)
}
