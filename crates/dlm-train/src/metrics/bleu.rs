use std::collections::HashMap;

use super::BleuTokens;
use super::ngrams::{ngrams, overlap, words};

/// Longest n-gram that BLEU counts.
const ORDERS: usize = 4;

/// Corpus BLEU as sacreBLEU computes it: up to 4-grams, exponential smoothing.
///
/// ```text
/// BLEU = 100 · min(1, exp(1 − r / c)) · (p₁ · p₂ · p₃ · p₄)^(1/4)
/// ```
/// over the corpus: pₙ is the part of the hypotheses' n-grams that their references have, c the length
/// of the hypotheses and r that of the references, in tokens.
///
/// # Source
/// Papineni et al. 2002 (P02-1040); Post 2018, arXiv:1804.08771; smoothing is method 3 of Chen &
/// Cherry 2014 (W14-3346). Equal to sacreBLEU 2.6.0.
///
/// # Example
/// ```
/// use dlm_train::metrics::Bleu;
/// let pairs = [("The dog bit the man.", "The dog bit the man.")];
/// assert!((Bleu::default().corpus(pairs).score - 100.0).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bleu {
    /// The tokeniser.
    pub tokens: BleuTokens,
    /// Whether case is ignored, as the paper's pipeline does.
    pub lowercase: bool,
}

/// A corpus BLEU and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BleuScore {
    /// In percent, 0 to 100.
    pub score: f64,
    /// n-grams of the hypotheses that are in their references, n = 1..=4.
    pub matches: [usize; ORDERS],
    /// n-grams of the hypotheses.
    pub totals: [usize; ORDERS],
    /// In (0, 1]; 0 if all hypotheses are empty.
    pub brevity_penalty: f64,
    /// Tokens of the hypotheses.
    pub hypothesis_length: usize,
    /// Tokens of the references.
    pub reference_length: usize,
}

impl Bleu {
    /// BLEU of (hypothesis, reference) pairs; 0 without a pair.
    pub fn corpus<'a>(self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BleuScore {
        self.corpus_multi(pairs.into_iter().map(|(hypothesis, reference)| (hypothesis, [reference])))
    }

    /// BLEU of hypotheses with several references each.
    ///
    /// An n-gram matches as often as the reference that has it most often, and a hypothesis is as long
    /// as it should be if it is as long as the reference nearest in length (the shorter of two). A
    /// hypothesis without a reference is compared with an empty one.
    pub fn corpus_multi<'a, R: AsRef<[&'a str]>>(
        self,
        cases: impl IntoIterator<Item = (&'a str, R)>,
    ) -> BleuScore {
        let mut counts = Counts::default();
        for (hypothesis, references) in cases {
            let hypothesis = self.tokenise(hypothesis);
            let references: Vec<String> =
                references.as_ref().iter().map(|line| self.tokenise(line)).collect();
            let references: Vec<Vec<&str>> = references.iter().map(|line| words(line)).collect();
            counts.add(&words(&hypothesis), &references);
        }
        counts.score()
    }

    /// What was computed, in sacreBLEU's notation, with one reference a hypothesis; the version is this
    /// crate's.
    pub fn signature(self) -> String {
        self.signature_multi(1)
    }

    /// As [`signature`](Self::signature), with this many references a hypothesis.
    pub fn signature_multi(self, references: usize) -> String {
        let case = if self.lowercase { "lc" } else { "mixed" };
        let tokens = self.tokens.name();
        let version = env!("CARGO_PKG_VERSION");
        format!("nrefs:{references}|case:{case}|eff:no|tok:{tokens}|smooth:exp|version:dlm-train-{version}")
    }

    /// A line with its tokens set apart by spaces.
    fn tokenise(self, line: &str) -> String {
        if self.lowercase { self.tokens.tokenise(&line.to_lowercase()) } else { self.tokens.tokenise(line) }
    }
}

/// What a corpus is summed up to.
#[derive(Default)]
struct Counts {
    matches: [usize; ORDERS],
    totals: [usize; ORDERS],
    hypothesis_length: usize,
    reference_length: usize,
}

impl Counts {
    fn add(&mut self, hypothesis: &[&str], references: &[Vec<&str>]) {
        let length = hypothesis.len();
        let nearest = references.iter().map(Vec::len).min_by_key(|&other| (other.abs_diff(length), other));
        self.hypothesis_length += length;
        self.reference_length += nearest.unwrap_or(0);
        for order in 0..ORDERS {
            let mut known = HashMap::new();
            for (ngram, count) in references.iter().flat_map(|reference| ngrams(reference, order + 1)) {
                let most = known.entry(ngram).or_insert(0);
                *most = count.max(*most);
            }
            let ngrams = ngrams(hypothesis, order + 1);
            self.totals[order] += ngrams.values().sum::<usize>();
            self.matches[order] += overlap(&ngrams, &known);
        }
    }

    fn score(self) -> BleuScore {
        let Self { matches, totals, hypothesis_length, reference_length } = self;
        let brevity_penalty = brevity_penalty(hypothesis_length, reference_length);
        let score = brevity_penalty * mean_precision(&matches, &totals);
        BleuScore { score, matches, totals, brevity_penalty, hypothesis_length, reference_length }
    }
}

fn brevity_penalty(hypothesis: usize, reference: usize) -> f64 {
    match hypothesis {
        0 if reference > 0 => 0.0,
        _ if hypothesis >= reference => 1.0,
        _ => (1.0 - reference as f64 / hypothesis as f64).exp(),
    }
}

/// Geometric mean of the n-gram precisions in percent. The k-th order without a match counts as
/// 2⁻ᵏ of a match; without any match, or with an order that has no n-gram, the mean is 0.
fn mean_precision(matches: &[usize; ORDERS], totals: &[usize; ORDERS]) -> f64 {
    if matches.iter().all(|&n| n == 0) || totals.contains(&0) {
        return 0.0;
    }
    let (mut logs, mut smoothed) = (0.0, 1.0);
    for (&matched, &total) in matches.iter().zip(totals) {
        let matched = if matched == 0 {
            smoothed /= 2.0;
            smoothed
        } else {
            matched as f64
        };
        logs += (100.0 * matched / total as f64).ln();
    }
    (logs / ORDERS as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_names_the_settings_and_this_crate() {
        let bleu = Bleu { tokens: BleuTokens::International, lowercase: true };
        let version = concat!("dlm-train-", env!("CARGO_PKG_VERSION"));
        let settings = "case:lc|eff:no|tok:intl|smooth:exp";
        assert_eq!(bleu.signature(), format!("nrefs:1|{settings}|version:{version}"));
        assert_eq!(bleu.signature_multi(3), format!("nrefs:3|{settings}|version:{version}"));
    }

    #[test]
    fn of_several_references_the_nearest_counts_and_each_may_match() {
        let case = ("a b c d e", ["a b c d", "c d e x y z", "x"]);
        let score = Bleu::default().corpus_multi([case]);
        assert_eq!(score.matches, [5, 4, 3, 1]);
        assert_eq!(score.reference_length, 4);
    }

    #[test]
    fn a_corpus_without_text_scores_nothing() {
        assert!(Bleu::default().corpus([]).score.abs() < f64::EPSILON);
        let unreferenced = Bleu::default().corpus_multi([("a b c d e", [])]);
        assert!(unreferenced.score.abs() < f64::EPSILON);
        assert_eq!(unreferenced.reference_length, 0);
    }

    #[test]
    fn one_changed_word_of_eight_scores_what_the_formula_says() {
        let pair = ("the cat sat on the old red mat", "the cat sat on the old red rug");
        let score = Bleu::default().corpus([pair]);
        assert_eq!(score.matches, [7, 6, 5, 4]);
        assert_eq!(score.totals, [8, 7, 6, 5]);
        let expected = 100.0 * (7.0 / 8.0 * 6.0 / 7.0 * 5.0 / 6.0 * 4.0 / 5.0_f64).powf(0.25);
        assert!((score.score - expected).abs() < 1e-9);
    }
}
