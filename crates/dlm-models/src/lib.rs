#![doc = include_str!("../README.md")]

mod attention;
mod config;
mod encoder;
mod error;
mod init;
mod position;

pub use attention::SelfAttention;
pub use config::{Activation, EncoderConfig, Family, ParamCounts};
pub use encoder::{Embeddings, Encoder, Head, Layer};
pub use error::Error;
