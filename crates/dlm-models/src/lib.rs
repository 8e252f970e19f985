#![doc = include_str!("../README.md")]

mod attention;
mod checkpoint;
mod config;
mod encoder;
mod error;
#[allow(dead_code, reason = "for the families to come")]
mod init;
mod length;
#[allow(dead_code, reason = "for the families to come")]
mod mlp;
mod position;
#[allow(dead_code, reason = "for the families to come")]
mod rotary;
mod tokenizer;
mod tokenizer_training;
mod vocab;

pub use attention::SelfAttention;
pub use checkpoint::{Checkpoint, Missing, Pretrained, Report, Slot, Slots, Stored, Words};
pub use config::{Activation, EncoderConfig, Family, ParamCounts};
pub use encoder::{Embeddings, Encoder, Head, Layer};
pub use error::Error;
pub use length::{LengthHead, LengthHeadConfig, length_class, length_loss, top_lengths};
pub use mlp::{GatedMlp, Mlp};
pub use tokenizer::vocabulary;
pub use tokenizer_training::{Pieces, train_tokenizer};
pub use vocab::IdMap;
