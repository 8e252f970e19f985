//! Sequences on disk: the same as in memory, and damage found.

mod common;

use std::fs;
use std::path::Path;

use common::{Folder, rows, vocabulary};
use dlm_core::{Batch, Sequence, TokenId, Vocabulary};
use dlm_train::Error;
use dlm_train::data::{BatchSize, BatchSource, Batches, Mixture, Rows, Source, Store, StoreWriter};
use proptest::prelude::*;

fn write(path: &Path, rows: &[Sequence], vocab_size: usize) -> Store {
    let mut writer = StoreWriter::create(path, vocab_size, 77).expect("a file");
    rows.iter().try_for_each(|row| writer.push(row)).expect("ids of the vocabulary");
    writer.finish().expect("a whole file")
}

fn read(store: &Store) -> Vec<Sequence> {
    (0..store.len()).map(|row| store.row(row).expect("a row")).collect()
}

/// Sequences of 3 to 12 tokens, unevenly, maskable here and there.
fn uneven(n: usize) -> Vec<Sequence> {
    let row = |i: usize| {
        let ids = vec![3 + (i % 7) as TokenId; 3 + i * i % 10];
        let maskable = (0..ids.len()).map(|at| (at + i).is_multiple_of(3)).collect();
        Sequence::new(ids, maskable).expect("a flag for each id")
    };
    (0..n).map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(
        rows in prop::collection::vec(prop::collection::vec((0..40_000_u32, any::<bool>()), 0..20), 0..20),
        words in prop::sample::select(vec![32_768_usize, 40_000]),
    ) {
        let row = |tokens: &Vec<(u32, bool)>| {
            let (ids, maskable) = tokens.iter().map(|&(id, maskable)| (id % words as u32, maskable)).unzip();
            Sequence::new(ids, maskable).expect("a flag for each id")
        };
        let rows: Vec<Sequence> = rows.iter().map(row).collect();
        let folder = Folder::new("store-law");
        let store = write(&folder.0.join("rows"), &rows, words);
        prop_assert_eq!(&read(&store), &rows);
        prop_assert_eq!(store.content(), rows.content());
        prop_assert_eq!(store.tokens() as usize, rows.iter().map(Sequence::len).sum::<usize>());
        prop_assert!((0..rows.len()).all(|row| store.row_len(row) == rows[row].len()));
        store.verify().expect("whole");
    }
}

#[test]
fn ids_at_the_edge_of_two_bytes_and_of_the_widest_vocabulary_come_back() {
    let folder = Folder::new("store-width");
    for (words, width) in [(1 << 15, 2), ((1 << 15) + 1, 4), (1 << 31, 4)] {
        let ids = vec![0, words as TokenId - 1];
        let row = Sequence::new(ids, vec![true, false]).expect("a flag for each id");
        let store = write(&folder.0.join("rows"), std::slice::from_ref(&row), words);
        assert_eq!(read(&store), [row]);
        // Header, two tokens, one length.
        assert_eq!(fs::metadata(store.path()).expect("a file").len(), 64 + 2 * width + 4);
    }
}

#[test]
fn a_file_has_the_bytes_that_its_description_says() {
    let folder = Folder::new("store-bytes");
    let row = Sequence::new(vec![3, 5], vec![false, true]).expect("a flag for each id");
    let store = write(&folder.0.join("rows"), &[row], 12);
    let bytes = fs::read(store.path()).expect("a file");
    let hash = |bytes: &[u8]| {
        // FNV-1a, 64 bits, as published.
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    let mut expected = b"dlm-rows".to_vec();
    expected.extend([1, 0, 0, 0, 2, 0, 0, 0]);
    for number in [77, 1, 2, 5, hash(&[2, 0, 0, 0, 6, 0, 0, 0, 11, 0, 0, 0])] {
        expected.extend(u64::to_le_bytes(number));
    }
    let lengths = [2, 0, 0, 0];
    expected.extend(hash(&[&expected[..], &lengths].concat()).to_le_bytes());
    expected.extend([6, 0, 11, 0]);
    expected.extend(lengths);
    assert_eq!(bytes, expected);
}

#[test]
fn batches_from_disk_equal_those_from_memory() {
    let folder = Folder::new("store-batches");
    let store = write(&folder.0.join("rows"), &uneven(57), 12);
    for size in [BatchSize::Sequences(4), BatchSize::Tokens(40)] {
        let memory = Batches::new(uneven(57), vocabulary(), size, 11).expect("a data set");
        let mut disk = Batches::over(store.clone(), vocabulary(), size, 11).expect("a data set");
        assert_eq!(disk.fingerprint(), memory.fingerprint());
        assert_eq!(disk.padding().to_bits(), memory.padding().to_bits());
        let straight: Vec<Batch> = memory.take(40).collect::<Result<_, _>>().expect("batches");
        let same: Vec<Batch> = disk.by_ref().take(40).collect::<Result<_, _>>().expect("batches");
        assert_eq!(same, straight);
        // A resumed run goes on where it stopped, whatever was read before.
        let mut resumed = Batches::over(Store::open(store.path()).expect("whole"), vocabulary(), size, 11)
            .expect("a data set");
        for index in [39, 3, 17] {
            assert_eq!(resumed.batch(index).expect("a batch"), straight[index as usize]);
        }
    }
}

#[test]
fn a_mixture_of_stores_equals_one_of_memory() {
    let folder = Folder::new("store-mixture");
    let parts = [("a", 3.0, uneven(9)), ("b", 1.0, rows(5))];
    let store = |(name, weight, rows): &(&str, f64, Vec<Sequence>)| Source {
        name: (*name).to_owned(),
        weight: *weight,
        rows: write(&folder.0.join(name), rows, 12),
    };
    let mut disk = Mixture::over(parts.iter().map(store).collect(), vocabulary(), 6, 3).expect("two sources");
    let memory = parts.map(|(name, weight, rows)| Source { name: name.into(), weight, rows });
    let mut memory = Mixture::new(memory.into(), vocabulary(), 6, 3).expect("two sources");
    assert_eq!(disk.fingerprint(), memory.fingerprint());
    for index in [0, 1, 9, 4] {
        assert_eq!(disk.batch(index).expect("a batch"), memory.batch(index).expect("a batch"));
    }
}

#[test]
fn every_cut_and_every_changed_byte_is_found() {
    let folder = Folder::new("store-damage");
    let store = write(&folder.0.join("rows"), &uneven(5), 12);
    let whole = fs::read(store.path()).expect("a file");
    let read = |bytes: &[u8]| {
        let path = folder.file("damaged", bytes);
        Store::open(path).and_then(|store| store.verify())
    };
    read(&whole).expect("whole");
    for cut in 0..whole.len() {
        assert!(matches!(read(&whole[..cut]), Err(Error::Store { .. })), "{cut} bytes");
    }
    assert!(matches!(read(&[&whole[..], &[0]].concat()), Err(Error::Store { .. })));
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        assert!(matches!(read(&changed), Err(Error::Store { .. })), "byte {at}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let folder = Folder::new("store-foreign");
    let complaint = |bytes: &[u8]| {
        let path = folder.file("rows", bytes);
        let error = Store::open(&path).expect_err("no store").to_string();
        error.strip_prefix(&format!("{}: expected ", path.display())).expect("the file's name").to_owned()
    };
    let store = write(&folder.0.join("whole"), &uneven(5), 12);
    let whole = fs::read(store.path()).expect("a file");
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    let n = whole.len();
    assert_eq!(complaint(b"{}"), "a header of 64 bytes, got 2 bytes");
    assert_eq!(complaint(&[b'{'; 99]), "a store, which begins with `dlm-rows`, got `{{{{{{{{`");
    assert_eq!(complaint(&with(8, 9)), "version 1, got 9");
    assert_eq!(complaint(&with(12, 3)), "2 or 4 bytes a token, got 3");
    assert_eq!(complaint(&whole[..n - 1]), format!("{n} bytes, got {}", n - 1));
    assert_eq!(complaint(&with(n - 4, 8)), "header and lengths as written, got another hash");
    assert!(complaint(&with(39, 0xff)).starts_with("sizes that a file can have, got "));
    let missing = Store::open(folder.0.join("none")).expect_err("no file");
    assert!(matches!(missing, Error::Io { action: "open", .. }));
}

#[test]
fn a_foreign_id_is_named_when_written_and_when_read() {
    let folder = Folder::new("store-ids");
    let path = folder.0.join("rows");
    let foreign = [Sequence::whole(vec![3]), Sequence::whole(vec![4, 11])];
    let mut writer = StoreWriter::create(&path, 11, 0).expect("a file");
    writer.push(&foreign[0]).expect("id 3");
    let error = writer.push(&foreign[1]).expect_err("id 11").to_string();
    assert!(error.contains("row 1, position 1: token id 11"), "{error}");

    let store = write(&path, &foreign, 12);
    let small = Vocabulary::new(11, 0, 1, 2, 10).expect("ids below the size");
    let error = Batches::over(store, small, BatchSize::Sequences(1), 0).expect_err("id 11").to_string();
    assert!(error.contains("row 1, position 1: token id 11"), "{error}");
    assert!(matches!(StoreWriter::create(&path, 0, 0), Err(Error::OutOfDomain { .. })));
}

#[test]
fn an_unfinished_writer_leaves_the_file_that_was_there_and_no_other() {
    let folder = Folder::new("store-part");
    let path = folder.0.join("deep/rows");
    write(&path, &rows(3), 12);
    let mut writer = StoreWriter::create(&path, 12, 0).expect("a file");
    writer.push(&rows(1)[0]).expect("ids of the vocabulary");
    drop(writer);
    assert_eq!(read(&Store::open(&path).expect("whole")), rows(3));
    assert_eq!(fs::read_dir(folder.0.join("deep")).expect("a folder").count(), 1);
}
