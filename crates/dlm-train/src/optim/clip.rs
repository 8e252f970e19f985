//! The global norm of a gradient.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use dlm_core::host::{shares_memory, vectorised};
use rayon::prelude::*;

/// √Σ g² over all gradients of `model`, in f32, without asking the device for it. `None` if there is
/// no gradient.
///
/// Gradients are taken out and put back as they were: so those in main memory are read where they are.
///
/// # Shapes
/// - returns: `[1]`
pub fn global_norm<M: Module>(model: &M, grads: &mut GradientsParams) -> Option<Tensor<1>> {
    struct Squares<'a>(&'a mut GradientsParams, Option<Tensor<1>>);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.remove::<D>(param.id) {
                let (grad, square) = squared(grad);
                self.0.register(param.id, grad);
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

/// A gradient and the sum of its squares.
fn squared<const D: usize>(grad: Tensor<D>) -> (Tensor<D>, Tensor<1>) {
    let device = grad.device();
    if grad.dtype() != DType::F32 || !shares_memory(&device) {
        let square = grad.clone().cast(FloatDType::F32).square().sum();
        return (grad, square);
    }
    let data = grad.into_data();
    let sum = data.as_slice::<f32>().map_or(f64::NAN, sum_of_squares);
    let sum = TensorData::new(vec![sum as f32], [1]);
    (upload(data, &device), upload(sum, &device))
}

fn upload<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    Tensor::from_data(data, (device, DType::F32))
}

/// In f64, eight sums at a time, and chunks in their order: the same whatever the threads.
fn sum_of_squares(values: &[f32]) -> f64 {
    const CHUNK: usize = 1 << 16;
    let chunk = |values: &[f32]| {
        vectorised(|| {
            let (eights, rest) = values.as_chunks::<8>();
            let mut sums = [0f64; 8];
            for eight in eights {
                for (sum, &value) in sums.iter_mut().zip(eight) {
                    *sum += f64::from(value) * f64::from(value);
                }
            }
            let rest: f64 = rest.iter().map(|&value| f64::from(value).powi(2)).sum();
            sums.iter().sum::<f64>() + rest
        })
    };
    values.par_chunks(CHUNK).map(chunk).collect::<Vec<f64>>().iter().sum()
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
