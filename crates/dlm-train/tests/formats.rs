//! Records of every format, and what becomes of broken ones.

mod common;

use common::Folder;
use dlm_train::Error;
use dlm_train::data::{
    Case, Chat, Documents, Fields, Format, NaturalInstructions, OnBroken, Outputs, Record, Skipped, Turns,
    each_record, read, read_cases,
};
use proptest::prelude::*;

fn record(prompt: &str, response: &str) -> Record {
    Record { prompt: prompt.into(), response: response.into() }
}

/// The records of a file with this content.
fn records(name: &str, content: impl AsRef<[u8]>, format: &Format) -> Vec<Record> {
    let path = Folder::new(name);
    let path = path.file("data", content);
    read(path, format, OnBroken::Stop).expect("whole records").records
}

/// The complaint about a file with this content, from the line number on.
fn complaint(name: &str, content: impl AsRef<[u8]>, format: &Format, on_broken: OnBroken) -> String {
    let folder = Folder::new(name);
    let path = folder.file("data", content);
    let error = read(&path, format, on_broken).expect_err("a broken file");
    assert!(matches!(error, Error::Record { .. }), "{error:?}");
    error.to_string().strip_prefix(&format!("{}:", path.display())).expect("the file's name").to_owned()
}

#[test]
fn each_line_is_a_document_without_a_prompt() {
    let format = Format::Text(Documents::Lines);
    let read = records("lines", "\u{feff}Eins zwei.\r\n\n  \nDrei \u{85} vier. ", &format);
    assert_eq!(read, [record("", "Eins zwei."), record("", "Drei \u{85} vier. ")]);
}

#[test]
fn blank_lines_part_documents() {
    let format = Format::Text(Documents::Paragraphs);
    let read = records("paragraphs", "\n\nEins\nzwei.\r\n \t\n\nDrei.\n", &format);
    assert_eq!(read, [record("", "Eins\nzwei."), record("", "Drei.")]);
    assert!(records("no-paragraph", "\n \n", &format).is_empty());
}

#[test]
fn a_paragraph_with_a_broken_line_is_broken_as_a_whole() {
    let folder = Folder::new("broken-paragraph");
    // It is named by the first of its broken lines.
    let path = folder.file("data", b"a\nb\n\nc\n\xff\nd\n\xff\n\ne\n");
    let loaded = read(&path, &Format::Text(Documents::Paragraphs), OnBroken::Skip).expect("read");
    assert_eq!(loaded.records, [record("", "a\nb"), record("", "e")]);
    assert!(matches!(loaded.skipped.first[..], [Error::Record { line: 5, .. }]), "{:?}", loaded.skipped);
}

const WITH_INPUT: &str = "Below is an instruction that describes a task, paired with an input that provides \
    further context. Write a response that appropriately completes the request.\n\n### Instruction:\n\
    Name the capital.\n\n### Input:\nFrance\n\n### Response:";
const WITHOUT_INPUT: &str = "Below is an instruction that describes a task. Write a response that \
    appropriately completes the request.\n\n### Instruction:\nName a colour.\n\n### Response:";

#[test]
fn alpaca_gives_its_published_prompts() {
    let array = r#"
        [ {"instruction": "Name the capital.", "input": "France", "output": "Paris"},
          {"instruction": "Name a colour.", "input": "", "output": "red"},
          {"instruction": "Name a colour.", "output": "blue"} ]
    "#;
    let expected = [record(WITH_INPUT, "Paris"), record(WITHOUT_INPUT, "red"), record(WITHOUT_INPUT, "blue")];
    assert_eq!(records("alpaca", array, &Format::Alpaca), expected);
    let lines = "{\"instruction\": \"Name a colour.\", \"input\": null, \"output\": \"red\"}\n";
    assert_eq!(records("alpaca-lines", lines, &Format::Alpaca), expected[1..2]);
}

#[test]
fn a_conversation_gives_its_last_answer_or_every_answer() {
    let line =
        r#"{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Bye."},
        {"role": "assistant", "content": "See you."}, {"role": "user", "content": "?"}]}"#
            .replace('\n', " ");
    let first = record("system: Be brief.\nuser: Hi.\nassistant: ", "Hello.");
    let last = record("system: Be brief.\nuser: Hi.\nassistant: Hello.\nuser: Bye.\nassistant: ", "See you.");
    let every = Format::Chat(Chat::plain(Turns::Every));
    assert_eq!(records("chat", &line, &every), [first, last.clone()]);
    assert_eq!(records("chat", &line, &Format::Chat(Chat::plain(Turns::Last))), [last]);
    let chatml = Format::Chat(Chat {
        turns: Turns::Every,
        before: "<{role}>\n".parse().expect("a template"),
        after: "</>\n".parse().expect("a template"),
    });
    let prompt = "<system>\nBe brief.</>\n<user>\nHi.</>\n<assistant>\n";
    assert_eq!(records("chat", &line, &chatml)[0], record(prompt, "Hello."));
}

#[test]
fn a_broken_conversation_names_its_message() {
    let format = Format::Chat(Chat::plain(Turns::Last));
    let cases = [
        (
            r#"{"messages": [{"role": "user", "content": "Hi."}]}"#,
            "a turn of the role `assistant`, got a conversation without it",
        ),
        (
            r#"{"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": null}]}"#,
            "text in the field `content` of message 2, got null",
        ),
        (r#"{"messages": ["Hi."]}"#, "an object of message 1, got text"),
        (r#"{"conversations": []}"#, "a list in the field `messages`, got an object without it"),
    ];
    for (line, expected) in cases {
        assert_eq!(complaint("chat-bad", line, &format, OnBroken::Stop), format!("1: expected {expected}"));
    }
}

const TASK: &str = r#"{
    "Definition": ["Answer with yes or no"],
    "Positive Examples": [{"input": "Is snow white?", "output": "yes"}, {"input": "Is it hot", "output": "no."}],
    "Instances": [
        {"id": "1", "input": " Is rain wet", "output": ["yes", "Yes."]},
        {"id": "2", "input": "Is ice hot?"},
        {"id": "3", "input": "Is it?", "output": "no"}
    ]
}"#;

#[test]
fn a_task_of_natural_instructions_reads_as_in_tk_instruct() {
    let folder = Folder::new("task");
    let path = folder.file("task.json", TASK);
    let load = |positive, outputs| {
        let format = Format::NaturalInstructions(NaturalInstructions { positive, outputs });
        read(&path, &format, OnBroken::Skip).expect("a task")
    };
    let definition = "Definition: Answer with yes or no.\n\n";
    let positive = " Positive Example 1 -\nInput: Is snow white?\n Output: yes.\n\n \
        Positive Example 2 -\nInput: Is it hot.\n Output: no.\n\n";
    let rain = "Now complete the following example -\nInput: Is rain wet.\nOutput: ";
    let last = "Now complete the following example -\nInput: Is it?\nOutput: ";
    let loaded = load(9, Outputs::First);
    let head = format!("{definition}{positive}");
    let expected = [record(&format!("{head}{rain}"), "yes"), record(&format!("{head}{last}"), "no")];
    assert_eq!(loaded.records, expected);
    let complaint = "text, or a list of text, in the field `output` of instance 2, got an object without it";
    let first = loaded.skipped.first[0].to_string();
    assert!(first.ends_with(&format!("task.json:6: expected {complaint}")), "{first}");
    let loaded = load(0, Outputs::Every);
    let prompt = format!("{definition}{rain}");
    assert_eq!(loaded.records[..2], [record(&prompt, "yes"), record(&prompt, "Yes.")]);
    assert!(load(1, Outputs::First).records[0].prompt.contains("Example 1 -"));
    assert!(!load(1, Outputs::First).records[0].prompt.contains("Example 2 -"));
}

#[test]
fn a_task_without_definition_or_syntax_is_an_error_even_where_records_are_skipped() {
    let format = Format::NaturalInstructions(NaturalInstructions { positive: 2, outputs: Outputs::First });
    let got = complaint("task-bad", r#"{"Definition": 3, "Instances": []}"#, &format, OnBroken::Skip);
    assert_eq!(got, "1: expected text, or a list of text, in the field `Definition`, got a number");
    let got = complaint("task-bad", "{\n\"Definition\": \"a\",\n}", &format, OnBroken::Skip);
    assert!(got.starts_with("3: expected a JSON object, got "), "{got}");
}

#[test]
fn templates_make_records_of_any_json_fields() {
    let format = Format::Filled {
        prompt: "Question: {question}\nAnswer:".parse().expect("a template"),
        response: " {answer}".parse().expect("a template"),
    };
    let line = "{\"question\": \"2 + 2?\", \"answer\": \"4\"}\n";
    assert_eq!(records("filled", line, &format), [record("Question: 2 + 2?\nAnswer:", " 4")]);
    let got = complaint(
        "filled",
        format!("{line}{{\"question\": \"3?\", \"answer\": [3]}}"),
        &format,
        OnBroken::Stop,
    );
    assert_eq!(got, "2: expected text in the field `answer`, got an array");
}

/// As Hugging Face exports WMT, MMLU and `SQuAD`.
#[test]
fn templates_lead_into_nested_fields_and_lists() {
    let filled = |prompt: &str, response: &str| Format::Filled {
        prompt: prompt.parse().expect("a template"),
        response: response.parse().expect("a template"),
    };
    let wmt = r#"{"translation": {"de": "Hallo.", "en": "Hello."}}"#;
    let format = filled("German: {translation.de}\nEnglish:", "{translation.en}");
    assert_eq!(records("nested", wmt, &format), [record("German: Hallo.\nEnglish:", "Hello.")]);
    let mmlu = r#"[{"question": "2 + 2?", "choices": ["3", "4"], "answer": 1, "hard": false}]"#;
    let format = filled("{question} (A) {choices.0} (B) {choices.1} {hard}", "{answer}");
    assert_eq!(records("nested", mmlu, &format), [record("2 + 2? (A) 3 (B) 4 false", "1")]);
    let squad = r#"{"question": "Who?", "answers": {"text": ["She.", "Her."], "answer_start": [3, 9]}}"#;
    let format = filled("{question}", "{answers.text.0}");
    assert_eq!(records("nested", squad, &format), [record("Who?", "She.")]);
    let got = complaint("nested", squad, &filled("{question}", "{answers.text}"), OnBroken::Stop);
    assert_eq!(got, "1: expected text in the field `answers.text`, got an array");
    for (text, error) in [
        ("{a..b}", "template, character 4: expected a name or a place in a list after the dot, got '.'"),
        ("{a.}", "template, character 4: expected a name or a place in a list after the dot, got '}'"),
        ("{.a}", "template, character 2: expected the name of a field, or `{{` for a brace, got '.'"),
    ] {
        assert_eq!(text.parse::<dlm_train::data::Template>().expect_err(text).to_string(), error);
    }
}

#[test]
fn cases_hold_the_named_fields() {
    let folder = Folder::new("cases");
    let path =
        folder.file("data", "{\"question\": \"a\", \"answer\": \"b\", \"id\": 1}\n{\"question\": \"c\"}");
    let loaded = read_cases(&path, &["question", "answer"], OnBroken::Skip).expect("read");
    assert_eq!(loaded.records, [Case::from([("answer", "b"), ("question", "a")])]);
    assert_eq!(loaded.skipped.count, 1);
    assert!(read_cases(&path, &["question", "answer"], OnBroken::Stop).is_err());
}

#[test]
fn an_array_names_the_line_of_each_object() {
    let format = Format::Json(Fields::default());
    let folder = Folder::new("array");
    let good = r#"{"prompt": "a", "response": "b"}"#;
    let content = format!("\u{feff}\n[{good},\n\n  {{\n\"prompt\": \"c\"\n}}, 3\n,{good}\n]\n");
    let path = folder.file("data", content);
    let loaded = read(&path, &format, OnBroken::Skip).expect("read");
    assert_eq!(loaded.records, [record("a", "b"), record("a", "b")]);
    let start = format!("2 records skipped\n  {}", path.display());
    let expected = format!(
        "{start}:4: expected text in the field `response`, got an object without it\n  {}:6: expected a JSON \
         object, got a number",
        path.display()
    );
    assert_eq!(loaded.skipped.to_string(), expected);
    assert!(records("array-empty", " [ ] ", &format).is_empty());
}

#[test]
fn an_array_of_broken_syntax_is_an_error_even_where_records_are_skipped() {
    let format = Format::Json(Fields::default());
    let good = r#"{"prompt": "a", "response": "b"}"#;
    let cases = [
        (format!("[{good}\n{good}]"), 2, "expected `,` or `]`"),
        (format!("[{good}\n,"), 2, "EOF while parsing a value"),
        (format!("[{good}"), 1, "EOF while parsing a list"),
        (format!("[{good}\n,]"), 2, "trailing comma"),
        (format!("[{good}]\n{good}"), 2, "trailing characters"),
        (
            format!("[{good},\n{{\"prompt\": \"a, \"response\": \"b\"}},\n{good}]"),
            2,
            "end of the line while parsing a string",
        ),
        (format!("[{good},\n{{\"prompt\": [}},\n{good}]"), 2, "expected `]`"),
        (format!("[{good},\n{{\"prompt\": \"a"), 2, "EOF while parsing a string"),
        (format!("[{good},\n,{good}]"), 2, "expected value"),
        (format!("[{good},\n3 4]"), 2, "expected `,` or `]`"),
        (format!("[{good}\n}}]"), 2, "expected `,` or `]`"),
        ("\u{feff}\n[".to_owned(), 2, "EOF while parsing a list"),
    ];
    for (content, line, fault) in cases {
        let got = complaint("array-bad", &content, &format, OnBroken::Skip);
        let expected =
            format!("{line}: expected an array of JSON objects, got broken syntax, {fault} at line {line} ");
        assert!(got.starts_with(&expected), "{content}: {got}");
    }
}

#[test]
fn a_bad_value_of_an_array_spoils_its_own_object_alone() {
    let good = r#"{"prompt": "]},{\"", "response": "\\"}"#;
    let folder = Folder::new("array-value");
    for (bad, line, fault) in [
        (&br#"{"prompt": "\ud800", "response": "b"}"#[..], 3, "unexpected end of hex escape"),
        (br#"{"prompt": 1e999, "response": "b"}"#, 3, "number out of range"),
        (br#"{"prompt": NaN, "response": "b"}"#, 3, "expected value"),
        (b"{\"prompt\": \"a\",\n\"response\":\n}", 5, "expected value"),
        (b"{\"prompt\": \"\xff\", \"response\": \"b\"}", 3, "invalid unicode code point"),
        (b"{\"prompt\": \"a\tb\", \"response\": \"b\"}", 3, "control character"),
        (b"nil", 3, "expected ident"),
    ] {
        let content = [format!("[\n{good},\n").as_bytes(), bad, format!(",\n{good}\n]").as_bytes()].concat();
        let path = folder.file("data", content);
        let format = Format::Json(Fields::default());
        let loaded = read(&path, &format, OnBroken::Skip).expect("the others");
        let expected = record("]},{\"", "\\");
        assert_eq!(loaded.records, [expected.clone(), expected], "{}", loaded.skipped);
        let complaint = loaded.skipped.first[0].to_string();
        let start = format!("{}:{line}: expected a JSON object, got {fault}", path.display());
        assert!(complaint.starts_with(&start) && !complaint.contains(" at line "), "{complaint}");
        let stopped = read(&path, &format, OnBroken::Stop).expect_err("a bad value");
        assert_eq!(stopped.to_string(), complaint);
    }
}

#[test]
fn an_array_is_read_an_object_at_a_time() {
    let folder = Folder::new("array-streamed");
    let good = r#"{"prompt": "a", "response": "b"}"#;
    let path = folder.file("data", format!("[{good},\n{good},\n{good},\n{{"));
    let format = Format::Json(Fields::default());
    let mut taken = 0;
    let broken = each_record(&path, &format, OnBroken::Stop, |_| {
        taken += 1;
        Ok(())
    });
    // They came before what is wrong with the end was known.
    assert!(broken.is_err_and(|error| error.to_string().contains(":4: ")));
    assert_eq!(taken, 3);
    // What the caller fails with comes back as it is, and ends the reading.
    let refused = Error::OutOfDomain { name: "record", expected: "another", got: 0.0 };
    let mut refused = Some(refused);
    let stopped = each_record(&path, &format, OnBroken::Skip, |_| refused.take().map_or(Ok(()), Err));
    assert!(matches!(stopped, Err(Error::OutOfDomain { name: "record", .. })), "{stopped:?}");
}

#[test]
fn skipped_lines_are_counted_and_the_first_are_named() {
    let folder = Folder::new("skip");
    let lines: Vec<&str> = (0..30).map(|i| if i % 3 == 0 { "a\tb" } else { "a" }).collect();
    let path = folder.file("data", lines.join("\n"));
    let loaded = read(&path, &Format::Tsv, OnBroken::Skip).expect("read");
    assert_eq!(loaded.records.len(), 10);
    assert_eq!((loaded.skipped.count, loaded.skipped.first.len()), (20, Skipped::KEPT));
    let lines = loaded.skipped.first.iter().map(|error| match error {
        Error::Record { line, .. } => *line,
        other => panic!("{other}"),
    });
    assert_eq!(lines.collect::<Vec<_>>(), [2, 3, 5, 6, 8, 9, 11, 12]);
    let report = loaded.skipped.to_string();
    assert!(report.starts_with("20 records skipped\n") && report.ends_with("\n  and 12 more"), "{report}");
    let stopped = read(&path, &Format::Tsv, OnBroken::Stop).expect_err("line 2");
    assert!(stopped.to_string().ends_with(":2: expected 2 columns, got 1"));
    assert_eq!(Skipped::default().to_string(), "no record skipped");
}

fn formats() -> Vec<Format> {
    let task = NaturalInstructions { positive: 1, outputs: Outputs::Every };
    vec![
        Format::Json(Fields::default()),
        Format::Tsv,
        Format::Text(Documents::Lines),
        Format::Text(Documents::Paragraphs),
        Format::Alpaca,
        Format::Chat(Chat::plain(Turns::Every)),
        Format::NaturalInstructions(task),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Records written as JSON, a line each or as an array, come back.
    #[test]
    fn json_records_come_back(pairs in prop::collection::vec((".*", ".*"), 0..8), array: bool, pretty: bool) {
        let objects: Vec<serde_json::Value> =
            pairs.iter().map(|(p, r)| serde_json::json!({"prompt": p, "response": r})).collect();
        let content = match (array, pretty) {
            (true, true) => serde_json::to_string_pretty(&objects),
            (true, false) => serde_json::to_string(&objects),
            (false, _) => Ok(objects.iter().flat_map(|object| [object.to_string(), "\n".into()]).collect()),
        };
        let read = records("come-back", content.expect("JSON"), &Format::Json(Fields::default()));
        let expected: Vec<Record> = pairs.iter().map(|(prompt, response)| record(prompt, response)).collect();
        prop_assert_eq!(read, expected);
    }

    /// Bytes make records, skipped records or an error that names the file, and never a panic; what is not
    /// skipped is what stopping would have read.
    #[test]
    fn no_bytes_are_lost_in_silence(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}\",:a-c\\\\\t\n 0-9\u{feff}ä]{0,200}".prop_map(String::into_bytes),
        ],
    ) {
        let folder = Folder::new("any-bytes");
        let path = folder.file("data", bytes);
        for format in formats() {
            let skip = read(&path, &format, OnBroken::Skip);
            let stop = read(&path, &format, OnBroken::Stop);
            match (skip, stop) {
                (Ok(skip), Ok(stop)) => {
                    prop_assert_eq!(skip.skipped.count, 0);
                    prop_assert_eq!(skip.records, stop.records);
                }
                (Ok(skip), Err(error)) => {
                    prop_assert!(skip.skipped.count > 0);
                    prop_assert_eq!(skip.skipped.first[0].to_string(), error.to_string());
                }
                (Err(error), Err(_)) => {
                    let typed = matches!(error, Error::Record { .. });
                    prop_assert!(typed, "{error:?}");
                }
                (Err(error), Ok(_)) => prop_assert!(false, "skipping fails where stopping does not: {error}"),
            }
        }
    }
}
