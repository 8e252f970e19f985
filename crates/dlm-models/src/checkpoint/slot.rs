//! Parameters beside their upstream names.

use burn::module::{Param, ParamId};
use burn::nn::{Linear, RmsNorm};
use burn::tensor::{DType, Tensor, TensorData};

use super::elements::Layout;
use crate::Error;
use crate::norm::LayerNorm;

/// A parameter and how upstream lays it out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Slot<'a> {
    /// Upstream `[out, in]`, here `[in, out]`.
    Linear(&'a mut Param<Tensor<2>>),
    /// A linear layer's, `[in, out]` on both sides: GPT-2's `Conv1D`.
    InputFirst(&'a mut Param<Tensor<2>>),
    /// The same on both sides.
    Table(&'a mut Param<Tensor<2>>),
    /// The same on both sides.
    Vector(&'a mut Param<Tensor<1>>),
    /// Upstream a convolution over patches that do not overlap, `[out, channels, side, side]`; here a linear map of
    /// a patch's numbers, `[channels · side · side, out]`.
    Patches {
        /// The map.
        weight: &'a mut Param<Tensor<2>>,
        /// Colours of a pixel.
        channels: usize,
        /// Pixels of a side of a patch.
        side: usize,
    },
}

impl Slot<'_> {
    /// Upstream's shape.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Linear(param) => param.lazy_shape().iter().rev().copied().collect(),
            Self::InputFirst(param) | Self::Table(param) => param.lazy_shape().to_vec(),
            Self::Vector(param) => param.lazy_shape().to_vec(),
            Self::Patches { weight, channels, side } => vec![weight.lazy_shape()[1], *channels, *side, *side],
        }
    }

    /// The parameter's identity.
    pub fn id(&self) -> ParamId {
        match self {
            Self::Linear(param)
            | Self::InputFirst(param)
            | Self::Table(param)
            | Self::Patches { weight: param, .. } => param.id,
            Self::Vector(param) => param.id,
        }
    }

    /// What its elements take in memory; as f32 if they are not there yet.
    pub(crate) fn bytes(&self) -> usize {
        fn of<const D: usize>(param: &Param<Tensor<D>>) -> usize {
            let count = param.lazy_shape().num_elements();
            let dtype = if param.is_initialized() { param.base().dtype() } else { DType::F32 };
            match dtype {
                // A byte or less for each, and a scale for each block or for all.
                DType::QFloat(scheme) => {
                    let block = scheme.block_size().map_or(count, |block| block.num_elements());
                    (count * scheme.size_bits_value()).div_ceil(8) + count / block.max(1) * size_of::<f32>()
                }
                dtype => count * dtype.size(),
            }
        }
        match self {
            Self::Linear(param)
            | Self::InputFirst(param)
            | Self::Table(param)
            | Self::Patches { weight: param, .. } => of(param),
            Self::Vector(param) => of(param),
        }
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Linear(param)
            | Self::InputFirst(param)
            | Self::Table(param)
            | Self::Patches { weight: param, .. } => param.val().dtype(),
            Self::Vector(param) => param.val().dtype(),
        }
    }

    /// How upstream's elements become those of the parameter.
    pub(super) fn layout(&self) -> Layout {
        match self {
            Self::Linear(_) | Self::Patches { .. } => Layout::turned(self.shape()),
            Self::InputFirst(_) | Self::Table(_) | Self::Vector(_) => Layout::same(self.shape()),
        }
    }

    /// Puts elements in the parameter, in its own order; it takes their type.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the parameter's device has no such numbers.
    pub(super) fn set(self, values: TensorData) -> Result<(), Error> {
        match self {
            Self::Linear(param)
            | Self::InputFirst(param)
            | Self::Table(param)
            | Self::Patches { weight: param, .. } => fill(param, values),
            Self::Vector(param) => fill(param, values),
        }
    }

    /// The parameter's elements in upstream's order.
    pub(super) fn get(&self) -> TensorData {
        match self {
            Self::Linear(param) | Self::Patches { weight: param, .. } => param.val().transpose().into_data(),
            Self::InputFirst(param) | Self::Table(param) => param.val().into_data(),
            Self::Vector(param) => param.val().into_data(),
        }
    }
}

/// Every parameter of a network beside its upstream name.
#[derive(Debug, Default)]
pub struct Slots<'a>(Vec<(String, Slot<'a>)>);

impl<'a> Slots<'a> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter.
    pub fn put(&mut self, key: impl Into<String>, slot: Slot<'a>) {
        self.0.push((key.into(), slot));
    }

    /// Adds a table, `[rows, columns]` on both sides.
    pub fn table(&mut self, key: impl Into<String>, param: &'a mut Param<Tensor<2>>) {
        self.put(key, Slot::Table(param));
    }

    /// Adds a vector.
    pub fn vector(&mut self, key: impl Into<String>, param: &'a mut Param<Tensor<1>>) {
        self.put(key, Slot::Vector(param));
    }

    /// Adds `stem.weight` and, if there is one, `stem.bias`.
    pub fn linear(&mut self, stem: &str, layer: &'a mut Linear) {
        self.put(format!("{stem}.weight"), Slot::Linear(&mut layer.weight));
        if let Some(bias) = &mut layer.bias {
            self.vector(format!("{stem}.bias"), bias);
        }
    }

    /// Adds `stem.weight` and, if there is one, `stem.bias`.
    pub fn norm(&mut self, stem: &str, layer: &'a mut LayerNorm) {
        self.vector(format!("{stem}.weight"), &mut layer.gamma);
        if let Some(bias) = &mut layer.beta {
            self.vector(format!("{stem}.bias"), bias);
        }
    }

    /// Adds `stem.weight`.
    pub fn rms_norm(&mut self, stem: &str, layer: &'a mut RmsNorm) {
        self.vector(format!("{stem}.weight"), &mut layer.gamma);
    }
}

impl<'a> IntoIterator for Slots<'a> {
    type Item = (String, Slot<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn fill<const D: usize>(param: &mut Param<Tensor<D>>, values: TensorData) -> Result<(), Error> {
    let id: ParamId = param.id;
    let (dtype, device) = (values.dtype(), param.lazy_device());
    if !device.supports_dtype(dtype) {
        return Err(Error::Unsupported { field: "dtype", got: format!("{dtype:?} on {device:?}") });
    }
    let value = Tensor::from_data(values, (&device, dtype));
    // Keeps the identity and whether it is trained, and never draws the initial values.
    *param = param.clone().transform_for_load(value, id);
    Ok(())
}
