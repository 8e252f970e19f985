use std::path::PathBuf;

/// What can be wrong with a recipe, and with the run that it describes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A recipe is not TOML.
    #[error("{place}: {reason}")]
    Syntax {
        /// File and line.
        place: String,
        /// What the parser said.
        reason: String,
    },
    /// A recipe has a field that there is not.
    #[error("{place}: there is no field {field}; {hint}")]
    UnknownField {
        /// File and line.
        place: String,
        /// The field, with its section.
        field: String,
        /// The nearest field that there is, or all.
        hint: String,
    },
    /// A field has a value of the wrong kind.
    #[error("{place}: {field}: expected {expected}, got {got}")]
    Value {
        /// File and line.
        place: String,
        /// The field, with its section.
        field: String,
        /// What it may hold.
        expected: String,
        /// What it holds.
        got: String,
    },
    /// A recipe lacks a field.
    #[error("{place}: the field {field} is missing")]
    MissingField {
        /// File and line.
        place: String,
        /// The field.
        field: String,
    },
    /// A field's value has no meaning, alone or beside the others.
    #[error("{field} must be {expected}, got {got}")]
    OutOfRange {
        /// The field, with its section.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// The run's folder holds a run of another recipe, from which this one cannot go on.
    #[error(
        "the run in {} has {field} = {before}, this recipe {now}: set {field} = {before} to go on with it, or choose another \
         folder",
        out.display()
    )]
    OtherRun {
        /// The run's folder.
        out: PathBuf,
        /// The first field that differs, with its section.
        field: String,
        /// What the run was begun with.
        before: String,
        /// What it is now.
        now: String,
    },
    /// The run's folder holds a run whose best value so far is of another measure or of other records, and means
    /// nothing beside this recipe's values.
    #[error(
        "the run in {} was validated otherwise (fingerprint {before}, now {now}): restore [validate] and the records of \
         data.valid or data.held_out to go on with it, or choose another folder",
        out.display()
    )]
    OtherValidation {
        /// The run's folder.
        out: PathBuf,
        /// Fingerprint of what was measured, and on what.
        before: String,
        /// Fingerprint of what would be measured now.
        now: String,
    },
    /// A recipe cannot be written as TOML.
    #[error("a recipe has no TOML: {0}")]
    Unwritable(#[from] toml::ser::Error),
    /// A folder or a tokenizer cannot be used.
    #[error(transparent)]
    Models(#[from] dlm_models::Error),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] dlm_train::Error),
    /// Decoding failed.
    #[error(transparent)]
    Sampling(#[from] dlm_sampling::Error),
    /// A stage's own code failed.
    #[error(transparent)]
    Pipeline(#[from] crate::pipeline::Error),
    /// Data that make no batch.
    #[error(transparent)]
    Core(#[from] dlm_core::Error),
    /// Text and ids could not be turned into each other.
    #[error(transparent)]
    Text(#[from] crate::text::Error),
    /// A plot could not be drawn.
    #[error("cannot draw {}: {reason}", path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// What the plotter said.
        reason: String,
    },
}

impl Error {
    /// For `map_err`: what was tried, and on which file.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
