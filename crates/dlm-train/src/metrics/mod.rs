//! How good an output is.
//!
//! | metric | equal to |
//! |---|---|
//! | [`Bleu`], [`Chrf`] | sacreBLEU, in percent, with its signatures |
//! | [`rouge()`], [`rouge_sets`] | the packages rouge-score and rouge, which disagree |
//! | [`squad()`] | the SQuAD v1.1 script: exact match and token F₁ of normalised answers |
//! | [`porter_stem`] | NLTK's Porter stemmer, which rouge-score uses for stemmed ROUGE |
//! | [`last_integer`], [`gsm8k_answer`], [`flexible_answer`], [`same_choice`] | answers to reasoning questions, as each source reads them |
//! | [`choice_letter`] | the option that an answer names, by a rule of this library |
//! | [`distinct_n`], [`self_bleu`] | how diverse texts are; the latter as NLTK's BLEU |
//! | [`error_rate`], [`exact_match`], [`perplexity`] | their formulas |
//!
//! All but the first row are in [0, 1]. Empty input has a defined value, which each function names.

mod answer;
mod bleu;
mod bleu_tokens;
mod chrf;
mod diversity;
mod edit;
mod ngrams;
mod perplexity;
mod porter;
mod rouge;
mod rouge_sets;
mod squad;

pub use answer::{
    choice_letter, flexible_answer, gsm8k_answer, last_integer, same_choice, same_choice_letter,
    same_last_integer,
};
pub use bleu::{Bleu, BleuScore};
pub use bleu_tokens::BleuTokens;
pub use chrf::Chrf;
pub use diversity::{distinct_n, self_bleu};
pub use edit::{ErrorRate, edit_distance, error_rate, exact_match};
pub use perplexity::perplexity;
pub use porter::porter_stem;
pub use rouge::{Rouge, RougeScore, rouge, rouge_mean, rouge_stems, rouge_tokens, rouge_with};
pub use rouge_sets::rouge_sets;
pub use squad::{SquadScore, squad, squad_corpus, squad_normalise};
