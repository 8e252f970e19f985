//! What is trained, and how large it is.

use std::collections::HashSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::checkpoint::Pretrained;

/// Stops the training of every parameter whose upstream name `frozen` picks; the others stay as they are.
///
/// # Example
/// ```
/// use burn::tensor::Device;
/// use dlm_models::{EncoderConfig, freeze, trainable};
/// let model = EncoderConfig::new(50, 16, 2, 4).init(&Device::flex().autodiff())?;
/// let all = trainable(&model);
/// let upper = freeze(model, |key| key.contains("embeddings") || key.contains("layer.0."));
/// assert!(trainable(&upper) < all);
/// # Ok::<(), dlm_models::Error>(())
/// ```
#[must_use]
pub fn freeze<M: Pretrained>(mut model: M, frozen: impl Fn(&str) -> bool) -> M {
    let ids = model.slots().into_iter().filter(|(key, _)| frozen(key)).map(|(_, slot)| slot.id()).collect();
    model.map(&mut Freeze(ids))
}

struct Freeze(HashSet<ParamId>);

impl ModuleMapper for Freeze {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.0.contains(&param.id) { param.set_require_grad(false) } else { param }
    }
}

/// How many numbers training changes.
pub fn trainable<M: Module>(model: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.base().is_require_grad() {
                self.0 += param.lazy_shape().num_elements();
            }
        }
    }
    let mut count = Count(0);
    model.visit(&mut count);
    count.0
}

/// How many numbers a network has and how many bytes they take, without reading or drawing any that are not
/// there yet.
///
/// # Example
/// ```
/// use burn::tensor::Device;
/// use dlm_models::{EncoderConfig, Size, size};
/// // XLM-R BASE, never allocated.
/// let config = EncoderConfig::new(250_002, 768, 12, 12).with_max_position_embeddings(514);
/// let Size { parameters, bytes } = size(&config.init(&Device::flex())?);
/// assert_eq!((parameters, bytes), (278_295_186, 4 * 278_295_186));
/// # Ok::<(), dlm_models::Error>(())
/// ```
pub fn size<M: Pretrained>(model: &M) -> Size {
    let mut model = model.clone();
    model.slots().into_iter().fold(Size { parameters: 0, bytes: 0 }, |size, (_, slot)| {
        let parameters = slot.shape().iter().product::<usize>();
        let bytes = size.bytes + slot.bytes();
        Size { parameters: size.parameters + parameters, bytes }
    })
}

/// See [`size`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Numbers.
    pub parameters: usize,
    /// What they take in memory: those not there yet as f32.
    pub bytes: usize,
}
