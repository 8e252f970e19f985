#![doc = include_str!("../README.md")]

mod albert;
mod attention;
mod auto;
mod checkpoint;
mod clip;
mod config;
mod dit;
mod encoder;
mod error;
mod esm;
mod experts;
mod freeze;
mod gelu;
mod gpt2;
mod grouped;
mod init;
mod length;
mod llama;
mod llava;
mod lora;
mod mlp;
mod modernbert;
mod norm;
mod position;
mod quantise;
mod rdm;
mod rotary;
mod stack;
mod tokenizer;
mod tokenizer_training;
mod vocab;

pub use albert::{Albert, AlbertConfig};
pub use attention::SelfAttention;
pub use auto::AutoDenoiser;
pub use checkpoint::{Checkpoint, Id, Missing, Pretrained, Report, Slot, Slots, Stored, TOKENIZER, Words};
pub use clip::{ClipVision, ClipVisionConfig, normalised};
pub use config::{
    Activation, Biases, EncoderConfig, ExpertsConfig, Family, Gpt2Config, LlamaConfig, LlamaFamily,
    ParamCounts, Router,
};
pub use dit::{Dit, DitBlock, DitConfig, DitLayout, Sedd, Sigma, TimeEmbedding};
pub use encoder::{Embeddings, Encoder, Head, Layer};
pub use error::Error;
pub use esm::{Esm, EsmConfig};
pub use experts::Experts;
pub use freeze::{Size, freeze, size, trainable};
pub use gpt2::{Gpt2, Gpt2Block};
pub use grouped::{Apart, GroupedAttention, Projections, QueryKeyNorms};
pub use length::{LengthHead, LengthHeadConfig, length_class, length_loss, top_lengths};
pub use llama::{Block, Feed, Llama};
pub use llava::{Llava, LlavaConfig, Seeing};
pub use lora::Lora;
pub use mlp::{GatedMlp, Mlp};
pub use modernbert::{ModernBert, ModernBertBlock, ModernBertConfig};
pub use quantise::{Bits, quantised};
pub use rdm::{Rdm, RdmConfig, RdmEmbedding, RdmLayer};
pub use rotary::Scaling as RopeScaling;
pub use tokenizer::vocabulary;
pub use tokenizer_training::{Pieces, train_tokenizer};
pub use vocab::{IdMap, with_mean_row, with_more_words};
