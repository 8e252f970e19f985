//! How good an output is: BLEU, edit distance, exact match.

mod bleu;
mod bleu_tokens;
mod chrf;
mod edit;
mod ngrams;

pub use bleu::{Bleu, BleuScore};
pub use bleu_tokens::BleuTokens;
pub use chrf::Chrf;
pub use edit::{ErrorRate, edit_distance, error_rate, exact_match};
