//! The length head: classes and lengths, padding, learning.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use dlm_models::{
    EncoderConfig, Error, LengthHead, LengthHeadConfig, length_class, length_loss, top_lengths,
};

fn head(device: &Device) -> LengthHead {
    let backbone = EncoderConfig::new(9, 8, 1, 2);
    LengthHeadConfig::of(&backbone).with_classes(6).with_dropout(0.0).init(device).expect("valid")
}

fn scores(rows: &[[f32; 4]]) -> Tensor<2> {
    let data = TensorData::new(rows.concat(), [rows.len(), 4]);
    Tensor::from_data(data, &Device::default())
}

#[test]
fn classes_are_lengths_less_one_and_eos() {
    // One word and EOS is class 0, which means length 1.
    let classes = [0, 1, 2, 3, 7, 600].map(|words_and_eos| length_class(words_and_eos, 514));
    assert_eq!(classes, [0, 0, 0, 1, 5, 513]);
}

#[test]
fn likeliest_lengths_come_first_and_fit() {
    let logits = scores(&[[0.1, 3.0, 2.0, 1.0], [0.0, 0.0, 5.0, 9.0], [1.0, 0.0, 0.0, 0.0]]);
    let lengths = top_lengths(logits, 3, &[9, 3, 0]).expect("finite");
    // Lengths 4 and 3 of the second row both become 3.
    assert_eq!(lengths, [vec![2, 3, 4], vec![3, 1], vec![]]);
    let error = top_lengths(scores(&[[0.0; 4], [f32::NAN; 4]]), 1, &[4, 4]).expect_err("NaN");
    assert!(matches!(error, Error::NotFiniteLogits { row: 1 }));
}

#[test]
fn padding_does_not_count() {
    let device = Device::default();
    let head = head(&device);
    let words = Tensor::<3>::random([1, 3, 8], burn::tensor::Distribution::Default, &device);
    let padding = Tensor::<3>::ones([1, 2, 8], &device) * 7.0;
    let alone = head.logits(words.clone(), None);
    let padded = head.logits(Tensor::cat(vec![words, padding], 1), Some(&[false, false, false, true, true]));
    padded.into_data().assert_approx_eq::<f32>(&alone.into_data(), Tolerance::absolute(1e-5));
}

#[test]
fn a_head_that_knows_nothing_pays_the_logarithm_of_the_classes() {
    let loss: f32 = length_loss(scores(&[[2.0; 4], [5.0; 4]]), &[0, 3]).into_scalar();
    assert!((loss - 4.0_f32.ln()).abs() < 1e-6);
}

#[test]
fn a_head_learns_two_lengths() {
    let device = Device::default().autodiff();
    let mut head = head(&device);
    let row = |sign: f32| (0..16).map(move |i| sign * (i as f32).sin());
    let values: Vec<f32> = row(1.0).chain(row(-1.0)).collect();
    let features = Tensor::<3>::from_data(TensorData::new(values, [2, 2, 8]), &device);
    let mut optimiser = AdamConfig::new().init();
    for _ in 0..60 {
        let loss = length_loss(head.logits(features.clone(), None), &[1, 4]);
        let gradients = GradientsParams::from_grads(loss.backward(), &head);
        head = optimiser.step(0.02, head, gradients);
    }
    let lengths = top_lengths(head.valid().logits(features.inner(), None), 1, &[6, 6]).expect("finite");
    assert_eq!(lengths, [[2], [5]]);
}

#[test]
fn sizes_that_cannot_be_built_are_refused() {
    let config = LengthHeadConfig::of(&EncoderConfig::new(9, 8, 1, 2)).with_classes(0);
    assert!(matches!(config.init(&Device::default()), Err(Error::Config { field: "classes", .. })));
}
