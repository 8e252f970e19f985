//! What changes a network between loading and using it: frozen parts, more words, fewer bits, other types.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod seeded;

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, s};
use dlm_core::{Denoiser, DenoiserInput, TokenId};
use dlm_models::{
    Bits, Checkpoint, Encoder, EncoderConfig, Error, Pretrained, Slot, Stored, freeze, quantised, size,
    trainable, with_mean_row, with_more_words,
};

use self::seeded::seeded;

const IDS: [TokenId; 4] = [5, 6, 7, 12];

fn model(device: &Device) -> Encoder {
    // Large weights, so that every one matters.
    seeded(device, || EncoderConfig::new(13, 32, 2, 4).with_initializer_range(0.3).init(device).unwrap())
}

fn logits(model: &Encoder) -> Tensor<2> {
    model.logits(&DenoiserInput::new(&IDS, [1, 4], &[0, 1, 2, 3]))
}

fn gap(left: Tensor<2>, right: Tensor<2>) -> f32 {
    (left - right).abs().max().into_scalar()
}

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("adaptation").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn frozen_parameters_get_no_gradient_and_the_others_do() {
    let device = Device::default().autodiff();
    let all = trainable(&model(&device));
    assert_eq!(all, model(&device).num_params());
    let mut model = freeze(model(&device), |key| key.contains("embeddings") || key.contains(".layer.0."));
    let gradients = logits(&model).sum().backward();
    for (key, slot) in model.slots() {
        let found = match slot {
            Slot::Linear(param) | Slot::InputFirst(param) | Slot::Table(param) => {
                param.val().grad(&gradients).is_some()
            }
            Slot::Vector(param) => param.val().grad(&gradients).is_some(),
            _ => panic!("a new kind of slot"),
        };
        assert_eq!(found, !(key.contains("embeddings") || key.contains(".layer.0.")), "{key}");
    }
}

#[test]
fn new_words_are_as_likely_as_the_average_word() {
    let model = model(&Device::default());
    let more = with_more_words(model.clone(), 2);
    assert_eq!((more.vocab_size(), more.config().vocab_size), (15, 15));
    let (before, after) = (logits(&model), logits(&more));
    assert!(gap(before.clone(), after.clone().slice(s![.., 0..13])) < 1e-5);
    let mean = before.mean_dim(1);
    for new in 13..15 {
        assert!(gap(mean.clone(), after.clone().slice(s![.., new..new + 1])) < 1e-5);
    }
    // The table is the decoder too: a network that is asked about a new word answers.
    more.check(&DenoiserInput::new(&[14], [1, 1], &[0])).unwrap();
}

#[test]
fn a_row_becomes_the_mean_and_the_others_stay() {
    let model = model(&Device::default());
    let changed = with_mean_row(model.clone(), 12).unwrap();
    let rows = |model: &Encoder| {
        let mut model = model.clone();
        model.words().tables[0].val()
    };
    let (before, after) = (rows(&model), rows(&changed));
    assert_eq!(
        before.clone().slice(s![0..12, ..]).into_data(),
        after.clone().slice(s![0..12, ..]).into_data()
    );
    assert!(gap(before.mean_dim(0), after.slice(s![12..13, ..])) < 1e-6);
    assert!(matches!(with_mean_row(model, 13), Err(Error::Core(_))));
}

#[test]
fn fewer_bits_are_less_memory_and_nearly_the_same_logits() {
    // ndarray has no 4 bits.
    let model = model(&Device::flex());
    let plain = logits(&model);
    let error = |bits| {
        let gap = logits(&quantised(&model, bits)) - plain.clone();
        (gap.square().mean() / plain.clone().square().mean()).sqrt().into_scalar::<f32>()
    };
    let (eight, four) = (error(Bits::Eight), error(Bits::Four));
    assert!(eight > 0.0 && eight < 0.05, "{eight}");
    assert!(four > 4.0 * eight && four < 0.6, "{four}");
    // The linear layers' 2 · (4 · 32 · 32 + 2 · 32 · 128) + 32 · 32 weights, with a scale for each 32 of them.
    let weights = 25_600;
    let others = size(&model).bytes - 4 * weights;
    let bytes = |bits| size(&quantised(&model, bits)).bytes - others;
    assert_eq!(bytes(Bits::Eight), weights + weights / 32 * 4);
    assert_eq!(bytes(Bits::Four), weights / 2 + weights / 32 * 4);
}

#[test]
fn weights_keep_the_type_of_the_file_or_take_another() {
    let folder = scratch("types");
    let model = model(&Device::default());
    Checkpoint::write(&model, &folder, None).unwrap();
    let load = |dtype| {
        let checkpoint = Checkpoint::open(&folder).unwrap().with_dtype(dtype);
        checkpoint.load::<Encoder>(&Device::flex()).unwrap().0
    };
    let half = load(Stored::As(DType::BF16));
    assert_eq!(size(&half).bytes, size(&model).bytes / 2);
    let answer = logits(&half);
    assert_eq!(answer.dtype(), DType::BF16);
    let plain = logits(&load(Stored::F32));
    let error = gap(answer.cast(DType::F32), plain.clone());
    assert!(error > 0.0 && error < 0.05 * plain.abs().max().into_scalar::<f32>(), "{error}");

    // Written in its type, read in it, and read as f32.
    Checkpoint::write(&half, &folder, None).unwrap();
    assert_eq!(size(&load(Stored::Kept)), size(&half));
    assert_eq!(size(&load(Stored::F32)), size(&model));
    assert_eq!(logits(&load(Stored::Kept)).into_data(), logits(&half).into_data());
}

#[test]
fn a_folder_may_be_written_in_several_files() {
    let folder = scratch("shards");
    let model = model(&Device::default());
    Checkpoint::write_sharded(&model, &folder, None, 70_000).unwrap();
    let weights = |name: &str| name.ends_with(".safetensors");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()).collect();
    let files: Vec<_> = files.iter().filter(|file| weights(&file.file_name().to_string_lossy())).collect();
    assert!(files.len() > 1, "{files:?}");
    assert!(files.iter().all(|file| file.metadata().unwrap().len() < 75_000), "{files:?}");
    let load = || Checkpoint::open(&folder).unwrap().load::<Encoder>(&Device::default()).unwrap().0;
    assert_eq!(logits(&load()).into_data(), logits(&model).into_data());

    // A single file in its place, and none of the index left that would hide it.
    let other = EncoderConfig::new(13, 32, 2, 4).init(&Device::default()).unwrap();
    Checkpoint::write(&other, &folder, None).unwrap();
    assert_eq!(logits(&load()).into_data(), logits(&other).into_data());
}
