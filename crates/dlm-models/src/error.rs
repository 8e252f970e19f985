use std::path::{Path, PathBuf};

/// Everything that a bad configuration, bad input or bad file can do to this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a configuration lies outside the range in which it has a meaning.
    #[error("{field} must be {expected}, got {got}")]
    Config {
        /// The field, as `config.json` spells it.
        field: &'static str,
        /// The values it may take.
        expected: &'static str,
        /// The value it was given.
        got: String,
    },
    /// A configuration asks for a variant that is not implemented.
    #[error("{field} = {got} is not supported")]
    Unsupported {
        /// The field, as `config.json` spells it.
        field: &'static str,
        /// The value it was given.
        got: String,
    },
    /// `config.json` does not say which family the model belongs to.
    #[error("the configuration has no model_type: name the family")]
    NoFamily,
    /// `config.json` is not JSON, or a field is missing or of the wrong type.
    #[error("bad configuration: {0}")]
    ConfigJson(#[source] serde_json::Error),
    /// Ids, lengths or positions that `dlm-core` refuses.
    #[error(transparent)]
    Core(#[from] dlm_core::Error),
    /// A checkpoint's folder is not there, or is not a folder.
    #[error("no folder {}", path.display())]
    NoFolder {
        /// Where it was sought.
        path: PathBuf,
    },
    /// A checkpoint has none of the files that could hold what is needed.
    #[error("{} has no {file}", path.display())]
    NoFile {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What was sought.
        file: &'static str,
    },
    /// The hub does not answer, or has no such model.
    #[error("cannot get {name} from the hub: {reason}")]
    Hub {
        /// The model's name.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is there but its contents make no sense.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What its reader said.
        reason: String,
    },
    /// No tokenizer could be made of texts, or of another tokenizer.
    #[error("cannot make the tokenizer: {reason}")]
    Tokenizer {
        /// What is in the way.
        reason: String,
    },
    /// Weights of the network that a checkpoint lacks.
    #[error("the checkpoint lacks {}", keys.join(", "))]
    Missing {
        /// Their upstream names.
        keys: Vec<String>,
    },
    /// A weight's shape is not the one that the configuration asks for.
    #[error("{key}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// Its upstream name.
        key: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },
    /// A weight is stored as something that is not a float.
    #[error("{key}: expected floats, found {found}")]
    Dtype {
        /// Its upstream name.
        key: String,
        /// The type in the file.
        found: String,
    },
    /// A weight holds a NaN or an infinity.
    #[error("{key} is not finite at element {element}")]
    NotFinite {
        /// Its upstream name.
        key: String,
        /// Flat index of the first such element.
        element: usize,
    },
    /// An adapter, or a wish for one, that no linear layer of the network answers to.
    #[error("the network has no linear layer {target}")]
    NoTarget {
        /// The upstream name that was sought.
        target: String,
    },
    /// A head's scores hold a NaN.
    #[error("the scores of row {row} are not numbers")]
    NotFiniteLogits {
        /// Row of the batch.
        row: usize,
    },
    /// A tokenizer can say ids that the network has no row for.
    #[error("the tokenizer's highest id is {highest}, the network has {vocab_size} words")]
    TokenizerTooLarge {
        /// The tokenizer's highest id.
        highest: u32,
        /// Words of the network.
        vocab_size: usize,
    },
    /// A tokenizer lacks a token without which nothing can be denoised.
    #[error("the tokenizer has no {role} token (sought {})", sought.join(", "))]
    NoSpecialToken {
        /// What the token is for.
        role: &'static str,
        /// The spellings that would do.
        sought: &'static [&'static str],
    },
}

impl Error {
    pub(crate) fn damaged(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}
