//! The global norm of a gradient.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{FloatDType, Tensor};

/// √Σ g² over all gradients of `model`, in f32, without asking the device for it. `None` if there is
/// no gradient.
///
/// # Shapes
/// - returns: `[1]`
pub fn global_norm<M: Module>(model: &M, grads: &GradientsParams) -> Option<Tensor<1>> {
    struct Squares<'a>(&'a GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                let square = grad.cast(FloatDType::F32).square().sum();
                self.1 = Some(match self.1.take() {
                    Some(sum) => sum + square,
                    None => square,
                });
            }
        }
    }
    let mut squares = Squares(grads, None);
    model.visit(&mut squares);
    squares.1.map(Tensor::sqrt)
}

/// Scales all gradients of `model` by one factor so that their global norm is at most `max`.
///
/// ```text
/// g ← g · min(1, max / (norm + 1e-6))
/// ```
///
/// # Shapes
/// - `norm`: `[1]`, from [`global_norm`]
///
/// # Source
/// Pascanu et al. 2012, arXiv:1211.5063; the 1e-6 is `PyTorch`'s `clip_grad_norm_`.
pub fn clip_to<M: Module>(model: &M, grads: GradientsParams, norm: &Tensor<1>, max: f64) -> GradientsParams {
    struct Scale(GradientsParams, Tensor<1>);
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.remove::<D>(param.id) {
                let factor = self.1.clone().reshape([1; D]).cast(grad.dtype());
                self.0.register::<D>(param.id, grad * factor);
            }
        }
    }
    let factor = norm.clone().add_scalar(1e-6).recip().mul_scalar(max).clamp_max(1.0);
    let mut scale = Scale(grads, factor);
    model.visit(&mut scale);
    scale.0
}
