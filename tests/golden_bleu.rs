//! BLEU against sacreBLEU 2.6.0 on 29 small corpora. `tools/golden/bleu.py` made the numbers.

use dlm::train::metrics::{Bleu, BleuScore, BleuTokens};
use serde_json::Value;

const VARIANTS: [(&str, Bleu); 4] = [
    ("13a", Bleu { tokens: BleuTokens::Mteval13a, lowercase: false }),
    ("13a_lower", Bleu { tokens: BleuTokens::Mteval13a, lowercase: true }),
    ("intl", Bleu { tokens: BleuTokens::International, lowercase: false }),
    ("intl_lower", Bleu { tokens: BleuTokens::International, lowercase: true }),
];

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/bleu.json")).expect("JSON")
}

fn corpora(golden: &Value) -> &[Value] {
    golden["corpora"].as_array().expect("corpora")
}

fn score(bleu: Bleu, corpus: &Value) -> BleuScore {
    let text = |pair: &'_ Value, i: usize| pair[i].as_str().expect("text").to_owned();
    let pairs: Vec<(String, String)> = corpus["pairs"]
        .as_array()
        .expect("pairs")
        .iter()
        .map(|pair| (text(pair, 0), text(pair, 1)))
        .collect();
    bleu.corpus(pairs.iter().map(|(hypothesis, reference)| (hypothesis.as_str(), reference.as_str())))
}

#[test]
fn scores_equal_those_of_sacrebleu() {
    let golden = golden();
    assert!(corpora(&golden).len() >= 29);
    for corpus in corpora(&golden) {
        for (name, bleu) in VARIANTS {
            let expected = corpus["scores"][name].as_f64().expect("a score");
            let got = score(bleu, corpus).score;
            assert!((got - expected).abs() < 1e-6, "{}, {name}: {got} is not {expected}", corpus["name"]);
        }
    }
}

#[test]
fn counts_and_lengths_equal_those_of_sacrebleu() {
    let golden = golden();
    let counts = |values: &Value| -> Vec<u64> {
        values.as_array().expect("counts").iter().map(|n| n.as_u64().expect("a count")).collect()
    };
    for corpus in corpora(&golden) {
        let got = score(Bleu::default(), corpus);
        let as_u64 = |counts: [usize; 4]| counts.map(|n| n as u64).to_vec();
        assert_eq!(as_u64(got.matches), counts(&corpus["matches"]), "{}", corpus["name"]);
        assert_eq!(as_u64(got.totals), counts(&corpus["totals"]), "{}", corpus["name"]);
        assert_eq!(got.hypothesis_length as u64, corpus["hypothesis_length"], "{}", corpus["name"]);
        assert_eq!(got.reference_length as u64, corpus["reference_length"], "{}", corpus["name"]);
        let expected = corpus["brevity_penalty"].as_f64().expect("a penalty");
        assert!((got.brevity_penalty - expected).abs() < 1e-12, "{}", corpus["name"]);
    }
}

#[test]
fn signatures_differ_from_sacrebleus_in_the_version_alone() {
    let golden = golden();
    for (name, bleu) in VARIANTS {
        let theirs = golden["meta"]["signatures"][name].as_str().expect("a signature");
        let (settings, _) = theirs.rsplit_once("version:").expect("a version");
        assert!(bleu.signature().starts_with(settings), "{} is not {theirs}", bleu.signature());
    }
}
