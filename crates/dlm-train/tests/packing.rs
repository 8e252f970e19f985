//! Documents packed into rows.

mod common;

use std::collections::BTreeMap;

use common::{Folder, vocabulary};
use dlm_core::{Batch, Sequence, TokenId};
use dlm_train::Error;
use dlm_train::data::{BatchSource, Packed, Packing, StoreWriter};
use proptest::prelude::*;

/// Documents of these lengths. The first token names the document, if there are at most nine; the others
/// count on.
fn documents(lengths: &[usize]) -> Vec<Sequence> {
    let token = |document: usize, at: usize| 2 + ((document + at) % 9) as TokenId;
    let document = |(i, &len): (usize, &usize)| {
        let ids = (0..len).map(|at| token(i, at)).collect();
        Sequence::new(ids, (0..len).map(|at| at % 3 > 0).collect()).expect("a flag for each id")
    };
    lengths.iter().enumerate().map(document).collect()
}

fn packed(lengths: &[usize], len: usize, rows: usize) -> Packed {
    Packed::new(documents(lengths), vocabulary(), Packing { len, rows }, 3).expect("documents")
}

fn epoch(packed: &Packed, epoch: u64) -> Vec<Batch> {
    packed.epoch(epoch).collect::<Result<_, _>>().expect("batches")
}

/// The documents of a batch, as ids and flags.
fn split(batch: &Batch) -> Vec<(Vec<TokenId>, Vec<bool>)> {
    let mut split: BTreeMap<(usize, u32), (Vec<TokenId>, Vec<bool>)> = BTreeMap::new();
    let numbers = batch.documents().expect("a packed batch");
    for (at, number) in numbers.iter().enumerate().filter(|(at, _)| !batch.pad()[*at]) {
        let (ids, maskable) = split.entry((at / batch.len(), *number)).or_default();
        ids.push(batch.ids()[at]);
        maskable.push(batch.maskable()[at]);
    }
    split.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_token_comes_once_an_epoch_in_rows_that_hold_it(
        lengths in prop::collection::vec(1..40_usize, 1..60),
        len in 1..30_usize,
        rows in 1..5_usize,
        nth in 0..4_u64,
    ) {
        let packed = packed(&lengths, len, rows);
        let batches = epoch(&packed, nth);
        prop_assert_eq!(batches.len() as u64, packed.epoch_len());
        prop_assert!(batches.iter().all(|batch| batch.len() <= len && batch.rows() <= rows));
        let cut = |document: &Sequence| -> Vec<_> {
            let pieces = document.ids().chunks(len).zip(document.maskable().chunks(len));
            pieces.map(|(ids, maskable)| (ids.to_vec(), maskable.to_vec())).collect()
        };
        let mut expected: Vec<_> = documents(&lengths).iter().flat_map(cut).collect();
        let mut got: Vec<_> = batches.iter().flat_map(split).collect();
        expected.sort();
        got.sort();
        prop_assert_eq!(got, expected);

        // No two rows could be one, and the share of padding is theirs.
        let fill = |batch: &Batch| -> Vec<usize> {
            batch.pad().chunks(batch.len()).map(|row| row.iter().filter(|&&pad| !pad).count()).collect()
        };
        let mut fills: Vec<usize> = batches.iter().flat_map(fill).collect();
        let tokens: usize = lengths.iter().sum();
        let positions = fills.len() * len;
        let padding = (positions - tokens) as f64 / positions as f64;
        prop_assert_eq!(packed.padding().to_bits(), padding.to_bits());
        fills.sort_unstable();
        prop_assert!(fills.len() < 2 || fills[0] + fills[1] > len);
    }
}

#[test]
fn documents_go_where_they_leave_least_room() {
    // By hand, in falling length: 7; 6; 4 beside 6, which is full; 3 beside 7, which is full; 3; 2 and 1 beside 3.
    let packed = packed(&[3, 6, 1, 7, 2, 4, 3], 10, 9);
    let [batch] = &epoch(&packed, 0)[..] else { panic!("one batch") };
    let mut rows: Vec<Vec<usize>> = (0..batch.rows())
        .map(|row| {
            let at = |position: usize| row * batch.len() + position;
            let numbers = batch.documents().expect("a packed batch");
            let positions = (0..batch.len()).map(at).filter(|&at| !batch.pad()[at]);
            let mut lengths = BTreeMap::new();
            positions.for_each(|at| *lengths.entry(numbers[at]).or_insert(0) += 1);
            lengths.into_values().collect()
        })
        .collect();
    rows.sort();
    assert_eq!(rows, [vec![3, 2, 1], vec![6, 4], vec![7, 3]]);
    assert_eq!(packed.padding().to_bits(), (4.0_f64 / 30.0).to_bits());
}

#[test]
fn a_batch_depends_on_its_index_alone() {
    let lengths: Vec<usize> = (0..50).map(|i| 1 + i * i % 17).collect();
    let mut straight = packed(&lengths, 16, 3);
    let batches: Vec<Batch> = (0..40).map(|index| straight.batch(index).expect("a batch")).collect();
    let mut resumed = packed(&lengths, 16, 3);
    for index in [39, 0, 21, 22, 1] {
        assert_eq!(resumed.batch(index).expect("a batch"), batches[index as usize], "batch {index}");
    }
    assert_eq!(epoch(&resumed, 0), batches[..resumed.epoch_len() as usize]);
    assert_ne!(epoch(&resumed, 1), epoch(&resumed, 0));
}

#[test]
fn rows_have_keys_of_their_own() {
    let packed = packed(&[40, 40, 5, 5], 8, 100);
    let [batch] = &epoch(&packed, 0)[..] else { panic!("one batch") };
    let mut keys: Vec<u64> = (0..batch.rows()).map(|row| batch.key(row)).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), batch.rows());
}

#[test]
fn a_store_is_packed_as_memory_is() {
    let folder = Folder::new("packed-store");
    let lengths: Vec<usize> = (0..50).map(|i| 1 + i * i % 17).collect();
    let mut writer = StoreWriter::create(folder.0.join("rows"), 12, 0).expect("a file");
    documents(&lengths).iter().try_for_each(|row| writer.push(row)).expect("ids of the vocabulary");
    let store = writer.finish().expect("a whole file");
    let mut disk = Packed::over(store, vocabulary(), Packing { len: 10, rows: 3 }, 3).expect("documents");
    let mut memory = packed(&lengths, 10, 3);
    assert_eq!(disk.fingerprint(), memory.fingerprint());
    for index in [0, 5, 60] {
        assert_eq!(disk.batch(index).expect("a batch"), memory.batch(index).expect("a batch"));
    }
}

#[test]
fn the_fingerprint_changes_with_data_and_packing() {
    let base = packed(&[3, 4], 8, 2).fingerprint();
    assert_eq!(base, packed(&[3, 4], 8, 2).fingerprint());
    assert_ne!(base, packed(&[4, 3], 8, 2).fingerprint());
    assert_ne!(base, packed(&[3, 4], 9, 2).fingerprint());
    assert_ne!(base, packed(&[3, 4], 8, 3).fingerprint());
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let new = |lengths: &[usize], len, rows| {
        Packed::new(documents(lengths), vocabulary(), Packing { len, rows }, 0).err()
    };
    assert!(matches!(new(&[], 8, 1), Some(Error::Core(_))));
    assert!(matches!(new(&[3, 0], 8, 1), Some(Error::EmptySequence { index: 1 })));
    assert!(matches!(new(&[3], 0, 1), Some(Error::OutOfDomain { name: "length of packed rows", .. })));
    assert!(matches!(new(&[3], 8, 0), Some(Error::OutOfDomain { name: "batch size", .. })));
    let foreign = vec![Sequence::whole(vec![99])];
    assert!(matches!(
        Packed::new(foreign, vocabulary(), Packing { len: 8, rows: 1 }, 0),
        Err(Error::Core(_))
    ));
}
