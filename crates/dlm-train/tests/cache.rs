//! Records are tokenised once, and again when anything changed.

mod common;

use std::cell::Cell;
use std::fs;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Folder, vocabulary};
use dlm_core::{Sequence, TokenId, Vocabulary};
use dlm_train::Error;
use dlm_train::data::{
    Cached, Cut, Files, Format, Found, Limit, OnBroken, Recipe, Record, Rows, Taken, cached, in_memory,
    sequences, tokenise,
};

fn numbers(text: &str) -> Result<Vec<TokenId>, ParseIntError> {
    text.split_whitespace().map(str::parse).collect()
}

fn records(n: usize) -> Vec<Record> {
    let text = |i: usize| format!("{} {}", 3 + i % 7, 3 + i / 7 % 7);
    (0..n).map(|i| Record { prompt: text(i), response: text(i + 1) }).collect()
}

fn recipe() -> Recipe {
    Recipe { tokeniser: "numbers".into(), vocabulary: vocabulary(), limit: Limit::default(), threads: 2 }
}

fn get(folder: &Folder, records: &[Record], recipe: &Recipe) -> Cached {
    cached(&folder.0, records, recipe, numbers, |_| {}).expect("sequences")
}

/// The stores of a folder, and what lies beside them that is none of their notes.
fn files(folder: &Folder) -> Vec<PathBuf> {
    let paths = fs::read_dir(&folder.0).expect("a folder").map(|entry| entry.expect("a file").path());
    paths.filter(|path| path.extension().is_none_or(|extension| extension != "json")).collect()
}

fn read(cached: &Cached) -> Vec<Sequence> {
    (0..cached.store.len()).map(|row| cached.store.row(row).expect("a row")).collect()
}

#[test]
fn what_is_kept_is_what_would_be_made_and_is_not_made_again() {
    let folder = Folder::new("cache-same");
    // More than one block.
    let records = records(20_000);
    let texts = AtomicUsize::new(0);
    let counting = |text: &str| {
        texts.fetch_add(1, Ordering::Relaxed);
        numbers(text)
    };
    let done = Cell::new(Vec::new());
    let get = || {
        let progress = |records| {
            let mut all = done.take();
            all.push(records);
            done.set(all);
        };
        cached(&folder.0, &records, &recipe(), counting, progress).expect("sequences")
    };
    let first = get();
    assert!(matches!(first.found, Found::Nothing));
    let examples = tokenise(&records, numbers).expect("numbers");
    let expected = sequences(&examples, &vocabulary(), Limit::default()).expect("short ones");
    assert_eq!(read(&first), expected);
    assert_eq!(texts.load(Ordering::Relaxed), 40_000);
    assert_eq!(done.take(), [16_384, 20_000]);

    let second = get();
    assert!(matches!(second.found, Found::Whole));
    assert_eq!(read(&second), expected);
    assert_eq!(texts.load(Ordering::Relaxed), 40_000);
    assert!(done.take().is_empty());
}

#[test]
fn another_recipe_or_another_record_is_another_file() {
    let folder = Folder::new("cache-key");
    let base = records(4);
    let mut moved = base.clone();
    moved[0] = Record { prompt: "3".into(), response: "3 4 3".into() };
    let limit = |tokens, cut| Recipe { limit: Limit { tokens, cut }, ..recipe() };
    let other = Vocabulary::new(13, 0, 1, 2, 12).expect("ids below the size");
    let cases = [
        (&base[..], recipe()),
        (&base[..3], recipe()),
        (&moved[..], recipe()),
        (&base[..], Recipe { tokeniser: "numbers 2".into(), ..recipe() }),
        (&base[..], Recipe { vocabulary: other, ..recipe() }),
        (&base[..], limit(5, Cut::PromptLeft)),
        (&base[..], limit(512, Cut::Drop)),
    ];
    for (n, (records, recipe)) in cases.iter().enumerate() {
        assert!(matches!(get(&folder, records, recipe).found, Found::Nothing), "case {n}");
        assert_eq!(files(&folder).len(), n + 1);
    }
    // Threads change no sequence, and so no file.
    assert!(matches!(get(&folder, &base, &Recipe { threads: 5, ..recipe() }).found, Found::Whole));
}

#[test]
fn a_damaged_cache_is_made_again_and_says_so() {
    let folder = Folder::new("cache-damage");
    let records = records(9);
    let whole = read(&get(&folder, &records, &recipe()));
    let path = files(&folder).remove(0);
    let bytes = fs::read(&path).expect("a file");
    let mut flipped = bytes.clone();
    flipped[70] ^= 2;
    for damaged in
        [&bytes[..bytes.len() - 1], &flipped, b"", b"something else, and longer than any header of a store"]
    {
        fs::write(&path, damaged).expect("a file");
        let again = get(&folder, &records, &recipe());
        assert!(matches!(&again.found, Found::Damaged(Error::Store { path: of, .. }) if *of == path));
        assert_eq!(read(&again), whole);
        assert_eq!(fs::read(&path).expect("a file"), bytes);
    }
    // The note beside it says nothing.
    fs::write(path.with_extension("json"), "{").expect("a file");
    let again = get(&folder, &records, &recipe());
    assert!(
        matches!(&again.found, Found::Damaged(error) if error.to_string().contains("what became of the records"))
    );
    assert_eq!((read(&again), again.taken.rows), (whole.clone(), 9));
    // A whole file of other records, under this name.
    let other = Folder::new("cache-damage-other");
    get(&other, &records[1..], &recipe());
    fs::copy(&files(&other)[0], &path).expect("a copy");
    let again = get(&folder, &records, &recipe());
    assert!(matches!(&again.found, Found::Damaged(error) if error.to_string().contains("expected the key ")));
    assert_eq!(read(&again), whole);
}

#[test]
fn files_are_read_without_being_held_and_what_was_left_out_is_remembered() {
    let folder = Folder::new("cache-files");
    let kept = folder.0.join("kept");
    let first = folder.file("a.tsv", "3 4\t5\nbroken\n6\t7 8 9 3 4 5\n");
    let second = folder.file("b.tsv", "9\t9\n");
    let corpus = |second: &Path| Files {
        files: vec![(first.clone(), Format::Tsv), (second.to_owned(), Format::Tsv)],
        on_broken: OnBroken::Skip,
    };
    let recipe = Recipe { limit: Limit { tokens: 6, cut: Cut::Drop }, ..recipe() };
    let get = |corpus: &Files| cached(&kept, corpus, &recipe, numbers, |_| {}).expect("sequences");
    let (made, found) = (get(&corpus(&second)), get(&corpus(&second)));
    assert!(matches!((&made.found, &found.found), (Found::Nothing, Found::Whole)));
    assert_eq!(made.taken, found.taken);
    let Taken { rows, dropped, skipped, complaints } = found.taken.clone();
    assert_eq!((rows, dropped, skipped), (2, 1, 1));
    assert!(complaints[0].ends_with("a.tsv:2: expected 2 columns, got 1"), "{complaints:?}");
    assert_eq!(read(&found)[1].ids(), [0, 9, 9, 2]);
    let (rows, taken) = in_memory(&corpus(&second), &recipe, numbers, |_| {}).expect("sequences");
    assert_eq!((rows, taken), (read(&found), found.taken));
    // The same bytes under another name are the same corpus; other bytes under the same name are not.
    let moved = folder.file("moved.tsv", "9\t9\n");
    assert!(matches!(get(&corpus(&moved)).found, Found::Whole));
    folder.file("b.tsv", "9\t8\n");
    assert!(matches!(get(&corpus(&second)).found, Found::Nothing));
}

#[test]
fn an_error_names_the_record_and_leaves_nothing() {
    let folder = Folder::new("cache-error");
    let mut records = records(17_000);
    let failure = |records: &[Record], recipe: &Recipe| {
        let error = cached(&folder.0, records, recipe, numbers, |_| {}).expect_err("a broken record");
        assert!(files(&folder).is_empty());
        error.to_string()
    };
    records[16_999].response = "3 4 5 6 7 8 9".into();
    let refuse = Recipe { limit: Limit { tokens: 8, cut: Cut::Refuse }, ..recipe() };
    assert_eq!(failure(&records, &refuse), "example 16999 has 11 tokens, more than 8");
    records[16_998].response = "12".into();
    assert!(failure(&records, &recipe()).contains("row 16998, position 3: token id 12"));
    records[16_900].prompt = "three".into();
    assert_eq!(failure(&records, &recipe()), "cannot tokenise the prompt of record 16900");
}
