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

/// The option that an answer names: its first letter A to J that stands alone, in upper case.
///
/// A letter stands alone between what is no letter and no digit. One in upper case counts with or without a
/// bracket or stop; `A` and `I` before another word count only before *is*, *because* and *since*, for *A cat*
/// and *I think* name nothing. One in lower case counts with a bracket, a stop or a colon, or at the end of the
/// text if nothing or *answer*, *answer:* or *answer is* is before it. `None` without one.
///
/// # Source
/// A rule of this library: evaluations in the literature each have their own. [`same_choice`] is the paper's.
///
/// # Example
/// ```
/// use dlm_train::metrics::choice_letter;
/// let said = ["(B)", "b.", "Answer: B", "B) because a cat is no dog", "A cat: C", "It depends."];
/// assert_eq!(said.map(choice_letter), [Some('B'), Some('B'), Some('B'), Some('B'), Some('C'), None]);
/// ```
pub fn choice_letter(text: &str) -> Option<char> {
    static LETTER: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Ja-j]"));
    static ASKED: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)(?:^|answer\s*:|answer(?:\s+is)?\s*:?\s)\s*$"));
    static REASON: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s+(?:is|because|since)\b"));
    // Scripts from U+2E80 on, Chinese above all, set words of other scripts beside theirs without a space.
    let joins = |c: char| c.is_alphanumeric() && c < '\u{2e80}' || matches!(c, '.' | '\'' | '’' | '-');
    let named = |at: usize| {
        let (before, letter, after) = (&text[..at], text[at..].chars().next()?, &text[at + 1..]);
        let next = after.chars().next();
        // A stop ends a letter only if no word goes on behind it, as it does in `i.e.`.
        let marked = match next {
            Some(')' | ']' | ':') => true,
            Some('.') => !after[1..].starts_with(char::is_alphanumeric),
            _ => false,
        };
        let alone = !before.ends_with(joins) && (marked || !next.is_some_and(joins));
        let ends = after.trim().is_empty();
        let counts = match letter {
            'A' | 'I' => {
                marked || !after.trim_start().starts_with(char::is_alphanumeric) || REASON.is_match(after)
            }
            'B'..='J' => true,
            _ => marked || ends && ASKED.is_match(before),
        };
        (alone && counts).then(|| letter.to_ascii_uppercase())
    };
    LETTER.find_iter(text).find_map(|found| named(found.start()))
}

/// Whether two texts name the same option, by [`choice_letter`]; false if one names none.
///
/// # Example
/// ```
/// use dlm_train::metrics::same_choice_letter;
/// assert!(same_choice_letter("The answer is (B).", "B"));
/// assert!(!same_choice_letter("no idea", "no idea"));
/// ```
pub fn same_choice_letter(hypothesis: &str, reference: &str) -> bool {
    choice_letter(hypothesis).is_some_and(|letter| Some(letter) == choice_letter(reference))
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
    fn a_letter_is_an_option_if_it_stands_alone() {
        for (text, letter) in [
            ("B", 'B'),
            (" b\n", 'B'),
            ("(b)", 'B'),
            ("[C]", 'C'),
            ("b.", 'B'),
            ("d) it is", 'D'),
            ("B) because", 'B'),
            ("J: the last", 'J'),
            ("Answer: B", 'B'),
            ("answer:b", 'B'),
            ("the answer is b", 'B'),
            ("The correct answer is C.", 'C'),
            ("A", 'A'),
            ("a", 'A'),
            ("A.", 'A'),
            ("A is right, not B", 'A'),
            ("A because it is", 'A'),
            ("A cat, so B", 'B'),
            ("I think (C)", 'C'),
            ("I'd say D", 'D'),
            ("i.e. the first, A", 'A'),
            ("Vitamin C is good", 'C'),
            ("C or D", 'C'),
            ("答案是B。", 'B'),
        ] {
            assert_eq!(choice_letter(text), Some(letter), "{text}");
        }
        for text in ["", "K", "a cat", "A cat", "I think so", "i.e. none", "U.S.A", "B2", "X-A", "eat a b"] {
            assert_eq!(choice_letter(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_may_be_longer_than_any_integer_type() {
        let long = "9".repeat(500);
        assert_eq!(last_integer(&long), Some(long));
        assert_eq!(last_integer("000"), Some("0".to_owned()));
    }
}
