//! What a run does, leaves, and goes on from.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use dlm::pipeline::Pipeline;
use dlm::recipe::{DecayChoice, Error, Recipe, Stage, TakeChoice, View};
use dlm::sampling::Route;
use dlm::train::{MetricsFile, Sample, StepLog};

use crate::{Folder, alone, tiny, tiny_head};

/// What a finished run has left.
fn whole(out: &Path) {
    for file in [
        "recipe.toml",
        "run.json",
        "log.jsonl",
        "samples.jsonl",
        "README.md",
        "model/config.json",
        "model/tokenizer.json",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    for plot in ["loss", "learning_rate", "gradient_norm", "validation_loss", "validation_metric"] {
        assert!(
            fs::read_to_string(out.join(format!("plots/{plot}.svg"))).unwrap().ends_with("</svg>\n"),
            "{plot}"
        );
    }
    assert!(out.join("tensorboard").read_dir().unwrap().next().is_some());
    let hidden = out.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert!(hidden.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));
}

#[test]
fn a_run_that_was_interrupted_ends_as_one_that_was_not() {
    let _alone = alone();
    let device = Device::default();
    let (once, twice) = (Folder::new("once"), Folder::new("twice"));
    let recipe = tiny(&once, "diffusion");
    let done = recipe.run(&device).unwrap();
    assert_eq!((done.summary.steps, done.head.is_some()), (8, false));
    whole(&recipe.out);
    let mut first = tiny(&twice, "diffusion");
    first.train.steps = 4;
    first.run(&device).unwrap();
    let mut rest = first.clone();
    rest.train.steps = 8;
    // What a killed run leaves behind: lines and a folder after its last checkpoint.
    let log = rest.out.join("log.jsonl");
    let more = fs::read_to_string(&log).unwrap().replace("\"step\":4", "\"step\":5");
    fs::write(&log, more + "{\"step\":6,").unwrap();
    fs::create_dir_all(rest.out.join(".model.new")).unwrap();
    assert!(rest.plan().unwrap().goes_on_from.unwrap().ends_with("checkpoints/step-00000004"));
    assert_eq!(rest.run(&device).unwrap().summary.steps, 8);
    whole(&rest.out);
    let weights = |recipe: &Recipe| fs::read(recipe.out.join("model/model.safetensors")).unwrap();
    assert_eq!(weights(&recipe), weights(&rest));
    let steps = |recipe: &Recipe| {
        let log = MetricsFile::read(recipe.out.join("log.jsonl")).unwrap();
        log.into_iter()
            .map(|line| (line.step, line.loss.map(f64::to_bits), line.validation))
            .collect::<Vec<_>>()
    };
    // The log was damaged at step 4 on purpose.
    assert_eq!(steps(&recipe)[2..], steps(&rest)[1..]);
    let samples = |recipe: &Recipe| StepLog::<Sample>::read(recipe.out.join("samples.jsonl")).unwrap();
    assert_eq!(samples(&recipe), samples(&rest));
    assert_eq!((samples(&rest).len(), samples(&rest)[0].prompt.as_str()), (8, "ab"));
    let card = fs::read_to_string(rest.out.join("README.md")).unwrap();
    assert!(
        card.contains("| validation word-error-rate | ") && card.contains("| training | 8 of 8 steps"),
        "{card}"
    );
    // The resolved recipe goes on as well, and the network answers.
    let again = Recipe::read(rest.out.join("recipe.toml")).unwrap();
    assert_eq!(again, rest);
    assert_eq!(again.run(&device).unwrap().summary.steps, 8);
    assert!(Pipeline::load(rest.out.join("model"), &device).is_ok());
    // Another recipe in the same folder is refused, and leaves what is there as it was.
    let mut other = rest.clone();
    other.train.lr = 2e-3;
    let refused = other.run(&device).err().unwrap().to_string();
    let expected = "has train.lr = 0.001, this recipe 0.002: set train.lr = 0.001 to go on with it, or choose another folder";
    assert!(refused.ends_with(expected), "{refused}");
    assert_eq!(Recipe::read(rest.out.join("recipe.toml")).unwrap(), rest);
}

#[test]
fn a_run_whose_rate_has_fallen_is_made_longer_at_the_last_rate() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("longer");
    let mut recipe = tiny(&folder, "diffusion");
    (recipe.train.decay, recipe.train.floor, recipe.train.steps) = (DecayChoice::Cosine, 0.25, 4);
    recipe.run(&device).unwrap();
    recipe.train.steps = 8;
    // Its end is the last step where it is left out, and what was done cannot be undone.
    let refused = recipe.plan().unwrap_err();
    assert!(
        matches!(&refused, Error::OtherRun { field, before, now, .. }
            if (field.as_str(), before.as_str(), now.as_str()) == ("train.decay_steps", "4", "8")),
        "{refused}"
    );
    // The run's own recipe says what it was.
    let mut longer = Recipe::read(recipe.out.join("recipe.toml")).unwrap();
    assert_eq!(longer.train.decay_steps, Some(4));
    longer.train.steps = 8;
    assert_eq!(longer.run(&device).unwrap().summary.steps, 8);
    let log = MetricsFile::read(recipe.out.join("log.jsonl")).unwrap();
    let rates: Vec<(u64, f64)> = log.iter().map(|line| (line.step, line.lr)).collect();
    // Two steps up to 1e-3; half a cosine over the next two, of which the fourth step is the middle; the floor.
    let expected = [(2, 1e-3), (4, 0.625e-3), (6, 0.25e-3), (8, 0.25e-3)];
    assert!(
        rates.len() == 4 && rates.iter().zip(expected).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9),
        "{rates:?}"
    );
}

#[test]
fn a_network_of_next_tokens_becomes_a_diffusion_model() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("next");
    let mut recipe = tiny(&folder, "autoregressive");
    (recipe.train.steps, recipe.train.lr, recipe.validate.every) = (60, 2e-2, 20);
    let losses = |recipe: &Recipe| {
        let log = MetricsFile::read(recipe.out.join("log.jsonl")).unwrap();
        log.iter().filter_map(|line| line.validation.get("loss").copied()).collect::<Vec<_>>()
    };
    let done = recipe.run(&device).unwrap();
    let learnt = losses(&recipe);
    assert!(learnt.len() == 3 && learnt[2] < learnt[0], "{learnt:?}");
    // The validation loss of held-out rows is the negative log-likelihood of each next token.
    let card = fs::read_to_string(recipe.out.join("README.md")).unwrap();
    assert!(card.contains("An autoregressive language model"), "{card}");
    assert_eq!(recipe.answerer(&done.text).view, View::NextToken);

    let mut adapted = recipe.clone();
    adapted.stage = Stage::ArToDiffusion;
    adapted.out = folder.0.join("adapted");
    adapted.model.new = None;
    adapted.model.tokenizer = None;
    adapted.model.folder = Some(recipe.out.join("model"));
    adapted.diffusion.anneal_steps = Some(20);
    let done = adapted.run(&device).unwrap();
    let learnt = losses(&adapted);
    assert!(learnt.len() == 3 && learnt[2] < learnt[0], "{learnt:?}");
    assert_eq!(adapted.answerer(&done.text).view, View::Shifted);
    // The folder remembers how it is asked, so that a pipeline answers as the recipe does.
    let (pipeline, _) = Pipeline::load(adapted.out.join("model"), &device).unwrap();
    assert_eq!(pipeline.view, View::Shifted);
    let prompt = done.text.encode("ab").unwrap();
    let by_recipe = adapted.answerer(&done.text).answer(&done.model, &[prompt], &[vec![2]]).unwrap();
    let steps = adapted.validate.steps;
    let by_folder = pipeline.generate(&["ab"], &[vec![2]], &Route::paper(), steps, 0).unwrap();
    assert_eq!(by_folder[0].text, by_recipe[0]);
}

#[test]
fn a_trimmed_network_gets_a_length_head() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("length");
    let mut recipe = tiny(&folder, "mlm");
    recipe.model = Recipe::read("docs/recipe.toml").unwrap().model;
    recipe.model.trim = true;
    recipe.data.limit = Some(16);
    recipe.train.steps = 2;
    let done = recipe.run(&device).unwrap();
    let map = done.text.map().unwrap();
    assert!(map.len() < 71 && recipe.out.join("model/id_map.json").is_file());
    assert_eq!(done.text.decode(&done.text.encode("cab").unwrap()).unwrap(), "c a b");
    let head = recipe.length_stage(2);
    assert_eq!(head.model.folder.as_deref(), Some(recipe.out.join("model").as_path()));
    let done = head.run(&device).unwrap();
    assert!(done.head.is_some());
    for file in ["length_head.safetensors", "length_head.json", "id_map.json", "model.safetensors"] {
        assert!(head.out.join("model").join(file).is_file(), "{file}");
    }
    let (pipeline, _) = Pipeline::load(head.out.join("model"), &device).unwrap();
    let ids = pipeline.encode("cab").unwrap();
    assert_eq!(ids, done.text.encode("cab").unwrap());
    assert!(ids.iter().all(|&id| (id as usize) < map.len()));
    assert_eq!(pipeline.decode(&ids).unwrap(), "c a b");
    assert_eq!(pipeline.predict_lengths(&["cab"], 2).unwrap()[0].len(), 2);
    let scored = MetricsFile::read(head.out.join("log.jsonl")).unwrap().pop().unwrap().validation;
    assert_eq!(scored.keys().collect::<Vec<_>>(), ["length_error", "length_exact"]);
}

#[test]
fn a_length_head_does_not_go_on_with_other_answers_or_another_backbone() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("length-other");
    let mut recipe = tiny_head(&folder);
    recipe.train.steps = 2;
    recipe.run(&device).unwrap();
    recipe.train.steps = 4;
    let refused =
        |recipe: &Recipe| recipe.run(&device).err().map(|error| error.to_string()).unwrap_or_default();
    let mut other = recipe.clone();
    let words = fs::read_to_string(&recipe.data.files[0].path).unwrap();
    // Prompts as they were, an answer longer by a phoneme.
    other.data.files[0].path = folder.file("longer.tsv", &words.replace("ad\tAE D", "ad\tAE D D"));
    assert!(refused(&other).contains("of other data"), "{}", refused(&other));
    let mut other = recipe.clone();
    other.model.new.as_mut().unwrap().layers = 2;
    assert!(refused(&other).contains("of other data"), "{}", refused(&other));
    assert_eq!(recipe.run(&device).unwrap().summary.steps, 4);
}

#[test]
fn a_run_ends_when_its_metric_gets_no_better_and_leaves_the_best() {
    let _alone = alone();
    let folder = Folder::new("patient");
    let mut recipe = tiny(&folder, "diffusion");
    // Too little is learnt to change an answer.
    (recipe.train.lr, recipe.train.ema, recipe.train.label_smoothing) = (1e-12, 0.5, 0.1);
    (recipe.validate.patience, recipe.checkpoints.take) = (2, TakeChoice::Best);
    let done = recipe.run(&Device::default()).unwrap();
    assert_eq!((done.summary.steps, done.summary.stopped_early), (6, true));
    let (step, value) = done.summary.best.unwrap();
    let log = MetricsFile::read(recipe.out.join("log.jsonl")).unwrap();
    assert_eq!((step, value.to_bits()), (2, log[0].validation["metric"].to_bits()));
    let card = fs::read_to_string(recipe.out.join("README.md")).unwrap();
    assert!(card.contains("| training | 6 of 8 steps") && card.contains("after step 2"), "{card}");
    // The scores of the network that is left, not of the last.
    assert!(done.step == 2 && card.contains("| weights | of step 2, which validated best |"), "{card}");
    let loss = format!("| validation loss | {:.4} on 4 records, after step 2 |", log[0].validation["loss"]);
    assert!(card.contains(&loss), "{loss}\n{card}");
}
