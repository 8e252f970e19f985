#![doc = include_str!("../README.md")]

mod attention;
mod checkpoint;
mod config;
mod encoder;
mod error;
mod init;
mod length;
mod position;
mod tokenizer;
mod tokenizer_training;
mod vocab;

pub use attention::SelfAttention;
pub use checkpoint::{Checkpoint, Missing, Report};
pub use config::{Activation, EncoderConfig, Family, ParamCounts};
pub use encoder::{Embeddings, Encoder, Head, Layer};
pub use error::Error;
pub use length::{LengthHead, LengthHeadConfig, length_class, length_loss, top_lengths};
pub use tokenizer::vocabulary;
pub use tokenizer_training::{Pieces, train_tokenizer};
pub use vocab::IdMap;
