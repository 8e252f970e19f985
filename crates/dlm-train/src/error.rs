use std::path::PathBuf;

/// An error of the caller's own code: a tokeniser, an evaluation.
pub type Foreign = Box<dyn std::error::Error + Send + Sync>;

/// Everything that files, configuration and numbers can do to a training run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Noise, times or batches were asked for something they cannot do.
    #[error(transparent)]
    Core(#[from] dlm_core::Error),
    /// A number lies outside the range in which it has a meaning.
    #[error("{name} must be {expected}, got {got}")]
    OutOfDomain {
        /// The parameter.
        name: &'static str,
        /// The values it may take.
        expected: &'static str,
        /// The value it was given.
        got: f64,
    },
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
    /// A line of a data file is not a record, or not one that can be used: it has more tokens than there may be.
    #[error("{}:{line}: expected {expected}, got {got}", path.display())]
    Record {
        /// The data file.
        path: PathBuf,
        /// Line number, from 1; of Parquet, the row's.
        line: usize,
        /// What a line should hold.
        expected: String,
        /// What this line holds.
        got: String,
    },
    /// A file of sequences is foreign, cut short or damaged.
    #[error("{}: expected {expected}, got {got}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A template's text is not one.
    #[error("template, character {character}: expected {expected}, got {got}")]
    Template {
        /// Place of the character at fault, from 1; one more than there are for the end.
        character: usize,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        got: String,
    },
    /// A template has a place for a field that the record does not have.
    #[error("record {index}: expected the field `{field}`, got {got}")]
    MissingField {
        /// Index of the record, from 0.
        index: usize,
        /// Name of the field.
        field: String,
        /// Names of the fields that there are.
        got: String,
    },
    /// A source of a mixture cannot be drawn from.
    #[error("source `{name}` of the mixture: expected {expected}, got {got}")]
    Source {
        /// Name of the source.
        name: String,
        /// What it should have.
        expected: String,
        /// What it has.
        got: String,
    },
    /// The caller's tokeniser failed.
    #[error("cannot tokenise the {field} of {place}")]
    Tokenise {
        /// Where the record stands.
        place: crate::data::Place,
        /// `prompt` or `response`.
        field: &'static str,
        /// What the tokeniser said.
        source: Foreign,
    },
    /// A sequence has no tokens.
    #[error("sequence {index} is empty")]
    EmptySequence {
        /// Which sequence.
        index: usize,
    },
    /// An example in memory does not fit; one of a file is an [`Error::Record`].
    #[error("example {index} has {got} tokens, more than {limit}")]
    TooLong {
        /// Index of the example, from 0.
        index: usize,
        /// The most tokens there may be.
        limit: usize,
        /// How many there are.
        got: usize,
    },
    /// No parameter of the model can be trained.
    #[error("no parameter is tracked: build the model on `device.autodiff()` or call `train()` on it")]
    Untracked,
    /// A device cannot compute in the numbers that the configuration names.
    #[error("{device} has no {precision:?}: choose another precision or another device")]
    Precision {
        /// The device.
        device: String,
        /// The numbers.
        precision: crate::Precision,
    },
    /// A loss or a gradient is infinite or not a number.
    #[error("step {step}: the {what} is {got}; lower the learning rate or clip the gradient")]
    NotFinite {
        /// The step whose numbers were read. The first bad step may be an earlier, unread one.
        step: u64,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// Its value.
        got: f64,
    },
    /// A step was not taken, because it would have harmed the model, and the guard says to stop.
    #[error(
        "step {step}: the loss is {} and the gradient norm {}, where {} is usual; lower the learning rate, or \
         look at this step's batches",
        spike.loss, spike.grad_norm, spike.usual
    )]
    Spike {
        /// The step, from 1.
        step: u64,
        /// Its numbers.
        spike: crate::Spike,
    },
    /// The caller's own code, called between steps, failed.
    #[error("step {step}: the {what} failed")]
    Callback {
        /// The step after which it was called.
        step: u64,
        /// Which call it was.
        what: &'static str,
        /// What it said.
        source: Foreign,
    },
    /// A file of parameters or moments could not be written, read, or matched to the model.
    #[error("{}: not an archive of this model", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What burn said.
        source: burn::store::RecordError,
    },
    /// A checkpoint is damaged, or is not of this run.
    #[error("{}: {what}: expected {expected}, got {got}", path.display())]
    Checkpoint {
        /// The checkpoint's folder or file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        what: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        got: String,
    },
}

impl Error {
    /// For `map_err`: what was tried, and on which file.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// `Ok` if `holds`, else [`Error::OutOfDomain`].
pub(crate) fn in_domain(
    holds: bool,
    name: &'static str,
    expected: &'static str,
    got: f64,
) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::OutOfDomain { name, expected, got }) }
}
