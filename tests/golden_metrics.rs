//! Metrics against their reference implementations, on small texts. `tools/golden/metrics.py` made the
//! numbers with sacrebleu 2.6.0, rouge-score 0.1.2, rouge 1.0.1, nltk 3.10.4 and the SQuAD v1.1 script.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::LazyLock;

use dlm::train::metrics::{
    Bleu, BleuTokens, Chrf, Rouge, RougeScore, distinct_n, exact_match, flexible_answer, gsm8k_answer,
    last_integer, porter_stem, rouge, rouge_mean, rouge_sets, rouge_stems, rouge_with, same_choice,
    same_last_integer, self_bleu, squad, squad_corpus, squad_normalise,
};
use serde_json::Value;

const TOLERANCE: f64 = 1e-6;

static GOLDEN: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("golden/metrics.json")).unwrap());

/// The rows of a part of the golden file, of which there must be this many.
fn rows(part: &str, count: usize) -> &'static [Value] {
    let rows = GOLDEN[part].as_array().unwrap();
    assert!(rows.len() >= count, "{part} has {} rows", rows.len());
    rows
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(text).collect()
}

fn cases(corpus: &Value) -> Vec<(&str, Vec<&str>)> {
    corpus["cases"].as_array().unwrap().iter().map(|case| (text(&case[0]), texts(&case[1]))).collect()
}

/// Scores in [0, 1].
#[track_caller]
fn assert_close(got: f64, expected: &Value, of: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((got - expected).abs() <= TOLERANCE, "{of}: {got} is not {expected}");
}

fn bleus() -> Vec<(String, Bleu)> {
    let tokenisers = [
        ("13a", BleuTokens::Mteval13a),
        ("intl", BleuTokens::International),
        ("zh", BleuTokens::Chinese),
        ("char", BleuTokens::Characters),
    ];
    let cased = |(name, tokens): (&str, _)| {
        [(name.to_owned(), false), (format!("{name}_lower"), true)]
            .map(|(name, lowercase)| (name, Bleu { tokens, lowercase }))
    };
    tokenisers.into_iter().flat_map(cased).collect()
}

fn chrfs() -> [(&'static str, Chrf); 6] {
    let lower = Chrf { lowercase: true, ..Chrf::default() };
    [
        ("chrf", Chrf::default()),
        ("chrf++", Chrf::plus_plus()),
        ("lower", lower),
        ("space", Chrf { whitespace: true, ..Chrf::default() }),
        ("chrf++_lower_space", Chrf { word_order: 2, whitespace: true, ..lower }),
        ("short", Chrf { char_order: 3, word_order: 1, beta: 1, ..Chrf::default() }),
    ]
}

#[test]
fn bleu_equals_sacrebleu_with_every_tokeniser_and_several_references() {
    for corpus in rows("corpora", 25) {
        for (name, bleu) in bleus() {
            let of = format!("{}, {name}", corpus["name"]);
            let got = bleu.corpus_multi(cases(corpus));
            let counts = [&[got.reference_length], got.matches.as_slice(), got.totals.as_slice()].concat();
            assert_eq!(serde_json::to_value(counts).unwrap(), corpus["counts"][&name], "{of}");
            let expected = corpus["bleu"][&name].as_f64().unwrap() / 100.0;
            assert_close(got.score / 100.0, &expected.into(), &of);
        }
    }
}

#[test]
fn chrf_equals_sacrebleu_over_corpora_and_sentences() {
    for corpus in rows("corpora", 25) {
        for (name, chrf) in chrfs() {
            let of = format!("{}, {name}", corpus["name"]);
            let percent = |value: &Value| Value::from(value.as_f64().unwrap() / 100.0);
            let cases = cases(corpus);
            assert_close(chrf.corpus_multi(cases.clone()) / 100.0, &percent(&corpus["chrf"][name]), &of);
            for (i, (hypothesis, references)) in cases.iter().enumerate() {
                let expected = percent(&corpus["chrf_sentences"][name][i]);
                assert_close(chrf.sentence(hypothesis, references) / 100.0, &expected, &of);
            }
        }
    }
}

#[test]
fn signatures_differ_from_sacrebleus_in_the_version_alone() {
    let bleus = bleus().into_iter().map(|(name, bleu)| ("bleu", name, bleu.signature()));
    let chrfs = chrfs().into_iter().map(|(name, chrf)| ("chrf", name.to_owned(), chrf.signature()));
    for (metric, name, ours) in bleus.chain(chrfs) {
        let theirs = text(&GOLDEN["meta"]["signatures"][metric][&name]);
        let (settings, _) = theirs.rsplit_once("version:").unwrap();
        assert_eq!(ours.rsplit_once("version:").unwrap().0, settings);
    }
}

#[track_caller]
fn assert_rouge(got: RougeScore, expected: &Value, of: &str) {
    assert_close(got.precision, &expected[0], &format!("precision of {of}"));
    assert_close(got.recall, &expected[1], &format!("recall of {of}"));
    assert_close(got.f1, &expected[2], &format!("F1 of {of}"));
}

#[test]
fn rouge_equals_rouge_score() {
    let kinds =
        [("1", Rouge::N(1)), ("2", Rouge::N(2)), ("3", Rouge::N(3)), ("L", Rouge::L), ("Lsum", Rouge::Lsum)];
    for row in rows("rouge", 30) {
        for (name, kind) in kinds {
            let got = rouge(kind, text(&row["hypothesis"]), text(&row["reference"]));
            assert_rouge(got, &row["google"][name], &format!("{kind:?} of {row}"));
        }
    }
}

#[test]
fn rouge_sets_equals_the_package_rouge_and_its_mean() {
    let kinds = [("1", Rouge::N(1)), ("2", Rouge::N(2)), ("3", Rouge::N(3)), ("l", Rouge::L)];
    for (name, kind) in kinds {
        let mut scores = Vec::new();
        for row in rows("rouge", 30) {
            let got = rouge_sets(kind, text(&row["hypothesis"]), text(&row["reference"]));
            let expected = &row["sets"];
            if expected.is_null() {
                assert_eq!(got, RougeScore::default(), "the package raises on {row}");
            } else {
                assert_rouge(got, &expected[name], &format!("{kind:?} of {row}"));
                scores.push(got);
            }
        }
        assert_rouge(rouge_mean(scores).unwrap(), &GOLDEN["meta"]["rouge_sets_mean"][name], "the mean");
    }
}

#[test]
fn squad_equals_the_official_script() {
    let rows = rows("squad", 25);
    let mut cases = Vec::new();
    for row in rows {
        let (answer, references) = (text(&row["answer"]), texts(&row["references"]));
        assert_eq!(squad_normalise(answer), text(&row["normalised"]));
        let got = squad(answer, &references);
        assert_close(got.exact, &row["exact"], &format!("exact match of {row}"));
        assert_close(got.f1, &row["f1"], &format!("F1 of {row}"));
        cases.push((answer, references));
    }
    let mean = |key: &str| {
        Value::from(rows.iter().map(|row| row[key].as_f64().unwrap()).sum::<f64>() / rows.len() as f64)
    };
    let got = squad_corpus(cases).unwrap();
    assert_close(got.exact, &mean("exact"), "exact match of all");
    assert_close(got.f1, &mean("f1"), "F1 of all");
}

#[test]
fn answers_are_found_as_their_sources_find_them() {
    for row in rows("numbers", 40) {
        let given = text(&row["text"]);
        assert_eq!(last_integer(given).as_deref(), row["last_integer"].as_str(), "last integer of {row}");
        assert_eq!(gsm8k_answer(given).as_deref(), row["marked"].as_str(), "marked answer of {row}");
        assert_eq!(flexible_answer(given).as_deref(), row["flexible"].as_str(), "flexible answer of {row}");
        assert_eq!(same_last_integer(given, "#### 18"), row["last_integer"] == "18", "{row}");
    }
    let choices = rows("choices", 10);
    for row in choices {
        let got = same_choice(text(&row["said"]), text(&row["right"]));
        assert_eq!(got, row["same"].as_bool().unwrap(), "{row}");
    }
    let right = choices.iter().filter(|row| row["same"] == true).count();
    let same = choices.iter().map(|row| (same_choice(text(&row["said"]), text(&row["right"])), true));
    assert_eq!(exact_match(same), Some(right as f64 / choices.len() as f64));
}

#[test]
fn diversity_equals_its_formula_and_nltk() {
    for row in rows("diversity", 9) {
        let texts: Vec<Vec<&str>> =
            texts(&row["texts"]).iter().map(|text| text.split_whitespace().collect()).collect();
        for order in 1..=5 {
            let (key, of) = (order.to_string(), format!("{}, order {order}", row["name"]));
            match distinct_n(&texts, order) {
                Some(got) => assert_close(got, &row["distinct"][&key], &of),
                None => assert!(row["distinct"][&key].is_null(), "{of}"),
            }
            assert_close(self_bleu(&texts, order).unwrap(), &row["self_bleu"][&key], &of);
        }
    }
}

/// `tools/golden/porter.py` made the stems with nltk 3.10.4, and the scores with rouge-score 0.1.2.
#[test]
fn stems_are_those_of_nltk_and_stemmed_rouge_that_of_rouge_score() {
    let golden: Value = serde_json::from_str(include_str!("golden/porter.json")).unwrap();
    let stems = golden["stems"].as_array().unwrap();
    assert!(stems.len() > 300);
    for pair in stems {
        assert_eq!(porter_stem(text(&pair[0])), text(&pair[1]), "{}", pair[0]);
    }
    for row in golden["rouge"].as_array().unwrap() {
        let (hypothesis, reference) = (text(&row["hypothesis"]), text(&row["reference"]));
        for (name, kind) in [("1", Rouge::N(1)), ("2", Rouge::N(2)), ("L", Rouge::L), ("Lsum", Rouge::Lsum)] {
            let score = rouge_with(kind, hypothesis, reference, rouge_stems);
            assert_close(score.f1, &row["f1"][name], &format!("stemmed ROUGE-{name} of {hypothesis:?}"));
        }
    }
}
