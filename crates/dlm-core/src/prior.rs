//! `q_noise`: what a token turns into.

use crate::TokenId;

/// The distribution of pure noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prior {
    /// Noise is always the mask token; once masked, a token stays masked (Austin et al. 2021,
    /// arXiv:2107.03006).
    Absorbing {
        /// Id of the mask token.
        mask: TokenId,
    },
}

impl Prior {
    /// `q_noise(id)`: probability that noise is `id`.
    pub fn prob(&self, id: TokenId) -> f64 {
        match *self {
            Self::Absorbing { mask } => f64::from(u8::from(id == mask)),
        }
    }
}
