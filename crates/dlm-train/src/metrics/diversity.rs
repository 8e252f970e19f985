use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::ngrams::ngrams;

/// distinct-n: the different n-grams of some texts per n-gram, in (0, 1]; `None` without an n-gram.
///
/// ```text
/// distinct-n = |{n-grams of all texts}| / Σ over texts of their n-grams
/// ```
/// Pooled over the texts, so it falls as texts are added: compare equal amounts. Li et al. divide by
/// the tokens instead of the n-grams, which differs by n − 1 a text.
///
/// # Source
/// Li et al. 2016, arXiv:1510.03055, with the denominator of common use.
///
/// # Example
/// ```
/// use dlm_train::metrics::distinct_n;
/// let texts = [vec!["a", "b", "a"], vec!["a", "b"]];
/// assert_eq!(distinct_n(&texts, 2), Some(2.0 / 3.0)); // ab, ba of ab, ba, ab
/// ```
pub fn distinct_n<T: Eq + Hash>(texts: &[Vec<T>], order: usize) -> Option<f64> {
    if order == 0 {
        return None;
    }
    let all = texts.iter().flat_map(|text| text.windows(order));
    let distinct: HashSet<&[T]> = all.clone().collect();
    (!distinct.is_empty()).then(|| distinct.len() as f64 / all.count() as f64)
}

/// Self-BLEU: the mean over texts of their BLEU with all others as references, in [0, 1]. Higher is less
/// diverse. `None` with fewer than two texts or order 0.
///
/// ```text
/// BLEU_i = min(1, exp(1 − r / c)) · (p₁ · … · p_order)^(1/order)
/// ```
/// c is the text's length, r that of the other text nearest in length. An order without a match has 0.1
/// matches of at least one n-gram; without a matching token BLEU is 0.
///
/// # Source
/// Zhu et al. 2018, arXiv:1802.01886: Texygen's `SelfBleu` on all texts (its `is_fast` takes the first 500),
/// that is NLTK's `sentence_bleu` with equal weights and `SmoothingFunction().method1`. Equal to NLTK
/// 3.10.4 on the same tokens; Texygen's are those of `nltk.word_tokenize`, ours are the caller's.
///
/// # Example
/// ```
/// use dlm_train::metrics::self_bleu;
/// let texts = ["a b c d", "a b c d"].map(|text| text.split(' ').collect());
/// assert_eq!(self_bleu(&texts, 4), Some(1.0));
/// ```
pub fn self_bleu<T: Eq + Hash>(texts: &[Vec<T>], order: usize) -> Option<f64> {
    if texts.len() < 2 || order == 0 {
        return None;
    }
    let mut log_precision = vec![0.0; texts.len()];
    for n in 1..=order {
        let most = most_in_a_text(texts, n);
        for (at, text) in texts.iter().enumerate() {
            log_precision[at] += precision(text, at, &most, n).ln() / order as f64;
        }
    }
    let bleu =
        |(at, text): (usize, &Vec<T>)| brevity_penalty(texts, at, text.len()) * log_precision[at].exp();
    Some(texts.iter().enumerate().map(bleu).sum::<f64>() / texts.len() as f64)
}

/// How often an n-gram is in the text that has it most often, and in the one that has it second most.
#[derive(Default)]
struct Most {
    count: usize,
    text: usize,
    second: usize,
}

fn most_in_a_text<T: Eq + Hash>(texts: &[Vec<T>], order: usize) -> HashMap<&[T], Most> {
    let mut most: HashMap<&[T], Most> = HashMap::new();
    for (text, tokens) in texts.iter().enumerate() {
        for (ngram, count) in ngrams(tokens, order) {
            let most = most.entry(ngram).or_default();
            if count > most.count {
                *most = Most { count, text, second: most.count };
            } else {
                most.second = most.second.max(count);
            }
        }
    }
    most
}

/// The part of a text's n-grams that another text has, smoothed but for single tokens.
fn precision<T: Eq + Hash>(text: &[T], at: usize, most: &HashMap<&[T], Most>, order: usize) -> f64 {
    let (mut matches, mut total) = (0, 0);
    for (ngram, count) in ngrams(text, order) {
        let others = most.get(ngram).map_or(0, |most| if most.text == at { most.second } else { most.count });
        matches += count.min(others);
        total += count;
    }
    let matches = if matches == 0 && order > 1 { 0.1 } else { matches as f64 };
    matches / total.max(1) as f64
}

fn brevity_penalty<T>(texts: &[Vec<T>], at: usize, length: usize) -> f64 {
    let others = texts.iter().enumerate().filter(|&(other, _)| other != at).map(|(_, text)| text.len());
    match others.min_by_key(|&other| (other.abs_diff(length), other)) {
        _ if length == 0 => 0.0,
        Some(nearest) if nearest > length => (1.0 - nearest as f64 / length as f64).exp(),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(texts: &[&'static str]) -> Vec<Vec<&'static str>> {
        texts.iter().map(|text| text.split_whitespace().collect()).collect()
    }

    #[test]
    fn too_little_text_has_no_diversity() {
        assert_eq!(distinct_n(&cut(&["a", ""]), 2), None);
        assert_eq!(distinct_n(&cut(&["a"]), 0), None);
        assert_eq!(self_bleu(&cut(&["a b"]), 2), None);
        assert_eq!(self_bleu(&cut(&["a b", "a b"]), 0), None);
    }

    #[test]
    fn an_ngram_of_one_text_alone_does_not_match_itself() {
        // "x x x" matches one x of "x y"; that matches its own x, which the other has more often
        let score = self_bleu(&cut(&["x x x", "x y"]), 1).expect("two texts");
        let (first, second) = (1.0 / 3.0, 0.5 * (1.0 - 3.0_f64 / 2.0).exp());
        assert!((2.0 * score - first - second).abs() < 1e-12);
    }
}
