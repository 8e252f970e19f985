//! Networks computed in half precision, with parameters kept in single.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// In what numbers a step computes the network and its gradient. Parameters, moments and averages stay in
/// f32, and so do losses, norms and the sum over batches.
///
/// # Source
/// Micikevicius et al. 2017, arXiv:1710.03740.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single.
    #[default]
    F32,
    /// 8 bits of precision over the range of f32.
    Bf16,
    /// 11 bits of precision over a small range: the loss is scaled by a power of two that follows the
    /// gradients, see [`LossScale`]. Each step waits for the device.
    F16,
}

impl Precision {
    /// The type of half numbers; `None` if there is nothing to convert.
    fn half(self) -> Option<FloatDType> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(FloatDType::BF16),
            Self::F16 => Some(FloatDType::F16),
        }
    }

    /// # Errors
    /// [`Error::Precision`] if `device` does not have these numbers.
    pub(crate) fn check(self, device: &Device) -> Result<(), Error> {
        match self.half() {
            Some(half) if !device.supports_dtype(half) => {
                Err(Error::Precision { device: format!("{device:?}"), precision: self })
            }
            _ => Ok(()),
        }
    }

    /// The network that a step computes: parameters in half precision under the same ids.
    pub(crate) fn copy<M: Module>(self, model: &M) -> M {
        match self.half() {
            None => model.clone(),
            Some(half) => model.clone().map(&mut Cast(half)),
        }
    }

    /// A gradient of that network as one of `model`, divided by `scale`.
    pub(crate) fn restore<M: Module>(self, model: &M, grads: GradientsParams, scale: f64) -> GradientsParams {
        if self == Self::F32 {
            return grads;
        }
        let mut widen = Widen(grads, scale.recip());
        model.visit(&mut widen);
        widen.0
    }
}

struct Cast(FloatDType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let tracked = param.base().is_require_grad();
        param.map(|tensor| tensor.cast(self.0).detach().set_require_grad(tracked))
    }
}

struct Widen(GradientsParams, f64);

impl ModuleVisitor for Widen {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.0.remove::<D>(param.id) {
            self.0.register::<D>(param.id, grad.cast(FloatDType::F32) * self.1);
        }
    }
}

/// The factor of the loss in f16: halved, and the step left out, when a gradient overflows; doubled after
/// [`LossScale::PATIENCE`] steps without.
///
/// # Source
/// Micikevicius et al. 2017, arXiv:1710.03740, section 3.2; the numbers are `PyTorch`'s `GradScaler`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// log₂ of the factor.
    pub exponent: i32,
    /// Steps since it changed.
    pub good: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { exponent: 16, good: 0 }
    }
}

impl LossScale {
    /// Steps without an overflow after which the factor doubles.
    pub const PATIENCE: u64 = 2000;

    /// The factor.
    pub fn factor(self) -> f64 {
        f64::from(self.exponent).exp2()
    }

    /// After a step whose gradient was finite or not.
    #[must_use]
    pub fn after(self, finite: bool) -> Self {
        match self {
            Self { exponent, .. } if !finite => Self { exponent: exponent - 1, good: 0 },
            Self { exponent, good } if good + 1 >= Self::PATIENCE => Self { exponent: exponent + 1, good: 0 },
            Self { exponent, good } => Self { exponent, good: good + 1 },
        }
    }
}
