//! Low-rank adapters against Python's peft (`tools/golden/lora.py`), and what training does to them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::Module;
use burn::store::{ModuleStore, SafetensorsStore, bridge};
use burn::tensor::{Device, TensorData};
use dlm::core::{Denoiser, DenoiserInput, Sequence, TokenId, Vocabulary};
use dlm::models::{Checkpoint, Encoder, Error, Lora, Pretrained, Slot, trainable};
use dlm::train::{BatchSize, Batches, Diffusion, TrainConfig, Trainer};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn target(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn base(device: &Device) -> Encoder {
    Checkpoint::open(fixtures().join("encoder/bert")).unwrap().load(device).unwrap().0
}

fn tensors(path: PathBuf) -> BTreeMap<String, TensorData> {
    let mut store = SafetensorsStore::from_file(path);
    let tensors = store.get_all_tensors().unwrap();
    tensors.iter().map(|(key, tensor)| (key.clone(), bridge::to_data(tensor).unwrap())).collect()
}

/// Largest difference from peft's logits.
fn gap(model: &Encoder) -> f32 {
    let golden = tensors(fixtures().join("lora/golden.safetensors"));
    let ids: Vec<TokenId> = golden["input_ids"].iter::<i64>().map(|id| id as TokenId).collect();
    let at: Vec<usize> = (0..ids.len()).collect();
    let ours = model.logits(&DenoiserInput::new(&ids, [2, 9], &at)).into_data();
    let theirs = golden["logits"].iter::<f32>();
    ours.iter::<f32>().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, |a, b| if b <= a { a } else { b })
}

#[test]
fn adapters_of_peft_give_its_logits_and_come_back() {
    let device = Device::default();
    assert!(gap(&base(&device)) > 0.1);
    let adapted = Lora::read(base(&device), fixtures().join("lora")).unwrap();
    assert!(gap(&adapted) < 1e-4, "{}", gap(&adapted));
    assert!(gap(&adapted.clone().materialize()) < 1e-4);

    Lora::write(&adapted, target("lora")).unwrap();
    assert_eq!(
        tensors(target("lora/adapter_model.safetensors")),
        tensors(fixtures().join("lora/adapter_model.safetensors"))
    );
    assert!(gap(&Lora::read(base(&device), target("lora")).unwrap()) < 1e-4);

    Checkpoint::write(&adapted, target("lora-merged"), None).unwrap();
    let merged = Checkpoint::open(target("lora-merged")).unwrap().load(&device).unwrap().0;
    assert!(gap(&merged) < 1e-4);
}

#[test]
fn new_adapters_have_the_scale_of_peft() {
    let lora = Lora::new(3, 6.0, ["query", "value", "intermediate.dense"]);
    let mut model = lora.attach(base(&Device::default())).unwrap();
    let adapters = model.slots().into_iter().filter_map(|(_, slot)| match slot {
        Slot::Linear(param) => param.adapter().map(|adapter| adapter.scale),
        _ => None,
    });
    // Two layers of three weights; α/r.
    assert_eq!(adapters.collect::<Vec<_>>(), [2.0; 6]);
    Lora::write(&model, target("lora-new")).unwrap();
    let config = |folder: PathBuf| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join("adapter_config.json")).unwrap()).unwrap()
    };
    let (ours, theirs) = (config(target("lora-new")), config(fixtures().join("lora")));
    assert_eq!(ours["r"], theirs["r"]);
    assert_eq!(ours["lora_alpha"].as_f64(), theirs["lora_alpha"].as_f64());
}

#[test]
fn folders_that_do_not_fit_are_refused() {
    let (device, source, folder) = (Device::default(), fixtures().join("lora"), target("lora-bad"));
    std::fs::create_dir_all(&folder).unwrap();
    let read = || Lora::read(base(&device), &folder).map(drop).unwrap_err();
    let config = std::fs::read_to_string(source.join("adapter_config.json")).unwrap();
    let weights = std::fs::read(source.join("adapter_model.safetensors")).unwrap();
    let write = |config: &str, weights: &[u8]| {
        std::fs::write(folder.join("adapter_config.json"), config).unwrap();
        std::fs::write(folder.join("adapter_model.safetensors"), weights).unwrap();
    };
    let renamed = |from: &str, to: &str| {
        let at = weights.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        [&weights[..at], to.as_bytes(), &weights[at + from.len()..]].concat()
    };
    write(&config.replace("\"use_dora\": false", "\"use_dora\": true"), &weights);
    assert_eq!(read().to_string(), "use_dora = true is not supported");
    write(&config.replace("\"r\": 3", "\"r\": 4"), &weights);
    assert!(matches!(read(), Error::Shape { .. }));
    write(&config.replace("\"r\": 3", "\"r\": 0"), &weights);
    assert!(matches!(read(), Error::Config { field: "r", .. }));
    write(&config, &renamed("layer.0.attention.self.query.lora_A", "layer.7.attention.self.query.lora_A"));
    assert!(matches!(read(), Error::Missing { .. }));
    write(&config, &renamed("layer.0.attention.self.query.lora_A", "layer.0.attention.self.query.lora_X"));
    assert!(matches!(read(), Error::Missing { .. }));
    write(&config, &weights[..weights.len() - 5]);
    assert!(matches!(read(), Error::Damaged { .. }));
    std::fs::remove_file(folder.join("adapter_model.safetensors")).unwrap();
    assert!(matches!(read(), Error::NoFile { file: "adapter_model.safetensors", .. }));
    let error = Lora::new(2, 4.0, ["query", "keys"]).attach(base(&device)).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "the network has no linear layer keys");
}

/// Every weight as it is without its adapter.
fn frozen(model: &Encoder) -> Vec<TensorData> {
    let mut model = model.clone();
    let data = model.slots().into_iter().map(|(_, slot)| match slot {
        Slot::Linear(param) | Slot::InputFirst(param) | Slot::Table(param) => param.base().into_data(),
        Slot::Vector(param) => param.base().into_data(),
        _ => panic!("a new kind of slot"),
    });
    data.collect()
}

#[test]
fn training_changes_adapters_alone() {
    let device = Device::default().autodiff();
    let lora = Lora::new(2, 4.0, ["query", "value"]);
    let model = lora.attach(base(&device)).unwrap().train();
    assert_eq!(trainable(&model), 2 * 2 * 2 * 2 * 32);
    let vocabulary = Vocabulary::new(61, 2, 0, 3, 4).unwrap();
    let rows: Vec<_> =
        (0..8).map(|i| Sequence::prompt_response(&[10 + i], &[11 + i, 12], &vocabulary)).collect();
    let batches = Batches::new(rows, vocabulary, BatchSize::Sequences(4), 1).unwrap();
    let objective = Diffusion::paper(vocabulary.mask, 50).unwrap();
    let before = frozen(&model);
    let config = TrainConfig::cosine(1e-2, 3);
    let mut trainer = Trainer::new(model, objective, batches, config).unwrap();
    for _ in 0..3 {
        trainer.step().unwrap().loss().unwrap();
    }
    let model = trainer.into_model();
    assert_eq!(frozen(&model), before);
    let mut model = model.valid();
    let mut moved = 0;
    for (key, slot) in model.slots() {
        if let Slot::Linear(param) = slot
            && let Some(adapter) = param.adapter()
        {
            let update = adapter.delta().abs().max().into_scalar::<f32>();
            assert!(update > 1e-5, "{key}: {update}");
            moved += 1;
        }
    }
    assert_eq!(moved, 4);
}
