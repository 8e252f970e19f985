//! Templates, the paper's prompts, and demonstrations.

use std::collections::BTreeSet;
use std::convert::Infallible;

use dlm_train::Error;
use dlm_train::data::{Case, Form, FormText, ShotOrder, Shots, Template, forms};
use proptest::prelude::*;

fn form(text: FormText<'_>) -> Form {
    text.parse().expect("a form")
}

#[allow(clippy::unnecessary_wraps, reason = "a length function may fail")]
fn letters(text: &str) -> Result<usize, Infallible> {
    Ok(text.chars().count())
}

/// Sentences with translations.
fn pool(n: usize) -> Vec<Case> {
    (0..n).map(|i| Case::from([("source", format!("Satz {i}.")), ("target", format!("Line {i}."))])).collect()
}

#[test]
fn a_template_that_is_none_names_the_character() {
    let cases = [
        ("a {b", "character 5: expected `}`, got the end"),
        ("a {", "character 4: expected the name of a field, or `{{` for a brace, got the end"),
        ("ä {}", "character 4: expected the name of a field, or `{{` for a brace, got '}'"),
        ("{a b}", "character 3: expected `}`, got ' '"),
        ("{\"a\": 1}", "character 2: expected the name of a field, or `{{` for a brace, got '\"'"),
        ("a } b", "character 4: expected a second `}` after a `}` that closes no field, got ' '"),
        ("a }", "character 4: expected a second `}` after a `}` that closes no field, got the end"),
        ("{a{b}}", "character 3: expected `}`, got '{'"),
    ];
    for (text, expected) in cases {
        let error = text.parse::<Template>().expect_err("no template");
        assert_eq!(error.to_string(), format!("template, {expected}"), "{text}");
    }
}

#[test]
fn braces_are_doubled() {
    let template: Template = "{{{a}}} {{x}} {a}{b-1_ä}".parse().expect("a template");
    assert_eq!(template.fields().collect::<Vec<_>>(), ["a", "a", "b-1_ä"]);
    let case = Case::from([("a", "{b}"), ("b-1_ä", "}")]);
    assert_eq!(template.fill(0, &case).expect("both fields"), "{{b}} {x} {b}}");
}

#[test]
fn a_missing_field_names_the_record_and_what_it_has() {
    let fill = |case: &Case| form(forms::MMLU).prompt(&[], 12, case).expect_err("no subject").to_string();
    let some = Case::from([("question", "?"), ("A", "1")]);
    assert_eq!(fill(&some), "record 12: expected the field `subject`, got `A`, `question`");
    assert_eq!(fill(&Case::default()), "record 12: expected the field `subject`, got no field");
    let pool = pool(2);
    let bad = Case::from([("source", "Nein.")]);
    let error = form(forms::TRANSLATE_DE_EN).prompt(&[(4, &bad)], 0, &pool[0]).expect_err("no target");
    assert!(matches!(error, Error::MissingField { index: 4, .. }), "{error}");
}

/// The prompts of every form without and with a demonstration.
#[test]
fn the_papers_prompts_are_these() {
    let pair = |a, b| {
        [Case::from([("source", a), ("target", "EINS")]), Case::from([("source", b), ("target", "ZWEI")])]
    };
    let asked = |a: &str, b: &str| {
        [a, b].map(|q| {
            Case::from([("question", q), ("answer", "so 4"), ("language", "finnish"), ("context", "Text.")])
        })
    };
    let flan = ["Is it?", "Why?"].map(|q| Case::from([("inputs", q), ("targets", "yes")]));
    let choice = ["One?", "Two?"].map(|q| {
        let [a, b, c, d] = ["1", "2", "3", "4"];
        Case::from([
            ("subject", "logic"),
            ("question", q),
            ("A", a),
            ("B", b),
            ("C", c),
            ("D", d),
            ("answer", "B"),
        ])
    });
    let translate = pair("Hallo.", "Danke.");
    let cases: [(FormText<'_>, &[Case; 2], &str, &str); 10] = [
        (
            forms::TRANSLATE_DE_EN,
            &translate,
            "Translate the sentences into English.  German: Danke. English:",
            "Translate the sentences into English.  German: Hallo. English: EINS German: Danke. English:",
        ),
        (
            forms::TRANSLATE_DE_EN_BARE,
            &translate,
            "German: Danke. English:",
            "German: Hallo. English: EINS German: Danke. English:",
        ),
        (
            forms::SUMMARISE,
            &translate,
            "Write a short summary for this text: Danke.\n\nSummary:",
            "Write a short summary for this text: Hallo.\n\nSummary: EINS\n\nWrite a short summary for this text: \
             Danke.\n\nSummary:",
        ),
        (forms::FLAN, &flan, "Why?", "Is it?\n\nyes\n\n\nWhy?"),
        (
            forms::CHAIN_OF_THOUGHT,
            &asked("2 + 2?", "1 + 3?"),
            "Q: 1 + 3?\nA: Let's think step by step.",
            "Q: 2 + 2?\nA: Let's think step by step. so 4\n\nQ: 1 + 3?\nA: Let's think step by step.",
        ),
        (
            forms::MMLU,
            &choice,
            "The following are multiple choice questions (with answers) about logic. Q: Two? (A) 1 (B) 2 (C) 3 \
             (D) 4 A:",
            "The following are multiple choice questions (with answers) about logic. Q: One? (A) 1 (B) 2 (C) 3 \
             (D) 4 A: B | Q: Two? (A) 1 (B) 2 (C) 3 (D) 4 A:",
        ),
        (
            forms::TYDIQA,
            &asked("Mikä?", "Kuka?"),
            "Please answer each of the question according to the given context in finnish.  context: Text. \
             Q: Kuka? A:",
            "Please answer each of the question according to the given context in finnish. context: Text. \
             Q: Mikä? A: so 4 |  context: Text. Q: Kuka? A:",
        ),
        (
            forms::MGSM,
            &asked("2 + 2?", "1 + 3?"),
            " Question:  1 + 3? Step-by-Step Answer:",
            " Question: 2 + 2? Step-by-Step Answer: so 4 Question:  1 + 3? Step-by-Step Answer:",
        ),
        (
            forms::MGSM_DE,
            &asked("2 + 2?", "1 + 3?"),
            " Frage:  1 + 3? Schritt-für-Schritt-Antwort:",
            " Frage: 2 + 2? Schritt-für-Schritt-Antwort: so 4 Frage:  1 + 3? Schritt-für-Schritt-Antwort:",
        ),
        (
            forms::MGSM_ZH,
            &asked("2 + 2？", "1 + 3？"),
            " 问题： 1 + 3？ 逐步解答：",
            " 问题：2 + 2？ 逐步解答：so 4 问题： 1 + 3？ 逐步解答：",
        ),
    ];
    for (text, [shot, query], zero, one) in cases {
        let form = form(text);
        assert_eq!(form.prompt(&[], 0, query).expect("all fields"), zero);
        assert_eq!(form.prompt(&[(0, shot)], 1, query).expect("all fields"), one);
        assert_eq!(form.record(0, query).expect("all fields").prompt, zero);
    }
    assert_eq!(form(forms::FLAN).record(0, &flan[0]).expect("all fields").response, "yes");
}

#[test]
fn too_long_a_query_is_an_error_and_not_a_cut() {
    let pool = pool(3);
    let form = form(forms::TRANSLATE_DE_EN);
    let zero = form.prompt(&[], 0, &pool[0]).expect("all fields").len();
    let shots = Shots { limit: zero - 1, ..Shots::drawn(&pool, 2, 0) };
    let error = shots.prompt(&form, 6, &pool[0], letters).expect_err("too long");
    assert!(matches!(error, Error::TooLong { index: 6, limit, got } if limit + 1 == zero && got == zero));
    let shots = Shots { limit: zero, ..shots };
    let fits = shots.prompt(&form, 6, &pool[0], letters).expect("fits");
    assert!(fits.shots.is_empty() && fits.text.len() == zero);
    let fails = |_: &str| "x".parse::<usize>();
    let error = shots.prompt(&form, 6, &pool[0], fails).expect_err("no length");
    assert_eq!(error.to_string(), "cannot tokenise the prompt of record 6");
}

#[test]
fn every_case_of_the_pool_is_drawn_equally_often() {
    let (pool, form) = (pool(10), form(forms::TRANSLATE_DE_EN));
    let shots = Shots::drawn(&pool, 3, 5);
    let mut counts = [[0_usize; 3]; 10];
    for index in 0..3000 {
        let drawn = shots.prompt(&form, index, &pool[9], letters).expect("a prompt").shots;
        for (place, &shot) in drawn.iter().enumerate() {
            counts[shot][place] += 1;
        }
    }
    assert_eq!(counts[9], [0; 3], "the query itself");
    // Each of nine cases comes to each of three places 3000 / 9 times: four standard deviations are 69.
    assert!(counts[..9].iter().flatten().all(|count| count.abs_diff(333) < 69), "{counts:?}");
}

/// The paper's evaluation files, `data/instruct` at commit 51fd77b, to the space: their last one, where a file
/// has it, is the form's gap.
#[test]
fn prompts_are_those_of_the_papers_files() {
    let record = |fields: [(&str, &str); 2]| Case::from(fields);
    let translate = [
        record([
            ("source", "und was menschliche gesundheit ist, kann auch ziemlich kompliziert sein."),
            ("target", "and it can be a very complicated thing, what human health is."),
        ]),
        record([("source", "es ist diese pyramide."), ("target", "it's that pyramid.")]),
    ];
    let sum = [
        record([
            (
                "question",
                "Roger hat 5 Tennisbälle. Er kauft noch 2 Dosen Tennisbälle. In jeder Dose sind 3 Tennisbälle. \
                 Wie viele Tennisbälle hat er jetzt?",
            ),
            (
                "answer",
                "Roger begann mit 5 Bällen. 2 Dosen von jeweils 3 Tennisbällen macht 6 Tennisbälle. 5 + 6 = 11. \
                 Die Antwort ist 11.",
            ),
        ]),
        record([
            (
                "question",
                "Ein Kleid erfordert 2 Knäuel blaue Wolle und halb so viel weiße Wolle. Wie viele Knäuel \
                 braucht man insgesamt?",
            ),
            ("answer", "3"),
        ]),
    ];
    let cases: [(FormText<'_>, &[Case; 2], &str); 2] = [
        (
            forms::TRANSLATE_DE_EN,
            &translate,
            "Translate the sentences into English.  German: und was menschliche gesundheit ist, kann auch \
             ziemlich kompliziert sein. English: and it can be a very complicated thing, what human health is. \
             German: es ist diese pyramide. English: ",
        ),
        (
            forms::MGSM_DE,
            &sum,
            " Frage: Roger hat 5 Tennisbälle. Er kauft noch 2 Dosen Tennisbälle. In jeder Dose sind 3 \
             Tennisbälle. Wie viele Tennisbälle hat er jetzt? Schritt-für-Schritt-Antwort: Roger begann mit 5 \
             Bällen. 2 Dosen von jeweils 3 Tennisbällen macht 6 Tennisbälle. 5 + 6 = 11. Die Antwort ist 11. \
             Frage:  Ein Kleid erfordert 2 Knäuel blaue Wolle und halb so viel weiße Wolle. Wie viele Knäuel \
             braucht man insgesamt? Schritt-für-Schritt-Antwort: ",
        ),
    ];
    for (text, [shot, query], inputs) in cases {
        let prompt = form(text).prompt(&[(0, shot)], 1, query).expect("all fields");
        assert_eq!(prompt + text.gap, inputs);
    }
}

#[test]
fn demonstrations_share_a_field_with_the_question() {
    let form = form(forms::MMLU);
    let case = |subject: &str, question: &str| {
        let fields = [("subject", subject), ("question", question), ("answer", "A")];
        let options = ["A", "B", "C", "D"].map(|letter| (letter, "1"));
        fields.into_iter().chain(options).map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    };
    let pool: Vec<Case> = ["logic", "law", "logic", "law", "logic", "law"]
        .iter()
        .zip(["a", "b", "c", "d", "e", "f"])
        .map(|(subject, question)| case(subject, question))
        .collect();
    let free = Shots::drawn(&pool, 6, 3);
    let mut apart = 0;
    for index in 0..20 {
        let query = case(["logic", "law"][index % 2], "?");
        let shown = |shots: Shots<'_>| shots.prompt(&form, index, &query, letters).expect("a prompt").shots;
        assert_eq!(shown(free).len(), 6);
        let mut same = shown(Shots { same: Some("subject"), ..free });
        let drawn = same.clone();
        same.sort_unstable();
        assert_eq!(same, [index % 2, index % 2 + 2, index % 2 + 4]);
        apart += usize::from(drawn != same);
        let first = Shots { same: Some("subject"), order: ShotOrder::First, most: 2, ..free };
        assert_eq!(shown(first), [index % 2, index % 2 + 2]);
    }
    assert!(apart > 0, "an order that is drawn");
    // The query itself is none of the first.
    let first = Shots { order: ShotOrder::First, most: 2, ..free };
    assert_eq!(first.prompt(&form, 9, &pool[1], letters).expect("a prompt").shots, [0, 2]);
    let other = Shots { same: Some("year"), ..free };
    let error = other.prompt(&form, 9, &pool[1], letters).expect_err("no year");
    assert!(matches!(&error, Error::MissingField { index: 9, field, .. } if field == "year"), "{error}");
}

proptest! {
    /// The text of a template, parsed and shown, is what it was; and what it shows parses to the same.
    #[test]
    fn a_template_shows_what_it_was_parsed_from(text in "([a-z\n ]|\\{\\{|\\}\\}|\\{[a-z_]{1,4}\\})*") {
        let template: Template = text.parse().expect("a template");
        prop_assert_eq!(template.to_string(), text);
    }

    #[test]
    fn any_text_is_a_template_or_a_typed_error(text in "[{}a ä]{0,20}|.*") {
        match text.parse::<Template>() {
            Ok(template) => prop_assert_eq!(&template.to_string(), &text),
            Err(error) => {
                let end = text.chars().count() + 1;
                let within = matches!(error, Error::Template { character, .. } if (1..=end).contains(&character));
                prop_assert!(within, "{error:?}");
            }
        }
        let plain = Template::of_text(text.clone());
        prop_assert_eq!(plain.fill(0, &Case::default()).expect("no field"), text);
    }

    /// Demonstrations are distinct, none has the query's question, the prompt keeps to the limit, ends in the
    /// query, and one demonstration more, if one was drawn, would not have fitted.
    #[test]
    fn demonstrations_are_others_and_fit(
        size in 1_usize..12, most in 0_usize..8, room in 0_usize..300, seed: u64, index in 0_usize..40,
    ) {
        let mut pool = pool(size);
        pool.push(pool[index % size].clone());
        let form = form(forms::TRANSLATE_DE_EN);
        let query = &pool[index % size];
        let zero = form.prompt(&[], index, query).expect("all fields");
        let shots = Shots { limit: zero.len() + room, ..Shots::drawn(&pool, most, seed) };
        let prompt = shots.prompt(&form, index, query, letters).expect("fits without a demonstration");
        prop_assert_eq!(&prompt, &shots.prompt(&form, index, query, letters).expect("the same again"));
        prop_assert!(prompt.text.len() <= shots.limit);
        let asked = zero.strip_prefix("Translate the sentences into English.  ").expect("the head");
        prop_assert!(prompt.text.ends_with(asked));
        prop_assert_eq!(prompt.shots.iter().collect::<BTreeSet<_>>().len(), prompt.shots.len());
        prop_assert!(prompt.shots.iter().all(|&shot| pool[shot].get("source") != query.get("source")));
        let free = Shots { limit: usize::MAX, ..shots };
        let all = free.prompt(&form, index, query, letters).expect("no limit").shots;
        prop_assert_eq!(all.len(), most.min(size - 1));
        prop_assert_eq!(&all[..prompt.shots.len()], &prompt.shots[..]);
        if let Some(&next) = all.get(prompt.shots.len()) {
            let more: Vec<(usize, &Case)> =
                prompt.shots.iter().chain([&next]).map(|&shot| (shot, &pool[shot])).collect();
            prop_assert!(form.prompt(&more, index, query).expect("all fields").len() > shots.limit);
        }
    }
}
