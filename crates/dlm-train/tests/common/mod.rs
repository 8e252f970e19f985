//! A network small enough to check by hand, and what the tests share.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part of it

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use dlm_core::recompute::segment;
use dlm_core::{Denoiser, DenoiserInput, Sequence, TokenId, Vocabulary};
use dlm_train::data::{BatchSize, Batches};
use dlm_train::{TrainConfig, init_seeded};

pub const WORDS: usize = 12;
pub const MASK: TokenId = 11;

/// Guesses a token from its own embedding and the mean of its row.
#[derive(Module, Debug)]
pub struct Toy {
    embedding: Embedding,
    norm: LayerNorm,
    dropout: Dropout,
    head: Linear,
}

impl Toy {
    pub fn new(width: usize, dropout: f64, device: &Device) -> Self {
        Self {
            embedding: EmbeddingConfig::new(WORDS, width).init(device),
            norm: LayerNormConfig::new(width).init(device),
            dropout: DropoutConfig::new(dropout).init(),
            head: LinearConfig::new(width, WORDS).init(device),
        }
    }
}

impl Denoiser for Toy {
    fn vocab_size(&self) -> usize {
        WORDS
    }

    fn device(&self) -> Device {
        self.head.weight.device()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let device = self.device();
        let [rows, len] = input.shape;
        let ids: Vec<i32> = input.ids.iter().map(|&id| id as i32).collect();
        let at: Vec<i32> = input.at.iter().map(|&i| i as i32).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, len]), &device);
        let at = Tensor::<1, Int>::from_data(TensorData::new(at, [input.at.len()]), &device);
        let tokens = self.embedding.forward(ids);
        let hidden = self.norm.forward(tokens.clone() + tokens.mean_dim(1)).flatten::<2>(0, 1);
        // As far as there is a layer, it takes part in gradient checkpointing.
        let hidden = segment(&self.dropout, hidden, |dropout: &Dropout, hidden| dropout.forward(hidden));
        self.head.forward(hidden.select(0, at))
    }
}

/// The device of the tests: `BURN_DEVICE` chooses.
pub fn device() -> Device {
    Device::default().autodiff()
}

/// A toy of width 8.
pub fn toy(dropout: f64) -> Toy {
    init_seeded(Toy::new(8, dropout, &device()), &device(), 3)
}

/// burn's generator belongs to the whole process: tests that need its draws to repeat run one by one.
pub fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub fn vocabulary() -> Vocabulary {
    Vocabulary::new(WORDS, 0, 1, 2, MASK).expect("ids below the size")
}

/// `n` sequences `BOS a b a b EOS`: each response repeats its prompt.
pub fn rows(n: usize) -> Vec<Sequence> {
    let pair = |i: usize| [3 + (i % 7) as TokenId, 3 + (i / 7 % 7) as TokenId];
    (0..n).map(|i| Sequence::prompt_response(&pair(i), &pair(i), &vocabulary())).collect()
}

pub fn batches(n: usize, size: usize) -> Batches {
    Batches::new(rows(n), vocabulary(), BatchSize::Sequences(size), 5).expect("a data set")
}

/// A configuration without warm-up.
pub fn config(steps: u64) -> TrainConfig {
    let lr = dlm_train::LrSchedule::constant(1e-2);
    TrainConfig { lr, seed: 9, ..TrainConfig::paper(1e-2, steps) }
}

/// All parameters of a module, in the order of its fields.
pub fn values<M: Module>(module: &M) -> Vec<f32> {
    struct Values(Vec<f32>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.base().into_data().iter::<f32>());
        }
    }
    let mut values = Values(Vec::new());
    module.visit(&mut values);
    values.0
}

/// As [`values`], as bits: NaN equals NaN and 0 is not −0.
pub fn bits<M: Module>(module: &M) -> Vec<u32> {
    values(module).into_iter().map(f32::to_bits).collect()
}

/// A new folder that vanishes at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dlm-train-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a temporary file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
