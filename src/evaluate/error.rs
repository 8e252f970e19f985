use std::path::PathBuf;

/// What a task file, its data or a network can do to an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text could not be turned into tokens or back, or lengths could not be guessed.
    #[error(transparent)]
    Pipeline(#[from] crate::pipeline::Error),
    /// A likelihood could not be computed.
    #[error(transparent)]
    Core(#[from] dlm_core::Error),
    /// Decoding failed.
    #[error(transparent)]
    Sampling(#[from] dlm_sampling::Error),
    /// Data could not be read, or does not have the form's fields.
    #[error(transparent)]
    Data(#[from] dlm_train::Error),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A task file is no TOML, or has an unknown field, lacks one, or one of the wrong type.
    #[error("{}: {source}", path.display())]
    Toml {
        /// The task file.
        path: PathBuf,
        /// What its reader said.
        source: Box<toml::de::Error>,
    },
    /// A field of a task file has a value that makes no sense.
    #[error("{}: {field}: expected {expected}, got {got}", path.display())]
    Task {
        /// The task file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A name that no metric or form has.
    #[error("there is no {what} `{got}`; did you mean `{nearest}`? There are {known}")]
    UnknownName {
        /// `metric` or `form`.
        what: &'static str,
        /// The name.
        got: String,
        /// The known name with the fewest edits.
        nearest: &'static str,
        /// All known names.
        known: String,
    },
    /// The data files of a task hold no case.
    #[error("task {task}: no case in {}", files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoCases {
        /// The task.
        task: String,
        /// Its data files.
        files: Vec<PathBuf>,
    },
    /// A network that predicts the next token can be read from left to right alone.
    #[error(
        "task {task}: generate.strategy: expected `ar`, or none, for a network that predicts the next token, got `{got}`"
    )]
    Strategy {
        /// The task.
        task: String,
        /// What it asks for.
        got: String,
    },
    /// A case cannot be asked or judged as the task says.
    #[error("task {task}, case {index}: expected {expected}, got {got}")]
    Case {
        /// The task.
        task: String,
        /// Index of the case in the data, from 0.
        index: usize,
        /// What it should have.
        expected: String,
        /// What it has.
        got: String,
    },
}
