//! Backbones against their upstream classes: every logit, gradients, and a folder written and read again, of
//! tiny random networks (`tools/golden/backbone.py` and the scripts that use it).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and tell what it saw")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::store::{ModuleStore, SafetensorsStore, bridge};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use dlm::core::{Attention, Denoiser, DenoiserInput, TokenId};
use dlm::models::{
    Albert, AutoDenoiser, Checkpoint, ClipVisionConfig, Dit, Encoder, EncoderConfig, Esm, Gpt2, Llama, Llava,
    LlavaConfig, Missing, ModernBert, Pretrained, Rdm, Sedd, Seeing, Slot, Stored,
};

/// Upstream computes in f64.
const TOLERANCE: f32 = 1e-4;

/// Upstream's inputs and answers.
struct Golden(BTreeMap<String, TensorData>);

impl Golden {
    fn open(folder: &Path) -> Self {
        let mut store = SafetensorsStore::from_file(folder.join("golden.safetensors"));
        let tensors = store.get_all_tensors().unwrap();
        Self(tensors.iter().map(|(key, tensor)| (key.clone(), bridge::to_data(tensor).unwrap())).collect())
    }

    fn floats(&self, key: &str) -> Vec<f32> {
        self.0[key].iter::<f32>().collect()
    }

    fn ints(&self, key: &str) -> Vec<i64> {
        self.0[key].iter::<i64>().collect()
    }

    /// The prefixes of all cases: `""`, `"full."`, ..
    fn cases(&self) -> Vec<&str> {
        self.0.keys().filter_map(|key| key.strip_suffix("input_ids")).collect()
    }

    fn ids(&self, case: &str) -> (Vec<TokenId>, [usize; 2], Vec<bool>) {
        let key = |name: &str| format!("{case}{name}");
        let ids: Vec<TokenId> = self.ints(&key("input_ids")).iter().map(|&id| id as TokenId).collect();
        let pad = if self.0.contains_key(&key("attention_mask")) {
            self.ints(&key("attention_mask")).iter().map(|&seen| seen == 0).collect()
        } else {
            vec![false; ids.len()]
        };
        (ids, self.0[&key("input_ids")].shape().dims(), pad)
    }

    /// A case may say who sees whom: `block`, a number of positions (1 is causal).
    fn attention(&self, case: &str) -> Attention<'static> {
        match self.0.get(&format!("{case}block")).map(|block| block.iter::<i64>().next().unwrap()) {
            None => Attention::Full,
            Some(1) => Attention::Causal,
            Some(block) => Attention::BlockCausal(block as usize),
        }
    }

    fn times(&self, case: &str) -> Vec<f64> {
        self.0.get(&format!("{case}times")).map_or_else(Vec::new, |times| times.iter::<f64>().collect())
    }

    /// Largest difference from the model's logits, padding aside.
    fn gap(&self, model: &impl Denoiser, case: &str) -> f32 {
        let (ids, shape, pad) = self.ids(case);
        let theirs = self.floats(&format!("{case}logits"));
        let words = theirs.len() / ids.len();
        // Upstream may have no answer.
        let at: Vec<usize> = (0..ids.len()).filter(|&i| !pad[i] && !theirs[i * words].is_nan()).collect();
        let times = self.times(case);
        let input = DenoiserInput::new(&ids, shape, &at).with_pad(&pad).with_attention(self.attention(case));
        let input = if times.is_empty() { input } else { input.with_times(&times) };
        model.check(&input).unwrap();
        let ours = model.logits(&input);
        assert_eq!(ours.dims(), [at.len(), words]);
        let theirs: Vec<f32> = at.iter().flat_map(|&i| theirs[i * words..][..words].to_vec()).collect();
        largest_gap(&ours.into_data().iter::<f32>().collect::<Vec<_>>(), &theirs)
    }

    /// The weighted cross-entropy whose gradient upstream computed.
    fn loss(&self, model: &impl Denoiser) -> Tensor<1> {
        let (ids, shape, pad) = self.ids("");
        let positions = self.ints("loss_positions");
        let at: Vec<usize> =
            positions.chunks(2).map(|place| place[0] as usize * shape[1] + place[1] as usize).collect();
        let times = self.times("");
        let input = DenoiserInput::new(&ids, shape, &at).with_pad(&pad).with_attention(self.attention(""));
        let logits = model.logits(&if times.is_empty() { input } else { input.with_times(&times) });
        let targets: Vec<i32> = self.ints("loss_targets").iter().map(|&id| id as i32).collect();
        let device = logits.device();
        let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [at.len(), 1]), &device);
        let weights = TensorData::new(self.floats("loss_weights"), [at.len(), 1]);
        let weights = Tensor::<2>::from_data(weights, &device);
        -(log_softmax(logits, 1).gather(1, targets) * weights).sum()
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

/// A parameter's gradient as upstream lays it out; none if the loss does not depend on it.
fn gradient(slot: &Slot<'_>, gradients: &Gradients) -> Option<Vec<f32>> {
    let data = match slot {
        Slot::Linear(param) => param.val().grad(gradients)?.transpose().into_data(),
        Slot::InputFirst(param) | Slot::Table(param) => param.val().grad(gradients)?.into_data(),
        Slot::Vector(param) => param.val().grad(gradients)?.into_data(),
        _ => panic!("a new kind of slot"),
    };
    Some(data.iter::<f32>().collect())
}

/// What a folder's weights are called.
fn keys(folder: &Path) -> Vec<String> {
    let mut store = SafetensorsStore::from_file(folder.join("model.safetensors"));
    store.get_all_tensors().unwrap().keys().cloned().collect()
}

/// All that is asked of a backbone: `folder` holds what upstream saved, and `golden.safetensors`. The family is
/// found by its configuration too.
fn check<M: Pretrained>(folder: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let found = Checkpoint::open(&path).unwrap().load::<AutoDenoiser>(&Device::default());
    assert_gap(&format!("{folder} as its config.json says"), Golden::open(&path).gap(&found.unwrap().0, ""));
    let golden = Golden::open(&path);
    let (model, report) = Checkpoint::open(&path).unwrap().load::<M>(&Device::default()).unwrap();
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report}");
    for case in golden.cases() {
        assert_gap(&format!("{folder} {case}"), golden.gap(&model, case));
    }

    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("backbones").join(folder);
    Checkpoint::write(&model, &target, None).unwrap();
    let (again, _) = Checkpoint::open(&target).unwrap().load::<M>(&Device::default()).unwrap();
    assert_gap(&format!("{folder} after saving"), golden.gap(&again, ""));
    let saved = keys(&target);
    let lacking: Vec<String> = keys(&path).into_iter().filter(|key| !saved.contains(key)).collect();
    // fairseq's number of its format.
    assert!(lacking.iter().all(|key| key.ends_with(".version")), "{folder}: {lacking:?} not saved");

    let mut model = model.train();
    let loss = golden.loss(&model);
    let gap = (loss.clone().into_scalar::<f32>() - golden.floats("loss")[0]).abs();
    assert_gap(&format!("{folder} loss"), gap);
    let gradients = loss.backward();
    assert_gradients(folder, &golden, &mut model, &gradients);
}

/// All gradients that upstream stored, against those of the model.
fn assert_gradients<M: Pretrained>(folder: &str, golden: &Golden, model: &mut M, gradients: &Gradients) {
    let mut seen = 0;
    for (key, slot) in model.slots() {
        if let Some(theirs) = golden.0.get(&format!("grad.{key}")) {
            let ours = gradient(&slot, gradients).unwrap_or_else(|| panic!("{key} has no gradient"));
            let theirs: Vec<f32> = theirs.iter::<f32>().collect();
            assert_gap(&format!("{folder} gradient of {key}"), largest_gap(&ours, &theirs));
            seen += 1;
        }
    }
    let expected = golden.0.keys().filter(|key| key.starts_with("grad.")).count();
    assert!(expected > 0 && seen == expected, "{folder}: {seen} of {expected} gradients");
}

#[test]
fn distilbert() {
    check::<Encoder>("backbones/distilbert");
}

#[test]
fn xlm_r_xl() {
    check::<Encoder>("backbones/xlmr_xl");
}

#[test]
fn albert() {
    check::<Albert>("backbones/albert");
}

#[test]
fn modernbert() {
    check::<ModernBert>("backbones/modernbert");
}

#[test]
fn esm() {
    check::<Esm>("backbones/esm");
    check::<Esm>("backbones/esm_normed");
}

#[test]
fn dit_modulated_and_not() {
    for layout in ["mdlm", "udlm", "sedd", "duo"] {
        check::<Dit>(&format!("backbones/dit_{layout}"));
    }
}

/// Scores where logits are expected.
struct Scores<'a>(&'a Sedd, Device);

impl Denoiser for Scores<'_> {
    fn vocab_size(&self) -> usize {
        self.0.config().vocab_size
    }

    fn device(&self) -> Device {
        self.1.clone()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        self.0.log_scores(input).0
    }
}

/// Gradients of matrices by the last part of their paths.
struct Collect<'a>(&'a Gradients, Vec<String>, BTreeMap<String, Vec<f32>>);

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.1.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.1.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.0) {
            self.2.insert(self.1.join("."), gradient.into_data().iter::<f32>().collect());
        }
    }
}

#[test]
fn sedd_under_uniform_noise_says_ratios() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backbones/dit_sedd_uniform");
    let (golden, device) = (Golden::open(&path), Device::default());
    let refused = Checkpoint::open(&path).unwrap().load::<AutoDenoiser>(&device).map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "graph.type = \"uniform\" is not supported");
    let load = |path: &Path| Sedd::load(&Checkpoint::open(path).unwrap(), &device).unwrap();
    let (model, report) = load(&path);
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report}");
    for case in golden.cases() {
        assert_gap(&format!("sedd {case}"), golden.gap(&Scores(&model, device.clone()), case));
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("backbones/dit_sedd_uniform");
    model.write(&target).unwrap();
    assert_gap("sedd after saving", golden.gap(&Scores(&load(&target).0, device.clone()), ""));

    let model = model.train();
    let gradients = golden.loss(&Scores(&model, device.autodiff())).backward();
    let mut found = Collect(&gradients, Vec::new(), BTreeMap::new());
    model.visit(&mut found);
    for (ours, theirs) in [("word", "vocab_embed.embedding"), ("decoder", "output_layer.linear.weight")] {
        let gap =
            largest_gap(&found.2[&format!("network.{ours}")], &golden.floats(&format!("grad.{theirs}")));
        assert_gap(&format!("sedd gradient of {theirs}"), gap);
    }
}

#[test]
fn sedd_under_absorbing_noise_says_logits_less_what_all_words_share() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backbones/dit_sedd");
    let golden = Golden::open(&path);
    let (model, _) = Sedd::load(&Checkpoint::open(&path).unwrap(), &Device::default()).unwrap();
    let ((ids, shape, pad), times) = (golden.ids(""), golden.times(""));
    let at: Vec<usize> = (0..ids.len()).filter(|&flat| !pad[flat]).collect();
    let input = DenoiserInput::new(&ids, shape, &at).with_pad(&pad).with_times(&times);
    let ours: Vec<f32> = model.log_scores(&input).0.into_data().iter().collect();
    let (logits, words) = (golden.floats("logits"), 37);
    let theirs = at.iter().flat_map(|&flat| {
        // Upstream's "scale by sigma", and 0 for the word that stands there.
        let sigma = -f64::ln_1p(-(1.0 - 1e-3) * times[flat / shape[1]]);
        let shift = (sigma.exp_m1().ln() + 36_f64.ln()) as f32;
        let row = &logits[flat * words..][..words];
        let score = move |(word, &logit): (usize, &f32)| (word as TokenId, logit - shift);
        let own = ids[flat];
        row.iter().enumerate().map(score).map(move |(word, score)| if word == own { 0.0 } else { score })
    });
    assert_gap("sedd's log-scores", largest_gap(&ours, &theirs.collect::<Vec<_>>()));
}

#[test]
fn llama_with_stretched_positions_and_a_tied_head() {
    check::<Llama>("backbones/llama");
}

#[test]
fn llama_with_biases_and_an_untied_head() {
    check::<Llama>("backbones/llama-biased");
}

#[test]
fn llama_with_positions_stretched_by_the_length_of_the_text() {
    for scaling in ["dynamic", "longrope", "yarn"] {
        check::<Llama>(&format!("backbones/llama-{scaling}"));
    }
}

#[test]
fn mistral() {
    check::<Llama>("backbones/mistral");
}

#[test]
fn qwen2_with_yarn() {
    check::<Llama>("backbones/qwen2");
}

#[test]
fn dream() {
    check::<Llama>("backbones/dream");
}

#[test]
fn qwen3() {
    check::<Llama>("backbones/qwen3");
}

#[test]
fn sdar_sees_block_by_block() {
    check::<Llama>("backbones/sdar");
}

#[test]
fn qwen3_with_experts() {
    check::<Llama>("backbones/qwen3-moe");
}

#[test]
fn sdar_with_experts() {
    check::<Llama>("backbones/sdar-moe");
}

#[test]
fn llada() {
    check::<Llama>("backbones/llada");
}

#[test]
fn llada_with_experts() {
    check::<Llama>("backbones/llada-moe");
}

#[test]
fn llada2_with_experts() {
    check::<Llama>("backbones/llada2");
}

#[test]
fn gpt2() {
    check::<Gpt2>("backbones/gpt2");
}

#[test]
fn rdm() {
    check::<Rdm>("backbones/rdm");
}

#[test]
fn rdm_guesses_lengths_from_the_source() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backbones/rdm");
    let golden = Golden::open(&path);
    let (model, _) = Checkpoint::open(&path).unwrap().load::<Rdm>(&Device::default()).unwrap();
    let (ids, shape, pad) = golden.ids("");
    let input = DenoiserInput::new(&ids, shape, &[]).with_pad(&pad);
    let ours = model.length_logits(&input).unwrap().into_data();
    let gap = largest_gap(&ours.iter::<f32>().collect::<Vec<_>>(), &golden.floats("length_logits"));
    assert_gap("lengths", gap);
}

/// A network of pictures whose words alone have logits, as upstream's.
struct WordsOf<'a>(Seeing<'a>, usize);

impl Denoiser for WordsOf<'_> {
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let logits = self.0.logits(input);
        let others = logits.dims()[1] - self.1;
        let never = logits.clone().narrow(1, self.1, others).max().into_scalar::<f32>();
        assert!(never < f32::MIN, "a picture is never an answer");
        logits.narrow(1, 0, self.1)
    }
}

#[test]
fn llava() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backbones/llava");
    let golden = Golden::open(&path);
    let (pixels, device) = (golden.floats("pixel_values"), Device::default());
    let (model, report) = Checkpoint::open(&path).unwrap().load::<Llava>(&device).unwrap();
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report}");
    let words = model.vocab_size();
    for case in golden.cases() {
        assert_gap(&format!("llava {case}"), golden.gap(&WordsOf(model.see(&pixels).unwrap(), words), case));
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("backbones/llava");
    Checkpoint::write(&model, &target, None).unwrap();
    let (again, _) = Checkpoint::open(&target).unwrap().load::<Llava>(&device).unwrap();
    assert_gap("llava after saving", golden.gap(&WordsOf(again.see(&pixels).unwrap(), words), ""));

    let mut model = model.train();
    let gradients = golden.loss(&WordsOf(model.see(&pixels).unwrap(), words)).backward();
    assert_gradients("llava", &golden, &mut model, &gradients);
}

#[test]
fn a_tower_alone_is_read_into_a_network_that_sees() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backbones/llava");
    let (golden, device) = (Golden::open(&path), Device::default());
    let clip = Checkpoint::open(path.join("clip")).unwrap().with_missing(Missing::Initialise);
    let tower = ClipVisionConfig::from_json(&clip.config().unwrap()).unwrap();
    let text = EncoderConfig::new(29, 12, 1, 2);
    let mut model = LlavaConfig::new(text, tower).init(&device).unwrap();
    let report = clip.load_into(&mut model).unwrap();
    assert!(report.unused.is_empty() && !report.missing.is_empty(), "{report}");
    let states = model.tower().states(&golden.floats("pixel_values"), 1).unwrap();
    let [pictures, tokens, width] = states.dims();
    let ours = states.slice([0..pictures, 1..tokens, 0..width]).into_data();
    assert_gap("patches", largest_gap(&ours.iter::<f32>().collect::<Vec<_>>(), &golden.floats("patches")));
}

/// How far bf16, of 8 bits, may lead away from the same weights in f32, as a part of the largest logit.
const HALF: f32 = 0.05;

#[test]
fn half_precision_stays_half_and_near() {
    fn check<M: Pretrained>(folder: &str) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
        let golden = Golden::open(&path);
        let checkpoint = Checkpoint::open(&path).unwrap().with_dtype(Stored::As(DType::BF16));
        let (model, _) = checkpoint.load::<M>(&Device::default()).unwrap();
        let (ids, shape, pad) = golden.ids("");
        let times = golden.times("");
        let input = DenoiserInput::new(&ids, shape, &[4]).with_pad(&pad);
        let input = if times.is_empty() { input } else { input.with_times(&times) };
        assert_eq!(model.logits(&input).dtype(), DType::BF16, "{folder}");
        let largest = golden.floats("logits").into_iter().fold(0.0, |a: f32, b| a.max(b.abs()));
        let gap = golden.gap(&model, "");
        assert!(gap > 0.0 && gap <= HALF * largest, "{folder}: {gap} of {largest}");
        // What is written says which type it has.
        let config: serde_json::Value = serde_json::from_str(&model.to_config()).unwrap();
        if !folder.ends_with("sedd") {
            assert_eq!(config["torch_dtype"], "bfloat16", "{folder}");
        }
    }
    if !Device::default().supports_dtype(DType::BF16) {
        return; // ndarray
    }
    check::<Llama>("backbones/llama");
    check::<Llama>("backbones/qwen3");
    check::<Llama>("backbones/llada");
    check::<Gpt2>("backbones/gpt2");
    check::<Encoder>("backbones/distilbert");
    check::<Encoder>("backbones/xlmr_xl");
    check::<Albert>("backbones/albert");
    check::<ModernBert>("backbones/modernbert");
    check::<Esm>("backbones/esm");
    check::<Dit>("backbones/dit_udlm");
    check::<Dit>("backbones/dit_sedd");
    check::<Rdm>("backbones/rdm");
}
