//! `AdamW` in one pass over memory, where tensors lie in main memory.

use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use dlm_core::host::{shares_memory, vectorised};
use rayon::prelude::*;

use super::AdamW as Numbers;

/// burn's `AdamW` and its state; on a device that [`shares_memory`] the same numbers come from one loop instead of a
/// dozen operations, bit for bit.
#[derive(Clone)]
pub(super) struct FusedAdamW {
    numbers: Numbers,
    plain: AdamW,
}

impl FusedAdamW {
    pub(super) fn new(numbers: Numbers) -> Self {
        let plain = AdamWConfig::new()
            .with_beta_1(numbers.beta1 as f32)
            .with_beta_2(numbers.beta2 as f32)
            .with_epsilon(numbers.eps as f32)
            .with_weight_decay(numbers.weight_decay as f32)
            .build();
        Self { numbers, plain }
    }
}

impl Optimizer for FusedAdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let device = tensor.device();
        let plain = [tensor.dtype(), grad.dtype()].iter().all(|&dtype| dtype == DType::F32);
        if !plain || !shares_memory(&device) {
            return self.plain.step(lr, tensor, grad, state);
        }
        let momentum = state.map_or_else(
            || {
                let zeros = || Tensor::zeros(tensor.shape(), (&device, DType::F32));
                AdaptiveMomentumState { time: 0, moment_1: zeros(), moment_2: zeros(), max_moment_2: None }
            },
            |state| state.momentum,
        );
        let time = momentum.time + 1;
        let factors = Factors::new(&self.numbers, lr, time);
        let mut data = [tensor, momentum.moment_1, momentum.moment_2].map(Tensor::into_data);
        let grad = grad.into_data();
        factors.update(&mut data, &grad);
        let [tensor, moment_1, moment_2] = data.map(|data| Tensor::from_data(data, (&device, DType::F32)));
        let momentum = AdaptiveMomentumState { time, moment_1, moment_2, max_moment_2: None };
        (tensor, Some(AdamWState { momentum }))
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        AdamW::to_device(state, device)
    }
}

/// What one step multiplies and divides by.
#[derive(Clone, Copy)]
struct Factors {
    beta1: f32,
    beta2: f32,
    /// 1 − β.
    new: [f32; 2],
    /// 1 − βᵗ.
    correction: [f32; 2],
    eps: f32,
    /// 1 − lr · decay.
    kept: f32,
    lr: f32,
}

/// Elements that a thread takes at a time: four arrays of them fit its cache.
const CHUNK: usize = 1 << 14;

impl Factors {
    fn new(numbers: &Numbers, lr: f64, time: usize) -> Self {
        let (beta1, beta2) = (numbers.beta1 as f32, numbers.beta2 as f32);
        let decay = lr * f64::from(numbers.weight_decay as f32);
        Self {
            beta1,
            beta2,
            new: [1.0 - beta1, 1.0 - beta2],
            correction: [1.0 - beta1.powi(time as i32), 1.0 - beta2.powi(time as i32)],
            eps: numbers.eps as f32,
            kept: (1.0 - decay) as f32,
            lr: lr as f32,
        }
    }

    /// The parameter and both moments after a step.
    fn update(&self, [param, first, second]: &mut [TensorData; 3], grad: &TensorData) {
        // All are f32 by the caller's check, and burn lays data out as their type wants it.
        let (Ok(param), Ok(first), Ok(second), Ok(grad)) =
            (param.as_mut_slice(), first.as_mut_slice(), second.as_mut_slice(), grad.as_slice())
        else {
            unreachable!("f32 data is read as f32")
        };
        let chunks = param.par_chunks_mut(CHUNK).zip(first.par_chunks_mut(CHUNK));
        chunks.zip(second.par_chunks_mut(CHUNK)).zip(grad.par_chunks(CHUNK)).for_each(
            |(((param, first), second), grad)| vectorised(|| self.pass(param, first, second, grad)),
        );
    }

    /// In burn's order of operations, so that every bit is the same.
    #[inline(always)]
    #[allow(
        clippy::inline_always,
        reason = "compiled for the vectors of `vectorised` only where it is inlined"
    )]
    fn pass(&self, param: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32]) {
        for (((param, first), second), grad) in param.iter_mut().zip(first).zip(second).zip(grad) {
            *first = *first * self.beta1 + grad * self.new[0];
            *second = *second * self.beta2 + grad * grad * self.new[1];
            let step = (*first / self.correction[0]) / ((*second / self.correction[1]).sqrt() + self.eps);
            *param = *param * self.kept - step * self.lr;
        }
    }
}

#[cfg(test)]
mod tests {
    use dlm_core::{CounterRng, Purpose};

    use super::*;

    #[test]
    fn one_pass_gives_the_bits_of_burns_adamw() {
        let device = Device::flex();
        let random = |from: usize, scale: f64| {
            let mut draws = CounterRng::new(3).row(Purpose::Noise, 0);
            let numbers: Vec<f32> =
                (0..3 * 41).map(|i| ((draws.uniform(from + i) - 0.5) * scale) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(numbers, [3, 41]), &device)
        };
        for weight_decay in [0.0, 0.1] {
            let fused = FusedAdamW::new(Numbers { weight_decay, ..Numbers::default() });
            let (mut ours, mut theirs) = ((random(0, 1.0), None), (random(0, 1.0), None));
            for step in 1..=20 {
                let grad = || random(step * 200, 10f64.powi(step as i32 % 7 - 5));
                let lr = 1e-2 / step as f64;
                ours = fused.step(lr, ours.0, grad(), ours.1);
                theirs = fused.plain.step(lr, theirs.0, grad(), theirs.1);
            }
            let bits = |(param, state): (Tensor<2>, Option<AdamWState<2>>)| {
                let momentum = state.expect("a state").momentum;
                assert_eq!(momentum.time, 20);
                [param, momentum.moment_1, momentum.moment_2].map(|tensor| {
                    tensor
                        .into_data()
                        .try_to_vec::<f32>()
                        .expect("floats")
                        .iter()
                        .map(|x| x.to_bits())
                        .collect::<Vec<_>>()
                })
            };
            assert_eq!(bits(ours), bits(theirs));
        }
    }
}
