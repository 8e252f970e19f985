use std::sync::LazyLock;

use regex::Regex;

use super::ngrams::is_space;

/// The last integer of a text: digits, with commas between them removed and no leading zero.
///
/// A sign is no part of it and a decimal point ends it, as in the source: `-3` gives 3 and `2.50` gives
/// 50. Decimal digits of every script count, and are given in ASCII. `None` without a digit.
///
/// # Source
/// Ye et al. 2023, arXiv:2308.12219, `scripts/metric_instruct.py` at commit 51fd77b: the rule for GSM8K
/// and MGSM.
///
/// # Example
/// ```
/// use dlm_train::metrics::last_integer;
/// assert_eq!(last_integer("3 boxes hold 1,200 eggs.").as_deref(), Some("1200"));
/// assert_eq!(last_integer("答案是１８。").as_deref(), Some("18"));
/// assert_eq!(last_integer("none"), None);
/// ```
pub fn last_integer(text: &str) -> Option<String> {
    static INTEGER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\p{Nd}+(?:,\p{Nd}+)*"));
    let found = INTEGER.find_iter(text).last()?.as_str();
    let digits: String = found.chars().filter(|&c| c != ',').map(ascii_digit).collect();
    let value = digits.trim_start_matches('0');
    Some(if value.is_empty() { "0" } else { value }.to_owned())
}

/// Whether two texts have the same last integer; false if one has none. (In the source two texts
/// without an integer are equal; its references all have one.)
///
/// # Example
/// ```
/// use dlm_train::metrics::same_last_integer;
/// assert!(same_last_integer("so 9 * 2 = $18", "#### 18"));
/// assert!(!same_last_integer("I do not know", "I do not know"));
/// ```
pub fn same_last_integer(hypothesis: &str, reference: &str) -> bool {
    last_integer(hypothesis).is_some_and(|number| Some(number) == last_integer(reference))
}

/// The number after the first `#### ` of a text, commas removed; `None` without one.
///
/// # Source
/// Cobbe et al. 2021, arXiv:2110.14168, `extract_answer` of the authors' `dataset.py`; also the
/// `strict-match` of lm-evaluation-harness.
///
/// # Example
/// ```
/// use dlm_train::metrics::gsm8k_answer;
/// assert_eq!(gsm8k_answer("2 * 600 = 1200\n#### 1,200").as_deref(), Some("1200"));
/// ```
pub fn gsm8k_answer(text: &str) -> Option<String> {
    static MARKED: LazyLock<Regex> = LazyLock::new(|| pattern(r"#### (-?[0-9.,]+)"));
    MARKED.captures(text).map(|found| found[1].replace(',', ""))
}

/// The last number of a text, with its sign and decimals, without `$`, commas and a full stop
/// behind it; `None` without one.
///
/// Two or more of `$ . ,` in a row pass for a number, as in the source: a text that ends in `...` gives
/// two stops.
///
/// # Source
/// lm-evaluation-harness, task `gsm8k` version 3: the filter `flexible-extract` and what its
/// exact match ignores. Compare with [`gsm8k_answer`] of the reference.
///
/// # Example
/// ```
/// use dlm_train::metrics::flexible_answer;
/// assert_eq!(flexible_answer("She pays $1,200.50.").as_deref(), Some("1200.50"));
/// ```
pub fn flexible_answer(text: &str) -> Option<String> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"-?[$0-9.,]{2,}|-?[0-9]+"));
    let found = NUMBER.find_iter(text).last()?.as_str().replace([',', '$'], "");
    Some(found.strip_suffix('.').unwrap_or(&found).to_owned())
}

/// Whether a generated choice is the right one: equal but for case and white space at the ends. The
/// letter must be all there is: `B.` and `(B)` are not `B`.
///
/// # Source
/// Ye et al. 2023, arXiv:2308.12219, `scripts/metric_instruct.py` at commit 51fd77b (MMLU and BBH),
/// which compares stripped strings; case is folded here.
///
/// # Example
/// ```
/// use dlm_train::metrics::{exact_match, same_choice};
/// assert!(same_choice(" b\n", "B"));
/// let accuracy = exact_match([("A", "A"), ("C", "D")].map(|(said, right)| (same_choice(said, right), true)));
/// assert_eq!(accuracy, Some(0.5));
/// ```
pub fn same_choice(hypothesis: &str, reference: &str) -> bool {
    let folded = |text: &str| text.trim_matches(is_space).to_lowercase();
    folded(hypothesis) == folded(reference)
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a literal pattern")
}

/// The value of a decimal digit, as an ASCII digit. Unicode encodes decimal digits in runs of ten from 0
/// to 9, so the value is the distance to the first digit of the run.
fn ascii_digit(c: char) -> char {
    static DIGIT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\p{Nd}$"));
    let is_digit = |code| char::from_u32(code).is_some_and(|c| DIGIT.is_match(c.encode_utf8(&mut [0; 4])));
    if c.is_ascii_digit() {
        return c;
    }
    let before = (0..u32::from(c)).rev().take_while(|&code| is_digit(code)).count();
    char::from(b'0' + (before % 10) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_have_their_value() {
        for (digits, zero) in [("٠٣٩", '0'), ("০৫৯", '0'), ("０５９", '0')] {
            assert_eq!(digits.chars().map(ascii_digit).next(), Some(zero));
        }
        assert_eq!(last_integer("٣٩").as_deref(), Some("39"));
        assert_eq!(last_integer("৫").as_deref(), Some("5"));
        // five runs of ten without a gap
        assert_eq!(last_integer("\u{1d7ce}\u{1d7d9}\u{1d7ff}").as_deref(), Some("19"));
    }

    #[test]
    fn numbers_may_be_longer_than_any_integer_type() {
        let long = "9".repeat(500);
        assert_eq!(last_integer(&long), Some(long));
        assert_eq!(last_integer("000"), Some("0".to_owned()));
    }
}
