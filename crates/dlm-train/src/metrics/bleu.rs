use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

/// Longest n-gram that BLEU counts.
const ORDERS: usize = 4;

/// How BLEU cuts a line into tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BleuTokens {
    /// `13a`: WMT's `mteval-v13a`, sacreBLEU's default.
    #[default]
    Mteval13a,
    /// `intl`: `mteval-v14 --international-tokenization`, which knows Unicode's punctuation.
    International,
}

/// Corpus BLEU as sacreBLEU computes it: up to 4-grams, one reference, exponential smoothing.
///
/// # Source
/// Papineni et al. 2002 (P02-1040); Post 2018, arXiv:1804.08771; smoothing is method 3 of Chen &
/// Cherry 2014 (W14-3346).
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
    /// BLEU of (hypothesis, reference) pairs.
    pub fn corpus<'a>(self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BleuScore {
        let (mut matches, mut totals) = ([0; ORDERS], [0; ORDERS]);
        let (mut hypothesis_length, mut reference_length) = (0, 0);
        for (hypothesis, reference) in pairs {
            let (hypothesis, reference) = (self.tokenise(hypothesis), self.tokenise(reference));
            let (hypothesis, reference) = (words(&hypothesis), words(&reference));
            hypothesis_length += hypothesis.len();
            reference_length += reference.len();
            for order in 0..ORDERS {
                let known = ngrams(&reference, order + 1);
                for (ngram, count) in ngrams(&hypothesis, order + 1) {
                    totals[order] += count;
                    matches[order] += count.min(known.get(ngram).copied().unwrap_or(0));
                }
            }
        }
        let brevity_penalty = brevity_penalty(hypothesis_length, reference_length);
        let score = brevity_penalty * mean_precision(&matches, &totals);
        BleuScore { score, matches, totals, brevity_penalty, hypothesis_length, reference_length }
    }

    /// What was computed, in sacreBLEU's notation; the version is this crate's.
    pub fn signature(self) -> String {
        let case = if self.lowercase { "lc" } else { "mixed" };
        let tokens = match self.tokens {
            BleuTokens::Mteval13a => "13a",
            BleuTokens::International => "intl",
        };
        let version = env!("CARGO_PKG_VERSION");
        format!("nrefs:1|case:{case}|eff:no|tok:{tokens}|smooth:exp|version:dlm-train-{version}")
    }

    /// A line with its tokens set apart by spaces.
    fn tokenise(self, line: &str) -> String {
        let line = if self.lowercase { line.to_lowercase() } else { line.to_owned() };
        let line = line.trim_end_matches(is_space);
        match self.tokens {
            BleuTokens::Mteval13a => replace_all(&MTEVAL_13A, &format!(" {} ", plain(line))),
            BleuTokens::International => replace_all(&INTERNATIONAL, line),
        }
    }
}

/// Undoes what SGML and line breaks did to a text.
fn plain(line: &str) -> String {
    let line = line.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let line = line.replace("&quot;", "\"").replace("&amp;", "&");
    line.replace("&lt;", "<").replace("&gt;", ">")
}

/// Patterns and what they become, applied in turn.
type Rules = Vec<(Regex, &'static str)>;

fn rules(rules: &[(&str, &'static str)]) -> Rules {
    let compile = |pattern: &str| Regex::new(pattern).expect("a literal pattern");
    rules.iter().map(|(pattern, becomes)| (compile(pattern), *becomes)).collect()
}

static MTEVAL_13A: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[
        // ASCII punctuation but for . , - and the apostrophe
        (r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", " ${1} "),
        // a stop or comma unless a digit is before it
        (r"([^0-9])([\.,])", "${1} ${2} "),
        // a stop or comma unless a digit follows
        (r"([\.,])([^0-9])", " ${1} ${2}"),
        // a dash after a digit
        (r"([0-9])(-)", "${1} ${2} "),
    ])
});

static INTERNATIONAL: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[(r"(\P{N})(\p{P})", "${1} ${2} "), (r"(\p{P})(\P{N})", " ${1} ${2}"), (r"(\p{S})", " ${1} ")])
});

fn replace_all(rules: &Rules, line: &str) -> String {
    rules.iter().fold(line.to_owned(), |line, (rule, becomes)| rule.replace_all(&line, *becomes).into_owned())
}

/// Python's white space: Unicode's, and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn words(line: &str) -> Vec<&str> {
    line.split(is_space).filter(|word| !word.is_empty()).collect()
}

fn ngrams<'a, 'b>(words: &'b [&'a str], order: usize) -> HashMap<&'b [&'a str], usize> {
    let mut counts = HashMap::new();
    for ngram in words.windows(order) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
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

    fn tokens(bleu: Bleu, line: &str) -> Vec<String> {
        words(&bleu.tokenise(line)).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn thirteen_a_splits_punctuation_but_keeps_numbers_and_apostrophes() {
        let cut = |line| tokens(Bleu::default(), line).join("|");
        assert_eq!(cut("Hello, world."), "Hello|,|world|.");
        assert_eq!(cut("It's 1,000.5 now."), "It's|1,000.5|now|.");
        assert_eq!(cut("2-3 well-known"), "2|-|3|well-known");
        assert_eq!(cut("a &amp; b &lt;c&gt;"), "a|&|b|<|c|>");
        assert_eq!(cut("end-\nword"), "endword");
    }

    #[test]
    fn international_knows_unicode_punctuation() {
        let bleu = Bleu { tokens: BleuTokens::International, lowercase: true };
        assert_eq!(tokens(bleu, "„ÄH“ 5€").join("|"), "„|äh|“|5|€");
        assert_eq!(
            bleu.signature(),
            concat!(
                "nrefs:1|case:lc|eff:no|tok:intl|smooth:exp|version:dlm-train-",
                env!("CARGO_PKG_VERSION")
            )
        );
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
