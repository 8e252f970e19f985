//! What a run goes on from: damaged checkpoints, and recipes that changed since.

use std::fs;

use burn::tensor::Device;
use dlm::evaluate::Metric;
use dlm::recipe::{Error, LengthChoice, MetricChoice, Recipe};

use crate::{Folder, alone, tiny, tiny_head};

fn metric(name: &str) -> MetricChoice {
    MetricChoice::Of(name.parse::<Metric>().unwrap())
}

fn weights(recipe: &Recipe) -> Vec<u8> {
    fs::read(recipe.out.join("model/model.safetensors")).unwrap()
}

/// Cuts a checkpoint's parameters short.
fn damage(recipe: &Recipe, step: &str) {
    let file = recipe.out.join("checkpoints").join(step).join("model.bpk");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_gone_on_from() {
    let _alone = alone();
    let device = Device::default();
    let (whole, damaged) = (Folder::new("whole"), Folder::new("damaged"));
    let once = tiny(&whole, "diffusion");
    assert_eq!(once.run(&device).unwrap().broken, Vec::<String>::new());
    let mut recipe = tiny(&damaged, "diffusion");
    recipe.train.steps = 4;
    recipe.run(&device).unwrap();
    damage(&recipe, "step-00000004");
    recipe.train.steps = 8;
    let plan = recipe.plan().unwrap();
    assert!(plan.goes_on_from.clone().unwrap().ends_with("step-00000002"), "{plan}");
    assert!(plan.broken.len() == 1 && plan.broken[0].contains("step-00000004"), "{:?}", plan.broken);
    assert!(plan.to_string().contains("\ndamaged     "), "{plan}");
    let done = recipe.run(&device).unwrap();
    assert_eq!((done.summary.steps, &done.broken), (8, &plan.broken));
    assert_eq!(weights(&recipe), weights(&once));
    // None is whole: nothing is begun anew, and nothing is written.
    let before = fs::read(recipe.out.join("recipe.toml")).unwrap();
    for step in ["step-00000006", "step-00000008"] {
        damage(&recipe, step);
    }
    recipe.train.steps = 10;
    let refused = recipe.run(&device).err().unwrap().to_string();
    assert!(refused.contains("step-00000008") && refused.contains("is damaged"), "{refused}");
    assert_eq!(fs::read(recipe.out.join("recipe.toml")).unwrap(), before);
}

#[test]
fn what_is_trained_does_not_change_on_the_way() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("objective");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.train.steps = 2;
    recipe.run(&device).unwrap();
    recipe.train.steps = 4;
    let change = |change: fn(&mut Recipe)| {
        let mut changed = recipe.clone();
        change(&mut changed);
        changed
    };
    let changed = [
        ("model.dropout", change(|recipe| recipe.model.dropout = Some(0.25))),
        ("diffusion.times", change(|recipe| recipe.diffusion.times = 20)),
        ("train.label_smoothing", change(|recipe| recipe.train.label_smoothing = 0.1)),
        ("stage", change(|recipe| recipe.stage = dlm::recipe::Stage::Autoregressive)),
    ];
    for (field, changed) in &changed {
        let refused = changed.run(&device).err().unwrap();
        assert!(matches!(&refused, Error::OtherRun { field: named, .. } if named == field), "{refused}");
    }
    // Without the file that has the fields, the checkpoint still knows.
    fs::remove_file(recipe.out.join("recipe.toml")).unwrap();
    for (field, changed) in &changed {
        let refused = changed.run(&device).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("the checkpoint is of other"), "{field}: {refused}");
        fs::write(recipe.out.join("recipe.toml"), "damaged = [").unwrap();
    }
    assert_eq!(recipe.run(&device).unwrap().summary.steps, 4);
    let head = Folder::new("objective-head");
    let mut recipe = tiny_head(&head);
    recipe.train.steps = 2;
    recipe.run(&device).unwrap();
    fs::remove_file(recipe.out.join("recipe.toml")).unwrap();
    (recipe.length.dropout, recipe.train.steps) = (0.25, 4);
    let refused = recipe.run(&device).err().unwrap().to_string();
    assert!(refused.contains("the checkpoint is of other"), "{refused}");
}

#[test]
fn what_is_validated_does_not_change_on_the_way() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("validation");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.data.valid.as_mut().unwrap().path = folder.file("valid.tsv", "ab\tAA B\nbe\tB IY\nad\tAE D\n");
    (recipe.validate.metric, recipe.train.steps) = (MetricChoice::Loss, 2);
    recipe.run(&device).unwrap();
    recipe.train.steps = 4;
    let mut accuracy = recipe.clone();
    accuracy.validate.metric = metric("accuracy");
    let refused = accuracy.run(&device).err().unwrap();
    let (before, now) = ("\"loss\"", "\"accuracy\"");
    assert!(
        matches!(&refused, Error::OtherRun { field, before: b, now: n, .. }
            if (field.as_str(), b.as_str(), n.as_str()) == ("validate.metric", before, now)),
        "{refused}"
    );
    // Other records, or fewer of them.
    let mut fewer = recipe.clone();
    fewer.validate.examples = 2;
    assert!(matches!(fewer.plan().unwrap_err(), Error::OtherValidation { .. }));
    let mut other = recipe.clone();
    other.data.valid.as_mut().unwrap().path = folder.file("other.tsv", "ab\tAA B\nbe\tB IY\nab\tAH B\n");
    let refused = other.plan().unwrap_err();
    assert!(matches!(refused, Error::OtherValidation { .. }), "{refused}");
    fs::remove_file(recipe.out.join("recipe.toml")).unwrap();
    assert!(matches!(accuracy.plan().unwrap_err(), Error::OtherValidation { .. }));
    // The same records elsewhere, and how answers are made where only the loss counts.
    recipe.data.valid.as_mut().unwrap().path = folder.file("moved.tsv", "ab\tAA B\nbe\tB IY\nad\tAE D\n");
    (recipe.validate.steps, recipe.validate.lengths) = (1, LengthChoice::Frequent);
    assert_eq!(recipe.run(&device).unwrap().summary.steps, 4);
}

#[test]
fn a_run_is_not_made_shorter() {
    let _alone = alone();
    let folder = Folder::new("shorter");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.run(&Device::default()).unwrap();
    let left = fs::read(recipe.out.join("README.md")).unwrap();
    recipe.train.steps = 4;
    let refused = recipe.run(&Device::default()).err().unwrap().to_string();
    let expected =
        format!("train.steps must be at least 8, which the run in {} has done, got 4", recipe.out.display());
    assert_eq!(refused, expected);
    assert_eq!(fs::read(recipe.out.join("README.md")).unwrap(), left);
}

#[test]
fn a_run_with_dropout_goes_on_as_one_that_was_not_interrupted() {
    let _alone = alone();
    let device = Device::default();
    let runs = ["dropout-once", "dropout-twice"].map(Folder::new);
    let [once, mut twice] = [&runs[0], &runs[1]].map(|folder| {
        let mut recipe = tiny(folder, "diffusion");
        recipe.model.dropout = Some(0.3);
        recipe.batch.accumulation = 4;
        recipe.validate.every = 0;
        recipe
    });
    once.run(&device).unwrap();
    twice.train.steps = 4;
    twice.run(&device).unwrap();
    twice.train.steps = 8;
    twice.run(&device).unwrap();
    assert_eq!(weights(&once), weights(&twice));
    // One batch at a time: its gradient, and their sum.
    let plan = once.plan().unwrap();
    assert_eq!(plan.memory.gradients, 2 * plan.memory.weights);
    let mut asked = once.clone();
    asked.batch.threads = 3;
    let gradients = asked.plan().unwrap().memory.gradients;
    assert_eq!(gradients, 4 * plan.memory.weights);
}

#[test]
fn the_mean_of_the_last_checkpoints_is_left() {
    let _alone = alone();
    let device = Device::default();
    let folder = Folder::new("average");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.run(&device).unwrap();
    let last = weights(&recipe);
    recipe.checkpoints.average = 2;
    let done = recipe.run(&device).unwrap();
    assert_eq!(done.averaged, [6, 8]);
    assert_ne!(weights(&recipe), last);
    let card = fs::read_to_string(recipe.out.join("README.md")).unwrap();
    assert!(card.contains("| weights | mean of those after steps 6, 8, not validated itself |"), "{card}");
    recipe.checkpoints.average = 3;
    let refused = recipe.check().unwrap_err().to_string();
    assert_eq!(refused, "checkpoints.average must be at most 2, which checkpoints.keep leaves, got 3");
}
