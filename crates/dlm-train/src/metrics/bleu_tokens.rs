use std::sync::LazyLock;

use regex::Regex;

use super::ngrams::is_space;

/// How BLEU cuts a line into tokens.
///
/// # Source
/// sacreBLEU 2.6.0, the tokenisers of the same names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BleuTokens {
    /// `13a`: WMT's `mteval-v13a`, sacreBLEU's default.
    #[default]
    Mteval13a,
    /// `intl`: `mteval-v14 --international-tokenization`, which knows Unicode's punctuation.
    International,
    /// `zh`: each Chinese character is a token; the rest is cut as `13a` cuts it.
    Chinese,
    /// `char`: each character is a token, but for white space.
    Characters,
}

impl BleuTokens {
    /// sacreBLEU's name, as it stands in a signature.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mteval13a => "13a",
            Self::International => "intl",
            Self::Chinese => "zh",
            Self::Characters => "char",
        }
    }

    /// A line with its tokens set apart by white space.
    pub(super) fn tokenise(self, line: &str) -> String {
        let line = line.trim_end_matches(is_space);
        match self {
            Self::Mteval13a => replace_all(&WESTERN, &format!(" {} ", plain(line))),
            Self::International => replace_all(&INTERNATIONAL, line),
            Self::Chinese => replace_all(&WESTERN, &apart(line.trim_matches(is_space), is_chinese)),
            Self::Characters => apart(line, |_| true),
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

static WESTERN: LazyLock<Rules> = LazyLock::new(|| {
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

/// The line with spaces around each of the chosen characters.
fn apart(line: &str, chosen: impl Fn(char) -> bool) -> String {
    let mut cut = String::with_capacity(2 * line.len());
    for c in line.chars() {
        if chosen(c) {
            cut.extend([' ', c, ' ']);
        } else {
            cut.push(c);
        }
    }
    cut
}

/// What sacreBLEU takes for Chinese. Two of its ranges are written with four hexadecimal digits where
/// five are meant (`\u20000` is U+2000 and a zero), so that general punctuation, arrows and signs
/// up to U+2A6D count as Chinese and the characters beyond U+FFFF do not. Scores depend on it.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{2001}'..='\u{2a6d}' // meant: U+20000..=U+2A6D6, extension B
        | '\u{2e80}'..='\u{2eff}' // radicals
        | '\u{2f00}'..='\u{2fdf}' // Kangxi radicals
        | '\u{2ff0}'..='\u{303f}' // structure, punctuation
        | '\u{3100}'..='\u{312f}' // phonetic signs
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31c0}'..='\u{31ef}' // strokes
        | '\u{3200}'..='\u{33ff}' // enclosed and compressed
        | '\u{3400}'..='\u{4db5}' // extension A
        | '\u{4e00}'..='\u{9fbb}' // unified ideographs
        | '\u{f900}'..='\u{fa2d}' // compatibility ideographs
        | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}'
        | '\u{fe10}'..='\u{fe1f}' // vertical forms
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}' // full and half width
    )
}

#[cfg(test)]
mod tests {
    use super::super::ngrams::words;
    use super::*;

    fn cut(tokens: BleuTokens, line: &str) -> String {
        words(&tokens.tokenise(line)).join("|")
    }

    #[test]
    fn thirteen_a_splits_punctuation_but_keeps_numbers_and_apostrophes() {
        let cut = |line| cut(BleuTokens::Mteval13a, line);
        assert_eq!(cut("Hello, world."), "Hello|,|world|.");
        assert_eq!(cut("It's 1,000.5 now."), "It's|1,000.5|now|.");
        assert_eq!(cut("2-3 well-known"), "2|-|3|well-known");
        assert_eq!(cut("a &amp; b &lt;c&gt;"), "a|&|b|<|c|>");
        assert_eq!(cut("end-\nword"), "endword");
    }

    #[test]
    fn international_knows_unicode_punctuation() {
        assert_eq!(cut(BleuTokens::International, "„äh“ 5€"), "„|äh|“|5|€");
    }

    #[test]
    fn chinese_cuts_characters_and_keeps_words_and_numbers() {
        assert_eq!(cut(BleuTokens::Chinese, "我有1,5个apple。"), "我|有|1,5|个|apple|。");
        assert_eq!(cut(BleuTokens::Chinese, "a…b — 𠀀𠀁"), "a|…|b|—|𠀀𠀁");
    }

    #[test]
    fn characters_are_code_points() {
        assert_eq!(cut(BleuTokens::Characters, "né e\u{301}𠀀 "), "n|é|e|\u{301}|𠀀");
    }
}
