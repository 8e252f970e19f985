#![doc = include_str!("../README.md")]

mod albert;
mod attention;
mod checkpoint;
mod clip;
mod config;
mod dit;
mod encoder;
mod error;
mod esm;
mod experts;
mod gpt2;
mod grouped;
mod init;
mod length;
mod llama;
mod llava;
mod mlp;
mod modernbert;
mod position;
mod rdm;
mod rotary;
mod stack;
mod tokenizer;
mod tokenizer_training;
mod vocab;

pub use albert::{Albert, AlbertConfig};
pub use attention::SelfAttention;
pub use checkpoint::{Checkpoint, Missing, Pretrained, Report, Slot, Slots, Stored, Words};
pub use clip::{ClipVision, ClipVisionConfig, normalised};
pub use config::{
    Activation, Biases, EncoderConfig, ExpertsConfig, Family, Gpt2Config, LlamaConfig, LlamaFamily,
    ParamCounts,
};
pub use dit::{Dit, DitBlock, DitConfig, DitLayout, Sigma, TimeEmbedding};
pub use encoder::{Embeddings, Encoder, Head, Layer};
pub use error::Error;
pub use esm::{Esm, EsmConfig};
pub use experts::Experts;
pub use gpt2::{Gpt2, Gpt2Block};
pub use grouped::{Apart, GroupedAttention, Projections, QueryKeyNorms};
pub use length::{LengthHead, LengthHeadConfig, length_class, length_loss, top_lengths};
pub use llama::{Block, Feed, Llama};
pub use llava::{Llava, LlavaConfig, Seeing};
pub use mlp::{GatedMlp, Mlp};
pub use modernbert::{ModernBert, ModernBertBlock, ModernBertConfig};
pub use rdm::{Rdm, RdmConfig, RdmEmbedding, RdmLayer};
pub use rotary::Scaling as RopeScaling;
pub use tokenizer::vocabulary;
pub use tokenizer_training::{Pieces, train_tokenizer};
pub use vocab::IdMap;
