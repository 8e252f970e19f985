//! The task files of the repository, each put to made-up records: whole prompts, whole answers.

use dlm::evaluate::{Length, Method, Report, Task};

use crate::{Flat, Scratch, run};

/// The report of a task file over some records and a pool; predicted lengths, which need a network, become 1.
fn ask(name: &str, cases: &str, pool: &str) -> Report {
    let folder = Scratch::new(&format!("committed-{name}"));
    folder.write("cases", cases).write("pool", pool);
    let mut task = Task::read(format!("tasks/{name}.toml")).unwrap();
    task.data.files = vec![folder.0.join("cases")];
    if let Some(shots) = &mut task.shots {
        shots.pool.files = vec![folder.0.join("pool")];
    }
    if let Method::Generate { length, .. } = &mut task.method
        && matches!(length, Length::Predicted(_))
    {
        *length = Length::Fixed(vec![1]);
    }
    run(&Flat, &task).unwrap()
}

fn asked(report: &Report) -> Vec<(&str, &[String])> {
    report.outputs.iter().map(|output| (output.prompt.as_str(), output.references.as_slice())).collect()
}

#[test]
fn translation() {
    let report = ask("translate-de-en", "es ist diese pyramide.\tit's that pyramid.\n", "");
    let prompt = "Translate the sentences into English.  German: es ist diese pyramide. English:";
    assert_eq!(asked(&report), [(prompt, ["it's that pyramid.".to_owned()].as_slice())]);
}

#[test]
fn summaries() {
    let report = ask("summarise", r#"{"source": "rain fell all day .", "target": "rain ."}"#, "");
    let prompt = "Write a short summary for this text: rain fell all day .\n\nSummary:";
    assert_eq!(asked(&report), [(prompt, ["rain .".to_owned()].as_slice())]);
}

const QUESTION: &str =
    r#"{"subject": "anatomy", "question": "Who?", "A": "x", "B": "y", "C": "z", "D": "w", "answer": "D"}"#;

/// Five of the subject among ten, of which one is drawn first.
fn dev() -> String {
    let line = |subject: &str, number: usize| {
        QUESTION
            .replace("anatomy", subject)
            .replace("Who?", &format!("Which {number}?"))
            .replace("\"D\"}", "\"B\"}")
    };
    (0..5).flat_map(|number| ["astronomy", "anatomy"].map(|subject| line(subject, number) + "\n")).collect()
}

#[test]
fn mmlu_written_and_chosen() {
    for name in ["mmlu", "mmlu-choose"] {
        let report = ask(name, QUESTION, &dev());
        let [(prompt, references)] = asked(&report)[..] else { panic!("one case") };
        let head = "The following are multiple choice questions (with answers) about anatomy. ";
        let shots: Vec<&str> = prompt.strip_prefix(head).unwrap().split(" | ").collect();
        assert_eq!(shots[5], "Q: Who? (A) x (B) y (C) z (D) w A:");
        let mut shots = shots[..5].to_vec();
        shots.sort_unstable();
        let shot = |number: usize| format!("Q: Which {number}? (A) x (B) y (C) z (D) w A: B");
        assert_eq!(shots, [shot(0), shot(1), shot(2), shot(3), shot(4)]);
        assert_eq!(references, ["D"]);
    }
    // One token for the letter.
    assert_eq!(ask("mmlu", QUESTION, &dev()).tokens, 1);
}

#[test]
fn tydiqa() {
    let case = |language: &str, question: &str, answer: &str| {
        format!(
            r#"{{"language": "{language}", "context": "Naali on koira.", "question": "{question}", "answer": "{answer}", "answers": ["{answer}", "eläin"]}}"#
        )
    };
    let pool =
        [case("bengali", "?", "no"), case("finnish", "Kuka?", "naali"), case("korean", "?", "no")].join("\n");
    let report = ask("tydiqa", &case("finnish", "Mikä?", "koira"), &pool);
    let prompt = "Please answer each of the question according to the given context in finnish. context: Naali on \
                  koira. Q: Kuka? A: naali |  context: Naali on koira. Q: Mikä? A:";
    assert_eq!(asked(&report), [(prompt, ["koira".to_owned(), "eläin".to_owned()].as_slice())]);
    assert_eq!(report.scores[0].metric, "accuracy");
}

#[test]
fn mgsm() {
    let shot = |n: usize| {
        format!(
            r#"{{"question": "Frage: {n} + 1?", "answer": "Schritt-für-Schritt-Antwort: Also {n}.", "answer_number": {n}}}"#
        )
    };
    let pool = (1..=4).map(|n| shot(n) + "\n").collect::<String>();
    let cases = r#"{"question": "Wie viele?", "answer": null, "answer_number": 18}
{"question": "Warum?", "answer": null, "answer_number": 5}"#;
    let report = ask("mgsm", cases, &pool);
    let first = " Frage: 1 + 1? Schritt-für-Schritt-Antwort: Also 1. Frage: 2 + 1? Schritt-für-Schritt-Antwort: Also 2. \
                 Frage: 3 + 1? Schritt-für-Schritt-Antwort: Also 3. Frage:  ";
    let expected = [("Wie viele?", "18"), ("Warum?", "5")].map(|(question, answer)| {
        (format!("{first}{question} Schritt-für-Schritt-Antwort:"), vec![answer.to_owned()])
    });
    let got: Vec<_> = asked(&report).into_iter().map(|(a, b)| (a.to_owned(), b.to_vec())).collect();
    assert_eq!(got, expected);
    // 57 tokens and the number's one.
    assert_eq!(report.tokens, 2 * 58);
}

#[test]
fn gsm8k() {
    let answer = |n: usize| format!(r#"{{"question": "How many {n}?", "answer": "So {n}.\n#### {n}"}}"#);
    let report = ask("gsm8k", &answer(18), &(1..=3).map(|n| answer(n) + "\n").collect::<String>());
    let [(prompt, references)] = asked(&report)[..] else { panic!("one case") };
    let mut parts: Vec<&str> = prompt.split("Question: ").collect();
    assert_eq!(parts.pop(), Some(" How many 18? Step-by-Step Answer:"));
    parts.sort_unstable();
    let shot = |n: usize| format!("How many {n}? Step-by-Step Answer: So {n}.\n#### {n} ");
    assert_eq!(parts, [" ".to_owned(), shot(1), shot(2), shot(3)]);
    assert_eq!((references, report.tokens), (["So 18.\n#### 18".to_owned()].as_slice(), 60));
}
