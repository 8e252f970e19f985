#![doc = include_str!("../README.md")]

mod attention;
mod checkpoint;
mod config;
mod encoder;
mod error;
mod experts;
mod freeze;
mod gpt2;
mod grouped;
mod init;
mod length;
mod llama;
mod lora;
mod mlp;
mod position;
mod quantise;
mod rotary;
mod tokenizer;
mod tokenizer_training;
mod vocab;

pub use attention::SelfAttention;
pub use checkpoint::{Checkpoint, Missing, Pretrained, Report, Slot, Slots, Stored, Words};
pub use config::{
    Activation, Biases, EncoderConfig, ExpertsConfig, Family, Gpt2Config, LlamaConfig, LlamaFamily,
    ParamCounts,
};
pub use encoder::{Embeddings, Encoder, Head, Layer};
pub use error::Error;
pub use experts::Experts;
pub use freeze::{Size, freeze, size, trainable};
pub use gpt2::{Gpt2, Gpt2Block};
pub use grouped::{Apart, GroupedAttention, Projections, QueryKeyNorms};
pub use length::{LengthHead, LengthHeadConfig, length_class, length_loss, top_lengths};
pub use llama::{Block, Feed, Llama};
pub use lora::Lora;
pub use mlp::{GatedMlp, Mlp};
pub use quantise::{Bits, quantised};
pub use rotary::Scaling as RopeScaling;
pub use tokenizer::vocabulary;
pub use tokenizer_training::{Pieces, train_tokenizer};
pub use vocab::{IdMap, with_mean_row, with_more_words};
