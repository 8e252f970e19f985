//! Encoders against Hugging Face transformers: every logit and six gradients of tiny random networks of
//! each family (`tools/golden/encoder.py`). Published networks are compared in `real_weights.rs`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tell what it saw")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::{Module, ModuleVisitor, Param};
use burn::store::{ModuleStore, SafetensorsStore, bridge};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use dlm::core::view::Attending;
use dlm::core::{Attention, Denoiser, DenoiserInput, TokenId};
use dlm::models::{Checkpoint, Encoder, EncoderConfig};

/// Upstream computes in f64; its own f32 run differs by up to 3.1e-5.
const TOLERANCE: f32 = 1e-4;

fn fixture(family: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoder").join(family)
}

fn load(folder: PathBuf, device: &Device) -> Encoder {
    let (model, report) = Checkpoint::open(folder).unwrap().load(device).unwrap();
    assert!(report.missing.is_empty(), "{report}");
    model
}

/// Upstream's inputs and answers.
struct Golden(BTreeMap<String, TensorData>);

impl Golden {
    fn of(family: &str) -> Self {
        let mut store = SafetensorsStore::from_file(fixture(family).join("golden.safetensors"));
        let tensors = store.get_all_tensors().unwrap();
        Self(tensors.iter().map(|(key, tensor)| (key.clone(), bridge::to_data(tensor).unwrap())).collect())
    }

    fn floats(&self, key: &str) -> Vec<f32> {
        self.0[key].iter::<f32>().collect()
    }

    fn ints(&self, key: &str) -> Vec<i64> {
        self.0[key].iter::<i64>().collect()
    }

    /// Largest difference from the model's logits, padding aside.
    fn gap(&self, model: &impl Denoiser, prefix: &str) -> f32 {
        let key = |name: &str| format!("{prefix}{name}");
        let ids: Vec<TokenId> = self.ints(&key("input_ids")).iter().map(|&id| id as TokenId).collect();
        let shape: [usize; 2] = self.0[&key("input_ids")].shape().dims();
        let pad: Vec<bool> = if self.0.contains_key(&key("attention_mask")) {
            self.ints(&key("attention_mask")).iter().map(|&seen| seen == 0).collect()
        } else {
            vec![false; ids.len()]
        };
        let at: Vec<usize> = (0..ids.len()).filter(|&i| !pad[i]).collect();
        let ours = model.logits(&DenoiserInput::new(&ids, shape, &at).with_pad(&pad));
        let words = ours.dims()[1];
        let theirs = self.floats(&key("logits"));
        let theirs: Vec<f32> = at.iter().flat_map(|&i| theirs[i * words..][..words].to_vec()).collect();
        largest_gap(&ours.into_data().iter::<f32>().collect::<Vec<_>>(), &theirs)
    }
}

fn largest_gap(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    // NaN must not pass for small.
    left.iter().zip(right).map(|(l, r)| (l - r).abs()).fold(0.0, |a, b| if b <= a { a } else { b })
}

fn assert_gap(what: &str, gap: f32) {
    println!("{what}: largest difference {gap:.1e}");
    assert!(gap <= TOLERANCE, "{what}: {gap}");
}

#[test]
fn logits_are_upstreams() {
    for family in ["bert", "roberta", "xlmr", "bert_bin", "bert_bin_legacy"] {
        let golden = Golden::of(family.strip_suffix("_legacy").unwrap_or(family).trim_end_matches("_bin"));
        let model = load(fixture(family), &Device::default());
        assert_gap(&format!("{family} with padding"), golden.gap(&model, ""));
        assert_gap(&format!("{family} at full length"), golden.gap(&model, "full."));
    }
    let roberta = load(fixture("roberta"), &Device::default());
    assert_gap("roberta padded on the left", Golden::of("roberta").gap(&roberta, "left."));
    let causal = Attending { inner: &roberta, attention: Attention::Causal };
    assert_gap("roberta as an autoregressive network", Golden::of("roberta").gap(&causal, "causal."));
}

#[test]
fn fairseqs_layout_is_read() {
    let sizes = std::fs::read_to_string(fixture("roberta").join("config.json")).unwrap();
    let mut model = EncoderConfig::from_json(&sizes).unwrap().init(&Device::default()).unwrap();
    let report = Checkpoint::open(fixture("roberta_fairseq")).unwrap().load_into(&mut model).unwrap();
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report}");
    assert_eq!(report.tied, ["decoder.lm_head.weight"]);
    assert_gap("roberta by fairseq", Golden::of("roberta").gap(&model, ""));
}

/// Gradients by the path of the parameter in the model.
struct Collect<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            // Upstream's linear weights are the transposes of ours.
            let is_linear = D == 2 && !self.path.iter().any(|name| name == "embeddings");
            let gradient = if is_linear { gradient.swap_dims(0, 1) } else { gradient };
            self.found.insert(self.path.join("."), gradient.into_data().iter::<f32>().collect());
        }
    }
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

#[test]
fn gradients_are_upstreams() {
    for family in ["bert", "roberta", "xlmr"] {
        let golden = Golden::of(family);
        // Dropout off, gradients on.
        let model = load(fixture(family), &Device::default()).train();
        let model = without_dropout(model);
        let ids: Vec<TokenId> = golden.ints("input_ids").iter().map(|&id| id as TokenId).collect();
        let pad: Vec<bool> = golden.ints("attention_mask").iter().map(|&seen| seen == 0).collect();
        let shape: [usize; 2] = golden.0["input_ids"].shape().dims();
        let positions = golden.ints("loss_positions");
        let at: Vec<usize> =
            positions.chunks(2).map(|place| place[0] as usize * shape[1] + place[1] as usize).collect();
        let logits = model.logits(&DenoiserInput::new(&ids, shape, &at).with_pad(&pad));
        let device = model.device();
        let targets: Vec<i32> = golden.ints("loss_targets").iter().map(|&id| id as i32).collect();
        let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [at.len(), 1]), &device);
        let weights = TensorData::new(golden.floats("loss_weights"), [at.len(), 1]);
        let weights = Tensor::<2>::from_data(weights, &device);
        let loss = -(log_softmax(logits, 1).gather(1, targets) * weights).sum();
        let gap = (loss.clone().into_scalar::<f32>() - golden.floats("loss")[0]).abs();
        assert_gap(&format!("{family} loss"), gap);
        let mut collect = Collect { gradients: &loss.backward(), path: Vec::new(), found: BTreeMap::new() };
        model.visit(&mut collect);
        for (theirs, ours) in [
            ("word_embeddings", "embeddings.word.weight"),
            ("position_embeddings", "embeddings.position.weight"),
            ("query_weight", "layers.1.attention.query.weight"),
            ("attention_norm_weight", "layers.0.attention_norm.gamma"),
            ("head_dense_weight", "head.dense.weight"),
            ("decoder_bias", "head.bias"),
        ] {
            let gap = largest_gap(&collect.found[ours], &golden.floats(&format!("grad.{theirs}")));
            assert_gap(&format!("{family} gradient of {ours}"), gap);
        }
    }
}

/// The same network with its dropout rates at 0, still tracked.
fn without_dropout(model: Encoder) -> Encoder {
    let config = model.config().clone().with_dropout(0.0);
    let silent = config.init(&model.device()).unwrap();
    silent.load_record(model.into_record())
}

#[test]
fn saved_folders_load_with_the_same_logits() {
    for family in ["bert", "roberta", "xlmr"] {
        let golden = Golden::of(family);
        let model = load(fixture(family), &Device::default());
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(family);
        Checkpoint::write(&model, &target, None).unwrap();
        let again = load(target, &Device::default());
        assert_gap(&format!("{family} after saving"), golden.gap(&again, ""));
    }
}

#[test]
fn pickles_cut_short_are_refused_wherever_the_cut_is() {
    for format in ["bert_bin", "bert_bin_legacy"] {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cut-{format}"));
        std::fs::create_dir_all(&target).unwrap();
        std::fs::copy(fixture(format).join("config.json"), target.join("config.json")).unwrap();
        let bytes = std::fs::read(fixture(format).join("pytorch_model.bin")).unwrap();
        let cuts = (0..40).map(|part| bytes.len() * part / 40).chain([1, 2, bytes.len() - 1]);
        for cut in cuts {
            std::fs::write(target.join("pytorch_model.bin"), &bytes[..cut]).unwrap();
            let loaded = Checkpoint::open(&target).unwrap().load::<Encoder>(&Device::default());
            assert!(loaded.is_err(), "{format} cut at {cut} of {}", bytes.len());
        }
    }
}
