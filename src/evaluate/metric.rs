//! Metrics by name.

use std::fmt;
use std::str::FromStr;

use super::error::Error;
use crate::core::Likelihood;
use crate::train::metrics::{
    Bleu, BleuTokens, Chrf, Rouge, choice_letter, distinct_n, edit_distance, error_rate, flexible_answer,
    gsm8k_answer, last_integer, rouge, rouge_sets, rouge_stems, rouge_with, same_choice, same_choice_letter,
    same_last_integer, self_bleu, squad,
};

/// A way to judge answers, with the name that task files use.
///
/// | names | value |
/// |---|---|
/// | `accuracy` | the answer equals a reference, white space at the ends aside |
/// | `same-choice`, `choice-letter` | the answer is the reference's letter alone, or names it: rules of [`metrics`](crate::train::metrics) |
/// | `last-integer`, `gsm8k`, `gsm8k-flexible` | the rules there for MGSM and GSM8K; a reference without `#### ` has its last number for the last |
/// | `squad-em`, `squad-f1` | SQuAD v1.1 |
/// | `bleu`, `bleu-intl`, `bleu-zh`, `bleu-char`, `chrf`, `chrf++` | sacreBLEU, in percent |
/// | `bleu-lc`, `bleu-intl-lc`, `bleu-zh-lc`, `bleu-char-lc` | the same in lower case; the paper has the first into English, the second into German |
/// | `rouge-1`, `rouge-2`, `rouge-l`, `rouge-lsum` | F₁ of rouge-score, unstemmed |
/// | `rouge-1-stem`, `rouge-2-stem`, `rouge-l-stem`, `rouge-lsum-stem` | the same with `use_stemmer=True` |
/// | `rouge-sets-1`, `rouge-sets-2`, `rouge-sets-l` | F₁ of the package `rouge` |
/// | `word-error-rate`, `character-error-rate` | edits per reference word or character |
/// | `distinct-1`, `distinct-2`, `self-bleu` | diversity of the answers, of words between white space |
/// | `bits-per-token`, `perplexity-bound` | bounds of the likelihood of the first reference and EOS; exact for a network that predicts the next token |
///
/// All but BLEU and chrF are from 0, and to 1 but for error rates, bits and perplexities. Of several
/// references the best counts, except where BLEU and chrF have their own rule.
///
/// # Example
/// ```
/// use dlm::evaluate::{Error, Metric};
/// assert_eq!("chrf++".parse::<Metric>()?.to_string(), "chrf++");
/// let error = "blue".parse::<Metric>().unwrap_err();
/// assert!(matches!(error, Error::UnknownName { nearest: "bleu", .. }));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Accuracy,
    SameChoice,
    ChoiceLetter,
    LastInteger,
    Gsm8k,
    Gsm8kFlexible,
    SquadExact,
    SquadF1,
    Bleu(Bleu),
    Chrf(Chrf),
    Rouge(Rouge),
    RougeStem(Rouge),
    RougeSets(Rouge),
    WordErrorRate,
    CharacterErrorRate,
    Distinct(usize),
    SelfBleu,
    BitsPerToken,
    PerplexityBound,
}

const fn bleu(tokens: BleuTokens, lowercase: bool) -> Kind {
    Kind::Bleu(Bleu { tokens, lowercase })
}

const fn chrf(word_order: usize) -> Kind {
    Kind::Chrf(Chrf { char_order: 6, word_order, beta: 2, lowercase: false, whitespace: false })
}

const NAMED: [(&str, Kind); 36] = [
    ("accuracy", Kind::Accuracy),
    ("same-choice", Kind::SameChoice),
    ("choice-letter", Kind::ChoiceLetter),
    ("last-integer", Kind::LastInteger),
    ("gsm8k", Kind::Gsm8k),
    ("gsm8k-flexible", Kind::Gsm8kFlexible),
    ("squad-em", Kind::SquadExact),
    ("squad-f1", Kind::SquadF1),
    ("bleu", bleu(BleuTokens::Mteval13a, false)),
    ("bleu-lc", bleu(BleuTokens::Mteval13a, true)),
    ("bleu-intl", bleu(BleuTokens::International, false)),
    ("bleu-zh", bleu(BleuTokens::Chinese, false)),
    ("bleu-char", bleu(BleuTokens::Characters, false)),
    ("bleu-intl-lc", bleu(BleuTokens::International, true)),
    ("bleu-zh-lc", bleu(BleuTokens::Chinese, true)),
    ("bleu-char-lc", bleu(BleuTokens::Characters, true)),
    ("chrf", chrf(0)),
    ("chrf++", chrf(2)),
    ("rouge-1", Kind::Rouge(Rouge::N(1))),
    ("rouge-2", Kind::Rouge(Rouge::N(2))),
    ("rouge-l", Kind::Rouge(Rouge::L)),
    ("rouge-lsum", Kind::Rouge(Rouge::Lsum)),
    ("rouge-1-stem", Kind::RougeStem(Rouge::N(1))),
    ("rouge-2-stem", Kind::RougeStem(Rouge::N(2))),
    ("rouge-l-stem", Kind::RougeStem(Rouge::L)),
    ("rouge-lsum-stem", Kind::RougeStem(Rouge::Lsum)),
    ("rouge-sets-1", Kind::RougeSets(Rouge::N(1))),
    ("rouge-sets-2", Kind::RougeSets(Rouge::N(2))),
    ("rouge-sets-l", Kind::RougeSets(Rouge::L)),
    ("word-error-rate", Kind::WordErrorRate),
    ("character-error-rate", Kind::CharacterErrorRate),
    ("distinct-1", Kind::Distinct(1)),
    ("distinct-2", Kind::Distinct(2)),
    ("self-bleu", Kind::SelfBleu),
    ("bits-per-token", Kind::BitsPerToken),
    ("perplexity-bound", Kind::PerplexityBound),
];

/// What a text must have, in words and as a test.
pub(super) type Wanted = (&'static str, fn(&str) -> bool);

/// An answer beside what it should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) answer: &'a str,
    pub(super) references: &'a [String],
    pub(super) likelihood: Option<Likelihood>,
}

impl Metric {
    /// Whether it needs the likelihood of the references.
    pub(crate) fn needs_likelihood(self) -> bool {
        matches!(self.0, Kind::BitsPerToken | Kind::PerplexityBound)
    }

    /// What a reference must have to be compared at all.
    pub(super) fn wants(self) -> Option<Wanted> {
        match self.0 {
            Kind::Gsm8k => Some(("a number behind `#### `", |text| gsm8k_answer(text).is_some())),
            Kind::Gsm8kFlexible => Some(("a number", |text| flexible_reference(text).is_some())),
            Kind::LastInteger => Some(("a number", |text| last_integer(text).is_some())),
            Kind::ChoiceLetter => Some(("a letter from A to J", |text| choice_letter(text).is_some())),
            _ => None,
        }
    }

    /// Whether an answer alone has a value.
    pub(super) fn is_of_a_case(self) -> bool {
        !matches!(self.0, Kind::Distinct(_) | Kind::SelfBleu)
    }

    /// The value over some cases; `None` where there is none, for instance of no case.
    pub(super) fn score(self, cases: &[Judged<'_>]) -> Option<f64> {
        if cases.is_empty() {
            return None;
        }
        let mean = |score: &dyn Fn(&str, &str) -> f64| {
            let best = |case: &Judged<'_>| {
                case.references.iter().map(|reference| score(case.answer, reference)).fold(0.0, f64::max)
            };
            Some(cases.iter().map(best).sum::<f64>() / cases.len() as f64)
        };
        let share = |same: &dyn Fn(&str, &str) -> bool| mean(&|a, b| f64::from(u8::from(same(a, b))));
        let pairs = || cases.iter().map(|case| (case.answer, texts(case.references)));
        match self.0 {
            Kind::Accuracy => share(&|a, b| a.trim() == b.trim()),
            Kind::SameChoice => share(&same_choice),
            Kind::ChoiceLetter => share(&same_choice_letter),
            Kind::LastInteger => share(&same_last_integer),
            Kind::Gsm8k => share(&|a, b| gsm8k_answer(a).is_some_and(|got| Some(got) == gsm8k_answer(b))),
            Kind::Gsm8kFlexible => {
                share(&|a, b| flexible_answer(a).is_some_and(|got| Some(got) == flexible_reference(b)))
            }
            Kind::SquadExact => mean(&|a, b| squad(a, &[b]).exact),
            Kind::SquadF1 => mean(&|a, b| squad(a, &[b]).f1),
            Kind::Bleu(bleu) => Some(bleu.corpus_multi(pairs()).score),
            Kind::Chrf(chrf) => Some(chrf.corpus_multi(pairs())),
            Kind::Rouge(kind) => mean(&|a, b| rouge(kind, a, b).f1),
            Kind::RougeStem(kind) => mean(&|a, b| rouge_with(kind, a, b, rouge_stems).f1),
            Kind::RougeSets(kind) => mean(&|a, b| rouge_sets(kind, a, b).f1),
            Kind::WordErrorRate => Some(errors(cases, |text| words(text))),
            Kind::CharacterErrorRate => Some(errors(cases, |text| text.chars().collect())),
            Kind::Distinct(order) => distinct_n(&answers(cases), order),
            Kind::SelfBleu => self_bleu(&answers(cases), 4),
            Kind::BitsPerToken => likelihood(cases).map(|sum| sum.bits_per_token()),
            Kind::PerplexityBound => likelihood(cases).map(|sum| sum.perplexity_bound()),
        }
    }

    /// The value of answers, each beside one reference; `None` for a metric of likelihoods, and without an
    /// answer.
    ///
    /// # Example
    /// ```
    /// use dlm::evaluate::Metric;
    /// let (answers, references) = (["AA B".to_owned(), "C".into()], ["AA D".to_owned(), "C".into()]);
    /// assert_eq!("accuracy".parse::<Metric>()?.of_answers(&answers, &references), Some(0.5));
    /// # Ok::<(), dlm::evaluate::Error>(())
    /// ```
    pub fn of_answers(self, answers: &[String], references: &[String]) -> Option<f64> {
        let judged = |(answer, reference)| {
            let references = std::slice::from_ref(reference);
            Judged { answer, references, likelihood: None }
        };
        let cases: Vec<Judged<'_>> = answers.iter().map(String::as_str).zip(references).map(judged).collect();
        if self.needs_likelihood() { None } else { self.score(&cases) }
    }

    /// Whether less of it is better.
    pub fn lower_is_better(self) -> bool {
        matches!(
            self.0,
            Kind::WordErrorRate
                | Kind::CharacterErrorRate
                | Kind::SelfBleu
                | Kind::BitsPerToken
                | Kind::PerplexityBound
        )
    }

    /// What was computed, for a report; `references` is how many a case has, `var` if that varies; `draws` are
    /// those of a likelihood, if it is a bound.
    pub(super) fn signature(self, references: &str, draws: Option<usize>) -> String {
        let ours = |what: &str| {
            format!("nrefs:{references}|{what}|version:diffusion-lm-{}", env!("CARGO_PKG_VERSION"))
        };
        let of_package = |signature: String| signature.replacen("nrefs:1", &format!("nrefs:{references}"), 1);
        match self.0 {
            Kind::Bleu(bleu) => of_package(bleu.signature()),
            Kind::Chrf(chrf) => of_package(chrf.signature()),
            Kind::Rouge(_) => ours("rouge-score:f1|stem:no"),
            Kind::RougeStem(_) => ours("rouge-score:f1|stem:porter"),
            Kind::RougeSets(_) => ours("rouge:f1"),
            Kind::Gsm8kFlexible => ours("lm-eval:flexible-extract"),
            Kind::SquadExact | Kind::SquadF1 => ours("squad:1.1"),
            Kind::WordErrorRate | Kind::Distinct(_) | Kind::SelfBleu => ours("tok:white-space"),
            Kind::BitsPerToken | Kind::PerplexityBound => match draws {
                Some(draws) => ours(&format!("bound:nelbo|draws:{draws}|level:count,stratified|eos:yes")),
                None => ours("exact:left-to-right|eos:yes"),
            },
            _ => ours(&format!("rule:{self}")),
        }
    }
}

/// The number behind the reference's `#### `, or else its last.
fn flexible_reference(text: &str) -> Option<String> {
    gsm8k_answer(text).or_else(|| flexible_answer(text))
}

fn texts(references: &[String]) -> Vec<&str> {
    references.iter().map(String::as_str).collect()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn answers<'a>(cases: &[Judged<'a>]) -> Vec<Vec<&'a str>> {
    cases.iter().map(|case| words(case.answer)).collect()
}

/// Edits over reference tokens, pooled; of several references the one with the fewest edits counts.
fn errors<'a, T: PartialEq + 'a>(cases: &[Judged<'a>], tokens: impl Fn(&'a str) -> Vec<T>) -> f64 {
    let pairs: Vec<(Vec<T>, Vec<T>)> = cases
        .iter()
        .map(|case| {
            let answer = tokens(case.answer);
            let nearest = case.references.iter().map(|reference| tokens(reference));
            let nearest = nearest.min_by_key(|reference| edit_distance(&answer, reference));
            (answer, nearest.unwrap_or_default())
        })
        .collect();
    error_rate(pairs.iter().map(|(answer, reference)| (answer.as_slice(), reference.as_slice()))).rate()
}

fn likelihood(cases: &[Judged<'_>]) -> Option<Likelihood> {
    cases.iter().map(|case| case.likelihood).sum()
}

/// What has this name, or an error with all names and the nearest.
pub(super) fn lookup<T: Copy>(
    what: &'static str,
    named: &[(&'static str, T)],
    got: &str,
) -> Result<T, Error> {
    if let Some((_, found)) = named.iter().find(|(name, _)| *name == got) {
        return Ok(*found);
    }
    let names = || named.iter().map(|(name, _)| *name);
    let lower = got.to_lowercase();
    let edits = |name: &&str| edit_distance(name.as_bytes(), lower.as_bytes());
    let nearest = names().min_by_key(edits).unwrap_or_default();
    Err(Error::UnknownName { what, got: got.into(), nearest, known: names().collect::<Vec<_>>().join(", ") })
}

impl FromStr for Metric {
    type Err = Error;

    /// # Errors
    /// [`Error::UnknownName`].
    fn from_str(name: &str) -> Result<Self, Error> {
        lookup("metric", &NAMED, name).map(Self)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMED.iter().find(|(_, kind)| *kind == self.0).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_written() {
        for (name, kind) in NAMED {
            assert_eq!(name.parse::<Metric>().expect(name), Metric(kind));
            assert_eq!(Metric(kind).to_string(), name);
        }
        let error = "rouge-L".parse::<Metric>().expect_err("upper case");
        assert!(
            matches!(&error, Error::UnknownName { nearest: "rouge-l", known, .. } if known.contains("self-bleu"))
        );
    }

    #[test]
    fn names_of_variants_do_what_they_say() {
        let value = |name: &str, answer: &str, reference: &str| {
            name.parse::<Metric>().expect(name).of_answers(&[answer.into()], &[reference.into()]).expect(name)
        };
        assert!(value("rouge-1", "She was testing", "She was tested") < 0.7);
        assert!((value("rouge-1-stem", "She was testing", "She was tested") - 1.0).abs() < 1e-12);
        for name in ["bleu", "bleu-intl", "bleu-zh", "bleu-char"] {
            let (said, right) = ("THE KITE FALLS DOWN", "the kite falls down");
            assert!(value(name, said, right) < 50.0);
            assert!((value(&format!("{name}-lc"), said, right) - 100.0).abs() < 1e-9, "{name}");
        }
        // Only the international tokeniser knows this dash.
        let (said, right) = ("a b c d–e f", "A B C D – E F");
        assert!(value("bleu-intl-lc", said, right) > 99.9 && value("bleu-lc", said, right) < 99.9);
        assert!(value("choice-letter", "(B) it is", "B") > value("same-choice", "(B) it is", "B"));
        // Without `#### ` the reference's last number counts.
        assert!(value("gsm8k-flexible", "so it is 18.", "18") > 0.0);
        assert!(value("gsm8k-flexible", "so it is 18.", "9 and\n#### 18 eggs of 20") > 0.0);
    }

    #[test]
    fn scores_are_those_of_the_metrics_and_of_hand_counts() {
        let references = [vec!["a b c".to_owned()], vec!["d e".to_owned(), "x y z #### 4".to_owned()]];
        let judged = |answer, references| Judged { answer, references, likelihood: None };
        let cases = [judged(" a b d", &references[0]), judged("x y so 4", &references[1])];
        let score = |name: &str| name.parse::<Metric>().expect(name).score(&cases).expect(name);
        // One edit of three words; "so" for "z" and a missing "####" of five, nearer than the other reference.
        assert!((score("word-error-rate") - 3.0 / 8.0).abs() < 1e-12);
        assert!((score("last-integer") - 0.5).abs() < 1e-12);
        assert!((score("gsm8k-flexible") - 0.5).abs() < 1e-12);
        assert!(score("gsm8k").abs() < 1e-12 && score("accuracy").abs() < 1e-12);
        // a, b of three; x, y, 4 of four and of four, "#### 4" having the token 4 alone.
        assert!((score("rouge-1") - f64::midpoint(2.0 / 3.0, 3.0 / 4.0)).abs() < 1e-12);
        assert!((score("rouge-1-stem") - score("rouge-1")).abs() < 1e-12, "no word has a suffix");
        assert!((score("distinct-1") - 1.0).abs() < 1e-12);
        let pairs = [(" a b d", vec!["a b c"]), ("x y so 4", vec!["d e", "x y z #### 4"])];
        assert!((score("chrf") - Chrf::default().corpus_multi(pairs.clone())).abs() < 1e-12);
        assert!((score("bleu") - Bleu::default().corpus_multi(pairs).score).abs() < 1e-12);
    }
}
