//! How good an output is: BLEU, edit distance, exact match.

mod bleu;
mod edit;

pub use bleu::{Bleu, BleuScore, BleuTokens};
pub use edit::{ErrorRate, edit_distance, error_rate, exact_match};
