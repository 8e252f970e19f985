//! New layers with the weights that BERT starts from: N(0, std), zero biases.

use burn::nn::{Embedding, Initializer, Linear, RmsNorm, RmsNormConfig};
use burn::tensor::Device;

use crate::norm::LayerNorm;

pub(crate) fn linear(inputs: usize, outputs: usize, std: f64, device: &Device) -> Linear {
    Linear {
        weight: Initializer::Normal { mean: 0.0, std }.init([inputs, outputs], device),
        bias: Some(Initializer::Zeros.init([outputs], device)),
    }
}

/// [`linear`] without biases.
pub(crate) fn plain(inputs: usize, outputs: usize, std: f64, device: &Device) -> Linear {
    Linear { weight: Initializer::Normal { mean: 0.0, std }.init([inputs, outputs], device), bias: None }
}

pub(crate) fn embedding(rows: usize, width: usize, std: f64, device: &Device) -> Embedding {
    Embedding { weight: Initializer::Normal { mean: 0.0, std }.init([rows, width], device) }
}

pub(crate) fn norm(width: usize, epsilon: f64, device: &Device) -> LayerNorm {
    LayerNorm::new(width, epsilon, true, device)
}

pub(crate) fn rms_norm(width: usize, epsilon: f64, device: &Device) -> RmsNorm {
    RmsNormConfig::new(width).with_epsilon(epsilon).init(device)
}
