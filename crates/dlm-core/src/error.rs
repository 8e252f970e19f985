use crate::TokenId;

/// Everything that bad configuration or bad data can do to this crate.
///
/// Shape disagreement between tensors that the caller built panics instead, as burn does.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// Two things that belong together have different lengths.
    #[error("{what}: expected {expected}, got {got}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A token id is not in the vocabulary.
    #[error("row {row}, position {position}: token id {id} is not below the vocabulary size {size}")]
    UnknownToken {
        /// Row of the batch.
        row: usize,
        /// Position in the row.
        position: usize,
        /// The offending id.
        id: TokenId,
        /// Number of words in the vocabulary.
        size: usize,
    },
    /// A special token's id is not in the vocabulary.
    #[error("the {name} id {id} is not below the vocabulary size {size}")]
    UnknownSpecial {
        /// Which special token.
        name: &'static str,
        /// Its id.
        id: TokenId,
        /// Number of words in the vocabulary.
        size: usize,
    },
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
    /// A network cannot answer what it is asked about a row.
    #[error("row {row}: the network needs {needs}")]
    Unanswerable {
        /// Which row.
        row: usize,
        /// What would be answered.
        needs: &'static str,
    },
    /// A row has no token that may become noise, so it has no likelihood.
    #[error("row {row} has no maskable token")]
    NothingMaskable {
        /// Which row.
        row: usize,
    },
    /// Noise stands where a token must stay as it is: context or padding.
    #[error("row {row}, position {position}: a token that must stay became noise")]
    NotMaskable {
        /// Which row.
        row: usize,
        /// Position in the row.
        position: usize,
    },
    /// A token became what the prior never makes of it.
    #[error("row {row}, position {position}: noise is never the token {id}")]
    NotNoise {
        /// Which row.
        row: usize,
        /// Position in the row.
        position: usize,
        /// What stands there.
        id: TokenId,
    },
    /// A logit is NaN or +∞, or every word of a position is impossible.
    #[error("row {row}, position {position}: the network's logits are not finite")]
    NonFinite {
        /// Which row.
        row: usize,
        /// Position in the row.
        position: usize,
    },
    /// Two parts of a process that do not go together.
    #[error("{what} does not go with {with}")]
    Incompatible {
        /// One part.
        what: &'static str,
        /// The other.
        with: &'static str,
    },
    /// A batch needs at least one row with at least one token.
    #[error("{what} is empty")]
    Empty {
        /// What should not have been empty.
        what: &'static str,
    },
}

/// `value` if `holds`, else [`Error::OutOfDomain`].
pub(crate) fn in_domain(
    holds: bool,
    name: &'static str,
    expected: &'static str,
    value: f64,
) -> Result<f64, Error> {
    if holds { Ok(value) } else { Err(Error::OutOfDomain { name, expected, got: value }) }
}

/// `Ok` if the two counts agree, else [`Error::Length`].
pub(crate) fn same_length(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::Length { what, expected, got }) }
}
