//! Gradient checkpointing changes memory and time, not what is learnt.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Mutex;

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};
use dlm::core::recompute::{recording, segment};
use dlm::core::{Sequence, Vocabulary};
use dlm::models::{Albert, Dit, Encoder, EncoderConfig, ModernBert, Pretrained};
use dlm::train::{BatchSize, Batches, Diffusion, TrainConfig, Trainer, init_seeded};

/// Tests share the device's generator, which draws initial parameters and dropout.
static DEVICE: Mutex<()> = Mutex::new(());

/// Losses of six steps, and the parameters before and after them.
type Trained = (Vec<f64>, Vec<f32>, Vec<f32>);

fn trained(dropout: f64, gradient_checkpointing: bool) -> Trained {
    let config = EncoderConfig::new(40, 16, 3, 4).with_dropout(dropout);
    trained_as::<Encoder>(&config.to_json(), gradient_checkpointing)
}

fn trained_as<M: Pretrained>(config: &str, gradient_checkpointing: bool) -> Trained {
    let vocabulary = Vocabulary::new(40, 0, 1, 2, 39).unwrap();
    let device = Device::default().autodiff();
    let model = M::from_config(config, &device).unwrap();
    let model = init_seeded(model, &device, 5).train();
    let rows: Vec<_> =
        (0..32).map(|i| Sequence::prompt_response(&[3 + i], &[4 + i, 5], &vocabulary)).collect();
    let batches = Batches::new(rows, vocabulary, BatchSize::Sequences(4), 1).unwrap();
    let objective = Diffusion::paper(vocabulary.mask, 50).unwrap();
    let config = TrainConfig { accumulation: 2, gradient_checkpointing, ..TrainConfig::cosine(1e-2, 6) };
    let mut trainer = Trainer::new(model, objective, batches, config).unwrap().with_threads(2);
    let start = parameters(trainer.model());
    let losses = (0..6).map(|_| trainer.step().unwrap().loss().unwrap()).collect();
    (losses, start, parameters(trainer.model()))
}

fn parameters(model: &impl Module) -> Vec<f32> {
    let mut all = All(Vec::new());
    model.visit(&mut all);
    all.0
}

struct All(Vec<f32>);

impl ModuleVisitor for All {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.extend(param.val().into_data().iter::<f32>());
    }
}

#[test]
fn the_same_is_learnt() {
    let _alone = DEVICE.lock();
    assert_same(trained(0.0, false), trained(0.0, true));
    // Layers that share their weights, that are told where tokens stand, and that are told the time.
    let shared = r#"{"model_type": "albert", "vocab_size": 40, "embedding_size": 8, "hidden_size": 16,
        "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}"#;
    assert_same(trained_as::<Albert>(shared, false), trained_as::<Albert>(shared, true));
    let rotary = r#"{"model_type": "modernbert", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3,
        "num_attention_heads": 4, "intermediate_size": 32, "pad_token_id": 1, "local_attention": 2}"#;
    assert_same(trained_as::<ModernBert>(rotary, false), trained_as::<ModernBert>(rotary, true));
    let told = r#"{"model_type": "udlm", "vocab_size": 40, "model_length": 9, "hidden_dim": 16, "cond_dim": 4,
        "n_blocks": 3, "n_heads": 4, "dropout": 0.0}"#;
    assert_same(trained_as::<Dit>(told, false), trained_as::<Dit>(told, true));
}

fn assert_same((kept, start, plain): Trained, (again, _, checkpointed): Trained) {
    for (kept, again) in kept.iter().zip(&again) {
        assert!((kept - again).abs() < 1e-5 * kept, "{kept} and {again}");
    }
    let gap = plain.iter().zip(&checkpointed).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Adam divides by the gradient's size, so that rounding of tiny gradients shows.
    let moved = plain.iter().zip(&start).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap < 1e-3 && moved > 2e-2, "{gap} of {moved}");
}

#[test]
fn dropout_comes_out_the_same_twice() {
    let _alone = DEVICE.lock();
    let device = Device::default().autodiff();
    let layer: Dropout = DropoutConfig::new(0.5).init();
    let input = Tensor::<2>::ones([8, 8], &device).require_grad();
    let forward = |layer: &Dropout, input| layer.forward(input);
    let twice = || segment(&layer, segment(&layer, input.clone(), forward), forward);
    let (last, segments) = recording(3, twice);
    let dropped = |tensor: &Tensor<2>| tensor.to_data().iter::<f32>().filter(|&x| x == 0.0).count();
    assert!(dropped(&segments[0].output) > 10);
    assert!(dropped(&last) > dropped(&segments[0].output));
    for segment in segments.into_iter().rev() {
        let output = segment.output.to_data();
        assert_eq!(segment.again().into_data(), output);
    }
    assert_eq!(trained(0.2, true), trained(0.2, true));
}
