//! Recipes: what is read, what is refused and in which words, what is planned, and what a run leaves.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::Device;
use dlm::pipeline::Pipeline;
use dlm::recipe::{FileSection, FormChoice, NewModel, NoiseChoice, Recipe, Stage, View};
use dlm::sampling::Route;
use dlm::train::{Guard, MetricsFile, Muon, Sample, StepLog};

/// A new folder that vanishes at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dlm-recipe-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.0.join(name), text).unwrap();
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// burn's generator belongs to the whole process: runs, whose new weights are drawn from it, come one by one.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

const WORDS: &str =
    "ab\tAA B\nbad\tB AE D\ncab\tK AE B\nab\tAH B\ndab\tD AE B\nad\tAE D\nbe\tB IY\ncad\tK AE D\n";

/// A tiny network on eight words, in a folder.
fn tiny(folder: &Folder, stage: &str) -> Recipe {
    let data = folder.file("words.tsv", WORDS);
    let text = format!(
        r#"
        stage = "{stage}"
        out = '{out}'
        [model]
        tokenizer = "assets/g2p-mlm/tokenizer.json"
        dropout = 0.0
        [model.new]
        hidden = 8
        layers = 1
        heads = 2
        positions = 16
        [[data.files]]
        path = '{data}'
        [data.valid]
        path = '{data}'
        [batch]
        sequences = 3
        [train]
        steps = 8
        lr = 1e-3
        warmup = "linear"
        warmup_steps = 2
        log_every = 2
        seed = 3
        [validate]
        every = 2
        examples = 4
        metric = "word-error-rate"
        steps = 2
        samples = 2
        [checkpoints]
        every = 2
        "#,
        out = folder.0.join("run").display(),
        data = data.display(),
    );
    Recipe::parse(&text).unwrap()
}

fn refused(text: &str) -> String {
    Recipe::parse(text).unwrap_err().to_string()
}

#[test]
fn the_template_is_a_recipe_of_defaults() {
    let recipe = Recipe::read("docs/recipe.toml").unwrap();
    let short = "stage = \"diffusion\"\nout = \"out/recipe\"\n[model]\nfolder = \"assets/g2p-mlm\"\n[batch]\ntokens = 4096\n\
                 [[data.files]]\npath = \"assets/cmudict/train.tsv\"\n[data.valid]\npath = \"assets/cmudict/valid.tsv\"\n";
    assert_eq!(recipe, Recipe::parse(short).unwrap());
}

/// A recipe in which no field is left out.
fn full() -> Recipe {
    let mut recipe = Recipe::read("docs/recipe.toml").unwrap();
    let new = NewModel { inner: Some(7), ..NewModel::default() };
    recipe.model.new = Some(new);
    recipe.model.tokenizer = Some("t".into());
    recipe.model.dropout = Some(0.5);
    recipe.data.limit = Some(9);
    recipe.data.noise = Some(NoiseChoice::All);
    recipe.batch.sequences = Some(2);
    recipe.train.warmup_steps = Some(1);
    recipe.train.muon = Some(Muon::default());
    recipe.train.guard = Some(Guard::default());
    recipe.diffusion.anneal_steps = Some(3);
    let file = FileSection {
        prompt: Some("p".into()),
        response: Some("r".into()),
        form: Some(FormChoice::Flan),
        weight: Some(2.0),
        ..recipe.data.files[0].clone()
    };
    recipe.data.files = vec![file];
    recipe
}

/// The names of all values of a table, with their sections.
fn fields(prefix: &str, value: &toml::Value, into: &mut BTreeSet<String>) {
    for (key, value) in value.as_table().unwrap() {
        match value {
            toml::Value::Table(_) => fields(&format!("{prefix}{key}."), value, into),
            toml::Value::Array(items) if items[0].is_table() => {
                fields(&format!("{prefix}{key}."), &items[0], into);
            }
            _ => drop(into.insert(format!("{prefix}{key}"))),
        }
    }
}

#[test]
fn every_field_stands_in_the_template() {
    // `section.field` of each line that sets a field or shows how.
    let mut section = String::new();
    let mut written = BTreeSet::new();
    for line in fs::read_to_string("docs/recipe.toml").unwrap().lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let name = |text: &str| {
            text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c))
        };
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_start_matches('[').split(']').next().unwrap().to_owned() + ".";
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| name(key)) {
            written.insert(format!("{section}{key}"));
        }
    }
    let mut there_are = BTreeSet::new();
    fields("", &toml::from_str(&full().to_toml()).unwrap(), &mut there_are);
    assert!(there_are.len() > 60, "{}", there_are.len());
    assert_eq!(there_are.difference(&written).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(written.difference(&there_are).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_recipe_survives_being_written() {
    let folder = Folder::new("round-trip");
    let recipe = tiny(&folder, "mlm");
    assert_eq!(Recipe::parse(&recipe.to_toml()).unwrap(), recipe);
    for file in fs::read_dir("examples/recipes").unwrap() {
        let recipe = Recipe::read(file.unwrap().path()).unwrap();
        assert_eq!(Recipe::parse(&recipe.to_toml()).unwrap(), recipe);
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_would_be_right() {
    let head = "stage = \"mlm\"\nout = \"o\"\n";
    let with = |text: &str| refused(&format!("{head}{text}"));
    assert_eq!(
        with("[train]\nstpes = 3\n"),
        "recipe:4: there is no field train.stpes; did you mean train.steps?"
    );
    assert_eq!(with("[modle]\n"), "recipe:3: there is no field modle; did you mean model?");
    assert_eq!(
        with("[mlm]\noptimiser = 1\n"),
        "recipe:4: there is no field mlm.optimiser; there are ratio, corruption"
    );
    assert_eq!(
        with("[[data.files]]\npath = \"a\"\nfromat = \"tsv\"\n"),
        "recipe:5: there is no field data.files.fromat; did you mean data.files.format?"
    );
    assert_eq!(
        with("[train]\n\nsteps = \"many\"\n"),
        "recipe:5: train.steps: expected a whole number, at least 0, got string \"many\""
    );
    assert_eq!(
        with("[train]\nsteps = -1\n"),
        "recipe:4: train.steps: expected a whole number, at least 0, got integer `-1`"
    );
    assert_eq!(
        with("[data]\ncut = \"promt-left\"\n"),
        "recipe:4: data.cut: expected one of \"prompt-left\", \"response-right\", \"drop\", \"refuse\", \
         got \"promt-left\"; did you mean \"prompt-left\"?"
    );
    let blue = with("[validate]\nmetric = \"blue\"\n");
    assert!(
        blue.starts_with("recipe:4: validate.metric: ") && blue.contains("did you mean `bleu`?"),
        "{blue}"
    );
    assert_eq!(
        with("[train.guard]\nfaktor = 3\n"),
        "recipe:4: there is no field train.guard.faktor; did you mean train.guard.factor?"
    );
    assert_eq!(refused("out = \"o\"\n"), "recipe:1: the field stage is missing");
    assert!(with("[train\n").starts_with("recipe:3: "), "{}", with("[train\n"));
}

#[test]
fn numbers_without_a_meaning_and_fields_that_exclude_each_other_are_refused() {
    let folder = Folder::new("range");
    let good = || tiny(&folder, "diffusion");
    let mut recipe = good();
    recipe.train.beta2 = 1.0;
    assert_eq!(recipe.check().unwrap_err().to_string(), "train.beta2 must be in [0, 1), got 1");
    let mut recipe = good();
    recipe.model.folder = Some("f".into());
    assert_eq!(
        recipe.check().unwrap_err().to_string(),
        "model.folder must be given, or a section [model.new], not both, got both"
    );
    let mut recipe = good();
    recipe.data.files[0].weight = Some(1.0);
    recipe.batch.sequences = None;
    assert_eq!(
        recipe.check().unwrap_err().to_string(),
        "batch.sequences must be given for a mixture, files with weights, got nothing"
    );
    let mut recipe = good();
    recipe.data.limit = Some(17);
    assert_eq!(
        recipe.plan().unwrap_err().to_string(),
        "data.limit must be at most 16, what the network has positions for, got 17"
    );
    let mut recipe = good();
    recipe.validate.every = 0;
    recipe.validate.patience = 2;
    assert_eq!(
        recipe.check().unwrap_err().to_string(),
        "validate.patience must be 0 without validation, got 2"
    );
}

#[test]
fn a_plan_counts_what_can_be_counted_by_hand() {
    let folder = Folder::new("plan");
    let recipe = tiny(&folder, "diffusion");
    let plan = recipe.plan().unwrap();
    // Rows of 2 + 2, 3 + 3, 3 + 3, 2 + 2, 3 + 3, 2 + 2, 2 + 2, 3 + 3 tokens, BOS and EOS: 4 · 6 + 4 · 8.
    assert_eq!((plan.records, plan.validation, plan.tokens), (8, 4, 56));
    // Three rows a batch: 3 + 3 + 2. Eight steps are eight batches.
    assert!((plan.epoch_batches - 3.0).abs() < 1e-9 && (plan.epochs - 8.0 / 3.0).abs() < 1e-9);
    // 71 words and 16 positions and a type of width 8, two norms and the head's, a layer, the bias.
    let embeddings = (71 + 16 + 1) * 8 + 16;
    let layer = 4 * (64 + 8) + (8 * 32 + 32) + (32 * 8 + 8) + 2 * 16;
    let head = 64 + 8 + 16 + 71;
    assert_eq!(plan.parameters, embeddings + layer + head);
    assert_eq!(plan.memory.weights, 4 * plan.parameters as u64);
    assert_eq!(plan.memory.moments, 8 * plan.parameters as u64);
    assert_eq!((plan.words, plan.goes_on_from.clone()), (71, None));
    let mut exact = recipe.clone();
    exact.batch.sequences = None;
    exact.batch.tokens = Some(24);
    exact.batch.accumulation = 2;
    let plan = exact.plan().unwrap();
    // Four rows of 6 are 24 tokens; of 8, three are 24 and one is left: no padding at all.
    assert!((plan.epoch_batches - 3.0).abs() < 1e-9 && plan.padding.abs() < 1e-9);
    // 16 batches of 56 / 3 positions on average.
    assert_eq!(plan.positions, (16.0_f64 * 56.0 / 3.0).round() as u64);
    assert!(plan.to_string().contains("56 tokens in 3 batches, 0.0 % padding"), "{plan}");
    assert!(!folder.0.join("run").exists());
}

#[test]
fn a_share_is_held_out_and_templates_fill_columns() {
    let folder = Folder::new("held-out");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.data.valid = None;
    recipe.data.held_out = 0.25;
    recipe.data.files[0].columns = ["word".into(), "sound".into()];
    recipe.data.files[0].prompt = Some("{sound}".into());
    recipe.data.files[0].response = Some("{word}".into());
    let plan = recipe.plan().unwrap();
    assert_eq!((plan.records, plan.validation), (6, 2));
    recipe.data.files[0].prompt = Some("{meaning}".into());
    let error = recipe.plan().unwrap_err().to_string();
    assert_eq!(error, "record 0: expected the field `meaning`, got `sound`, `word`");
}

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
        log.into_iter().map(|line| (line.step, line.loss.to_bits(), line.validation)).collect::<Vec<_>>()
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
    // Another recipe in the same folder is refused.
    let mut other = rest.clone();
    other.train.lr = 2e-3;
    assert!(other.run(&device).err().unwrap().to_string().contains("of another configuration"));
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
    let by_recipe = adapted.answerer(&done.text).answer(&done.encoder, &[prompt], &[vec![2]]).unwrap();
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
fn a_mixture_draws_from_its_files_at_their_rates() {
    let _alone = alone();
    let folder = Folder::new("mixture");
    let mut recipe = tiny(&folder, "diffusion");
    let file = recipe.data.files[0].clone();
    recipe.data.files =
        vec![FileSection { weight: Some(3.0), ..file.clone() }, FileSection { weight: Some(1.0), ..file }];
    recipe.train.steps = 2;
    let plan = recipe.plan().unwrap();
    assert_eq!(plan.records, 16);
    assert!((plan.epoch_batches - 16.0 / 3.0).abs() < 1e-9);
    assert_eq!(recipe.run(&Device::default()).unwrap().summary.steps, 2);
}
