//! From records to batches: how fast data comes, which must be far faster than a network learns.

#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dlm::core::{CounterRng, Purpose, Sequence, TokenId, Vocabulary};
use dlm::models::{Pieces, train_tokenizer};
use dlm::train::Foreign;
use dlm::train::data::{
    BatchSize, BatchSource, Batches, Limit, Packed, Packing, Recipe, Record, Rows, Store, StoreWriter,
    cached, tokenise_on,
};

const ROWS: usize = 20_000;
const WORDS: usize = 30_522;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(WORDS, 0, 1, 2, 4).unwrap()
}

/// Pairs of sentences, 20 to 120 tokens together, most of them short.
fn rows() -> Vec<Sequence> {
    let row = |i: usize| {
        let mut draws = CounterRng::new(1).row(Purpose::Order, i as u64);
        let len = 20 + (100.0 * draws.uniform(0).powi(2)) as usize;
        let ids: Vec<TokenId> = (1..=len).map(|at| draws.below(at, WORDS) as TokenId).collect();
        Sequence::prompt_response(&ids[..len / 2], &ids[len / 2..], &vocabulary())
    };
    (0..ROWS).map(row).collect()
}

fn records() -> Vec<Record> {
    let text = |ids: &[TokenId]| ids.iter().map(|id| format!("{:x}", id * id)).collect::<Vec<_>>().join(" ");
    rows()
        .iter()
        .map(|row| Record { prompt: text(&row.ids()[..9]), response: text(&row.ids()[9..]) })
        .collect()
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("dlm-bench-{name}-{}", std::process::id()))
}

fn written(rows: &[Sequence]) -> Store {
    let mut writer = StoreWriter::create(file("rows"), WORDS, 0).unwrap();
    rows.iter().try_for_each(|row| writer.push(row)).unwrap();
    writer.finish().unwrap()
}

fn stores(c: &mut Criterion) {
    let rows = rows();
    let store = written(&rows);
    let mut group = c.benchmark_group("store");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(std::fs::metadata(store.path()).unwrap().len()));
    group.bench_function("write", |b| b.iter(|| written(&rows)));
    group.bench_function("open and verify", |b| {
        b.iter(|| Store::open(store.path()).unwrap().verify().unwrap());
    });
    std::fs::remove_file(store.path()).unwrap();
}

/// One epoch after the other, each planned and gathered.
fn epochs(b: &mut Bencher<'_>, mut source: impl BatchSource, batches: u64) {
    let mut next = 0;
    b.iter(|| {
        (next..next + batches).for_each(|index| drop(black_box(source.batch(index).unwrap())));
        next += batches;
    });
}

fn batches(c: &mut Criterion) {
    let rows = rows();
    let store = written(&rows);
    let size = BatchSize::Tokens(4096);
    let packing = Packing { len: 512, rows: 8 };
    let mut group = c.benchmark_group("an epoch");
    group.sample_size(20);
    group.throughput(Throughput::Elements(store.tokens()));
    group.bench_function("memory, 4096 tokens", |b| {
        let batches = Batches::new(rows.clone(), vocabulary(), size, 1).unwrap();
        let epoch = batches.epoch_len();
        epochs(b, batches, epoch);
    });
    group.bench_function("store, 4096 tokens", |b| {
        let batches = Batches::over(store.clone(), vocabulary(), size, 1).unwrap();
        let epoch = batches.epoch_len();
        epochs(b, batches, epoch);
    });
    group.bench_function("store, 8 packed rows of 512", |b| {
        let packed = Packed::over(store.clone(), vocabulary(), packing, 1).unwrap();
        let epoch = packed.epoch_len();
        epochs(b, packed, epoch);
    });
    group.bench_function("plan of packed rows", |b| {
        b.iter(|| Packed::over(store.clone(), vocabulary(), packing, 1).unwrap());
    });
    std::fs::remove_file(store.path()).unwrap();
}

fn tokens(c: &mut Criterion) {
    let records = &records()[..4000];
    let texts = records.iter().flat_map(|record| [&record.prompt, &record.response]);
    let bytes = texts.clone().map(String::len).sum::<usize>() as u64;
    let tokenizer = train_tokenizer(texts, Pieces::BytePairs, 2000).unwrap();
    let encode = |text: &str| Ok::<_, Foreign>(tokenizer.encode_fast(text, false)?.get_ids().to_vec());
    let mut group = c.benchmark_group("tokenise");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes));
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("byte pairs, threads", threads), |b| {
            // Clones forget which words they have met, as a first pass over a corpus has.
            b.iter_with_setup(
                || tokenizer.clone(),
                |tokenizer| {
                    let encode =
                        |text: &str| Ok::<_, Foreign>(tokenizer.encode_fast(text, false)?.get_ids().to_vec());
                    tokenise_on(threads, records, encode).unwrap()
                },
            );
        });
    }
    let recipe =
        Recipe { tokeniser: "bench".into(), vocabulary: vocabulary(), limit: Limit::default(), threads: 2 };
    let folder = file("cache");
    let get = || cached(&folder, records, &recipe, encode, |_| {}).unwrap();
    assert_eq!(get().store.len(), records.len());
    group.bench_function("kept: key, open and verify", |b| b.iter(get));
    std::fs::remove_dir_all(folder).unwrap();
}

criterion_group!(benches, stores, batches, tokens);
criterion_main!(benches);
