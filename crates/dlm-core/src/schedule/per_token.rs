use std::sync::Arc;

use super::Polynomial;
use crate::error::{Error, in_domain};
use crate::sequence::TokenId;

/// α(t) = 1 − t^w with a w of each word: a polynomial schedule for each word, so that some words stay clean longer than others.
///
/// The exponents are fixed here; what learns them is the caller's. Noise by it comes from
/// [`noise_per_token`](crate::forward::noise_per_token), its loss is [`GenMd4`](crate::loss::GenMd4).
///
/// # Source
/// Shi et al. 2024, arXiv:2406.04329, section 6 (GenMD4).
#[derive(Debug, Clone, PartialEq)]
pub struct PerToken {
    exponents: Arc<[f64]>,
}

impl PerToken {
    /// One exponent w for each of the V words.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] for an exponent that is not finite and positive; [`Error::Empty`] without any.
    pub fn new(exponents: &[f64]) -> Result<Self, Error> {
        if exponents.is_empty() {
            return Err(Error::Empty { what: "the exponents of a vocabulary" });
        }
        for &exponent in exponents {
            in_domain(exponent.is_finite() && exponent > 0.0, "exponent", "finite and positive", exponent)?;
        }
        Ok(Self { exponents: exponents.into() })
    }

    /// The schedule of a word.
    ///
    /// # Panics
    /// If there is no such word.
    pub fn of(&self, id: TokenId) -> Polynomial {
        Polynomial::valid(self.exponents[id as usize])
    }

    /// The exponents, `[V]`.
    pub fn exponents(&self) -> &[f64] {
        &self.exponents
    }
}
