//! Learning rates, groups, clipping and averages against numbers computed on the host.

mod common;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use common::{bits, toy, values};
use dlm_train::optim::{clip_to, global_norm};
use dlm_train::{AdamW, Decay, Ema, Error, LrSchedule, Warmup};

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-12, "{got} is not {expected}");
}

#[test]
fn warm_ups_rise_as_their_formulas_say() {
    let lr = |warmup| LrSchedule { peak: 2.0, warmup, decay: Decay::Constant };
    let linear = lr(Warmup::Linear(4));
    [0.5, 1.0, 1.5, 2.0, 2.0].iter().zip(0..).for_each(|(&rate, step)| close(linear.at(step), rate));
    let logarithmic = lr(Warmup::Logarithmic(8));
    close(logarithmic.at(0), 0.0);
    close(logarithmic.at(1), 2.0 / 3.0);
    close(logarithmic.at(3), 4.0 / 3.0);
    close(logarithmic.at(7), 2.0);
    close(logarithmic.at(1000), 2.0);
    close(lr(Warmup::None).at(0), 2.0);
}

#[test]
fn decays_fall_as_their_formulas_say() {
    let lr = |decay| LrSchedule { peak: 2.0, warmup: Warmup::Linear(10), decay };
    let root = lr(Decay::InverseSqrt);
    close(root.at(9), 2.0);
    close(root.at(39), 1.0);
    close(root.at(159), 0.5);
    let cosine = lr(Decay::Cosine { end: 110, floor: 0.1 });
    close(cosine.at(10), 2.0);
    close(cosine.at(60), 2.0 * 0.55);
    close(cosine.at(110), 0.2);
    close(cosine.at(1_000_000), 0.2);
    let linear = lr(Decay::Linear { end: 110, floor: 0.0 });
    close(linear.at(35), 1.5);
    close(linear.at(110), 0.0);
    close(linear.at(111), 0.0);
}

#[test]
fn the_papers_rate_warms_up_over_a_hundredth_of_the_steps() {
    let lr = LrSchedule::paper(5e-5, 1001);
    assert_eq!(lr.warmup, Warmup::Logarithmic(11));
    close(lr.at(10), 5e-5);
    assert!(lr.at(9) < 5e-5);
}

/// A gradient for every parameter: `value(i)` at its i-th number, counted over the module.
fn gradients<M: Module>(model: &M, value: impl Fn(usize) -> f32) -> GradientsParams {
    struct Fill<F>(GradientsParams, usize, F);
    impl<F: Fn(usize) -> f32> ModuleVisitor for Fill<F> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let base = param.base().inner();
            let numbers: Vec<f32> = (0..base.shape().num_elements()).map(|i| (self.2)(self.1 + i)).collect();
            self.1 += numbers.len();
            let flat = Tensor::<1>::from_floats(numbers.as_slice(), &base.device());
            self.0.register::<D>(param.id, flat.reshape(base.shape()));
        }
    }
    let mut fill = Fill(GradientsParams::new(), 0, value);
    model.visit(&mut fill);
    fill.0
}

/// The gradients' numbers, in the order of the module.
fn numbers<M: Module>(model: &M, grads: &GradientsParams) -> Vec<f32> {
    struct Read<'a>(&'a GradientsParams, Vec<f32>);
    impl ModuleVisitor for Read<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let grad = self.0.get::<D>(param.id).expect("a gradient");
            self.1.extend(grad.into_data().iter::<f32>());
        }
    }
    let mut read = Read(grads, Vec::new());
    model.visit(&mut read);
    read.1
}

#[test]
fn clipping_equals_the_host_computation() {
    let model = toy(0.0);
    let value = |i: usize| (i % 17) as f32 * 0.01 - 0.05;
    let plain = numbers(&model, &gradients(&model, value));
    let host = plain.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    for max in [0.1, 1e3] {
        let mut grads = gradients(&model, value);
        let norm = global_norm(&model, &mut grads).expect("a gradient");
        let clipped = numbers(&model, &clip_to(&model, grads, &norm, max));
        let norm = f64::from(norm.into_scalar::<f32>());
        assert!((norm - host).abs() < 1e-6 * host, "{norm} is not {host}");
        let factor = (max / (host + 1e-6)).min(1.0);
        for (&clipped, &plain) in clipped.iter().zip(&plain) {
            assert!((f64::from(clipped) - f64::from(plain) * factor).abs() < 1e-7);
        }
    }
    assert!(global_norm(&model, &mut GradientsParams::new()).is_none());
}

#[test]
fn weight_decay_shrinks_matrices_and_leaves_vectors_alone() {
    let model = toy(0.0);
    let before = values(&model);
    let adamw = AdamW { weight_decay: 0.5, ..AdamW::default() };
    let grads = gradients(&model, |_| 0.0);
    let after = adamw.init(&model).expect("numbers in range").step(0.1, model, grads);
    // Embedding 12·8, then gain and offset of the norm, then head 8·12 and its bias.
    let vectors = |i: usize| (96..112).contains(&i) || i >= 208;
    for (i, (after, before)) in values(&after).into_iter().zip(before).enumerate() {
        let expected = if vectors(i) { before } else { before * (1.0 - 0.1 * 0.5) };
        assert!((after - expected).abs() < 1e-7, "number {i}: {after} is not {expected}");
    }
}

#[test]
fn two_steps_of_adamw_equal_the_host_computation() {
    let model = toy(0.0);
    let adamw = AdamW::default();
    let (lr, gradient) = (0.01, [0.3_f64, -0.2]);
    let mut expected: Vec<f64> = values(&model).into_iter().map(f64::from).collect();
    let matrix = |i: usize| i < 96 || (112..208).contains(&i);
    let (mut m, mut v) = (0.0, 0.0);
    for (t, g) in (1..).zip(gradient) {
        m = adamw.beta1 * m + (1.0 - adamw.beta1) * g;
        v = adamw.beta2 * v + (1.0 - adamw.beta2) * g * g;
        let (m, v) = (m / (1.0 - adamw.beta1.powi(t)), v / (1.0 - adamw.beta2.powi(t)));
        let delta = m / (v.sqrt() + adamw.eps);
        for (i, value) in expected.iter_mut().enumerate() {
            let decay = if matrix(i) { adamw.weight_decay } else { 0.0 };
            *value -= lr * (delta + decay * *value);
        }
    }
    let mut optim = adamw.init(&model).expect("numbers in range");
    let model = gradient.into_iter().fold(model, |model, g| {
        let grads = gradients(&model, |_| g as f32);
        optim.step(lr, model, grads)
    });
    for (got, expected) in values(&model).into_iter().zip(expected) {
        assert!((f64::from(got) - expected).abs() < 2e-6, "{got} is not {expected}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let model = toy(0.0);
    for adamw in [
        AdamW { beta1: 1.0, ..AdamW::default() },
        AdamW { beta2: -0.1, ..AdamW::default() },
        AdamW { eps: 0.0, ..AdamW::default() },
        AdamW { weight_decay: f64::NAN, ..AdamW::default() },
    ] {
        assert!(matches!(adamw.init(&model), Err(Error::OutOfDomain { .. })), "{adamw:?}");
    }
    assert!(matches!(Ema::new(&model, 1.0), Err(Error::OutOfDomain { .. })));
}

#[test]
fn the_average_follows_its_closed_form() {
    let _alone = common::alone();
    let start = toy(0.0);
    let target = dlm_train::init_seeded(common::Toy::new(8, 0.0, &common::device()), &common::device(), 4);
    // The ids of the first with the values of the second.
    let record = start.clone().into_record();
    let (from, to) = (values(&start), values(&target));
    assert_ne!(from, to);
    let moved = move_to(start.clone(), &to);
    let mut ema = Ema::new(&start, 0.9).expect("in range");
    for _ in 0..5 {
        ema = ema.update(&moved);
    }
    let kept = 0.9_f64.powi(5);
    for ((got, from), to) in values(ema.model()).into_iter().zip(from).zip(to) {
        let expected = kept * f64::from(from) + (1.0 - kept) * f64::from(to);
        assert!((f64::from(got) - expected).abs() < 1e-6, "{got} is not {expected}");
    }
    // The average is a copy: the model it started from is as it was.
    assert_eq!(bits(&start), bits(&moved.load_record(record)));
}

/// `model` with other values under the same ids.
fn move_to<M: Module>(model: M, values: &[f32]) -> M {
    struct Put<'a>(&'a [f32]);
    impl burn::module::ModuleMapper for Put<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| {
                let shape = tensor.shape();
                let (mine, rest) = self.0.split_at(shape.num_elements());
                self.0 = rest;
                Tensor::<1>::from_floats(mine, &tensor.device()).reshape(shape).require_grad()
            })
        }
    }
    model.map(&mut Put(values))
}
