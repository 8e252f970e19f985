/// Levenshtein distance: the fewest insertions, deletions and substitutions from `a` to `b`.
///
/// # Example
/// ```
/// use dlm_train::metrics::edit_distance;
/// let of = |word: &str| word.chars().collect::<Vec<_>>();
/// assert_eq!(edit_distance(&of("kitten"), &of("sitting")), 3);
/// ```
pub fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Edits against reference tokens, over a corpus: the phoneme, word or character error rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErrorRate {
    /// Sum of the edit distances.
    pub edits: usize,
    /// Sum of the references' lengths.
    pub reference_tokens: usize,
}

impl ErrorRate {
    /// Edits per reference token, from 0; may exceed 1. 0 if there is neither an edit nor a token, and
    /// infinite if there are edits alone.
    pub fn rate(&self) -> f64 {
        if self.edits == 0 { 0.0 } else { self.edits as f64 / self.reference_tokens as f64 }
    }
}

/// The error rate of (hypothesis, reference) pairs.
pub fn error_rate<'a, T: PartialEq + 'a>(pairs: impl IntoIterator<Item = (&'a [T], &'a [T])>) -> ErrorRate {
    pairs.into_iter().fold(ErrorRate::default(), |sum, (hypothesis, reference)| ErrorRate {
        edits: sum.edits + edit_distance(hypothesis, reference),
        reference_tokens: sum.reference_tokens + reference.len(),
    })
}

/// The part of (hypothesis, reference) pairs that are equal, in [0, 1]; `None` without a pair.
pub fn exact_match<T: PartialEq>(pairs: impl IntoIterator<Item = (T, T)>) -> Option<f64> {
    let (mut equal, mut all) = (0_usize, 0_usize);
    for (hypothesis, reference) in pairs {
        equal += usize::from(hypothesis == reference);
        all += 1;
    }
    (all > 0).then(|| equal as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_of_small_words_are_those_counted_by_hand() {
        let distance = |a: &str, b: &str| edit_distance(a.as_bytes(), b.as_bytes());
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "acb"), 2);
        assert_eq!(distance("flaw", "lawn"), 2);
        assert_eq!(distance("intention", "execution"), 5);
    }

    #[test]
    fn the_error_rate_pools_edits_over_the_corpus() {
        let pairs: [(&[u32], &[u32]); 3] = [(&[1, 2], &[1, 3]), (&[], &[4]), (&[5, 6, 7], &[5, 6, 7])];
        let rate = error_rate(pairs);
        assert_eq!(rate, ErrorRate { edits: 2, reference_tokens: 6 });
        assert!((rate.rate() - 1.0 / 3.0).abs() < 1e-15);
        assert!(ErrorRate::default().rate().abs() < f64::EPSILON);
        let unasked = ErrorRate { edits: 1, reference_tokens: 0 };
        assert!(unasked.rate().is_infinite());
    }

    #[test]
    fn exact_match_counts_equal_pairs() {
        assert_eq!(exact_match([("a", "a"), ("a", "b"), ("", "")]), Some(2.0 / 3.0));
        assert_eq!(exact_match::<&str>([]), None);
    }
}
