//! Networks of other families than encoders.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use dlm::models::{AutoDenoiser, Checkpoint, Gpt2Config, LlamaConfig, LlamaFamily, Pretrained};
use dlm::pipeline::Pipeline;
use dlm::recipe::{Recipe, Stage, View};
use dlm::train::{MetricsFile, init_seeded};

use crate::{Folder, alone, tiny};

/// A folder with new weights and the tokenizer of letters and phonemes.
fn folder_of<M: Pretrained>(model: M, folder: &Path) {
    let model = init_seeded(model, &Device::default(), 5);
    Checkpoint::write(&model, folder, Some(Path::new("assets/g2p-mlm/tokenizer.json"))).unwrap();
}

/// The tiny recipe, from a folder.
fn from_folder(folder: &Folder, stage: &str) -> Recipe {
    let mut recipe = tiny(folder, stage);
    (recipe.model.new, recipe.model.tokenizer) = (None, None);
    recipe.model.folder = Some(folder.0.join("start"));
    recipe
}

fn losses(recipe: &Recipe) -> Vec<f64> {
    let log = MetricsFile::read(recipe.out.join("log.jsonl")).unwrap();
    log.iter().filter_map(|line| line.validation.get("loss").copied()).collect()
}

#[test]
fn a_llama_becomes_a_diffusion_model() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("llama");
    let config = LlamaConfig::new(LlamaFamily::Llama, 71, 8, 1, 2);
    let parameters = config.param_counts().total();
    folder_of(config.init(&device).unwrap(), &folder.0.join("start"));
    let mut recipe = from_folder(&folder, "ar-to-diffusion");
    (recipe.train.steps, recipe.train.lr, recipe.validate.every) = (20, 2e-2, 10);
    recipe.diffusion.anneal_steps = Some(8);
    let plan = recipe.plan().unwrap();
    assert_eq!((plan.words, plan.parameters), (71, parameters));
    let mut half = recipe.clone();
    half.train.steps = 10;
    half.run(&device).unwrap();
    let done = recipe.run(&device).unwrap();
    assert!(matches!(done.model, AutoDenoiser::Llama(_)) && done.encoder().is_none());
    let learnt = losses(&recipe);
    assert!(learnt.len() == 2 && learnt[1] < learnt[0], "{learnt:?}");
    let (pipeline, _) = Pipeline::load(recipe.out.join("model"), &device).unwrap();
    assert_eq!(pipeline.view, View::Shifted);
    // It answers one position late, which other stages would not ask for.
    let mut task = from_folder(&folder, "diffusion");
    task.out = folder.0.join("task");
    task.model.folder = Some(recipe.out.join("model"));
    let refused = task.run(&device).err().unwrap().to_string();
    assert!(
        refused.starts_with("stage must be \"ar-to-diffusion\", with diffusion.anneal_steps = 1"),
        "{refused}"
    );
    // Lengths are read off an encoder.
    let mut head = task.length_stage(2);
    head.model.folder.clone_from(&task.model.folder);
    let refused = head.plan().unwrap_err().to_string();
    assert!(refused.starts_with("stage must be another than length"), "{refused}");
}

#[test]
fn a_gpt2_is_trained_with_its_vocabulary_cut_down() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("gpt2");
    folder_of(Gpt2Config::new(71, 8, 1, 2).init(&device).unwrap(), &folder.0.join("start"));
    let mut recipe = from_folder(&folder, "autoregressive");
    (recipe.model.trim, recipe.train.steps, recipe.data.limit) = (true, 4, Some(16));
    let plan = recipe.plan().unwrap();
    assert!(plan.words < 71, "{plan}");
    let done = recipe.run(&device).unwrap();
    assert!(matches!(&done.model, AutoDenoiser::Gpt2(model) if model.config().vocab_size == plan.words));
    assert_eq!(recipe.stage, Stage::Autoregressive);
}

#[test]
fn a_family_that_recipes_do_not_train_is_named() {
    let folder = Folder::new("albert");
    fs::create_dir_all(folder.0.join("start")).unwrap();
    fs::write(folder.0.join("start/config.json"), "{\"model_type\": \"albert\"}").unwrap();
    let refused = from_folder(&folder, "diffusion").plan().unwrap_err().to_string();
    assert!(
        refused.starts_with("model.folder must be an encoder (BERT") && refused.ends_with("got albert"),
        "{refused}"
    );
}
