/// The stem of an English word, by Porter's algorithm with NLTK's changes.
///
/// # Source
/// Porter 1980, *An algorithm for suffix stripping*, Program 14(3); its steps have their names here. Equal to
/// NLTK 3.10.4's `PorterStemmer().stem`: some irregular words; words of one or two letters as they are; *ies* and
/// *ied* keep an *e* in words of four letters; *y* becomes *i* after a consonant that is not the first letter; *alli*
/// is taken off before the rest of step 2; *fulli* and *logi* are suffixes; and a stem of a vowel and a consonant
/// may take an *e*.
///
/// # Example
/// ```
/// use dlm_train::metrics::porter_stem;
/// assert_eq!(["Relational", "hoping", "dies", "sky"].map(porter_stem), ["relat", "hope", "die", "sky"]);
/// ```
pub fn porter_stem(word: &str) -> String {
    let word = word.to_lowercase();
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).to_owned();
    }
    if word.chars().count() <= 2 {
        return word;
    }
    let word = step_1c(step_1b(step_1a(word)));
    let word = step_3(step_2(word));
    step_5b(step_5a(step_4(word)))
}

const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Which characters are consonants: all but vowels, and *y* unless one is before it.
fn consonants(stem: &str) -> Vec<bool> {
    let mut flags: Vec<bool> = Vec::new();
    for letter in stem.chars() {
        flags.push(match letter {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => !flags.last().copied().unwrap_or(false),
            _ => true,
        });
    }
    flags
}

/// Porter's m: how often a vowel stands before a consonant.
fn measure(stem: &str) -> usize {
    consonants(stem).windows(2).filter(|two| !two[0] && two[1]).count()
}

fn has_vowel(stem: &str) -> bool {
    consonants(stem).contains(&false)
}

/// Porter's \*d: the last letter, if it is a consonant twice.
fn double_consonant(stem: &str) -> Option<char> {
    let mut letters = stem.chars().rev();
    let last = letters.next()?;
    (letters.next()? == last && consonants(stem).last() == Some(&true)).then_some(last)
}

/// Porter's \*o: consonant, vowel, consonant, the last no *w*, *x* or *y*; NLTK's: or vowel and consonant alone.
fn short_syllable(stem: &str) -> bool {
    match consonants(stem).as_slice() {
        [false, true] => true,
        [.., true, false, true] => !stem.ends_with(['w', 'x', 'y']),
        _ => false,
    }
}

/// The first suffix of the list that the word has becomes what stands beside it, if `holds` of the rest.
fn replace(word: String, rules: &[(&str, &str)], holds: impl Fn(&str) -> bool) -> String {
    for (suffix, becomes) in rules {
        if let Some(stem) = word.strip_suffix(suffix) {
            return if holds(stem) { format!("{stem}{becomes}") } else { word };
        }
    }
    word
}

fn step_1a(word: String) -> String {
    let ies = if word.chars().count() == 4 { "ie" } else { "i" };
    replace(word, &[("sses", "ss"), ("ies", ies), ("ss", "ss"), ("s", "")], |_| true)
}

fn step_1b(word: String) -> String {
    if let Some(stem) = word.strip_suffix("ied") {
        return format!("{stem}{}", if word.chars().count() == 4 { "ie" } else { "i" });
    }
    if word.ends_with("eed") {
        return replace(word, &[("eed", "ee")], |stem| measure(stem) > 0);
    }
    let stem =
        ["ed", "ing"].iter().filter_map(|suffix| word.strip_suffix(suffix)).find(|stem| has_vowel(stem));
    let Some(stem) = stem else { return word };
    if ["at", "bl", "iz"].iter().any(|end| stem.ends_with(end)) {
        return format!("{stem}e");
    }
    match double_consonant(stem) {
        Some('l' | 's' | 'z') => stem.to_owned(),
        Some(letter) => stem[..stem.len() - letter.len_utf8()].to_owned(),
        None if measure(stem) == 1 && short_syllable(stem) => format!("{stem}e"),
        None => stem.to_owned(),
    }
}

fn step_1c(word: String) -> String {
    let holds = |stem: &str| stem.chars().count() > 1 && consonants(stem).last() == Some(&true);
    replace(word, &[("y", "i")], holds)
}

fn step_2(word: String) -> String {
    if let Some(stem) = word.strip_suffix("alli").filter(|stem| measure(stem) > 0) {
        return step_2(format!("{stem}al"));
    }
    // The l of this one counts as the stem's.
    if word.ends_with("logi") {
        return replace(word, &[("ogi", "og")], |stem| measure(stem) > 0);
    }
    replace(word, &STEP_2, |stem| measure(stem) > 0)
}

const STEP_2: [(&str, &str); 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

fn step_3(word: String) -> String {
    let rules = [
        ("icate", "ic"),
        ("ative", ""),
        ("alize", "al"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ful", ""),
        ("ness", ""),
    ];
    replace(word, &rules, |stem| measure(stem) > 0)
}

const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism",
    "ate", "iti", "ous", "ive", "ize",
];

fn step_4(word: String) -> String {
    let ion = word.ends_with("ion");
    let rules = STEP_4.map(|suffix| (suffix, ""));
    replace(word, &rules, |stem| measure(stem) > 1 && (!ion || stem.ends_with(['s', 't'])))
}

fn step_5a(word: String) -> String {
    let holds = |stem: &str| measure(stem) > 1 || measure(stem) == 1 && !short_syllable(stem);
    replace(word, &[("e", "")], holds)
}

fn step_5b(word: String) -> String {
    // NLTK measures the word without its last letter, so the first l counts.
    replace(word, &[("ll", "l")], |stem| measure(&format!("{stem}l")) > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the paper's steps and NLTK's changes name; the long list is golden.
    #[test]
    fn words_of_the_paper_have_its_stems() {
        for (word, stem) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("ties", "tie"),
            ("cats", "cat"),
            ("feed", "feed"),
            ("agreed", "agre"),
            ("bled", "bled"),
            ("motoring", "motor"),
            ("sing", "sing"),
            ("troubled", "troubl"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("happy", "happi"),
            ("enjoy", "enjoy"),
            ("valency", "valenc"),
            ("radically", "radic"),
            ("sensibility", "sensibl"),
            ("geology", "geolog"),
            ("hopefulness", "hope"),
            ("adoption", "adopt"),
            ("rate", "rate"),
            ("controll", "control"),
            ("yyyy", "yyyi"),
            ("is", "is"),
            ("Été", "été"),
        ] {
            assert_eq!(porter_stem(word), stem, "{word}");
        }
    }
}
