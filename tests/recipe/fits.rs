//! What a plan says before a run finds it out: memory, devices, records, numbers; and what follows from a recipe.

use std::fs;

use burn::tensor::{Device, FloatDType};
use dlm::evaluate::Metric;
use dlm::recipe::{CutChoice, Error, LengthChoice, MetricChoice, Recipe, Stage};
use dlm::train::{Guard, MetricsFile, Muon, Precision};

use crate::{Folder, alone, tiny, tiny_head};

fn refused(recipe: &Recipe) -> String {
    recipe.plan().map(|plan| plan.to_string()).unwrap_err().to_string()
}

#[test]
fn memory_follows_what_a_recipe_trains_with() {
    let folder = Folder::new("memory");
    let plain = || {
        let mut recipe = tiny(&folder, "diffusion");
        recipe.model.new.as_mut().unwrap().layers = 3;
        recipe
    };
    let memory = |recipe: &Recipe| recipe.plan().unwrap().memory;
    let usual = memory(&plain());
    let mut recipe = plain();
    recipe.train.gradient_checkpointing = true;
    assert!(memory(&recipe).activations < usual.activations * 2 / 3);
    if Device::default().supports_dtype(FloatDType::BF16) {
        let mut recipe = plain();
        recipe.train.precision = Precision::Bf16;
        let half = memory(&recipe);
        assert_eq!(half.weights, usual.weights * 3 / 2);
        assert!(half.activations < usual.activations && half.activations > usual.activations / 2);
    }
    let mut recipe = plain();
    recipe.train.muon = Some(Muon::default());
    // A moment less of the matrices of three layers and of the head: four of 8 · 8, two of 8 · 32; 8 · 8.
    assert_eq!(usual.moments - memory(&recipe).moments, 4 * (3 * (4 * 64 + 2 * 256) + 64));
    // Logits in parts are made by objectives of noise alone.
    for stage in [Stage::Diffusion, Stage::Autoregressive, Stage::Mlm] {
        let mut recipe = plain();
        recipe.stage = stage;
        let whole = memory(&recipe).activations;
        recipe.diffusion.chunk = 1;
        assert_eq!(memory(&recipe).activations < whole, stage == Stage::Diffusion, "{stage:?}");
    }
    // A head of one layer, whatever is below it.
    let mut head = tiny_head(&folder);
    let usual = memory(&head);
    head.model.new.as_mut().unwrap().layers = 3;
    assert_eq!(memory(&head).activations, usual.activations);
}

#[test]
fn what_a_run_would_refuse_is_refused_before_it_begins() {
    let _alone = alone();
    let folder = Folder::new("early");
    let good = tiny(&folder, "diffusion");
    let check = |change: fn(&mut Recipe)| {
        let mut recipe = good.clone();
        change(&mut recipe);
        recipe.check().unwrap_err().to_string()
    };
    let factor = check(|recipe| recipe.train.guard = Some(Guard { factor: 1.0, ..Guard::default() }));
    assert_eq!(factor, "train.guard.factor must be above 1, got 1");
    let momentum = check(|recipe| recipe.train.muon = Some(Muon { momentum: 1.0, ..Muon::default() }));
    assert_eq!(momentum, "train.muon.momentum must be in [0, 1), got 1");
    let iterations = check(|recipe| recipe.train.muon = Some(Muon { iterations: 0, ..Muon::default() }));
    assert_eq!(iterations, "train.muon.iterations must be at least 1, got 0");
    let steps = check(|recipe| (recipe.train.steps, recipe.batch.accumulation) = (i64::MAX as u64, 3));
    assert!(steps.starts_with("train.steps must be at most 3074457345618258602, with 3 batches"), "{steps}");
    // Rows of training fit, a row of validation does not.
    let mut recipe = good.clone();
    (recipe.batch.sequences, recipe.batch.tokens) = (None, Some(8));
    recipe.data.valid.as_mut().unwrap().path = folder.file("longer.tsv", "abc\tAA B K D\n");
    good.run(&Device::default()).unwrap();
    let before = fs::read(good.out.join("recipe.toml")).unwrap();
    let error = recipe.run(&Device::default()).err().unwrap().to_string();
    assert_eq!(error, "batch.tokens must be at least 9, the longest row that is validated on, got 8");
    assert_eq!(fs::read(good.out.join("recipe.toml")).unwrap(), before);
    recipe.validate.every = 0;
    recipe.out = folder.0.join("unvalidated");
    assert!(recipe.plan().is_ok());
}

#[test]
fn half_precision_is_for_devices_that_have_it_and_for_length_heads_too() {
    let _alone = alone();
    let device = Device::default();
    for (precision, dtype) in [(Precision::Bf16, FloatDType::BF16), (Precision::F16, FloatDType::F16)] {
        for stage in ["diffusion", "length"] {
            let folder = Folder::new(&format!("half-{stage}-{precision:?}"));
            let mut recipe = if stage == "length" { tiny_head(&folder) } else { tiny(&folder, stage) };
            recipe.train.precision = precision;
            if !device.supports_dtype(dtype) {
                let error = recipe.run(&device).err().unwrap();
                assert!(matches!(&error, Error::Train(dlm::train::Error::Precision { .. })), "{error}");
                assert!(recipe.plan().is_err() && !recipe.out.exists());
                continue;
            }
            let done = recipe.run(&device).unwrap();
            assert_eq!(done.summary.steps, 8, "{stage} {precision:?}");
            let log = MetricsFile::read(recipe.out.join("log.jsonl")).unwrap();
            let losses: Vec<f64> = log.iter().filter_map(|line| line.loss).collect();
            // The mean over 514 lengths of a new head is ln 514.
            assert!(stage != "length" || (losses[0] - 514.0_f64.ln()).abs() < 0.5, "{losses:?}");
        }
    }
}

#[test]
fn a_validation_needs_a_record_and_a_metric_with_a_value() {
    let folder = Folder::new("nothing");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.data.cut = CutChoice::Drop;
    recipe.data.limit = Some(8);
    recipe.data.valid.as_mut().unwrap().path = folder.file("long.tsv", "abcab\tAA B K D B\n");
    let expected = "data.valid must be records that fit the network, or validate.every 0, got none: what validates needs one";
    assert_eq!(refused(&recipe), expected);
    let mut head = tiny_head(&folder);
    (head.data.valid, head.data.held_out) = (None, 0.01);
    assert!(refused(&head).starts_with("data.held_out must be records"), "{}", refused(&head));
    let mut recipe = tiny(&folder, "diffusion");
    let metric = |name: &str| MetricChoice::Of(name.parse::<Metric>().unwrap());
    recipe.data.valid.as_mut().unwrap().path = folder.file("one.tsv", "ab\tAA\n");
    for name in ["self-bleu", "distinct-2"] {
        recipe.validate.metric = metric(name);
        let expected = format!(
            "validate.metric must be a metric with a value where each answer is its reference, got {name} of 1 records"
        );
        assert_eq!(refused(&recipe), expected);
    }
}

#[test]
fn answers_of_which_a_metric_says_nothing_are_the_worst() {
    let _alone = alone();
    let folder = Folder::new("worst");
    let mut recipe = tiny(&folder, "diffusion");
    // Answers are as long as those of training, a word: they have no pair of words.
    recipe.data.files[0].path = folder.file("short.tsv", "ab\tAA\nbe\tB\nad\tD\n");
    recipe.validate.metric = MetricChoice::Of("distinct-2".parse().unwrap());
    (recipe.validate.lengths, recipe.train.steps) = (LengthChoice::Frequent, 2);
    let done = recipe.run(&Device::default()).unwrap();
    assert_eq!(done.summary.best, Some((2, 0.0)));
    let log = MetricsFile::read(recipe.out.join("log.jsonl")).unwrap();
    assert!(log[0].validation["metric"].abs() < 1e-12 && log[0].validation["loss"] > 0.0);
}

#[test]
fn a_length_stage_has_steps_of_its_own_and_rows_of_prompts() {
    let folder = Folder::new("own-steps");
    let mut recipe = tiny(&folder, "mlm");
    recipe.batch.pack = Some(16);
    (recipe.train.warmup_steps, recipe.train.decay_steps) = (Some(100), Some(900));
    recipe.check().unwrap();
    let length = recipe.length_stage(5);
    length.check().unwrap();
    assert_eq!((length.train.warmup_steps, length.train.decay_steps, length.batch.pack), (None, None, None));
    assert_eq!(length.train.steps, 5);
}

#[test]
fn data_are_read_once_for_the_plan_and_the_run() {
    let _alone = alone();
    let folder = Folder::new("once-read");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.train.steps = 2;
    let device = Device::default();
    let prepared = recipe.prepare(&device).unwrap();
    assert_eq!(prepared.plan(), &recipe.plan().unwrap());
    fs::remove_file(&recipe.data.files[0].path).unwrap();
    assert_eq!(prepared.run().unwrap().summary.steps, 2);
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new("bytes");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.out = folder.0.join(std::ffi::OsStr::from_bytes(b"r\xffn"));
    let error = recipe.run(&Device::default()).err().unwrap().to_string();
    assert!(error.starts_with("out must be a path in UTF-8, got "), "{error}");
    assert!(matches!(recipe.to_toml(), Err(Error::Unwritable(_))));
    assert!(!recipe.out.exists());
}
