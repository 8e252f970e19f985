//! Evaluation: what is asked, how answers are judged, and what a task file may not say.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod asking;
mod committed;
mod files;
mod next_token;

use std::fs;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use dlm::core::{Denoiser, DenoiserInput, TokenId};
use dlm::evaluate::{Error, Report, Subject, Task, evaluate};
use dlm::pipeline::Pipeline;
use dlm::text::Text;
use tokenizers::Tokenizer;

/// An empty folder that is deleted at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("dlm-evaluate-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }

    pub(crate) fn task(&self, text: &str) -> Result<Task, Error> {
        Task::parse(text, self.0.join("task.toml"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) const WORDS: [&str; 11] =
    ["<s>", "<pad>", "</s>", "<mask>", "<unk>", "north", "south", "a", "b", "c", "of"];

pub(crate) fn tokenizer() -> Tokenizer {
    let vocab: serde_json::Map<_, _> =
        WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    })
    .to_string()
    .parse()
    .unwrap()
}

pub(crate) fn subject(pipeline: &Pipeline) -> Subject<'_> {
    Subject::new(&pipeline.model, &pipeline.text).with_lengths(pipeline.lengths())
}

pub(crate) fn words() -> Text {
    Text::new(tokenizer(), Some(WORDS.len()), None).unwrap()
}

/// p(two words | north or south), rows and columns a, b, c; EOS follows for sure.
pub(crate) const NORTH: [[f64; 3]; 3] = [[0.05, 0.30, 0.05], [0.10, 0.05, 0.10], [0.05, 0.10, 0.20]];
pub(crate) const SOUTH: [[f64; 3]; 3] = [[0.05, 0.05, 0.10], [0.40, 0.05, 0.05], [0.05, 0.20, 0.05]];

/// The true conditional distributions of `<s> place word word </s>`.
pub(crate) struct Exact;

impl Exact {
    fn p(row: &[TokenId], position: usize, id: TokenId) -> f64 {
        let joint = if row[1] == 5 { NORTH } else { SOUTH };
        let fits = |at: usize, word: usize| {
            let id = if at == position { id } else { row[at] };
            id == 3 || id as usize == 7 + word
        };
        let cells = (0..3).flat_map(|first| (0..3).map(move |second| (first, second)));
        match position {
            4 => f64::from(u8::from(id == 2)),
            _ if !(7..10).contains(&id) => 0.0,
            _ => cells.filter(|&(a, b)| fits(2, a) && fits(3, b)).map(|(a, b)| joint[a][b]).sum(),
        }
    }
}

impl Denoiser for Exact {
    fn vocab_size(&self) -> usize {
        WORDS.len()
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn max_len(&self) -> Option<usize> {
        Some(5)
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let len = input.shape[1];
        let row = |at: usize| &input.ids[at / len * len..][..len];
        let ids = || 0..WORDS.len() as TokenId;
        let logits: Vec<f32> = (input.at.iter())
            .flat_map(|&at| ids().map(move |id| Self::p(row(at), at % len, id).ln().max(-1e4) as f32))
            .collect();
        Tensor::from_data(TensorData::new(logits, [input.at.len(), WORDS.len()]), &self.device())
    }
}

/// Knows nothing.
pub(crate) struct Flat;

impl Denoiser for Flat {
    fn vocab_size(&self) -> usize {
        WORDS.len()
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        Tensor::zeros([input.at.len(), WORDS.len()], &self.device())
    }
}

/// Knows nothing, of rows up to some length.
pub(crate) struct Narrow(pub(crate) usize);

impl Denoiser for Narrow {
    fn vocab_size(&self) -> usize {
        Flat.vocab_size()
    }
    fn device(&self) -> Device {
        Flat.device()
    }
    fn max_len(&self) -> Option<usize> {
        Some(self.0)
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        Flat.logits(input)
    }
}

pub(crate) fn run(model: &dyn Denoiser, task: &Task) -> Result<Report, Error> {
    evaluate(&Subject::new(model, &words()), task, |_, _| ())
}

pub(crate) fn answers(report: &Report) -> Vec<&str> {
    report.outputs.iter().map(|output| output.answer.as_str()).collect()
}

pub(crate) const CASES: &str = r#"{"place": "north", "answer": "a b", "options": ["b a", "a b", "c c"], "label": 1}
{"place": "south", "answer": "b a", "options": ["c b", "a c", "b a"], "label": 2}
{"place": "south", "answer": "b a", "options": ["b a", "c b", "b b"], "label": 0}
{"place": "north", "answer": "c c", "options": ["a b", "c c", "b b"], "label": 1}
"#;

pub(crate) const CHOOSE: &str = r#"
name = "places"
form = { query = "{place}", answer = "{answer}" }
metrics = ["accuracy", "bits-per-token", "perplexity-bound"]
subject = "place"
data = { files = ["cases.jsonl"] }
[choose]
options = "options"
right = "label"
draws = 64
"#;
