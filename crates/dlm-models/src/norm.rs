//! Layer normalisation.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::module::layer_norm;
use burn::tensor::{DType, Device, FloatDType, Tensor};

/// (x − mean) / √(variance + ε) · γ + β over the last axis.
///
/// Source: Ba et al. 2016, arXiv:1607.06450.
#[derive(Module, Debug)]
pub struct LayerNorm {
    pub(crate) gamma: Param<Tensor<1>>,
    pub(crate) beta: Option<Param<Tensor<1>>>,
    epsilon: f64,
}

impl LayerNorm {
    /// The identity of normalised vectors, with or without β.
    pub(crate) fn new(width: usize, epsilon: f64, bias: bool, device: &Device) -> Self {
        let beta = bias.then(|| Initializer::Zeros.init([width], device));
        Self { gamma: Initializer::Ones.init([width], device), beta, epsilon }
    }

    /// # Shapes
    /// - `input`, returns: `[.., D]`
    pub(crate) fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (gamma, beta) = (self.gamma.val(), self.beta.as_ref().map(Param::val));
        if input.dtype() == DType::F16 {
            // Sums of squares leave its range.
            let wide = |vector: Tensor<1>| vector.cast(FloatDType::F32);
            return normalised(input.cast(FloatDType::F32), wide(gamma), beta.map(wide), self.epsilon)
                .cast(FloatDType::F16);
        }
        normalised(input, gamma, beta, self.epsilon)
    }
}

/// # Shapes
/// - `input`, returns: `[.., D]`
/// - `gamma`, `beta`: `[D]`
fn normalised<const D: usize>(
    input: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
) -> Tensor<D> {
    if input.is_tracked() {
        return normalised_on_tape(input, gamma, beta, epsilon);
    }
    layer_norm(input, gamma, beta, epsilon)
}

/// The same in operations that keep one tensor of the input's size for the backward pass, where burn's keep two: γ
/// scales as a constant, and gets its own gradient from a product whose value is 0.
fn normalised_on_tape<const D: usize>(
    input: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
) -> Tensor<D> {
    let constant = |tensor: &Tensor<D>| Tensor::from_inner(tensor.clone().inner());
    let mean = input.clone().mean_dim(D - 1);
    let centred = input - mean;
    let variance = (centred.clone() * centred.clone()).mean_dim(D - 1);
    let scale = (variance + epsilon).sqrt().recip();
    let gamma = gamma.unsqueeze::<D>();
    let still = constant(&gamma);
    let zero = (gamma - still.clone()) * constant(&centred) * constant(&scale);
    let scaled = centred * scale * still + zero;
    match beta {
        None => scaled,
        Some(beta) => scaled + beta.unsqueeze::<D>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn values_and_gradients_are_those_of_burns_operation() {
        let device = Device::flex().autodiff();
        device.seed(5);
        let random = |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Normal(0.5, 2.0), &device);
        let (input, weight) = (random([7, 12]).require_grad(), random([7, 12]));
        let [gamma, beta] = [(); 2].map(|()| random([1, 12]).reshape([12]).detach().require_grad());
        let results = [normalised_on_tape::<2>, layer_norm::<2>].map(|norm| {
            let output = norm(input.clone(), gamma.clone(), Some(beta.clone()), 1e-5);
            let mut grads = (output.clone() * weight.clone()).sum().backward();
            let vector = |grad: Option<Tensor<1>>| grad.expect("a gradient").unsqueeze::<2>();
            [
                output.inner(),
                input.grad_remove(&mut grads).expect("a gradient"),
                vector(gamma.grad_remove(&mut grads)),
                vector(beta.grad_remove(&mut grads)),
            ]
        });
        let [ours, theirs] = results;
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            ours.into_data().assert_approx_eq::<f32>(&theirs.into_data(), Tolerance::absolute(1e-5));
        }
    }
}
