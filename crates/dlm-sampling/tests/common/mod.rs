//! Networks for tests.
#![allow(dead_code, reason = "each test binary uses some of these")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use dlm_core::{Denoiser, DenoiserInput, TokenId, Vocabulary};
use dlm_sampling::{Canvas, Error};

pub(crate) const VOCABULARY: usize = 12;
pub(crate) const MASK: TokenId = 11;

pub(crate) fn vocabulary() -> Vocabulary {
    Vocabulary::new(VOCABULARY, 0, 1, 2, MASK).unwrap()
}

/// The tokens of each row of an input without its padding.
pub(crate) fn rows(input: &DenoiserInput<'_>) -> Vec<Vec<TokenId>> {
    let len = input.shape[1].max(1);
    let pad = |i: usize| input.pad.is_some_and(|pad| pad[i]);
    let row = |start: usize| (start..start + len).filter(|&i| !pad(i)).map(|i| input.ids[i]).collect();
    (0..input.shape[0]).map(|index| row(index * len)).collect()
}

/// A network from a function of (row without padding, position, time) to V logits.
pub(crate) struct Fn<F> {
    pub(crate) size: usize,
    pub(crate) time_free: bool,
    pub(crate) logits: F,
}

impl<F: std::ops::Fn(&[TokenId], usize, f64) -> Vec<f32>> Denoiser for Fn<F> {
    fn vocab_size(&self) -> usize {
        self.size
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let (rows, len) = (rows(input), input.shape[1]);
        let answer = |&i: &usize| (self.logits)(&rows[i / len], i % len, input.times[i / len]);
        let logits: Vec<f32> = input.at.iter().flat_map(answer).collect();
        Tensor::from_data(TensorData::new(logits, [input.at.len(), self.size]), &self.device())
    }
    fn time_free(&self) -> bool {
        self.time_free
    }
}

/// Logits in [-4, 4] that are a hash of the whole row and of where is asked.
pub(crate) fn hashed(
    salt: u64,
    time_free: bool,
) -> Fn<impl std::ops::Fn(&[TokenId], usize, f64) -> Vec<f32>> {
    let logits = move |row: &[TokenId], position: usize, time: f64| {
        let time = if time_free { 0 } else { time.to_bits() };
        let state = row.iter().fold(mix(salt ^ time), |state, &id| mix(state ^ u64::from(id)));
        let unit = |word: usize| mix(state ^ mix((position * VOCABULARY + word) as u64)) >> 40;
        (0..VOCABULARY).map(|word| unit(word) as f32 / (1 << 21) as f32 - 4.0).collect()
    };
    Fn { size: VOCABULARY, time_free, logits }
}

/// The finaliser of `SplitMix64`.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Logits at `position` of a network that ignores its input.
pub(crate) fn constant(logits: Vec<f32>) -> Fn<impl std::ops::Fn(&[TokenId], usize, f64) -> Vec<f32>> {
    Fn { size: logits.len(), time_free: true, logits: move |_: &[TokenId], _, _| logits.clone() }
}

/// One attention layer with random weights, padding masked: a real network, if a small one.
pub(crate) struct Tiny {
    embedding: Tensor<2>,
    position: Tensor<2>,
    query: Tensor<2>,
}

impl Tiny {
    const WIDTH: usize = 8;
    const LENGTH: usize = 64;

    pub(crate) fn new(seed: u64) -> Self {
        let random = |rows: usize, salt: u64| {
            let value =
                |i: usize| (mix(seed ^ mix(salt) ^ mix(i as u64)) >> 40) as f32 / (1 << 23) as f32 - 1.0;
            let data: Vec<f32> = (0..rows * Self::WIDTH).map(value).collect();
            Tensor::<2>::from_data(TensorData::new(data, [rows, Self::WIDTH]), &Device::default())
        };
        let (embedding, position) = (random(VOCABULARY, 1), random(Self::LENGTH, 2));
        Self { embedding: embedding.mul_scalar(2.0), position, query: random(Self::WIDTH, 3) }
    }
}

impl Denoiser for Tiny {
    fn vocab_size(&self) -> usize {
        VOCABULARY
    }
    fn device(&self) -> Device {
        self.embedding.device()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let ([rows, len], device) = (input.shape, self.device());
        let ids: Vec<i32> = input.ids.iter().map(|&id| id as i32).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [rows * len]), &device);
        let words = self.embedding.clone().select(0, ids).reshape([rows, len, Self::WIDTH]);
        let x = words + self.position.clone().narrow(0, 0, len).unsqueeze();
        let pad = input.pad.map_or_else(|| vec![false; rows * len], <[bool]>::to_vec);
        let pad = Tensor::<2, Bool>::from_data(TensorData::new(pad, [rows, len]), &device);
        let scores = x.clone().matmul(self.query.clone().unsqueeze()).matmul(x.clone().swap_dims(1, 2));
        let scores = scores.mask_fill(pad.unsqueeze_dim::<3>(1).expand([rows, len, len]), -1e9);
        let mixed = (softmax(scores, 2).matmul(x.clone()) + x).reshape([rows * len, Self::WIDTH]);
        let at: Vec<i32> = input.at.iter().map(|&i| i as i32).collect();
        let asked = mixed.select(0, Tensor::from_data(TensorData::new(at, [input.at.len()]), &device));
        asked.matmul(self.embedding.clone().transpose())
    }
    fn time_free(&self) -> bool {
        true
    }
}

/// Logits under which `token` is the most probable word and has log-probability `log_p`: all other words
/// share the rest, except the mask, whose logit is the highest of all and must not matter.
pub(crate) fn with_log_p(size: usize, mask: TokenId, token: TokenId, log_p: f64) -> Vec<f32> {
    let rest = ((1.0 - log_p.exp()) / (size - 2) as f64).ln() as f32;
    let mut logits = vec![rest; size];
    logits[token as usize] = log_p as f32;
    logits[mask as usize] = 5.0;
    logits
}

pub(crate) fn error_of<T>(result: Result<T, Error>) -> Error {
    result.err().expect("an error")
}

/// `BOS prompt noise EOS` in one row.
pub(crate) fn prompted(prompt: &[TokenId], length: usize) -> Canvas {
    Canvas::prompted(&[prompt], &[length], &vocabulary()).unwrap()
}
