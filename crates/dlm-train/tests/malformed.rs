//! What every reader does with bytes that are not as they should be.

mod common;

use std::path::Path;

use common::Folder;
use dlm_train::Error;
use dlm_train::data::{
    Chat, Documents, Fields, Files, Format, Limit, Loaded, NaturalInstructions, OnBroken, Outputs, Recipe,
    Record, Turns, in_memory, read, read_cases, read_columns,
};

const TASK: &str = r#"{"Definition": "d",
    "Instances": [{"input": "i", "output": "o"}]}"#;

/// Each format that is read line by line, and a line of it that is a record.
fn line_formats() -> Vec<(Format, &'static str)> {
    let template = |text: &str| text.parse().expect("a template");
    let columns = ["a".to_owned(), "b".to_owned()];
    let json = r#"{"prompt": "p", "response": "r"}"#;
    vec![
        (Format::Json(Fields::default()), json),
        (Format::Filled { prompt: template("{prompt}"), response: template("{response}") }, json),
        (Format::Tsv, "p\tr"),
        (Format::Columns { names: columns, prompt: template("{a}"), response: template("{b}") }, "p\tr"),
        (Format::Text(Documents::Lines), "r"),
        (Format::Text(Documents::Paragraphs), "r"),
        (Format::Alpaca, r#"{"instruction": "p", "output": "r"}"#),
        (Format::Chat(Chat::plain(Turns::Last)), r#"{"messages": [{"role": "assistant", "content": "r"}]}"#),
    ]
}

fn task() -> Format {
    Format::NaturalInstructions(NaturalInstructions { positive: 0, outputs: Outputs::First })
}

fn load(path: &Path, format: &Format) -> Loaded<Record> {
    read(path, format, OnBroken::Skip).unwrap_or_else(|error| panic!("{format:?}: {error}"))
}

#[test]
fn a_mark_of_byte_order_the_ends_of_lines_and_a_missing_end_change_no_record() {
    let folder = Folder::new("ends");
    for (format, line) in line_formats() {
        let plain = load(&folder.file("data", format!("{line}\n\n{line}\n")), &format).records;
        assert_eq!((plain.len(), plain[0].response.as_str()), (2, "r"), "{format:?}");
        for content in [
            format!("{line}\n\n{line}"),
            format!("{line}\r\n\r\n{line}\r\n"),
            format!("\u{feff}{line}\n\n{line}\n"),
            format!("\n\n{line}\r\n\n\n\n{line}"),
        ] {
            let loaded = load(&folder.file("data", &content), &format);
            assert_eq!((loaded.records, loaded.skipped.count), (plain.clone(), 0), "{format:?}: {content:?}");
        }
    }
    let plain = load(&folder.file("data", TASK), &task()).records;
    for content in [format!("\u{feff}{TASK}"), TASK.replace('\n', "\r\n"), format!("{TASK}\n\n")] {
        assert_eq!(load(&folder.file("data", content), &task()).records, plain);
    }
}

#[test]
fn a_line_that_is_not_utf8_is_left_out_and_named() {
    let folder = Folder::new("utf8");
    for (format, line) in line_formats() {
        let content = [line.as_bytes(), b"\n\n", b"\xff\xfe\n\n", line.as_bytes()].concat();
        let path = folder.file("data", content);
        let loaded = load(&path, &format);
        assert_eq!((loaded.records.len(), loaded.skipped.count), (2, 1), "{format:?}");
        let complaint = format!("{}:3: expected UTF-8, got invalid utf-8", path.display());
        let got = loaded.skipped.first[0].to_string();
        assert!(got.starts_with(&complaint), "{got}");
        assert_eq!(read(&path, &format, OnBroken::Stop).expect_err("line 3").to_string(), got);
    }
    let path = folder.file("data", TASK.replace("\"i\"", "\"\u{1}\""));
    let error = read(&path, &task(), OnBroken::Skip).expect_err("no JSON").to_string();
    assert!(
        error.starts_with(&format!("{}:2: expected a JSON object, got control", path.display())),
        "{error}"
    );
    let path = folder.file("data", b"a\tb\n\xff\tb\n");
    let cases = read_columns(&path, &["x", "y"], OnBroken::Skip).expect("a file");
    assert_eq!((cases.records.len(), cases.skipped.count), (1, 1));
}

#[test]
fn an_empty_file_has_no_record() {
    let folder = Folder::new("empty");
    for content in ["", "\u{feff}", "\n", "\r\n\r\n"] {
        let path = folder.file("data", content);
        for (format, _) in line_formats() {
            let loaded = load(&path, &format);
            assert_eq!((loaded.records.len(), loaded.skipped.count), (0, 0), "{format:?}: {content:?}");
        }
        assert!(read_columns(&path, &["x"], OnBroken::Stop).expect("a file").records.is_empty());
        assert!(read_cases(&path, &["x"], OnBroken::Stop).expect("a file").records.is_empty());
        // A task is one object, and there is none.
        let error = read(&path, &task(), OnBroken::Skip).expect_err("no task").to_string();
        assert!(error.contains(": expected a JSON object, got EOF"), "{error}");
    }
}

#[test]
fn of_columns_only_an_empty_line_is_blank() {
    let folder = Folder::new("blank-columns");
    let path = folder.file("data", "a\tb\n\t\n   \n\n \t \t\nc\td\n");
    let loaded = load(&path, &Format::Tsv);
    let record = |prompt: &str, response: &str| Record { prompt: prompt.into(), response: response.into() };
    assert_eq!(loaded.records, [record("a", "b"), record("", ""), record("c", "d")]);
    let complaints: Vec<String> = loaded.skipped.first.iter().map(ToString::to_string).collect();
    assert_eq!(complaints.len(), 2);
    assert!(complaints[0].ends_with(":3: expected 2 columns, got 1"), "{complaints:?}");
    assert!(complaints[1].ends_with(":5: expected 2 columns, got 3"), "{complaints:?}");
    let cases = read_columns(&path, &["x", "y"], OnBroken::Skip).expect("a file");
    assert_eq!((cases.records.len(), cases.skipped.count), (3, 2));
}

#[test]
fn a_packed_file_is_named_as_one() {
    let folder = Folder::new("packed-file");
    let mut formats: Vec<Format> = line_formats().into_iter().map(|(format, _)| format).collect();
    formats.push(task());
    for (start, what) in [
        (&b"\x1f\x8b\x08\0"[..], "a gzip file; unpack it first, as `gzip -d` does"),
        (b"\x28\xb5\x2f\xfd\0", "a Zstandard file; unpack it first, as `zstd -d` does"),
        (b"\xfd7zXZ\0\0", "an xz file; unpack it first, as `xz -d` does"),
        (b"PK\x03\x04\0", "a zip file; unpack it first, as `unzip` does"),
    ] {
        let path = folder.file("data.jsonl.gz", start);
        for format in &formats {
            // It is no broken record that could be left out.
            let error = read(&path, format, OnBroken::Skip).expect_err("packed");
            assert!(matches!(error, Error::Record { line: 1, .. }), "{error:?}");
            let expected = format!("{}:1: expected text, JSON or Parquet, got {what}", path.display());
            assert_eq!(error.to_string(), expected);
        }
    }
}

#[test]
fn a_tokenisers_error_names_file_and_line_whatever_was_left_out_before() {
    let folder = Folder::new("placed");
    let first = folder.file("a.tsv", "3\t4\nbroken\n\n5\t6\n");
    let second = folder.file("b.tsv", "7\t8\nbroken\n\n9\tx\n");
    let files =
        Files { files: vec![(first, Format::Tsv), (second.clone(), Format::Tsv)], on_broken: OnBroken::Skip };
    let numbers = |text: &str| text.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>();
    let recipe =
        |limit| Recipe { tokeniser: String::new(), vocabulary: common::vocabulary(), limit, threads: 2 };
    let error = in_memory(&files, &recipe(Limit::default()), numbers, |_| {}).expect_err("x is no number");
    assert_eq!(error.to_string(), format!("cannot tokenise the response of {}:4", second.display()));
    assert!(
        std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("invalid digit"))
    );
    folder.file("b.tsv", "7\t8\nbroken\n\n9\t3 4 5\n");
    let refuse = Limit { tokens: 5, cut: dlm_train::data::Cut::Refuse };
    let error = in_memory(&files, &recipe(refuse), numbers, |_| {}).expect_err("too long").to_string();
    assert_eq!(error, format!("{}:4: expected at most 5 tokens, got 6", second.display()));
}
