//! How likely a model finds a text: bounds with their standard error, and the exact value of short ones.
//!
//! For an absorbing model the negative ELBO of a row, given the tokens that may not become noise, is the
//! mean over all orders of revealing its N maskable tokens of Σ −ln p(token | those revealed before):
//!
//! ```text
//! −ln p(x₀) ≤ E_t [ 1/t · Σ_noisy −ln p(x₀ᵢ | x_t) ],                 t ~ U(0, 1), noisy with chance t
//!           = E_l [ N/l · Σ_noisy −ln p(x₀ᵢ | x_l) ],                 l ~ U{1..N}, exactly l noisy
//!           = E_order [ Σ −ln p(x₀ᵢ | earlier in the order) ]
//! ```
//!
//! It is a bound, and so is every perplexity that is made of it; it is tight where the model's conditional
//! distributions are those of one joint distribution.
//!
//! What is given is what may not become noise: a prompt, for the likelihood of a response; the text on both
//! sides, for that of an infill ([`Sequence::new`](crate::Sequence::new) takes the flags).
//!
//! # Source
//! First line: Sahoo et al. 2024, arXiv:2406.07524, Eq. 11; Shi et al. 2024, arXiv:2406.04329, Eq. 5. Second: Nie et
//! al. 2025, arXiv:2502.09992, Eq. 6. Third, and that all are equal: Ou et al. 2024, arXiv:2406.03736, Theorem 2.

mod ask;
mod estimator;
mod interval;
mod orders;
mod under;

pub use estimator::Estimator;
pub use orders::{MOST_ANY_ORDER, any_order, any_order_by_token};

use std::iter::Sum;

use crate::error::Error;

/// What a text costs under a model, as an upper bound of −ln p; see the [module](self).
///
/// Adds up over rows: [`Sum`] gives the corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Likelihood {
    /// Nats of all tokens; infinite if a token is impossible.
    pub nats: f64,
    /// Tokens that were scored: the maskable ones, EOS among them.
    pub tokens: usize,
    /// Standard error of `nats` over the draws, in nats; 0 where nothing was drawn.
    pub standard_error: f64,
}

impl Likelihood {
    /// Bound of the bits per token; NaN without a token.
    pub fn bits_per_token(&self) -> f64 {
        self.nats / self.tokens as f64 / std::f64::consts::LN_2
    }

    /// Bound of the perplexity per token; NaN without a token.
    pub fn perplexity_bound(&self) -> f64 {
        (self.nats / self.tokens as f64).exp()
    }

    /// Standard error of [`Likelihood::bits_per_token`].
    pub fn bits_per_token_error(&self) -> f64 {
        self.standard_error / self.tokens as f64 / std::f64::consts::LN_2
    }

    /// Standard error of [`Likelihood::perplexity_bound`], to first order.
    pub fn perplexity_error(&self) -> f64 {
        self.perplexity_bound() * self.standard_error / self.tokens as f64
    }

    /// Ends of an interval of nats that contains the bound with probability `level`, were the draws' mean normal;
    /// of [`Estimator::times`] it is not, and its intervals are too short.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 < level < 1`.
    ///
    /// # Example
    /// ```
    /// use dlm_core::Likelihood;
    /// let text = Likelihood { nats: 20.0, tokens: 10, standard_error: 0.5 };
    /// let [low, high] = text.interval(0.95)?;
    /// assert!((low - 19.02).abs() < 1e-3 && (high - 20.98).abs() < 1e-3);
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn interval(&self, level: f64) -> Result<[f64; 2], Error> {
        let reach = interval::normal(level)? * self.standard_error;
        Ok([self.nats - reach, self.nats + reach])
    }

    /// [`Likelihood::interval`] in bits per token.
    ///
    /// # Errors
    /// As there.
    pub fn bits_per_token_interval(&self, level: f64) -> Result<[f64; 2], Error> {
        Ok(self.interval(level)?.map(|nats| Self { nats, ..*self }.bits_per_token()))
    }

    /// [`Likelihood::interval`] as a perplexity; its ends are not equally far from the bound.
    ///
    /// # Errors
    /// As there.
    pub fn perplexity_interval(&self, level: f64) -> Result<[f64; 2], Error> {
        Ok(self.interval(level)?.map(|nats| Self { nats, ..*self }.perplexity_bound()))
    }
}

impl Sum for Likelihood {
    /// Rows are drawn independently, so their errors add in squares.
    fn sum<I: Iterator<Item = Self>>(rows: I) -> Self {
        rows.fold(Self::default(), |sum, row| Self {
            nats: sum.nats + row.nats,
            tokens: sum.tokens + row.tokens,
            standard_error: sum.standard_error.hypot(row.standard_error),
        })
    }
}

/// What one token of a row adds to the row's bound; the tokens of a row sum to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenCost {
    /// Position in the row.
    pub position: usize,
    /// Its part of the row's nats.
    pub nats: f64,
    /// Standard error of `nats` over the draws; those of a row do not add up to the row's.
    pub standard_error: f64,
}
