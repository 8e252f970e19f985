#![doc = include_str!("../README.md")]

pub mod checkpoint;
mod config;
pub mod data;
pub mod ema;
mod error;
mod guard;
mod hash;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod objective;
pub mod optim;
mod output;
pub mod precision;
pub mod progress;
mod resume;
mod run;
mod state;
pub mod step;
pub mod tensorboard;
pub mod trainer;

pub use checkpoint::latest;
pub use config::TrainConfig;
pub use data::{BatchSize, BatchSource, Batches};
pub use ema::Ema;
pub use error::{Error, Foreign};
pub use guard::{Guard, OnSpike, Spike};
pub use hash::fingerprint;
pub use log::{MetricsFile, Sample, StepLog};
pub use memory::Memory;
pub use objective::{
    Anneal, Chunked, CrossEntropy, Diffusion, Objective, autoregressive, bert, validation_loss,
};
pub use optim::{AdamW, Decay, LrSchedule, Muon, Warmup};
pub use precision::Precision;
pub use progress::{Count, Metrics, Progress};
pub use resume::{average, average_ema};
pub use run::{Better, Hooks, Scores, Summary};
pub use step::StepReport;
pub use trainer::{Trainer, init_seeded};
