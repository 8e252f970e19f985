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
    /// A token id is not in the vocabulary.
    #[error(transparent)]
    Core(#[from] dlm_core::Error),
    /// A row has more tokens than the network has positions.
    #[error("row {row} has {got} tokens, the network has positions for {most}")]
    TooLong {
        /// Row of the batch.
        row: usize,
        /// Its tokens, padding aside.
        got: usize,
        /// Tokens that fit.
        most: usize,
    },
    /// Logits were asked at a position that the batch does not have.
    #[error("logits asked at flat position {at} of a batch of {len}")]
    NoPosition {
        /// The offending flat position.
        at: usize,
        /// Positions in the batch, B · L.
        len: usize,
    },
}
