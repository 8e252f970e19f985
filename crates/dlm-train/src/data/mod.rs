//! From files to batches: [`Record`]s of text, [`Example`]s of tokens, sequences, [`Batches`].

mod batches;
mod examples;
mod records;

pub use batches::{BatchSize, BatchSource, Batches};
pub use examples::{Cut, Example, Limit, sequences, tokenise};
pub use records::{Fields, Record, read_jsonl, read_tsv};
