//! Gradient checkpointing changes memory and time, not what is learnt.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Display;
use std::path::Path;
use std::sync::Mutex;

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};
use dlm::core::recompute::{recording, segment};
use dlm::core::{Denoiser, DenoiserInput, Sequence, TokenId, Vocabulary};
use dlm::models::{AutoDenoiser, Checkpoint, EncoderConfig};
use dlm::train::{AdamW, BatchSize, Batches, Diffusion, TrainConfig, Trainer, init_seeded};

/// Tests share the device's generator, which draws initial parameters and dropout.
static DEVICE: Mutex<()> = Mutex::new(());

/// Losses and norms of the gradients of six steps, and the parameters before and after them.
type Trained = (Vec<f64>, Vec<f32>, Vec<f32>);

fn trained(dropout: f64, gradient_checkpointing: bool) -> Trained {
    let config = EncoderConfig::new(40, 16, 3, 4).with_dropout(dropout);
    let device = Device::default().autodiff();
    trained_from(init_seeded(config.init(&device).unwrap(), &device, 5), gradient_checkpointing)
}

fn trained_from<M>(model: M, gradient_checkpointing: bool) -> Trained
where
    M: Module + Denoiser,
{
    let size = model.vocab_size();
    let vocabulary = Vocabulary::new(size, 0, 1, 2, size as TokenId - 1).unwrap();
    // A source that ends in EOS is what RDM reads.
    let row = |i: u32| Sequence::prompt_response(&[3 + i % 20, 2], &[4 + i % 20, 5], &vocabulary);
    let batches =
        Batches::new((0..32).map(row).collect::<Vec<_>>(), vocabulary, BatchSize::Sequences(4), 1).unwrap();
    let objective = Diffusion::paper(vocabulary.mask, 50).unwrap();
    // Large enough that rounding of tiny gradients is not divided by their size.
    let adamw = AdamW { eps: 1e-3, ..AdamW::default() };
    let config =
        TrainConfig { accumulation: 2, gradient_checkpointing, adamw, ..TrainConfig::cosine(1e-2, 6) };
    let mut trainer = Trainer::new(model.train(), objective, batches, config).unwrap().with_threads(2);
    let start = parameters(trainer.model());
    let mut step = || {
        let report = trainer.step().unwrap();
        [report.loss().unwrap(), report.grad_norm().unwrap()]
    };
    let steps = (0..6).flat_map(|_| step()).collect();
    (steps, start, parameters(trainer.model()))
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
fn every_family_learns_the_same_and_leaves_its_layers_off_the_tape() {
    let _alone = DEVICE.lock();
    // The tiny networks that the golden tests compare with upstream; none has dropout.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backbones");
    let folders = root.read_dir().unwrap().map(|entry| entry.unwrap().path());
    // A network of ratios, and no denoiser; its layers are those of `dit_sedd`.
    let folders: Vec<_> = folders.filter(|folder| !folder.ends_with("dit_sedd_uniform")).collect();
    assert!(folders.len() >= 24, "{folders:?}");
    for folder in folders {
        let device = Device::default().autodiff();
        let load = || Checkpoint::open(&folder).unwrap().load::<AutoDenoiser>(&device).unwrap().0;
        let input = DenoiserInput::new(&[0, 3, 2, 4, 5, 2], [1, 6], &[3, 4]).with_times(&[0.5]);
        let (_, segments) = recording(0, || load().logits(&input));
        let name = folder.display();
        let layers = if ["esm_normed", "llava"].iter().any(|one| folder.ends_with(one)) { 1 } else { 2 };
        assert!(segments.len() >= layers, "{name}: {} segments", segments.len());
        assert_same(&name, trained_from(load(), false), trained_from(load(), true));
    }
}

fn assert_same(name: &impl Display, (kept, start, plain): Trained, (again, _, checkpointed): Trained) {
    for (kept, again) in kept.iter().zip(&again) {
        assert!((kept - again).abs() < 1e-5 * kept, "{name}: {kept} and {again}");
    }
    let gap = plain.iter().zip(&checkpointed).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let moved = plain.iter().zip(&start).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap < 1e-3 && moved > 2e-2, "{name}: {gap} of {moved}");
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
