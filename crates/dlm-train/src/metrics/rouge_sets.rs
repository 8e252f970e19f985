use std::collections::HashSet;

use super::ngrams::words;
use super::rouge::{common_subsequence, part};
use super::{Rouge, RougeScore};

/// ROUGE over *sets* of n-grams, as the package named `rouge` computes it.
///
/// ```text
/// P = |H ∩ R| / |H|,  R = |H ∩ R| / |R|,  F₁ = 2PR / (P + R + 10⁻⁸)
/// ```
/// H and R are the different n-grams of the two texts; for L and Lsum, which are the same here, the
/// different words, and H ∩ R is replaced by the different words that are in a longest common
/// subsequence of any two sentences. Words are what white space separates, case and punctuation
/// kept, but a full stop ends a sentence and is dropped. A repeated word counts once, so these
/// scores differ from [`rouge`](super::rouge())'s and from ROUGE-1.5.5's, which `files2rouge` runs: say
/// which one you report. A text without a sentence scores 0, where the package raises.
///
/// # Source
/// rouge 1.0.1 (PyPI), `Rouge()` with its defaults (`exclusive=True`); [`rouge_mean`](super::rouge_mean)
/// over a corpus is its `avg=True`.
///
/// # Example
/// ```
/// use dlm_train::metrics::{Rouge, rouge_sets};
/// let score = rouge_sets(Rouge::N(1), "the the the cat", "the cat sat");
/// assert!((score.precision - 1.0).abs() < 1e-12); // {the, cat} are both there
/// assert!((score.recall - 2.0 / 3.0).abs() < 1e-12);
/// ```
pub fn rouge_sets(kind: Rouge, hypothesis: &str, reference: &str) -> RougeScore {
    let (hypothesis, reference) = (sentences(hypothesis), sentences(reference));
    let (hypothesis, reference) = (split(&hypothesis), split(&reference));
    let order = if let Rouge::N(order) = kind { order } else { 1 };
    let (hypothesis_words, reference_words) = (hypothesis.concat(), reference.concat());
    let (hypothesis_ngrams, reference_ngrams) = (set(&hypothesis_words, order), set(&reference_words, order));
    let shared = match kind {
        Rouge::N(_) => hypothesis_ngrams.intersection(&reference_ngrams).count(),
        Rouge::L | Rouge::Lsum => common_words(&hypothesis, &reference),
    };
    let precision = part(shared, hypothesis_ngrams.len());
    let recall = part(shared, reference_ngrams.len());
    let f1 = 2.0 * precision * recall / (precision + recall + 1e-8);
    RougeScore { precision, recall, f1 }
}

/// What stands between full stops, with one space between words. One of white space alone is left as an
/// empty sentence, which has one empty word.
fn sentences(text: &str) -> Vec<String> {
    text.split('.')
        .filter(|sentence| !sentence.is_empty())
        .map(|sentence| words(sentence).join(" "))
        .collect()
}

fn split(sentences: &[String]) -> Vec<Vec<&str>> {
    sentences.iter().map(|sentence| sentence.split(' ').collect()).collect()
}

fn set<'a, 'b>(words: &'b [&'a str], order: usize) -> HashSet<&'b [&'a str]> {
    if order == 0 { HashSet::new() } else { words.windows(order).collect() }
}

fn common_words(hypothesis: &[Vec<&str>], reference: &[Vec<&str>]) -> usize {
    let mut common = HashSet::new();
    for sentence in reference {
        for other in hypothesis {
            common.extend(common_subsequence(sentence, other).into_iter().map(|(at, _)| sentence[at]));
        }
    }
    common.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_sentence_scores_0() {
        for kind in [Rouge::N(0), Rouge::N(1), Rouge::N(2), Rouge::L, Rouge::Lsum] {
            assert_eq!(rouge_sets(kind, "", "a b"), RougeScore::default());
            assert_eq!(rouge_sets(kind, "...", ""), RougeScore::default());
        }
    }

    #[test]
    fn a_blank_sentence_has_one_empty_word() {
        assert_eq!(split(&sentences("a b.  \n. c ")), [vec!["a", "b"], vec![""], vec!["c"]]);
    }
}
