//! Feed-forward networks, plain and gated, and their non-linearities.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, gelu_approximate, relu, sigmoid, silu};

use crate::config::Activation;
use crate::gelu::gelu_with_exact_gradient;

/// outer(act(inner(x))).
#[derive(Module, Debug)]
pub struct Mlp {
    pub(crate) inner: Linear,
    pub(crate) outer: Linear,
    #[module(skip)]
    activation: Activation,
}

/// down(act(gate(x)) · up(x)).
///
/// Source: Shazeer 2020, arXiv:2002.05202.
#[derive(Module, Debug)]
pub struct GatedMlp {
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// From `width` to `inner` and back; `linear` makes a layer of so many inputs and outputs.
    pub(crate) fn new(
        width: usize,
        inner: usize,
        activation: Activation,
        linear: impl Fn(usize, usize) -> Linear,
    ) -> Self {
        Self::between([width, inner, width], activation, linear)
    }

    /// From one width over another to a third.
    pub(crate) fn between(
        [from, inner, to]: [usize; 3],
        activation: Activation,
        linear: impl Fn(usize, usize) -> Linear,
    ) -> Self {
        Self { inner: linear(from, inner), outer: linear(inner, to), activation }
    }

    /// # Shapes
    /// - `input`: `[.., D]`
    /// - returns: `[.., D]`
    pub(crate) fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.outer.forward(self.activation.apply(self.inner.forward(input)))
    }
}

impl GatedMlp {
    /// From `width` to `inner` and back; `linear` makes a layer of so many inputs and outputs.
    pub(crate) fn new(
        width: usize,
        inner: usize,
        activation: Activation,
        linear: impl Fn(usize, usize) -> Linear,
    ) -> Self {
        let (gate, up, down) = (linear(width, inner), linear(width, inner), linear(inner, width));
        Self { gate, up, down, activation }
    }

    /// # Shapes
    /// - `input`: `[.., D]`
    /// - returns: `[.., D]`
    pub(crate) fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let gate = self.activation.apply(self.gate.forward(input.clone()));
        self.down.forward(gate * self.up.forward(input))
    }
}

impl Activation {
    pub(crate) fn apply<const D: usize>(self, input: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu if input.is_tracked() => gelu_with_exact_gradient(input),
            Self::Gelu => gelu(input),
            Self::GeluTanh => gelu_approximate(input),
            Self::Relu => relu(input),
            Self::Silu => silu(input),
            Self::QuickGelu => sigmoid(input.clone() * 1.702) * input,
        }
    }
}
