//! Files, batches and their order.

mod common;

use std::collections::BTreeMap;

use common::{Folder, batches, rows, vocabulary};
use dlm_core::{Batch, Sequence, TokenId};
use dlm_train::Error;
use dlm_train::data::{BatchSize, BatchSource, Batches, Fields, Record, read_jsonl, read_tsv};

fn record(prompt: &str, response: &str) -> Record {
    Record { prompt: prompt.into(), response: response.into() }
}

#[test]
fn jsonl_reads_the_named_fields_and_passes_over_the_rest() {
    let folder = Folder::new("jsonl");
    let lines = "\u{feff}{\"prompt\": \"a\", \"response\": \"b\", \"id\": 7}\r\n\n{\"response\":\"\",\"prompt\":\"ä\\n\"}";
    let path = folder.file("data.jsonl", lines);
    let read = read_jsonl(&path, &Fields::default()).expect("two records");
    assert_eq!(read, [record("a", "b"), record("ä\n", "")]);
    let path = folder.file("flan.jsonl", "{\"inputs\": \"x\", \"targets\": \"y\"}\n");
    assert_eq!(read_jsonl(&path, &Fields::flan()).expect("a record"), [record("x", "y")]);
}

#[test]
fn numbers_and_booleans_are_text_and_dots_lead_into_what_is_nested() {
    let folder = Folder::new("nested");
    let lines = "{\"a\": {\"b\": [true, 4]}, \"answer\": 3}\n{\"a\": {\"b\": [0, 2.5]}, \"answer\": -1}\n";
    let path = folder.file("data.jsonl", lines);
    let read = read_jsonl(&path, &Fields::new("a.b.1", "answer")).expect("two records");
    assert_eq!(read, [record("4", "3"), record("2.5", "-1")]);
    let error = read_jsonl(&path, &Fields::new("a.b.0", "a.c")).expect_err("no field a.c").to_string();
    assert!(error.ends_with(":1: expected text in the field `a.c`, got an object without it"), "{error}");
}

#[test]
fn tsv_reads_two_columns() {
    let folder = Folder::new("tsv");
    let path = folder.file("data.tsv", "aalto\tAA L T OW\n\nabadie\tAH B\r\n");
    let read = read_tsv(&path).expect("two records");
    assert_eq!(read, [record("aalto", "AA L T OW"), record("abadie", "AH B")]);
}

#[test]
fn a_bad_line_is_named_by_file_and_number() {
    let folder = Folder::new("bad");
    let good = "{\"prompt\": \"a\", \"response\": \"b\"}\n";
    let cases: [(&[u8], &str); 6] = [
        (b"{\"prompt\": \"a\"}", "text in the field `response`, got an object without it"),
        (b"{\"prompt\": [3], \"response\": \"b\"}", "text in the field `prompt`, got an array"),
        (b"{\"prompt\": null, \"response\": \"b\"}", "text in the field `prompt`, got null"),
        (b"{\"prompt\": \"a\", ", "a JSON object, got EOF"),
        (b"[1]", "a JSON object, got invalid type"),
        (b"\xff", "UTF-8, got invalid utf-8"),
    ];
    for (line, complaint) in cases {
        let path = folder.file("data.jsonl", [good.as_bytes(), b"\n", line].concat());
        let message = read_jsonl(&path, &Fields::default()).expect_err("a bad line").to_string();
        let expected = format!("{}:3: expected {complaint}", path.display());
        assert!(message.starts_with(&expected), "{message}");
    }
    let path = folder.file("data.tsv", "a\tb\na\tb\tc\n");
    let message = read_tsv(&path).expect_err("a bad line").to_string();
    assert_eq!(message, format!("{}:2: expected 2 columns, got 3", path.display()));
    let missing = read_tsv(folder.0.join("none")).expect_err("no file");
    assert!(matches!(missing, Error::Io { action: "open", .. }));
}

fn keys(batch: &Batch) -> Vec<u64> {
    (0..batch.rows()).map(|row| batch.key(row)).collect()
}

/// Sequences of 3 to 12 tokens, unevenly.
fn uneven(n: usize) -> Vec<Sequence> {
    (0..n).map(|i| Sequence::whole(vec![3 + (i % 7) as TokenId; 3 + i * i % 10])).collect()
}

fn of(rows: Vec<Sequence>, size: BatchSize) -> Batches {
    Batches::new(rows, vocabulary(), size, 11).expect("a data set")
}

#[test]
fn every_example_comes_once_an_epoch_in_a_new_order() {
    for size in [BatchSize::Sequences(4), BatchSize::Tokens(40)] {
        let mut batches = of(uneven(23), size);
        let len = batches.epoch_len() as usize;
        let mut epoch = |_| {
            let epoch = batches.by_ref().take(len);
            epoch.flat_map(|batch| keys(&batch.expect("a batch"))).collect()
        };
        let epochs: Vec<Vec<u64>> = (0..3).map(&mut epoch).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..23).collect::<Vec<u64>>());
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_ne!(epochs[1], epochs[2]);
    }
}

#[test]
fn a_batch_depends_on_its_index_alone() {
    for size in [BatchSize::Sequences(4), BatchSize::Tokens(40)] {
        let straight: Vec<Batch> = of(uneven(23), size).take(30).collect::<Result<_, _>>().expect("batches");
        let mut batches = of(uneven(23), size);
        for index in [29, 0, 17, 3, 18] {
            batches.seek(index);
            assert_eq!(batches.position(), index);
            let batch = batches.next().expect("endless").expect("a batch");
            assert_eq!(batch, straight[index as usize], "batch {index}");
        }
        let epoch: Vec<Batch> = batches.epoch(0).collect::<Result<_, _>>().expect("batches");
        assert_eq!(epoch, straight[..epoch.len()]);
    }
}

#[test]
fn token_batches_stay_in_their_budget_and_are_full() {
    let mut batches = of(uneven(200), BatchSize::Tokens(60));
    let epoch: Vec<Batch> = batches.epoch(0).collect::<Result<_, _>>().expect("batches");
    let sizes: Vec<usize> = epoch.iter().map(|batch| batch.rows() * batch.len()).collect();
    assert!(sizes.iter().all(|&size| size <= 60), "{sizes:?}");
    let pads = epoch.iter().flat_map(Batch::pad).filter(|&&pad| pad).count();
    let all: usize = sizes.iter().sum();
    assert!(pads * 20 < all, "{pads} of {all} tokens are padding");
    assert_eq!(batches.padding().to_bits(), (pads as f64 / all as f64).to_bits());
    let lengths: BTreeMap<usize, usize> = epoch.iter().map(|batch| (batch.len(), batch.rows())).collect();
    assert!(lengths.len() > 5, "batches of many lengths: {lengths:?}");
    // Batches of one epoch do not come sorted by length.
    assert!(!epoch.is_sorted_by_key(Batch::len));
    let far = batches.batch(1_000_000).expect("a batch");
    assert!(far.rows() * far.len() <= 60);
}

#[test]
fn what_no_batch_can_hold_is_refused() {
    let new = |rows, size| Batches::new(rows, vocabulary(), size, 0).err();
    assert!(matches!(new(rows(3), BatchSize::Sequences(0)), Some(Error::OutOfDomain { .. })));
    assert!(matches!(new(Vec::new(), BatchSize::Sequences(1)), Some(Error::Core(_))));
    let long = new(rows(3), BatchSize::Tokens(5));
    let blank = vec![rows(1).remove(0), Sequence::whole(Vec::new())];
    let blank = Batches::new(blank, vocabulary(), BatchSize::Sequences(1), 0).err();
    assert!(matches!(blank, Some(Error::EmptySequence { index: 1 })));
    assert!(matches!(long, Some(Error::TooLong { index: 0, limit: 5, got: 6 })));
    let foreign = vec![Sequence::whole(vec![3]), Sequence::whole(vec![99])];
    let unknown = new(foreign, BatchSize::Sequences(1)).expect("id 99").to_string();
    assert!(unknown.contains("row 1, position 0: token id 99"), "{unknown}");
}

#[test]
fn the_fingerprint_changes_with_data_order_and_size() {
    let base = batches(20, 4).fingerprint();
    assert_eq!(base, batches(20, 4).fingerprint());
    assert_ne!(base, batches(21, 4).fingerprint());
    assert_ne!(base, batches(20, 5).fingerprint());
    assert_ne!(base, of(rows(20), BatchSize::Sequences(4)).fingerprint());
    let masked: Vec<Sequence> = rows(20).iter().map(|row| Sequence::whole(row.ids().to_vec())).collect();
    let masked = Batches::new(masked, vocabulary(), BatchSize::Sequences(4), 5).expect("a data set");
    assert_ne!(base, masked.fingerprint());
}
