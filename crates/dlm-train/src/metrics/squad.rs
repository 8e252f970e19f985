use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::ngrams::{ngrams, overlap, words};

/// How well answers agree with their references after [`squad_normalise`], in [0, 1].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SquadScore {
    /// 1 if equal.
    pub exact: f64,
    /// F₁ of the tokens.
    pub f1: f64,
}

/// An answer in lower case, without ASCII punctuation and the articles *a*, *an*, *the*, and with
/// one space between words.
///
/// # Source
/// Rajpurkar et al. 2016, arXiv:1606.05250; `normalize_answer` of the official `evaluate-v1.1.py`.
///
/// # Example
/// ```
/// use dlm_train::metrics::squad_normalise;
/// assert_eq!(squad_normalise(" The  U.S. of an-other A "), "us of another");
/// ```
pub fn squad_normalise(text: &str) -> String {
    let text = text.to_lowercase().replace(|c: char| c.is_ascii_punctuation(), "");
    let text = WORD.replace_all(&text, |word: &Captures<'_>| match &word[0] {
        "a" | "an" | "the" => " ".to_owned(),
        word => word.to_owned(),
    });
    words(&text).join(" ")
}

/// Python's `\w` without the underscore, which is punctuation. A combining mark ends a word.
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\p{L}\p{N}]+").expect("a literal pattern"));

/// SQuAD's exact match and token F₁ of one answer, each the best over the references; 0 without one.
///
/// ```text
/// P = shared / answer's tokens,  R = shared / reference's tokens,  F₁ = 2PR / (P + R)
/// ```
/// If nothing is shared F₁ is 0, also between two answers that normalise to nothing, whose exact
/// match is 1. (SQuAD 2.0's script gives 1 there.)
///
/// # Source
/// As [`squad_normalise`].
///
/// # Example
/// ```
/// use dlm_train::metrics::squad;
/// let score = squad("the old cat", &["a dog", "cat"]);
/// assert!((score.f1 - 2.0 / 3.0).abs() < 1e-12); // P = 1/2, R = 1
/// ```
pub fn squad(hypothesis: &str, references: &[&str]) -> SquadScore {
    let hypothesis = squad_normalise(hypothesis);
    references.iter().fold(SquadScore::default(), |best, reference| {
        let reference = squad_normalise(reference);
        SquadScore {
            exact: best.exact.max(f64::from(u8::from(hypothesis == reference))),
            f1: best.f1.max(f1(&words(&hypothesis), &words(&reference))),
        }
    })
}

/// The means over answers with several references each; `None` without an answer. The official script
/// prints them in percent.
///
/// # Example
/// ```
/// use dlm_train::metrics::squad_corpus;
/// let score = squad_corpus([("Paris.", ["paris"]), ("Rome", ["Oslo"])]).expect("two answers");
/// assert_eq!((score.exact, score.f1), (0.5, 0.5));
/// ```
pub fn squad_corpus<'a, R: AsRef<[&'a str]>>(
    cases: impl IntoIterator<Item = (&'a str, R)>,
) -> Option<SquadScore> {
    let (mut sum, mut count) = (SquadScore::default(), 0_usize);
    for (hypothesis, references) in cases {
        let score = squad(hypothesis, references.as_ref());
        sum = SquadScore { exact: sum.exact + score.exact, f1: sum.f1 + score.f1 };
        count += 1;
    }
    let mean = |sum: f64| sum / count as f64;
    (count > 0).then(|| SquadScore { exact: mean(sum.exact), f1: mean(sum.f1) })
}

fn f1(hypothesis: &[&str], reference: &[&str]) -> f64 {
    let counts = |words| -> HashMap<_, _> { ngrams(words, 1) };
    let shared = overlap(&counts(hypothesis), &counts(reference));
    if shared == 0 {
        return 0.0;
    }
    let (precision, recall) =
        (shared as f64 / hypothesis.len() as f64, shared as f64 / reference.len() as f64);
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_go_only_as_whole_words_after_punctuation_is_gone() {
        assert_eq!(squad_normalise("Theatre an d a_n the-a"), "theatre d thea");
        assert_eq!(squad_normalise("a\u{301} été«the»"), "\u{301} été« »");
        assert_eq!(squad_normalise("A an\tTHE"), "");
    }

    #[test]
    fn nothing_agrees_with_nothing_exactly_but_shares_no_token() {
        assert_eq!(squad("the", &["..."]), SquadScore { exact: 1.0, f1: 0.0 });
        assert_eq!(squad("cat", &[]), SquadScore::default());
        assert_eq!(squad_corpus::<[&str; 0]>([]), None);
    }
}
