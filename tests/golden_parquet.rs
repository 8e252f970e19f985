//! Parquet as pyarrow 26.0.1 writes it. `tools/golden/parquet.py` made the files.

use std::path::{Path, PathBuf};

use dlm::train::Error;
use dlm::train::data::{Chat, Fields, Format, OnBroken, Record, Turns, read, read_cases};

fn fixture(codec: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/parquet/{codec}.parquet"))
}

fn record(prompt: &str, response: &str) -> Record {
    Record { prompt: prompt.into(), response: response.into() }
}

#[test]
fn columns_become_prompts_and_responses_in_each_codec_and_row_group() {
    let zstd = cfg!(feature = "zstd").then_some("zstd");
    for codec in ["snappy", "gzip", "plain"].into_iter().chain(zstd) {
        let loaded = read(fixture(codec), &Format::Json(Fields::flan()), OnBroken::Skip).expect("a file");
        let expected =
            [record("2 + 2 =", "4"), record("Grüße, 世界", "line\nbreak"), record("", "empty prompt")];
        assert_eq!(loaded.records, expected, "{codec}");
        let skipped = loaded.skipped.to_string();
        let complaint = "parquet:4: expected text in the field `inputs`, got null";
        assert!(skipped.starts_with("1 record skipped\n") && skipped.ends_with(complaint), "{skipped}");
    }
}

#[test]
fn templates_cases_and_conversations_read_parquet_too() {
    let filled = Format::Filled {
        prompt: "Q: {inputs}".parse().expect("a template"),
        response: "A: {targets}".parse().expect("a template"),
    };
    let loaded = read(fixture("snappy"), &filled, OnBroken::Skip).expect("a file");
    assert_eq!(loaded.records[1], record("Q: Grüße, 世界", "A: line\nbreak"));
    let cases = read_cases(fixture("snappy"), &["targets"], OnBroken::Stop).expect("a file").records;
    assert_eq!(cases.iter().map(|case| case.get("targets")).next_back(), Some(Some("no prompt")));
    let chat = Format::Chat(Chat::plain(Turns::Last));
    let loaded = read(fixture("snappy"), &chat, OnBroken::Skip).expect("a file");
    let expected = [
        record("user: Hi.\nassistant: ", "Hello."),
        record("user: Bye.\nassistant: ", "Goodbye."),
        record("assistant: ", "First."),
    ];
    assert_eq!(loaded.records, expected);
}

#[test]
fn numbers_dates_and_nested_fields_are_text() {
    let fields = ["id", "score", "good", "day", "messages.0.role", "raw.1"];
    let cases = read_cases(fixture("plain"), &fields, OnBroken::Skip).expect("a file").records;
    let texts = |row: usize| fields.map(|field| cases[row].get(field).expect("a field"));
    assert_eq!(texts(0), ["1", "0.25", "false", "2023-08-01", "user", "255"]);
    assert_eq!(texts(1), ["2", "0.5", "true", "2023-08-02", "user", "255"]);
}

#[test]
fn what_is_not_text_is_named() {
    for (field, got) in [
        ("messages", "an array"),
        ("messages.0", "an object"),
        ("raw", "an array"),
        ("none", "an object without it"),
    ] {
        let error = read_cases(fixture("plain"), &[field], OnBroken::Stop).expect_err("no text").to_string();
        assert!(error.ends_with(&format!(":1: expected text in the field `{field}`, got {got}")), "{error}");
    }
}

#[cfg(not(feature = "zstd"))]
#[test]
fn a_codec_that_is_not_built_in_is_named() {
    let error = read(fixture("zstd"), &Format::Json(Fields::flan()), OnBroken::Skip).expect_err("zstd");
    let message = error.to_string();
    assert!(
        message.contains(
            "expected columns in Snappy, gzip or no compression (the feature `zstd` reads Zstandard; "
        ) && message.contains(", got ZSTD")
            && message.ends_with("in the column `inputs`"),
        "{message}"
    );
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let bytes = std::fs::read(fixture("snappy")).expect("a fixture");
    let path = std::env::temp_dir().join(format!("dlm-parquet-damage-{}", std::process::id()));
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("a temporary file");
        read(&path, &Format::Json(Fields::flan()), OnBroken::Skip)
    };
    for cut in (4..bytes.len()).step_by(7) {
        assert!(matches!(read(&bytes[..cut]), Err(Error::Record { line: 1, .. })), "{cut} bytes");
    }
    for at in (4..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        // Parquet has no checksums here, so a changed letter is another text.
        let _ = read(&changed);
    }
    std::fs::remove_file(path).expect("the temporary file");
}
