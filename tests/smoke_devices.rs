//! Encoder logits, a training step and a decode on the chosen device (`BURN_DEVICE`), against `flex`.
//!
//! `BURN_DEVICE=wgpu cargo test --features wgpu --test smoke_devices`

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use burn::module::Module;
use burn::tensor::{Device, Tensor, Tolerance};
use dlm::core::{Denoiser, DenoiserInput, Sequence, Vocabulary};
use dlm::models::{Checkpoint, Encoder};
use dlm::sampling::{Canvas, Route, reverse, uniform};
use dlm::train::{BatchSize, Batches, Diffusion, TrainConfig, Trainer};

const FOLDER: &str = "tests/fixtures/encoder/xlmr";
const IDS: [u32; 18] = [0, 9, 12, 30, 62, 62, 17, 2, 1, 0, 5, 62, 41, 2, 1, 1, 1, 1];

fn vocabulary() -> Vocabulary {
    Vocabulary::new(63, 0, 1, 2, 62).unwrap()
}

/// The fixture without dropout, which is drawn differently on each device.
fn encoder(device: &Device) -> Encoder {
    Checkpoint::open(FOLDER).unwrap().load::<Encoder>(device).unwrap().0.with_dropout(0.0).unwrap()
}

fn logits(device: &Device) -> Tensor<2> {
    let pad = IDS.map(|id| id == 1);
    encoder(device).logits(&DenoiserInput::new(&IDS, [2, 9], &[4, 5, 11]).with_pad(&pad))
}

/// Loss and logits after three steps of AdamW.
fn trained(device: &Device) -> (f64, Tensor<2>) {
    let rows = (5..25).map(|id| Sequence::prompt_response(&[id], &[id + 1, id + 2], &vocabulary())).collect();
    let batches = Batches::new(rows, vocabulary(), BatchSize::Sequences(8), 3).unwrap();
    let objective = Diffusion::paper(62, 50).unwrap();
    let model = encoder(&device.clone().autodiff()).train();
    let mut trainer = Trainer::new(model, objective, batches, TrainConfig::paper(1e-3, 3)).unwrap();
    let mut loss = 0.0;
    for _ in 0..3 {
        loss = trainer.step().unwrap().loss().unwrap();
    }
    let pad = IDS.map(|id| id == 1);
    let model = trainer.evaluated();
    (loss, model.logits(&DenoiserInput::new(&IDS, [2, 9], &[4, 5, 11]).with_pad(&pad)))
}

fn same(got: &Tensor<2>, expected: &Tensor<2>, tolerance: f64) {
    let tolerance = Tolerance::<f32>::absolute(tolerance as f32);
    got.to_data().assert_approx_eq::<f32>(&expected.to_data(), tolerance);
}

#[test]
fn logits_agree_with_flex_to_1e_4() {
    same(&logits(&Device::default()), &logits(&Device::flex()), 1e-4);
}

#[test]
fn training_agrees_with_flex_to_1e_3() {
    let (loss, logits) = trained(&Device::default());
    let (expected_loss, expected) = trained(&Device::flex());
    assert!((loss - expected_loss).abs() < 1e-3 * expected_loss, "{loss} {expected_loss}");
    same(&logits, &expected, 1e-3);
}

#[test]
fn a_decode_gives_the_tokens_of_flex() {
    let decode = |device: &Device| {
        let canvas = Canvas::prompted(&[vec![9, 12], vec![30]], &[4, 6], &vocabulary()).unwrap();
        let canvas = reverse(&encoder(device), &Route::paper(), canvas, uniform(5), 1).finish().unwrap();
        [canvas.response(0), canvas.response(1)]
    };
    assert_eq!(decode(&Device::default()), decode(&Device::flex()));
}
