//! Laws of the metrics, over texts drawn from a small alphabet with the marks that matter.

use dlm_train::metrics::{
    Bleu, BleuTokens, Chrf, Rouge, distinct_n, flexible_answer, gsm8k_answer, last_integer, rouge,
    rouge_sets, rouge_tokens, self_bleu, squad, squad_normalise,
};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

const KINDS: [Rouge; 5] = [Rouge::N(0), Rouge::N(1), Rouge::N(2), Rouge::L, Rouge::Lsum];
const TOKENS: [BleuTokens; 4] =
    [BleuTokens::Mteval13a, BleuTokens::International, BleuTokens::Chinese, BleuTokens::Characters];

fn pieces() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "a", "b", "The", "x", " ", " ", ".", ",", "\n", "12", "3", "é", "鹤", "。", "-", "#### ",
    ]);
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn sentences() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(0_u8..4, 0..9), 0..6)
}

proptest! {
    #[test]
    fn any_two_texts_have_scores_in_range(a in any::<String>(), b in any::<String>()) {
        for tokens in TOKENS {
            let score = Bleu { tokens, lowercase: true }.corpus([(a.as_str(), b.as_str())]).score;
            prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{tokens:?}: {score}");
        }
        for chrf in [Chrf::default(), Chrf { whitespace: true, ..Chrf::plus_plus() }] {
            let score = chrf.sentence(&a, &[&b]);
            prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{chrf:?}: {score}");
        }
        for score in KINDS.into_iter().flat_map(|kind| [rouge(kind, &a, &b), rouge_sets(kind, &a, &b)]) {
            for part in [score.precision, score.recall, score.f1] {
                prop_assert!((0.0..=1.0 + 1e-9).contains(&part), "{score:?}");
            }
        }
        let score = squad(&a, &[&b]);
        prop_assert!((0.0..=1.0 + 1e-9).contains(&score.f1), "{score:?}");
    }

    #[test]
    fn a_text_scores_full_marks_against_itself(text in pieces()) {
        let close = |got: f64, full: bool| (got - f64::from(u8::from(full))).abs() < 1e-6;
        for tokens in TOKENS {
            let bleu = Bleu { tokens, lowercase: false }.corpus([(text.as_str(), text.as_str())]);
            prop_assert_eq!(bleu.matches, bleu.totals);
            prop_assert!(close(bleu.score / 100.0, bleu.totals[3] > 0));
        }
        let has_words = !text.trim().is_empty();
        for chrf in [Chrf::default(), Chrf::plus_plus()] {
            prop_assert!(close(chrf.sentence(&text, &[&text]) / 100.0, has_words));
        }
        let has_tokens = !rouge_tokens(&text).is_empty();
        for kind in [Rouge::N(1), Rouge::L, Rouge::Lsum] {
            prop_assert!(close(rouge(kind, &text, &text).f1, has_tokens), "{:?}", kind);
        }
        let has_sentence = text.chars().any(|c| c != '.');
        prop_assert!(close(rouge_sets(Rouge::N(1), &text, &text).f1, has_sentence));
        prop_assert!(close(rouge_sets(Rouge::L, &text, &text).f1, has_sentence));
        let score = squad(&text, &["other", &text]);
        prop_assert!(close(score.exact, true));
        prop_assert!(close(score.f1, !squad_normalise(&text).is_empty()));
    }

    #[test]
    fn swapping_two_texts_swaps_precision_and_recall(a in pieces(), b in pieces()) {
        for kind in [Rouge::N(1), Rouge::N(2), Rouge::L] {
            let (there, back) = (rouge(kind, &a, &b), rouge(kind, &b, &a));
            prop_assert!((there.precision - back.recall).abs() < 1e-12);
            prop_assert!((there.f1 - back.f1).abs() < 1e-12);
        }
        let (there, back) = (rouge_sets(Rouge::N(2), &a, &b), rouge_sets(Rouge::N(2), &b, &a));
        prop_assert!((there.f1 - back.f1).abs() < 1e-12);
        let even = Chrf { beta: 1, ..Chrf::plus_plus() };
        prop_assert!((even.sentence(&a, &[&b]) - even.sentence(&b, &[&a])).abs() < 1e-9);
        prop_assert!((squad(&a, &[&b]).f1 - squad(&b, &[&a]).f1).abs() < 1e-12);
    }

    #[test]
    fn another_reference_never_lowers_the_best(a in pieces(), b in pieces(), c in pieces()) {
        prop_assert!(squad(&a, &[&b, &c]).f1 >= squad(&a, &[&b]).f1);
        prop_assert!(Chrf::default().sentence(&a, &[&b, &c]) >= Chrf::default().sentence(&a, &[&b]) - 1e-9);
        let matches = |references: &[&str]| Bleu::default().corpus_multi([(a.as_str(), references)]).matches;
        prop_assert!(matches(&[&b, &c]).iter().zip(matches(&[&b])).all(|(both, one)| *both >= one));
    }

    #[test]
    fn normalising_twice_is_normalising_once(text in pieces()) {
        let once = squad_normalise(&text);
        prop_assert_eq!(squad_normalise(&once), once);
    }

    #[test]
    fn numbers_are_found_in_any_text(before in any::<String>(), number in any::<u64>()) {
        // a comma would join the two numbers
        let text = format!("{before} {number} eggs");
        prop_assert_eq!(last_integer(&text), Some(number.to_string()));
        let _ = (gsm8k_answer(&before), flexible_answer(&before));
        prop_assert_eq!(gsm8k_answer(&format!("#### {number}\n{before}")), Some(number.to_string()));
    }

    #[test]
    fn diversity_stays_in_range_and_repeating_all_texts_ends_it(texts in sentences(), order in 1_usize..5) {
        let doubled = [texts.clone(), texts.clone()].concat();
        if let (Some(once), Some(twice)) = (distinct_n(&texts, order), distinct_n(&doubled, order)) {
            prop_assert!(once > 0.0 && once <= 1.0);
            prop_assert!((twice - once / 2.0).abs() < 1e-12);
        }
        if let Some(score) = self_bleu(&texts, order) {
            prop_assert!((0.0..=1.0 + 1e-9).contains(&score), "{}", score);
        }
        if !texts.is_empty() && texts.iter().all(|text| text.len() >= order) {
            let score = self_bleu(&doubled, order).expect("two texts");
            prop_assert!((score - 1.0).abs() < 1e-9, "{}", score);
        }
    }
}
