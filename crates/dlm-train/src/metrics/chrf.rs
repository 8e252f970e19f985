use std::hash::Hash;

use super::ngrams::{ngrams, overlap, words};

/// chrF and chrF++ as sacreBLEU computes them: the F-score of character and word n-grams.
///
/// ```text
/// chrF = 100 · (1 + β²) · P · R / (β² · P + R)
/// ```
/// P and R are the means of the n-gram precisions and recalls over the orders that both sides have, the
/// counts summed over the corpus. With several references, those of the one with the best sentence
/// score count. White space is no part of a character n-gram unless asked for.
///
/// # Source
/// Popović 2015 (W15-3049) and 2017 (W17-4770). Equal to sacreBLEU 2.6.0's `CHRF`, without `eps_smoothing`.
///
/// # Example
/// ```
/// use dlm_train::metrics::Chrf;
/// // Of the letters a b c d, three match; of the pairs ab bc cd, two; of the triples, one; no quadruple.
/// let expected = 100.0 * (3.0 / 4.0 + 2.0 / 3.0 + 1.0 / 2.0 + 0.0) / 4.0;
/// let score = Chrf::default().sentence("abcd", &["abcx"]);
/// assert!((score - expected).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chrf {
    /// Longest character n-gram.
    pub char_order: usize,
    /// Longest word n-gram: 0 is chrF, 2 is chrF++.
    pub word_order: usize,
    /// How many times more recall weighs than precision.
    pub beta: u32,
    /// Whether case is ignored.
    pub lowercase: bool,
    /// Whether character n-grams include white space.
    pub whitespace: bool,
}

impl Default for Chrf {
    /// chrF2: six characters, no words, β = 2.
    fn default() -> Self {
        Self { char_order: 6, word_order: 0, beta: 2, lowercase: false, whitespace: false }
    }
}

/// n-grams of the hypotheses, n-grams of the references, and matches, of one order.
type Counts = [usize; 3];

impl Chrf {
    /// chrF2++: six characters, two words, β = 2.
    pub fn plus_plus() -> Self {
        Self { word_order: 2, ..Self::default() }
    }

    /// The score of (hypothesis, reference) pairs, in percent; 0 without a pair.
    pub fn corpus<'a>(self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> f64 {
        self.corpus_multi(pairs.into_iter().map(|(hypothesis, reference)| (hypothesis, [reference])))
    }

    /// The score of hypotheses with several references each, in percent. A hypothesis without a
    /// reference counts for nothing, as one with an empty reference does.
    pub fn corpus_multi<'a, R: AsRef<[&'a str]>>(self, cases: impl IntoIterator<Item = (&'a str, R)>) -> f64 {
        let mut sum = vec![[0; 3]; self.char_order + self.word_order];
        for (hypothesis, references) in cases {
            for (sum, counts) in sum.iter_mut().zip(self.best(hypothesis, references.as_ref())) {
                *sum = std::array::from_fn(|i| sum[i] + counts[i]);
            }
        }
        self.score(&sum)
    }

    /// The score of one hypothesis, in percent.
    pub fn sentence(self, hypothesis: &str, references: &[&str]) -> f64 {
        self.corpus_multi([(hypothesis, references)])
    }

    /// What was computed, in sacreBLEU's notation, with one reference a hypothesis; the version is this
    /// crate's.
    pub fn signature(self) -> String {
        self.signature_multi(1)
    }

    /// As [`signature`](Self::signature), with this many references a hypothesis.
    pub fn signature_multi(self, references: usize) -> String {
        let Self { char_order, word_order, .. } = self;
        let case = if self.lowercase { "lc" } else { "mixed" };
        let space = if self.whitespace { "yes" } else { "no" };
        let version = env!("CARGO_PKG_VERSION");
        let orders = format!("nc:{char_order}|nw:{word_order}");
        format!("nrefs:{references}|case:{case}|eff:yes|{orders}|space:{space}|version:dlm-train-{version}")
    }

    /// The counts against the reference with the best score, the first of several; none without one.
    fn best(self, hypothesis: &str, references: &[&str]) -> Vec<Counts> {
        let hypothesis = self.cased(hypothesis);
        let (mut best, mut best_score) = (Vec::new(), -1.0);
        for reference in references {
            let counts = self.counts(&hypothesis, &self.cased(reference));
            let score = self.score(&counts);
            if score > best_score {
                (best, best_score) = (counts, score);
            }
        }
        best
    }

    fn cased(self, line: &str) -> String {
        if self.lowercase { line.to_lowercase() } else { line.to_owned() }
    }

    /// Of character n-grams of each order, then of word n-grams.
    fn counts(self, hypothesis: &str, reference: &str) -> Vec<Counts> {
        let chars = |line: &str| -> Vec<char> {
            if self.whitespace { line.chars().collect() } else { words(line).concat().chars().collect() }
        };
        let (hypothesis_chars, reference_chars) = (chars(hypothesis), chars(reference));
        let (hypothesis_words, reference_words) = (split_edges(hypothesis), split_edges(reference));
        let of_chars = (1..=self.char_order).map(|n| count(&hypothesis_chars, &reference_chars, n));
        let of_words = (1..=self.word_order).map(|n| count(&hypothesis_words, &reference_words, n));
        of_chars.chain(of_words).collect()
    }

    fn score(self, counts: &[Counts]) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0_usize);
        for &[hypothesis, reference, matches] in counts {
            if hypothesis > 0 && reference > 0 {
                precision += matches as f64 / hypothesis as f64;
                recall += matches as f64 / reference as f64;
                orders += 1;
            }
        }
        if precision <= 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / orders as f64, recall / orders as f64);
        let factor = f64::from(self.beta).powi(2);
        // In sacreBLEU's order: rounding may decide which of two references scores better.
        100.0 * ((1.0 + factor) * precision * recall / (factor * precision + recall))
    }
}

/// An order that the reference does not have counts no n-gram of the hypothesis either.
fn count<T: Eq + Hash>(hypothesis: &[T], reference: &[T], order: usize) -> Counts {
    let (hypothesis, reference) = (ngrams(hypothesis, order), ngrams(reference, order));
    let total = if reference.is_empty() { 0 } else { hypothesis.values().sum() };
    [total, reference.values().sum(), overlap(&hypothesis, &reference)]
}

/// Words with one ASCII punctuation mark set apart: the last character or else the first, never both.
fn split_edges(line: &str) -> Vec<&str> {
    let is_mark = |c: char| c.is_ascii_punctuation();
    let cut = |word: &'_ str| {
        if word.ends_with(is_mark) { word.len() - 1 } else { usize::from(word.starts_with(is_mark)) }
    };
    let parts = words(line).into_iter().flat_map(|word| <[&str; 2]>::from(word.split_at(cut(word))));
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_punctuation_mark_is_set_apart_the_last_before_the_first() {
        assert_eq!(
            split_edges("(hi) «x» \"a ! ok... é."),
            ["(hi", ")", "«x»", "\"", "a", "!", "ok..", ".", "é", "."]
        );
    }

    #[test]
    fn the_signature_names_orders_and_settings() {
        let chrf = Chrf { lowercase: true, whitespace: true, ..Chrf::plus_plus() };
        let version = concat!("dlm-train-", env!("CARGO_PKG_VERSION"));
        let settings = "nrefs:2|case:lc|eff:yes|nc:6|nw:2|space:yes";
        assert_eq!(chrf.signature_multi(2), format!("{settings}|version:{version}"));
    }

    #[test]
    fn without_text_the_score_is_0() {
        assert!(Chrf::default().corpus([]).abs() < f64::EPSILON);
        assert!(Chrf::default().sentence("a", &[]).abs() < f64::EPSILON);
        assert!(Chrf::default().sentence("", &[""]).abs() < f64::EPSILON);
        let nothing = Chrf { char_order: 0, ..Chrf::default() };
        assert!(nothing.sentence("a", &["a"]).abs() < f64::EPSILON);
    }
}
