use std::collections::{BTreeSet, HashMap};

use super::ngrams::{ngrams, overlap};
use super::porter::porter_stem;

/// Which ROUGE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rouge {
    /// ROUGE-N: n-grams of this order. Without an n-gram, of order 0 above all, the score is 0.
    N(usize),
    /// ROUGE-L: the longest common subsequence of the two texts.
    L,
    /// ROUGE-Lsum: the longest common subsequences of their sentences.
    Lsum,
}

/// What two texts share, each in [0, 1].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RougeScore {
    /// Per token or n-gram of the hypothesis.
    pub precision: f64,
    /// Per token or n-gram of the reference.
    pub recall: f64,
    /// 2PR / (P + R); 0 if both are 0.
    pub f1: f64,
}

impl RougeScore {
    /// Without a token or n-gram on a side, its part is 0.
    fn of(shared: usize, hypothesis: usize, reference: usize) -> Self {
        let (precision, recall) = (part(shared, hypothesis), part(shared, reference));
        let f1 = if shared == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
        Self { precision, recall, f1 }
    }
}

pub(super) fn part(shared: usize, all: usize) -> f64 {
    if all == 0 { 0.0 } else { shared as f64 / all as f64 }
}

/// ROUGE of a hypothesis and a reference, as Google's package computes it.
///
/// ```text
/// P = shared / hypothesis,  R = shared / reference,  F₁ = 2PR / (P + R)
/// ```
/// Shared are the n-grams (each as often as in the text that has it less often), the tokens of the
/// longest common subsequence, or, for Lsum, the tokens of the reference's sentences that are in a
/// longest common subsequence with any sentence of the hypothesis, none counted more often than
/// the texts have it. Sentences of Lsum are lines. A text without a token scores 0.
///
/// No stemming: the package's `use_stemmer=True` is [`rouge_with`] of [`rouge_stems`].
///
/// # Source
/// Lin 2004 (W04-1013). Equal to rouge-score 0.1.2 with `use_stemmer=False`.
///
/// # Example
/// ```
/// use dlm_train::metrics::{Rouge, rouge};
/// let score = rouge(Rouge::L, "The dog bit a man.", "The man bit the dog!");
/// assert!((score.precision - 2.0 / 5.0).abs() < 1e-12); // "the", "bit"
/// ```
pub fn rouge(kind: Rouge, hypothesis: &str, reference: &str) -> RougeScore {
    rouge_with(kind, hypothesis, reference, rouge_tokens)
}

/// [`rouge`] with the caller's tokens: stems, Chinese characters, subwords.
///
/// # Example
/// ```
/// use dlm_train::metrics::{Rouge, rouge_with};
/// let characters = |text: &str| text.chars().map(String::from).collect();
/// let score = rouge_with(Rouge::N(1), "三只猫", "一只猫", characters);
/// assert!((score.f1 - 2.0 / 3.0).abs() < 1e-12);
/// ```
pub fn rouge_with(
    kind: Rouge,
    hypothesis: &str,
    reference: &str,
    tokenise: impl Fn(&str) -> Vec<String>,
) -> RougeScore {
    let sentences = |text: &str| -> Vec<Vec<String>> {
        text.split('\n').filter(|line| !line.is_empty()).map(&tokenise).collect()
    };
    match kind {
        Rouge::N(order) => score_ngrams(&tokenise(hypothesis), &tokenise(reference), order),
        Rouge::L => {
            let (hypothesis, reference) = (tokenise(hypothesis), tokenise(reference));
            let shared = common_subsequence(&hypothesis, &reference).len();
            RougeScore::of(shared, hypothesis.len(), reference.len())
        }
        Rouge::Lsum => score_sentences(&sentences(hypothesis), &sentences(reference)),
    }
}

/// Google's tokens: the runs of ASCII letters and digits of the lower-cased text. Nothing else is
/// left, so that a text in another script has no token.
///
/// # Example
/// ```
/// use dlm_train::metrics::rouge_tokens;
/// assert_eq!(rouge_tokens("It's 3.5, naïve"), ["it", "s", "3", "5", "na", "ve"]);
/// ```
pub fn rouge_tokens(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let tokens = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|token| !token.is_empty());
    tokens.map(str::to_owned).collect()
}

/// [`rouge_tokens`], those of more than three characters by their stem.
///
/// # Source
/// rouge-score 0.1.2 with `use_stemmer=True`.
///
/// # Example
/// ```
/// use dlm_train::metrics::{Rouge, rouge_stems, rouge_with};
/// assert_eq!(rouge_stems("He was testing"), ["he", "was", "test"]);
/// let score = rouge_with(Rouge::N(1), "they tested it", "he tests it", rouge_stems);
/// assert!((score.f1 - 2.0 / 3.0).abs() < 1e-12);
/// ```
pub fn rouge_stems(text: &str) -> Vec<String> {
    let stem = |token: String| if token.len() > 3 { porter_stem(&token) } else { token };
    rouge_tokens(text).into_iter().map(stem).collect()
}

/// The mean of precision, recall and F₁, each over the corpus; `None` without a score.
///
/// # Example
/// ```
/// use dlm_train::metrics::{Rouge, rouge, rouge_mean};
/// let pairs = [("a b", "a b"), ("a b", "c d")];
/// let mean = rouge_mean(pairs.map(|(hypothesis, reference)| rouge(Rouge::N(2), hypothesis, reference)));
/// assert_eq!(mean.map(|mean| mean.f1), Some(0.5));
/// ```
pub fn rouge_mean(scores: impl IntoIterator<Item = RougeScore>) -> Option<RougeScore> {
    let (mut sum, mut count) = (RougeScore::default(), 0_usize);
    for score in scores {
        sum.precision += score.precision;
        sum.recall += score.recall;
        sum.f1 += score.f1;
        count += 1;
    }
    let mean = |sum: f64| sum / count as f64;
    let score = RougeScore { precision: mean(sum.precision), recall: mean(sum.recall), f1: mean(sum.f1) };
    (count > 0).then_some(score)
}

fn score_ngrams(hypothesis: &[String], reference: &[String], order: usize) -> RougeScore {
    let (hypothesis, reference) = (ngrams(hypothesis, order), ngrams(reference, order));
    let total = |counts: &HashMap<_, usize>| counts.values().sum();
    RougeScore::of(overlap(&hypothesis, &reference), total(&hypothesis), total(&reference))
}

fn score_sentences(hypothesis: &[Vec<String>], reference: &[Vec<String>]) -> RougeScore {
    let (mut unshared_hypothesis, mut unshared_reference) = (counts(hypothesis), counts(reference));
    let mut shared = 0;
    for sentence in reference {
        let common = |other: &Vec<String>| common_subsequence(other, sentence);
        let at: BTreeSet<usize> = hypothesis.iter().flat_map(common).map(|(_, at)| at).collect();
        for token in at.iter().map(|&at| sentence[at].as_str()) {
            if let (Some(left), Some(right)) =
                (unshared_hypothesis.get_mut(token), unshared_reference.get_mut(token))
                && *left > 0
                && *right > 0
            {
                (*left, *right) = (*left - 1, *right - 1);
                shared += 1;
            }
        }
    }
    let total = |sentences: &[Vec<String>]| sentences.iter().map(Vec::len).sum();
    RougeScore::of(shared, total(hypothesis), total(reference))
}

fn counts(sentences: &[Vec<String>]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for token in sentences.iter().flatten() {
        *counts.entry(token.as_str()).or_insert(0) += 1;
    }
    counts
}

/// A longest common subsequence as pairs of indices, the last first.
///
/// Of several, the one found by walking back from the ends, over `a` where that loses nothing that
/// walking over `b` would keep. Both packages do so, Google's with the hypothesis as `a`, the
/// other with the reference; which of several is found decides what Lsum counts.
pub(super) fn common_subsequence<T: Eq>(a: &[T], b: &[T]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut longest = vec![0_u32; (a.len() + 1) * width];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            let (above, left) = (longest[i * width + j + 1], longest[(i + 1) * width + j]);
            longest[(i + 1) * width + j + 1] =
                if x == y { longest[i * width + j] + 1 } else { above.max(left) };
        }
    }
    let (mut i, mut j, mut pairs) = (a.len(), b.len(), Vec::new());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            pairs.push((i, j));
        } else if longest[(i - 1) * width + j] > longest[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subsequence_is_common_ordered_and_longest() {
        let (a, b) = ("a b c b d a b".split(' '), "b d c a b a".split(' '));
        let (a, b): (Vec<_>, Vec<_>) = (a.collect(), b.collect());
        let mut pairs = common_subsequence(&a, &b);
        pairs.reverse();
        assert_eq!(pairs.len(), 4);
        assert!(pairs.iter().all(|&(i, j)| a[i] == b[j]));
        assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 < two[1].1));
        assert!(common_subsequence(&a, &[]).is_empty());
    }

    #[test]
    fn lsum_unites_over_sentences_as_in_lins_example() {
        let score = rouge(Rouge::Lsum, "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5");
        assert!((score.recall - 4.0 / 5.0).abs() < 1e-12);
        assert!((score.precision - 4.0 / 10.0).abs() < 1e-12);
    }

    #[test]
    fn without_tokens_or_order_the_score_is_0() {
        for kind in [Rouge::N(0), Rouge::N(1), Rouge::L, Rouge::Lsum] {
            assert_eq!(rouge(kind, "", ""), RougeScore::default());
            assert_eq!(rouge(kind, "私は", "私は"), RougeScore::default());
        }
        assert_eq!(rouge(Rouge::N(0), "a", "a"), RougeScore::default());
        assert_eq!(rouge_mean([]), None);
    }
}
