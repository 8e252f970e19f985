//! What all networks do alike: layers one after another, and logits at the asked positions alone.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Int, Tensor};
use dlm_core::recompute::segment;
use dlm_core::{DenoiserInput, Factored};

use crate::position::{indices, select};

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

/// [`run`] for layers that all see something trained besides their input, such as what they are told of the time:
/// the output of a [`segment`] of its own, whose gradient the layers add up.
///
/// # Shapes
/// - `seen`: `[M, C]`, given to every layer
pub(crate) fn run_seeing<'a, M: Module + 'static>(
    layers: impl ExactSizeIterator<Item = &'a M>,
    states: Tensor<2>,
    seen: Tensor<2>,
    asked: &Tensor<1, Int>,
    forward: impl Fn(&M, Tensor<2>, Tensor<2>, Option<&Tensor<1, Int>>) -> Tensor<2> + Clone + 'static,
) -> Tensor<2> {
    // As a parameter of each layer it leaves the tape where the layer does.
    let seen = Param::initialized(ParamId::new(), seen);
    let layers: Vec<(M, Param<Tensor<2>>)> = layers.map(|layer| (layer.clone(), seen.clone())).collect();
    run(layers.iter(), states, Some(asked), move |(layer, seen), states, asked| {
        forward(layer, states, seen.val(), asked)
    })
}

/// What a check found, or a stop for a caller who asks what [`Denoiser::check`](dlm_core::Denoiser::check) refuses:
/// losses, samplers and pipelines ask it first.
///
/// # Panics
/// With the check's message.
pub(crate) fn checked<T>(found: Result<T, dlm_core::Error>) -> T {
    match found {
        Ok(found) => found,
        Err(error) => panic!("{error}"),
    }
}

/// What a network's decoder is applied to: `run` of the asked positions, which is not called if there are none.
///
/// # Shapes
/// - returns: `[N, D]`
pub(crate) fn features(
    network: &impl Factored,
    input: &DenoiserInput<'_>,
    run: impl FnOnce(&Tensor<1, Int>) -> Tensor<2>,
) -> Tensor<2> {
    if input.at.is_empty() {
        let weight = network.decoder().weight;
        return Tensor::zeros([0, weight.dims()[1]], (&weight.device(), weight.dtype()));
    }
    run(&indices(input.at, &network.device()))
}

/// The logits of a network whose last layer is linear; it does not run if nothing is asked.
///
/// # Shapes
/// - returns: `[N, V]`
pub(crate) fn answers(network: &impl Factored, input: &DenoiserInput<'_>) -> Tensor<2> {
    let decoder = network.decoder();
    if input.at.is_empty() {
        let [words, _] = decoder.weight.dims();
        return Tensor::zeros([0, words], (&decoder.weight.device(), decoder.weight.dtype()));
    }
    decoder.forward(network.features(input))
}
