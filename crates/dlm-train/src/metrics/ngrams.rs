use std::collections::HashMap;
use std::hash::Hash;

/// Python's white space: Unicode's, and the four ASCII separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The words of a line, as Python's `line.split()` gives them.
pub(super) fn words(line: &str) -> Vec<&str> {
    line.split(is_space).filter(|word| !word.is_empty()).collect()
}

/// How often each n-gram occurs; there is none of order 0.
pub(super) fn ngrams<T: Eq + Hash>(tokens: &[T], order: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    if order > 0 {
        for ngram in tokens.windows(order) {
            *counts.entry(ngram).or_insert(0) += 1;
        }
    }
    counts
}

/// Σ over n-grams of the smaller of the two counts.
pub(super) fn overlap<T: Eq + Hash>(a: &HashMap<&[T], usize>, b: &HashMap<&[T], usize>) -> usize {
    a.iter().map(|(ngram, &count)| count.min(b.get(ngram).copied().unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ngrams_are_counted_and_their_overlap_is_clipped() {
        let count = |line| ngrams(words(line).leak(), 2);
        let (a, b) = (count("a b a b c"), count("a b c a"));
        assert_eq!(a[["a", "b"].as_slice()], 2);
        assert_eq!(overlap(&a, &b), 2);
        assert!(ngrams(&["a"], 0).is_empty());
        assert!(ngrams(&["a"], 2).is_empty());
    }

    #[test]
    fn words_are_those_of_python() {
        assert_eq!(words(" a\u{1c}b\u{3000}c\u{a0}d\u{200b}e\n"), ["a", "b", "c", "d\u{200b}e"]);
    }
}
