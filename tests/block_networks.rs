//! Every backbone asked over a row and its clean text answers as it does block by block: places, attention and
//! padding of rows that hold a text twice.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dlm::core::schedule::Linear;
use dlm::core::{
    Batch, BlockQuestion, Blocks, CounterRng, Denoiser, DenoiserInput, Error, Forward, Prior, Sequence,
    TokenId, Vocabulary,
};
use dlm::models::{AutoDenoiser, Checkpoint};

/// ESM-2 scales a row by its share of masks, seen or not, so what stands behind a row changes it; RDM's encoder and
/// decoder have rooms of their own for source and target, and refuse other questions; SEDD under uniform noise is no
/// denoiser.
fn is_elsewhere(folder: &Path) -> bool {
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    config["token_dropout"] == true
        || config["model_type"] == "diffusion_transformer"
        || config["graph"]["type"] == "uniform"
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let inside = |kind: &str| {
        let entries = root.join(kind).read_dir().unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.join("model.safetensors").is_file() && !is_elsewhere(path))
            .collect::<Vec<_>>()
    };
    [inside("backbones"), inside("encoder")].concat()
}

/// What the network says, unless its kind of attention cannot be asked (RDM's encoder-decoder).
fn answer(model: &AutoDenoiser, input: &DenoiserInput<'_>) -> Option<Vec<f32>> {
    match model.check(input) {
        Err(Error::Unanswerable { .. }) => None,
        other => other.map(|()| Some(model.logits(input).into_data().iter().collect())).unwrap(),
    }
}

#[test]
fn a_row_with_its_clean_text_behind_it_is_its_blocks_one_by_one() {
    let folders = folders();
    let mut answered = 0;
    for folder in folders {
        let (model, _) = Checkpoint::open(&folder).unwrap().load::<AutoDenoiser>(&Device::default()).unwrap();
        let size = model.vocab_size();
        let vocabulary = Vocabulary::new(size, 0, 1, 2, size as TokenId - 1).unwrap();
        let words = |seed: usize, len: usize| {
            (0..len).map(|i| (3 + (seed + 5 * i) % (size - 4)) as TokenId).collect()
        };
        let rows = [Sequence::whole(words(1, 7)), Sequence::whole(words(4, 5))];
        let batch = Batch::new(&rows, &vocabulary).unwrap();
        let forward = Forward::new(Linear, Prior::Absorbing { mask: vocabulary.mask });
        for len in [3, 7] {
            let blocks = Blocks::new(len).unwrap();
            let count = blocks.count(7);
            // Networks that hear the time hear one a row.
            let noised =
                forward.noise_blocks(&batch, blocks, &vec![0.7; 2 * count], &CounterRng::new(2)).unwrap();
            let question = BlockQuestion::new(&noised, blocks);
            let Some(together) = answer(&model, &question.input()) else { continue };
            answered += 1;
            assert!(noised.at().len() > 3);
            for (&at, together) in noised.at().iter().zip(together.chunks_exact(size)) {
                let (row, position) = (at / 7, at % 7);
                let (start, end) = (position / len * len, (position / len * len + len).min(rows[row].len()));
                let text =
                    [&noised.x0()[row * 7..][..start], &noised.xt()[row * 7 + start..row * 7 + end]].concat();
                // The block sees what is before it; what is before it does not see the block.
                let pairs: Vec<bool> =
                    (0..end * end).map(|pair| pair % end / len <= pair / end / len).collect();
                let input = DenoiserInput::new(&text, [1, end], std::slice::from_ref(&position))
                    .with_times(&noised.times()[row..=row])
                    .with_attention(dlm::core::Attention::Pairs(&pairs));
                let alone = answer(&model, &input).unwrap();
                let gap = alone.iter().zip(together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(
                    gap < 1e-4,
                    "{}, blocks of {len}, row {row}, position {position}: {gap}",
                    folder.display()
                );
            }
        }
    }
    assert!(answered >= 40, "{answered} answers of networks");
}
