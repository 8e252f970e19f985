//! From files to batches.

mod batches;

pub use batches::{BatchSize, BatchSource, Batches};
