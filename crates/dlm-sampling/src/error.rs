/// Everything that bad configuration, bad data or a bad network can do to this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Ids, lengths or numbers that `dlm-core` refuses.
    #[error(transparent)]
    Core(#[from] dlm_core::Error),
    /// A logit is NaN or +∞, or every word of a position is impossible.
    #[error("row {row}, position {position}: the network's logits are not finite")]
    NonFinite {
        /// Row of the canvas.
        row: usize,
        /// Position in the row, prompt included.
        position: usize,
    },
    /// The canvas and the network count words differently.
    #[error("the canvas has a vocabulary of {canvas} words, the network one of {network}")]
    Vocabulary {
        /// Vocabulary size of the canvas.
        canvas: usize,
        /// Vocabulary size of the network.
        network: usize,
    },
    /// The network answered with a tensor of the wrong shape.
    #[error("logits: expected shape {expected:?}, got {got:?}")]
    Logits {
        /// `[N, V]` for N asked positions.
        expected: [usize; 2],
        /// What came back.
        got: [usize; 2],
    },
    /// The device failed while a step was computed.
    #[error("the device failed: {message}")]
    Device {
        /// What the backend reports.
        message: String,
    },
    /// A name that no decoding strategy has.
    #[error("{name:?} is no decoding strategy: {part:?} should be {expected}")]
    UnknownStrategy {
        /// The whole name.
        name: String,
        /// The part that was not understood.
        part: String,
        /// What could stand there.
        expected: &'static str,
    },
}
