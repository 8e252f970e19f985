//! Task files and their data.

use std::fs;

use burn::tensor::Device;
use dlm::evaluate::{Error, Task, evaluate};
use dlm::pipeline::Pipeline;

use crate::{CASES, CHOOSE, Flat, Scratch, run, subject};

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
        ("name =", "too-long = \"cut-right\"\nname =", "cut-right"),
        ("generate =", "shots = { number = 1, files = [\"a\"], order = \"last\" }\ngenerate =", "last"),
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
        ("\"flan\"", "{ answer = \"\" }", "form.query"),
        ("\"flan\"", "{ query = \"\" }", "form.answer"),
        (
            "generate =",
            "shots = { number = 1, files = [\"a\"], order = \"first\", seed = 1 }\ngenerate =",
            "shots.seed",
        ),
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
    let (error, _) = refused("\"flan\"", "{ like = \"mmul\" }");
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
    assert_eq!((report.cases, report.broken, report.too_long), (4, 1, 0));
    let [complaint] = report.complaints.as_slice() else { panic!("{:?}", report.complaints) };
    assert!(complaint.contains("cases.jsonl:5: "), "{complaint}");
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
    assert_eq!((report.cases, report.broken + report.too_long + report.cut), (25, 0));
    let rate = report.scores[0].value.unwrap();
    assert!(rate < 0.3, "{rate}");
}
