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

/// An empty folder that is deleted at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("dlm-length-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn a_head_comes_back_from_its_folder_bit_for_bit() {
    let (folder, device) = (Scratch::new("roundtrip"), Device::default());
    assert!(LengthHead::read(&folder.0, &device).expect("no file is no error").is_none());
    let head = head(&device);
    head.write(&folder.0).expect("written");
    let read = LengthHead::read(&folder.0, &device).expect("read").expect("there");
    assert_eq!(read.config(), head.config());
    let features = Tensor::<3>::random([2, 3, 8], burn::tensor::Distribution::Default, &device);
    assert_eq!(read.logits(features.clone(), None).into_data(), head.logits(features, None).into_data());
}

#[test]
fn files_that_are_no_head_are_refused() {
    let (folder, device) = (Scratch::new("refused"), Device::default());
    let read = || LengthHead::read(&folder.0, &device).expect_err("refused");
    let rewrite = |from: &str, to: &str| {
        head(&device).write(&folder.0).expect("written");
        let path = folder.0.join("length_head.json");
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).expect("written");
    };
    rewrite("\"classes\": 6", "\"classes\": 7");
    let error = read();
    assert!(matches!(&error, Error::Shape { key, .. } if key == "outer.weight"), "{error}");
    rewrite("\"classes\": 6", "\"classes\": 0");
    assert!(matches!(read(), Error::Config { field: "classes", .. }));
    rewrite("\"classes\": 6", "\"classes\": ");
    assert!(matches!(read(), Error::Damaged { .. }));
    head(&device).write(&folder.0).expect("written");
    let weights = folder.0.join("length_head.safetensors");
    let bytes = std::fs::read(&weights).expect("bytes");
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).expect("written");
    assert!(matches!(read(), Error::Damaged { .. }));
    // The header's names have the same length as these.
    let renamed = String::from_utf8_lossy(&bytes[..8192.min(bytes.len())]).find("outer.bias").expect("named");
    let mut other = bytes.clone();
    other[renamed..renamed + 5].copy_from_slice(b"other");
    std::fs::write(&weights, other).expect("written");
    let error = read();
    assert!(matches!(&error, Error::Missing { keys } if keys == &["outer.bias"]), "{error}");
    std::fs::remove_file(&weights).expect("removed");
    assert!(matches!(read(), Error::NoFile { file: "length_head.safetensors", .. }));
}
