//! From files to batches: [`Record`]s of text, [`Example`]s of tokens, sequences in memory or in a [`Store`],
//! [`Batches`], [`Packed`] rows or a [`Mixture`].

mod array;
mod batches;
mod cache;
mod corpus;
mod examples;
mod file;
mod instruct;
mod mixture;
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
mod place;
mod positional;
mod prompt;
mod read;
mod records;
mod rows;
mod store;
mod store_writer;
mod template;
mod token_mixture;
mod tokenise;
mod value;

pub use batches::{BatchSize, BatchSource, Batches};
pub use cache::{Cached, Found, Recipe, cached};
pub use corpus::{Corpus, Files, Taken, in_memory};
pub use examples::{Cut, Example, Limit, sequences};
pub use instruct::{Chat, NaturalInstructions, Outputs, Turns};
pub use mixture::{FLAN_2022, Mixture, Origin, Pass, Source};
pub use packed::{Packed, Packing};
pub use place::Place;
pub use prompt::{Form, FormText, Prompt, ShotOrder, Shots, forms};
pub use read::{
    Documents, Format, Loaded, OnBroken, Skipped, each_record, read, read_cases, read_columns, read_objects,
};
pub use records::{Fields, Record, read_jsonl, read_tsv};
pub use rows::Rows;
pub use store::Store;
pub use store_writer::StoreWriter;
pub use template::{Case, Template};
pub use token_mixture::TokenMixture;
pub use tokenise::{tokenise, tokenise_on};
pub use value::lists;
