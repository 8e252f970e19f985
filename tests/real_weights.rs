//! Published networks fill masks as upstream fills them: `tools/golden/real.py` says what was asked and answered.
//!
//! The network in `assets` is always asked. The others are not in the repository; all are asked by
//! ```sh
//! DLM_REAL_WEIGHTS=MODELS cargo test --workspace --test real_weights -- --nocapture
//! ```
//! where MODELS has a folder for each, as the packages that the fixtures name ship it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tell what it saw")]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use dlm::core::{Denoiser, DenoiserInput, TokenId};
use dlm::models::{AutoDenoiser, Checkpoint, Encoder, EncoderConfig, Missing, vocabulary};
use serde::Deserialize;

/// Upstream computes in f64; its own f32 run differs by up to 3.1e-5.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    meta: Meta,
    folder: String,
    /// Where the folder's configuration names none.
    model_type: Option<String>,
    /// Where the folder has none, as fairseq's.
    config: Option<serde_json::Value>,
    has_head: bool,
    tokenizer: bool,
    rows: Vec<Row>,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Meta {
    file: String,
}

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<TokenId>,
}

#[derive(Deserialize)]
struct Answer {
    row: usize,
    position: usize,
    /// Elements in their order, with their places.
    top: Vec<(usize, f32)>,
    mean: f32,
    rms: f32,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn goldens() -> Vec<(String, Golden)> {
    let files = root().join("tests/fixtures/real").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    };
    files.map(read).collect()
}

/// fairseq's folders: weights under a name of their own, and no configuration.
fn fairseq(folder: &Path, golden: &Golden, config: &serde_json::Value) -> AutoDenoiser {
    let beside = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("real-fairseq");
    std::fs::create_dir_all(&beside).unwrap();
    std::fs::copy(folder.join(&golden.meta.file), beside.join("model.pt")).unwrap();
    let config = EncoderConfig::from_json(&config.to_string()).unwrap();
    let mut model: Encoder = config.init(&Device::default()).unwrap();
    let report = Checkpoint::open(beside).unwrap().load_into(&mut model).unwrap();
    assert!(report.missing.is_empty(), "{report}");
    AutoDenoiser::Encoder(model)
}

fn load(folder: &Path, golden: &Golden) -> AutoDenoiser {
    if let Some(config) = &golden.config {
        return fairseq(folder, golden, config);
    }
    let mut checkpoint = Checkpoint::open(folder).unwrap();
    if let Some(family) = &golden.model_type {
        checkpoint = checkpoint.with_family(family.parse().unwrap());
    }
    if !golden.has_head {
        checkpoint = checkpoint.with_missing(Missing::Initialise);
    }
    let (model, report) = checkpoint.load::<AutoDenoiser>(&Device::default()).unwrap();
    assert!(report.missing.iter().all(|key| !golden.has_head && key.starts_with("cls.")), "{report}");
    if golden.tokenizer {
        let tokenizer = checkpoint.tokenizer().unwrap().unwrap();
        let words = vocabulary(&tokenizer, model.vocab_size()).unwrap();
        for row in &golden.rows {
            assert_eq!(tokenizer.encode(row.text.as_str(), true).unwrap().get_ids(), row.ids);
        }
        for answer in &golden.answers {
            assert_eq!(golden.rows[answer.row].ids[answer.position], words.mask);
        }
    }
    model
}

/// What the network says at the asked positions, all rows in one padded batch: `[N, V]` or, without a head, `[N, D]`.
fn said(model: &AutoDenoiser, golden: &Golden) -> Tensor<2> {
    let len = golden.rows.iter().map(|row| row.ids.len()).max().unwrap();
    let filled =
        |row: &Row| row.ids.iter().copied().chain(std::iter::repeat(0)).take(len).collect::<Vec<_>>();
    let ids: Vec<TokenId> = golden.rows.iter().flat_map(filled).collect();
    let pad: Vec<bool> = golden.rows.iter().flat_map(|row| (0..len).map(|at| at >= row.ids.len())).collect();
    let at: Vec<usize> = golden.answers.iter().map(|answer| answer.row * len + answer.position).collect();
    let input = DenoiserInput::new(&ids, [golden.rows.len(), len], &at).with_pad(&pad);
    match model {
        AutoDenoiser::Encoder(encoder) if !golden.has_head => {
            let states: Tensor<2> = encoder.hidden(&input).flatten(0, 1);
            let at: Vec<i32> = at.iter().map(|&at| at as i32).collect();
            states.select(0, Tensor::from_ints(at.as_slice(), &encoder.device()))
        }
        _ => model.logits(&input),
    }
}

/// The largest difference from upstream's answer, in any of its numbers.
fn gap(ours: &[f32], theirs: &Answer) -> f32 {
    let count = ours.len() as f32;
    let mean = ours.iter().sum::<f32>() / count;
    let rms = (ours.iter().map(|x| x * x).sum::<f32>() / count).sqrt();
    let last = theirs.top.last().unwrap().1;
    // Nothing else may be above the ten.
    let above = ours.iter().enumerate().filter(|(at, _)| theirs.top.iter().all(|(top, _)| top != at));
    let above = above.map(|(_, &value)| value - last).fold(0.0, f32::max);
    let top = theirs.top.iter().map(|&(at, value)| (ours[at] - value).abs());
    let gaps = top.chain([(mean - theirs.mean).abs(), (rms - theirs.rms).abs(), above]);
    // NaN must not pass for small.
    gaps.fold(0.0, |a, b| if b <= a { a } else { b })
}

#[test]
fn published_networks_answer_as_upstream() {
    let models = std::env::var_os("DLM_REAL_WEIGHTS").map(PathBuf::from);
    let goldens = goldens();
    assert_eq!(goldens.len(), 7);
    let mut asked = 0;
    for (name, golden) in goldens {
        let own = root().join("assets").join(&golden.folder);
        let folder = match &models {
            _ if own.is_dir() => own,
            Some(models) => models.join(&golden.folder),
            None => continue,
        };
        let said: Vec<f32> = said(&load(&folder, &golden), &golden).into_data().iter().collect();
        let width = said.len() / golden.answers.len();
        let gaps = said.chunks_exact(width).zip(&golden.answers).map(|(ours, theirs)| gap(ours, theirs));
        let gap = gaps.fold(0.0, |a, b| if b <= a { a } else { b });
        println!("{name}: {} answers, largest difference {gap:.1e}", golden.answers.len());
        assert!(gap <= TOLERANCE, "{name}: {gap}");
        asked += 1;
    }
    assert!(asked >= 1);
}
