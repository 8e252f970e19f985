//! Where a record stands.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a record stands: what an error calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In memory: its index, from 0.
    Index(usize),
    /// In a file.
    Line {
        /// The file.
        path: Arc<Path>,
        /// Number of the line where it begins, from 1; of Parquet, the row's.
        line: usize,
    },
}

impl fmt::Display for Place {
    /// `record 3` or `data.tsv:4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "record {index}"),
            Self::Line { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}
