//! Weights in whole numbers, for inference in less memory.

use std::collections::HashSet;

use burn::module::{ModuleMapper, Param, ParamId};
use burn::tensor::quantization::{QuantScheme, QuantValue, ScaleDtype};
use burn::tensor::{Device, Tensor};

use crate::checkpoint::{Pretrained, Slot};

/// How many bits a weight has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// −127 to 127.
    Eight,
    /// −7 to 7. burn's flex backend keeps each in a byte all the same.
    Four,
}

/// Weights of a scale, if the width allows it; else a matrix has one scale.
const BLOCK: usize = 32;

/// Rounds the weights of linear layers, symmetrically, with one scale for 32 neighbours. Embeddings, tied
/// decoders, norms and biases stay as they are. The network can be asked, not trained nor written.
///
/// # Panics
/// If the backend has no such numbers (0.22.1: `ndarray` has none of 4 bits).
///
/// The scheme is burn's; products turn weights back into floats as they go.
///
/// # Example
/// ```
/// use burn::tensor::Device;
/// use dlm_models::{Bits, EncoderConfig, quantised, size};
/// let model = EncoderConfig::new(50, 128, 2, 4).init(&Device::flex())?;
/// let smaller = quantised(&model, Bits::Eight);
/// assert!(size(&smaller).bytes < size(&model).bytes / 2);
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[must_use]
pub fn quantised<M: Pretrained>(model: &M, bits: Bits) -> M {
    let mut model = model.valid().materialize();
    let device = model.device();
    let is_linear = |slot: Slot<'_>| matches!(slot, Slot::Linear(_) | Slot::InputFirst(_)).then(|| slot.id());
    let ids = model.slots().into_iter().filter_map(|(_, slot)| is_linear(slot)).collect();
    model.map(&mut Round { ids, scheme: scheme(bits, &device) })
}

fn scheme(bits: Bits, device: &Device) -> QuantScheme {
    device.settings().quantization.scheme.with_value(match bits {
        Bits::Eight => QuantValue::Q8S,
        Bits::Four => QuantValue::Q4S,
    })
}

struct Round {
    ids: HashSet<ParamId>,
    scheme: QuantScheme,
}

impl ModuleMapper for Round {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.ids.contains(&param.id) {
            return param;
        }
        param.map(|weight| {
            let fits = weight.dims()[D - 1].is_multiple_of(BLOCK);
            let scheme =
                if fits { self.scheme.per_block([BLOCK as u8], ScaleDtype::F32) } else { self.scheme };
            weight.quantize_dynamic(&scheme)
        })
    }
}
