//! Evaluation: what is asked, how answers are judged, and what a task file may not say.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use dlm::core::{Denoiser, DenoiserInput, TokenId};
use dlm::evaluate::{Error, Report, Subject, Table, Task, evaluate};
use dlm::pipeline::Pipeline;
use dlm::text::Text;
use dlm::train::metrics::error_rate;
use tokenizers::Tokenizer;

/// An empty folder that is deleted at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("dlm-evaluate-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }

    fn task(&self, text: &str) -> Result<Task, Error> {
        Task::parse(text, self.0.join("task.toml"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const WORDS: [&str; 11] = ["<s>", "<pad>", "</s>", "<mask>", "<unk>", "north", "south", "a", "b", "c", "of"];

fn tokenizer() -> Tokenizer {
    let vocab: serde_json::Map<_, _> =
        WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    })
    .to_string()
    .parse()
    .unwrap()
}

fn subject(pipeline: &Pipeline) -> Subject<'_> {
    Subject::new(&pipeline.model, &pipeline.text).with_lengths(pipeline.lengths())
}

fn words() -> Text {
    Text::new(tokenizer(), Some(WORDS.len()), None).unwrap()
}

/// p(two words | north or south), rows and columns a, b, c; EOS follows for sure.
const NORTH: [[f64; 3]; 3] = [[0.05, 0.30, 0.05], [0.10, 0.05, 0.10], [0.05, 0.10, 0.20]];
const SOUTH: [[f64; 3]; 3] = [[0.05, 0.05, 0.10], [0.40, 0.05, 0.05], [0.05, 0.20, 0.05]];

/// The true conditional distributions of `<s> place word word </s>`.
struct Exact;

impl Exact {
    fn p(row: &[TokenId], position: usize, id: TokenId) -> f64 {
        let joint = if row[1] == 5 { NORTH } else { SOUTH };
        let fits = |at: usize, word: usize| {
            let id = if at == position { id } else { row[at] };
            id == 3 || id as usize == 7 + word
        };
        let cells = (0..3).flat_map(|first| (0..3).map(move |second| (first, second)));
        match position {
            4 => f64::from(u8::from(id == 2)),
            _ if !(7..10).contains(&id) => 0.0,
            _ => cells.filter(|&(a, b)| fits(2, a) && fits(3, b)).map(|(a, b)| joint[a][b]).sum(),
        }
    }
}

impl Denoiser for Exact {
    fn vocab_size(&self) -> usize {
        WORDS.len()
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn max_len(&self) -> Option<usize> {
        Some(5)
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let len = input.shape[1];
        let row = |at: usize| &input.ids[at / len * len..][..len];
        let ids = || 0..WORDS.len() as TokenId;
        let logits: Vec<f32> = (input.at.iter())
            .flat_map(|&at| ids().map(move |id| Self::p(row(at), at % len, id).ln().max(-1e4) as f32))
            .collect();
        Tensor::from_data(TensorData::new(logits, [input.at.len(), WORDS.len()]), &self.device())
    }
}

/// Knows nothing.
struct Flat;

impl Denoiser for Flat {
    fn vocab_size(&self) -> usize {
        WORDS.len()
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        Tensor::zeros([input.at.len(), WORDS.len()], &self.device())
    }
}

fn run(model: &dyn Denoiser, task: &Task) -> Result<Report, Error> {
    evaluate(&Subject::new(model, &words()), task, |_, _| ())
}

fn answers(report: &Report) -> Vec<&str> {
    report.outputs.iter().map(|output| output.answer.as_str()).collect()
}

const CASES: &str = r#"{"place": "north", "answer": "a b", "options": ["b a", "a b", "c c"], "label": 1}
{"place": "south", "answer": "b a", "options": ["c b", "a c", "b a"], "label": 2}
{"place": "south", "answer": "b a", "options": ["b a", "c b", "b b"], "label": 0}
{"place": "north", "answer": "c c", "options": ["a b", "c c", "b b"], "label": 1}
"#;

const CHOOSE: &str = r#"
name = "places"
form = { query = "{place}", answer = "{answer}" }
metrics = ["accuracy", "bits-per-token", "perplexity-bound"]
subject = "place"
data = { files = ["cases.jsonl"] }
[choose]
options = "options"
right = "label"
draws = 64
"#;

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
    assert_eq!((report.cases, report.skipped, report.tokens), (8, 0, 16));
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
            .starts_with("places  accuracy         0.7500  -      8      0        2.0"),
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
    assert_eq!((skipped.cases, skipped.skipped, skipped.scores[0].value), (0, 2, None));
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

#[test]
fn malformed_task_files_say_what_is_wrong_and_where() {
    let folder = Scratch::new("malformed");
    let good = r#"
        name = "t"
        form = "flan"
        metrics = ["bleu"]
        data = { files = ["cases.jsonl"] }
        generate = { length = 3, steps = 2 }
    "#;
    folder.task(good).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        let error = folder.task(&good.replace(from, to)).unwrap_err();
        let message = error.to_string();
        (error, message)
    };
    for (from, to, named) in [
        ("name =", "nmae =", "nmae"),
        ("files =", "file =", "file"),
        ("steps =", "stpes =", "stpes"),
        ("name = \"t\"", "name = 3", "name"),
        ("form = \"flan\"", "", "form"),
        ("\"flan\"", "{ query = \"\", answer = \"\", middle = \"\" }", "middle"),
        ("length = 3", "length = { baem = 3 }", "baem"),
        ("name = \"t\"", "name = ", "name"),
        (
            "generate = { length = 3, steps = 2 }",
            "choose = { options = [\"a\", \"b\"], normalise = \"word\" }",
            "word",
        ),
        ("generate = { length = 3, steps = 2 }", "choose = { right = \"a\" }", "options"),
    ] {
        let (error, message) = refused(from, to);
        assert!(matches!(error, Error::Toml { .. }) && message.contains(named), "{to}: {message}");
        assert!(message.contains("task.toml"), "{message}");
    }
    for (from, to, field) in [
        ("[\"bleu\"]", "[]", "metrics"),
        ("[\"cases.jsonl\"]", "[]", "data.files"),
        ("\"flan\"", "3", "form"),
        ("length = 3", "length = -3", "generate.length"),
        ("length = 3", "length = \"orcale\"", "generate.length"),
        ("length = 3", "length = []", "generate.length"),
        ("length = 3", "length = { beam = 0 }", "generate.length.beam"),
        ("steps = 2", "steps = 0", "generate.steps"),
        ("name =", "limit = 0\nname =", "limit"),
        ("name =", "rows = 0\nname =", "rows"),
        ("generate = { length = 3, steps = 2 }", "", "generate, choose"),
        ("generate =", "choose = { options = [\"a\", \"b\"] }\ngenerate =", "generate, choose"),
        ("generate = { length = 3, steps = 2 }", "choose = { options = [\"a\"] }", "choose.options"),
        ("generate = { length = 3, steps = 2 }", "choose = { options = \"o\", draws = 1 }", "choose.draws"),
    ] {
        let (error, message) = refused(from, to);
        assert!(matches!(&error, Error::Task { field: got, .. } if *got == field), "{to}: {message}");
    }
    let (error, message) = refused("\"bleu\"", "\"belu\"");
    assert!(matches!(&error, Error::UnknownName { what: "metric", nearest: "bleu", .. }), "{message}");
    assert!(
        message.starts_with("there is no metric `belu`; did you mean `bleu`? There are accuracy, "),
        "{message}"
    );
    let (error, _) = refused("\"flan\"", "\"mmul\"");
    assert!(matches!(&error, Error::UnknownName { what: "form", nearest: "mmlu", .. }));
    let (error, _) = refused("\"flan\"", "{ query = \"{\", answer = \"\" }");
    assert!(matches!(error, Error::Data(dlm::train::Error::Template { .. })));
    let (error, _) = refused("steps = 2", "steps = 2, strategy = \"best\"");
    assert!(matches!(error, Error::Sampling(_)));
    assert!(matches!(Task::read(folder.0.join("none.toml")), Err(Error::Io { .. })));
}

#[test]
fn data_that_does_not_fit_the_task_is_an_error() {
    let folder = Scratch::new("data");
    let refused = |text: &str| run(&Flat, &folder.task(text).unwrap()).unwrap_err();
    assert!(matches!(refused(CHOOSE), Error::Data(dlm::train::Error::Io { .. })));
    folder.write("cases.jsonl", "\n");
    assert!(matches!(refused(CHOOSE), Error::NoCases { .. }));
    let with = |line: &str| {
        folder.write("cases.jsonl", line);
        refused(CHOOSE)
    };
    let error = with(r#"{"place": "north", "answer": "a b", "label": 0}"#);
    assert_eq!(
        error.to_string(),
        "task places, case 0: expected a list of texts in the field `options`, got none"
    );
    assert!(matches!(with(r#"{"place": "north", "label": 0, "options": []}"#), Error::Case { index: 0, .. }));
    let error = with(r#"{"place": "north", "label": 2, "options": ["a", "b"]}"#);
    assert_eq!(
        error.to_string(),
        "task places, case 0: expected a number below 2 in the field `label`, got 2"
    );
    assert!(matches!(with(r#"{"place": "north", "options": ["a", "b"]}"#), Error::Case { .. }));
    assert!(matches!(with(r#"{"label": 1, "options": ["a", "b"]}"#), Error::Data(_)));
    assert!(matches!(with("{"), Error::Data(dlm::train::Error::Record { line: 1, .. })));
    // Without `right`, the form's answer must be an option.
    let answered = CHOOSE.replace("right = \"label\"\n", "");
    folder.write("cases.jsonl", r#"{"place": "north", "answer": "d", "options": ["a", "b"]}"#);
    let error = refused(&answered);
    assert!(matches!(&error, Error::Case { got, .. } if got.contains("\"d\"")), "{error}");
    let predicted = r#"
        name = "t"
        form = { query = "{place}", answer = "{answer}" }
        metrics = ["bleu"]
        data = { files = ["cases.jsonl"] }
        generate = { length = { beam = 2 }, steps = 2 }
    "#;
    assert!(matches!(refused(predicted), Error::Pipeline(dlm::pipeline::Error::NoLengthHead)));
    // A broken line may be skipped, and is counted.
    folder.write("cases.jsonl", &format!("{}\n{{\n", CASES.trim()));
    let skipping = CHOOSE.replace("[\"cases.jsonl\"]", "[\"cases.jsonl\"], on-broken = \"skip\"");
    let report = run(&Flat, &folder.task(&skipping).unwrap()).unwrap();
    assert_eq!((report.cases, report.skipped), (4, 1));
}

#[test]
fn every_task_file_of_the_repository_is_read() {
    let mut read = 0;
    for entry in fs::read_dir("tasks").unwrap() {
        let task = Task::read(entry.unwrap().path()).unwrap();
        assert!(!task.name.is_empty());
        read += 1;
    }
    assert!(read >= 8);
}

#[test]
fn the_committed_network_pronounces_the_committed_task() {
    let mut task = Task::read("tasks/g2p.toml").unwrap();
    task.limit = Some(25);
    let (pipeline, _) = Pipeline::load("assets/g2p", &Device::default()).unwrap();
    let report = evaluate(&subject(&pipeline), &task, |_, _| ()).unwrap();
    assert_eq!((report.cases, report.skipped), (25, 0));
    let rate = report.scores[0].value.unwrap();
    assert!(rate < 0.3, "{rate}");
}
