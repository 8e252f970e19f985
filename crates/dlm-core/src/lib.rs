#![doc = include_str!("../README.md")]

pub mod corrupt;
pub mod denoiser;
mod error;
pub mod forward;
pub mod host;
pub mod likelihood;
pub mod loss;
pub mod prior;
pub mod recompute;
pub mod rng;
pub mod schedule;
pub mod sequence;
pub mod time;
pub mod view;

pub use denoiser::{Attention, Decoder, Denoiser, DenoiserInput, Factored};
pub use error::Error;
pub use forward::{BlockQuestion, Blocks, Forward, Noised};
pub use likelihood::{Estimator, Likelihood};
pub use prior::Prior;
pub use rng::{CounterRng, Purpose, RowRng};
pub use schedule::Schedule;
pub use sequence::{Batch, Sequence, TokenId, Vocabulary};
pub use time::Times;
