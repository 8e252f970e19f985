//! Questions, answers and scores.

use burn::tensor::{Device, Tensor, TensorData};
use dlm::core::{Denoiser, DenoiserInput};
use dlm::evaluate::{Error, Subject, Table, evaluate};
use dlm::pipeline::Pipeline;
use dlm::text::Text;
use dlm::train::metrics::error_rate;

use crate::{CASES, CHOOSE, Exact, Flat, Narrow, Scratch, answers, run, subject, words};

#[test]
fn the_likeliest_option_of_the_exact_network_is_taken_and_groups_weigh_the_same() {
    let folder = Scratch::new("choose");
    let task = folder.write("cases.jsonl", CASES).task(CHOOSE).unwrap();
    let report = run(&Exact, &task).unwrap();
    assert_eq!(answers(&report), ["a b", "b a", "b a", "a b"]);
    let accuracy = &report.scores[0];
    assert_eq!((accuracy.value, accuracy.macro_mean), (Some(0.75), Some(0.75)));
    assert_eq!(
        accuracy.by_subject.clone().into_iter().collect::<Vec<_>>(),
        [("north".to_owned(), 0.5), ("south".to_owned(), 1.0)]
    );
    // −log₂ of 0.30, 0.40, 0.40, 0.20 over three tokens each, EOS costing nothing.
    let bits = -(0.30_f64 * 0.40 * 0.40 * 0.20).log2() / 12.0;
    let got = report.scores[1].value.unwrap();
    assert!((got - bits).abs() < 0.02 * bits, "{got} is not {bits}");
    assert!((report.scores[2].value.unwrap() - got.exp2()).abs() < 1e-9);
    // Three cases of the north, one right: the small group weighs as much as the large one.
    let more = r#"{"place": "north", "answer": "c c", "options": ["a b", "c c", "b b"], "label": 1}"#;
    folder.write(
        "cases.jsonl",
        &[CASES.lines().next().unwrap(), more, more, CASES.lines().nth(1).unwrap()].join("\n"),
    );
    let accuracy = &run(&Exact, &task).unwrap().scores[0];
    assert_eq!(accuracy.value, Some(0.5));
    assert!((accuracy.macro_mean.unwrap() - f64::midpoint(1.0 / 3.0, 1.0)).abs() < 1e-12);
}

#[test]
fn normalisation_decides_between_options_of_a_network_that_knows_nothing() {
    let folder = Scratch::new("normalise");
    folder.write("cases.jsonl", r#"{"place": "north", "answer": "b"}"#);
    for (how, listed, expected) in [
        ("sum", ["a of c", "b"], "b"),
        ("sum", ["b", "a of c"], "b"),
        // Per token the two tie, and the first wins.
        ("token", ["a of c", "b"], "a of c"),
        ("token", ["b", "a of c"], "b"),
        // Four tokens with EOS over 6 bytes against two over 1.
        ("byte", ["a of c", "b"], "a of c"),
        ("byte", ["b", "a of c"], "a of c"),
    ] {
        let text = CHOOSE
            .replace("options = \"options\"\nright = \"label\"", &format!("options = {listed:?}"))
            .replace("draws = 64", &format!("normalise = \"{how}\""));
        let report = run(&Flat, &folder.task(&text).unwrap()).unwrap();
        assert_eq!(answers(&report), [expected], "{how} {listed:?}");
    }
}

#[test]
fn the_exact_network_writes_its_likeliest_answer_and_the_report_says_what_it_cost() {
    let folder = Scratch::new("generate");
    folder.write("cases.jsonl", CASES);
    let text = r#"
        name = "places"
        form = { query = "{place}", answer = "{answer}" }
        metrics = ["accuracy", "word-error-rate", "bleu"]
        data = { files = ["cases.jsonl", "cases.jsonl"] }
        generate = { length = "oracle", strategy = "ar", steps = 2 }
        rows = 3
    "#;
    let mut seen = Vec::new();
    let task = folder.task(text).unwrap();
    let words = words();
    let subject = Subject::new(&Exact, &words);
    let report = evaluate(&subject, &task, |done, of| seen.push((done, of))).unwrap();
    assert_eq!(seen, [(3, 8), (6, 8), (8, 8)]);
    // The first word by its marginal: a for the north (0.40), b for the south (0.50).
    assert_eq!(answers(&report)[..4], ["a b", "b a", "b a", "a b"]);
    assert_eq!((report.cases, report.broken + report.too_long + report.cut, report.tokens), (8, 0, 16));
    assert_eq!((report.forwards, report.evaluations), (6, 16));
    // Two of eight answers are "a b" for "c c": four edits of sixteen words.
    assert_eq!(report.scores[0].value, Some(0.75));
    assert_eq!(report.scores[1].value, Some(0.25));
    assert!(report.scores[2].signature.starts_with("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:"));
    let table = Table(std::slice::from_ref(&report)).to_string();
    assert!(
        table
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("places  accuracy         0.7500  -      8      0       0         0    2.0"),
        "{table}"
    );
    let mut lines = Vec::new();
    report.write_outputs(&mut lines).unwrap();
    let lines: Vec<serde_json::Value> =
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(lines[3]["prompt"], "north");
    assert_eq!(lines[3]["answer"], "a b");
    assert_eq!(lines[3]["references"], serde_json::json!(["c c"]));
    assert_eq!(lines[3]["scores"]["word-error-rate"], 1.0);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((json["task"].as_str(), json["scores"][0]["value"].as_f64()), (Some("places"), Some(0.75)));
}

#[test]
fn scores_of_a_real_network_are_those_of_the_written_outputs_whatever_the_batch() {
    let folder = Scratch::new("g2p");
    let cases: String = "aalto\tAA L T OW\nburn\tB ER N\nrust\tR AH S T\nword\tW ER D\nno\tN OW\n".into();
    folder.write("words.tsv", &cases);
    let text = |rows: usize| {
        format!(
            r#"
            name = "g2p"
            form = {{ query = "{{word}}", answer = "{{phonemes}}" }}
            metrics = ["word-error-rate", "distinct-1", "self-bleu"]
            data = {{ files = ["words.tsv"], columns = ["word", "phonemes"] }}
            generate = {{ length = [2, 3], strategy = "reparam-uncond-stochastic1.0-cosine", steps = 4 }}
            seed = 3
            limit = 3
            rows = {rows}
            "#
        )
    };
    let (pipeline, _) = Pipeline::load("assets/g2p-mlm", &Device::default()).unwrap();
    let run = |rows| evaluate(&subject(&pipeline), &folder.task(&text(rows)).unwrap(), |_, _| ()).unwrap();
    let report = run(64);
    assert_eq!(report.outputs, run(1).outputs);
    assert_eq!(report.outputs, run(2).outputs);
    // Three of five, evenly spread.
    assert_eq!(report.outputs.iter().map(|output| output.index).collect::<Vec<_>>(), [0, 1, 3]);
    let split = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let pairs: Vec<(Vec<String>, Vec<String>)> =
        report.outputs.iter().map(|output| (split(&output.answer), split(&output.references[0]))).collect();
    let rate = error_rate(pairs.iter().map(|(a, b)| (a.as_slice(), b.as_slice()))).rate();
    assert_eq!(report.scores[0].value, Some(rate));
    assert!(report.outputs.iter().all(|output| output.scores.len() == 1), "diversity is of all answers");
}

#[test]
fn the_same_question_twice_is_drawn_twice_and_a_seed_repeats_both() {
    let folder = Scratch::new("drawn");
    folder.write("cases.jsonl", &"{\"place\": \"north\", \"answer\": \"a\"}\n".repeat(4));
    let text = r#"
        name = "drawn"
        form = { query = "{place}", answer = "{answer}" }
        metrics = ["distinct-1", "self-bleu"]
        data = { files = ["cases.jsonl"] }
        generate = { length = 8, strategy = "cmlm", steps = 2, temperature = 1.0 }
    "#;
    let report = run(&Flat, &folder.task(text).unwrap()).unwrap();
    let mut drawn = answers(&report);
    assert_eq!(drawn, answers(&run(&Flat, &folder.task(text).unwrap()).unwrap()));
    assert_eq!(report.method, "cmlm at temperature 1, 2 steps, lengths [8]");
    drawn.dedup();
    assert_eq!(drawn.len(), 4);
    let other = run(&Flat, &folder.task(&format!("seed = 1\n{text}")).unwrap()).unwrap();
    assert_ne!(report.outputs, other.outputs);
    let error = folder.task(&text.replace("1.0", "-1.0")).unwrap_err();
    assert!(matches!(error, Error::Sampling(_)));
}

#[test]
fn demonstrations_stand_before_the_question_as_far_as_they_fit() {
    let folder = Scratch::new("shots");
    folder.write("pool.jsonl", r#"{"place": "of", "answer": "c c"}"#).write("cases.jsonl", CASES);
    let text = r#"
        name = "places"
        form = { head = "", query = "{place}", gap = " ", answer = "{answer}", between = " " }
        metrics = ["accuracy"]
        limit = 2
        data = { files = ["cases.jsonl"] }
        shots = { number = 3, files = ["pool.jsonl"] }
        generate = { length = 2, steps = 1 }
    "#;
    let report = run(&Flat, &folder.task(text).unwrap()).unwrap();
    assert_eq!(report.outputs[1].prompt, "of c c south");
    // The exact network has room for five tokens: BOS, the question, two words, EOS.
    let report = run(&Exact, &folder.task(text).unwrap()).unwrap();
    assert_eq!(report.outputs[1].prompt, "south");
    let long = text.replace("length = 2", "length = 3");
    let stopped = run(&Exact, &folder.task(&long).unwrap()).unwrap_err();
    assert!(matches!(&stopped, Error::Data(dlm::train::Error::TooLong { .. })), "{stopped}");
    let skipped = run(&Exact, &folder.task(&format!("too-long = \"skip\"\n{long}")).unwrap()).unwrap();
    assert_eq!((skipped.cases, skipped.too_long, skipped.scores[0].value), (0, 2, None));
    assert_eq!(skipped.complaints[1], "task places: example 2 has 1 tokens, more than 0");
    assert_eq!((skipped.broken, skipped.cut, skipped.complaints.len()), (0, 0, 2));
}

#[test]
fn a_prompt_too_long_keeps_its_last_tokens() {
    let folder = Scratch::new("cut");
    let pool = "{\"place\": \"of\", \"answer\": \"c c\"}\n{\"place\": \"a\", \"answer\": \"b b\"}\n";
    folder.write("pool.jsonl", pool).write("cases.jsonl", CASES);
    let text = r#"
        name = "places"
        form = { query = "{place}", gap = " ", answer = "{answer}", between = " " }
        metrics = ["accuracy"]
        limit = 2
        data = { files = ["cases.jsonl"] }
        shots = { number = 2, files = ["pool.jsonl"], order = "first" }
        generate = { length = 2, steps = 1 }
    "#;
    let cutting = format!("too-long = \"cut-left\"\n{text}");
    let prompt = |room, text: &str| {
        let report = run(&Narrow(room), &folder.task(text).unwrap()).unwrap();
        (report.outputs[1].prompt.clone(), report.cut)
    };
    // BOS, the prompt, two words, EOS.
    let all = "of c c a b b south".to_owned();
    assert_eq!(prompt(11, text), (all.clone(), 0));
    assert_eq!(prompt(11, &cutting), (all, 0));
    assert_eq!(prompt(8, text), ("of c c south".to_owned(), 0));
    assert_eq!(prompt(8, &cutting), ("a b b south".to_owned(), 2));
    assert_eq!(prompt(5, &cutting), ("south".to_owned(), 2));
    let none = run(&Narrow(4), &folder.task(&cutting).unwrap()).unwrap_err();
    assert!(matches!(none, Error::Data(dlm::train::Error::TooLong { index: 0, limit: 0, got: 7 })), "{none}");
}

#[test]
fn demonstrations_are_of_the_subject_unless_the_task_says_otherwise() {
    let folder = Scratch::new("same");
    let line = |place: &str, answer: &str| format!("{{\"place\": \"{place}\", \"answer\": \"{answer}\"}}\n");
    let pool: String =
        ["north", "south"].iter().flat_map(|place| ["a", "b", "c"].map(|a| line(place, a))).collect();
    folder.write("pool.jsonl", &pool).write("cases.jsonl", CASES);
    let text = r#"
        name = "places"
        form = { query = "{answer}", gap = " ", answer = "{place}", between = " " }
        metrics = ["accuracy"]
        subject = "place"
        data = { files = ["cases.jsonl"] }
        shots = { number = 6, files = ["pool.jsonl"] }
        generate = { length = 1, steps = 1 }
    "#;
    let shown = |text: &str| {
        let report = run(&Flat, &folder.task(text).unwrap()).unwrap();
        let of = |place: &str, prompt: &str| prompt.split(' ').filter(|word| *word == place).count();
        report.outputs.iter().map(|o| (of("north", &o.prompt), of("south", &o.prompt))).collect::<Vec<_>>()
    };
    assert_eq!(shown(text), [(3, 0), (0, 3), (0, 3), (3, 0)]);
    assert_eq!(shown(&text.replace("number = 6", "number = 6, same = \"\"")), [(3, 3); 4]);
    folder.write("pool.jsonl", &line("of", "a"));
    let error = run(&Flat, &folder.task(text).unwrap()).unwrap_err();
    let expected =
        "task places, case 0: expected a demonstration whose `place` is \"north\", got none in the pool";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_reference_that_a_metric_cannot_read_is_an_error() {
    let folder = Scratch::new("unread");
    folder.write(
        "cases.jsonl",
        "{\"place\": \"north\", \"answer\": 18}\n{\"place\": \"south\", \"answer\": \"b\"}\n",
    );
    let read = |metric: &str, limit: usize| {
        let text = format!(
            r#"
            name = "t"
            form = {{ query = "{{place}}", answer = "{{answer}}" }}
            metrics = ["{metric}"]
            limit = {limit}
            data = {{ files = ["cases.jsonl"] }}
            generate = {{ length = 1, steps = 1 }}
            "#
        );
        run(&Flat, &folder.task(&text).unwrap()).map(|_| ()).map_err(|error| error.to_string())
    };
    for (metric, first, second) in [
        ("gsm8k", false, false),
        ("gsm8k-flexible", true, false),
        ("last-integer", true, false),
        ("choice-letter", false, true),
        ("accuracy", true, true),
    ] {
        assert_eq!(read(metric, 1).is_ok(), first, "{metric}");
        assert_eq!(read(metric, 2).is_ok(), first && second, "{metric}");
    }
    let error = read("gsm8k", 1).unwrap_err();
    let expected = "task t, case 0: expected a number behind `#### ` in the right answer, for the metric gsm8k, got [\"18\"]";
    assert_eq!(error, expected);
}

#[test]
fn several_references_come_from_a_list() {
    let folder = Scratch::new("references");
    folder.write("cases.jsonl", r#"{"place": "north", "answer": "x", "answers": ["b b", "a b"]}"#);
    let text = r#"
        name = "places"
        form = { query = "{place}", answer = "{answer}" }
        metrics = ["accuracy", "chrf"]
        references = "answers"
        data = { files = ["cases.jsonl"] }
        generate = { length = "oracle", steps = 2, strategy = "ar" }
    "#;
    let report = run(&Exact, &folder.task(text).unwrap()).unwrap();
    assert_eq!(report.scores[0].value, Some(1.0));
    assert!(report.scores[1].signature.starts_with("nrefs:2|"));
}

/// Finds the token ` B` likelier than all others, wherever it is asked.
struct Spaced;

impl Denoiser for Spaced {
    fn vocab_size(&self) -> usize {
        12
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let row: Vec<f32> = (0..12).map(|id| if id == 11 { 5.0 } else { 0.0 }).collect();
        let logits = TensorData::new(row.repeat(input.at.len()), [input.at.len(), 12]);
        Tensor::from_data(logits, &self.device())
    }
}

#[test]
fn the_space_before_an_answer_may_belong_to_it_as_byte_level_bpe_wants() {
    let words = ["<s>", "<pad>", "</s>", "<mask>", "<unk>", "Q", ":", "Ġ", "A", "B", "ĠA", "ĠB"];
    let vocab: serde_json::Map<_, _> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
    let bytes = serde_json::json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": {"type": "BPE", "vocab": vocab, "merges": ["Ġ A", "Ġ B"]},
    });
    let text = Text::new(tokenizer.to_string().parse().unwrap(), Some(words.len()), None).unwrap();
    assert_eq!((text.encode("A: B").unwrap(), text.encode("B").unwrap()), (vec![8, 6, 11], vec![9]));
    let folder = Scratch::new("bpe");
    folder.write("cases.jsonl", r#"{"answer": "B"}"#);
    let answer = |gap: &str, before: &str| {
        let task = format!(
            r#"
            name = "letters"
            form = {{ query = "Q: A:", gap = "{gap}", answer = "{before}{{answer}}" }}
            metrics = ["accuracy"]
            data = {{ files = ["cases.jsonl"] }}
            choose = {{ options = ["{before}A", "{before}B"] }}
            "#
        );
        let report =
            evaluate(&Subject::new(&Spaced, &text), &folder.task(&task).unwrap(), |_, _| ()).unwrap();
        report.outputs[0].answer.clone()
    };
    // `A` and `B` without a space are equally unlikely, and the first is taken.
    assert_eq!((answer(" ", ""), answer("", " ")), ("A".to_owned(), " B".to_owned()));
}
