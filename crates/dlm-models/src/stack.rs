//! Layers one after another.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use dlm_core::recompute::segment;

use crate::position::select;

/// Passes states through layers, which may be computed again in the backward pass; only the last leaves out what
/// is not asked.
///
/// # Shapes
/// - `states`: `[B·L, D]`
/// - `asked`: `[N]`, flat, or `None` for all
/// - returns: `[N, D]` or `[B·L, D]`
pub(crate) fn run<'a, M: Module + 'static>(
    layers: impl ExactSizeIterator<Item = &'a M>,
    states: Tensor<2>,
    asked: Option<&Tensor<1, Int>>,
    forward: impl Fn(&M, Tensor<2>, Option<&Tensor<1, Int>>) -> Tensor<2> + Clone + 'static,
) -> Tensor<2> {
    let count = layers.len();
    if count == 0 {
        return select(states, asked);
    }
    layers.enumerate().fold(states, |states, (index, layer)| {
        let asked = asked.filter(|_| index + 1 == count).cloned();
        let forward = forward.clone();
        segment(layer, states, move |layer, states| forward(layer, states, asked.as_ref()))
    })
}

/// [`run`] for layers that share something trained besides their input, such as what they are told of the time:
/// their activations are kept.
pub(crate) fn run_kept<M>(
    layers: &[M],
    states: Tensor<2>,
    asked: Option<&Tensor<1, Int>>,
    forward: impl Fn(&M, Tensor<2>, Option<&Tensor<1, Int>>) -> Tensor<2>,
) -> Tensor<2> {
    let Some((last, layers)) = layers.split_last() else {
        return select(states, asked);
    };
    let states = layers.iter().fold(states, |states, layer| forward(layer, states, None));
    forward(last, states, asked)
}
