//! What is learnt from: counts, shares, mixtures, rows on disk, packed rows.

use std::fs;

use burn::tensor::Device;
use dlm::recipe::{
    BrokenChoice, FileSection, FormatChoice, LengthChoice, NoiseChoice, OrderChoice, Recipe, Stage,
    ValidateSection,
};
use dlm::train::data::FLAN_2022;
use dlm::train::{Decay, LrSchedule, MetricsFile, Warmup};

use crate::{Folder, alone, tiny, tiny_head};

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
    let expected = "words.tsv:1: expected text in the field `meaning`, got the columns `word` and `sound`";
    assert!(error.ends_with(expected), "{error}");
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
    // By tokens: rows of like length meet, four of six or three of eight.
    recipe.out = folder.0.join("by-tokens");
    (recipe.batch.sequences, recipe.batch.tokens) = (None, Some(24));
    let plan = recipe.plan().unwrap();
    assert!(plan.padding < 0.01 && (4.5..5.5).contains(&plan.epoch_batches), "{plan}");
    assert_eq!(recipe.run(&Device::default()).unwrap().summary.steps, 2);
}

/// Loss, validation and gradient of each reading, bit by bit, and the network.
fn numbers(recipe: &Recipe) -> (Vec<Vec<u64>>, Vec<u8>) {
    let log = MetricsFile::read(recipe.out.join("log.jsonl")).unwrap();
    let line = |line: &dlm::train::Metrics| {
        let validation = line.validation.values().map(|value| value.to_bits());
        [line.step, line.loss.to_bits(), line.grad_norm.to_bits()].into_iter().chain(validation).collect()
    };
    (log.iter().map(line).collect(), fs::read(recipe.out.join("model/model.safetensors")).unwrap())
}

#[test]
fn rows_on_disk_are_trained_on_as_rows_in_memory() {
    let _alone = alone();
    let device = Device::default();
    for (stage, trim, held_out) in [
        ("diffusion", false, 0.0),
        ("mlm", true, 0.25),
        ("length", false, 0.0),
        ("autoregressive", true, 0.0),
    ] {
        let folder = Folder::new(&format!("disk-{stage}"));
        let mut in_memory = if stage == "length" { tiny_head(&folder) } else { tiny(&folder, stage) };
        in_memory.train.steps = 4;
        if stage != "length" {
            in_memory.validate.lengths = LengthChoice::Frequent;
        }
        in_memory.model.trim = trim;
        if held_out > 0.0 {
            (in_memory.data.valid, in_memory.data.held_out) = (None, held_out);
        }
        let mut on_disk = in_memory.clone();
        on_disk.out = folder.0.join("from-disk");
        on_disk.data.cache = Some(folder.0.join("cache"));
        in_memory.run(&device).unwrap();
        on_disk.run(&device).unwrap();
        assert_eq!(numbers(&on_disk), numbers(&in_memory), "{stage}");
        // Again, from what was kept, and so are the records that are held out; and a run may be moved between memory
        // and disk.
        let kept = 2 + usize::from(held_out > 0.0);
        assert_eq!(fs::read_dir(folder.0.join("cache")).unwrap().count(), kept);
        let mut again = on_disk.clone();
        again.out = folder.0.join("again");
        again.train.steps = 2;
        again.run(&device).unwrap();
        again.data.cache = None;
        again.train.steps = 4;
        again.run(&device).unwrap();
        assert_eq!(numbers(&again), numbers(&in_memory), "{stage}");
    }
}

#[test]
fn a_file_of_a_cache_serves_stages_and_tells_what_was_broken() {
    let folder = Folder::new("kept");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.data.cache = Some(folder.0.join("cache"));
    recipe.data.on_broken = BrokenChoice::Skip;
    recipe.data.files[0].path = folder.file("broken.tsv", "ab\tAA B\nbad\nbe\tB IY\n");
    let files = || fs::read_dir(folder.0.join("cache")).unwrap().count();
    let first = recipe.plan().unwrap();
    assert_eq!((first.records, first.skipped, files()), (2, 1, 2));
    assert!(first.complaints[0].ends_with("broken.tsv:2: expected 2 columns, got 1"), "{first}");
    assert!(first.to_string().contains("broken.tsv:2: expected 2 columns"), "{first}");
    recipe.data.noise = Some(NoiseChoice::All);
    recipe.model.trim = true;
    let second = recipe.plan().unwrap();
    assert_eq!((second.records, second.skipped, &second.complaints), (2, 1, &first.complaints));
    assert!(second.words < first.words && files() == 2);
    recipe.data.limit = Some(5);
    recipe.plan().unwrap();
    assert_eq!(files(), 4);
}

#[test]
fn packed_rows_are_full_and_what_is_longer_is_cut() {
    let _alone = alone();
    let folder = Folder::new("packed");
    let mut recipe = tiny(&folder, "mlm");
    recipe.data.valid = None;
    recipe.validate = ValidateSection { every: 0, ..ValidateSection::default() };
    recipe.batch.pack = Some(16);
    let plan = recipe.plan().unwrap();
    // 4 rows of 6 and 4 of 8 are two rows of 8 + 8 and two of 6 + 6, three rows a batch.
    assert!((plan.epoch_batches - 2.0).abs() < 1e-9 && (plan.padding - 8.0 / 64.0).abs() < 1e-9, "{plan}");
    recipe.batch.sequences = None;
    recipe.batch.tokens = Some(32);
    assert!((recipe.plan().unwrap().epoch_batches - 2.0).abs() < 1e-9);
    assert_eq!(recipe.run(&Device::default()).unwrap().summary.steps, 8);
    // A document of 40 letters, BOS and EOS are 16 + 16 + 10; no more than 12 are left with a limit.
    let mut long = recipe.clone();
    long.out = folder.0.join("long");
    long.data.files = vec![FileSection {
        path: folder.file("long.txt", &"ab".repeat(20)),
        format: FormatChoice::Lines,
        ..long.data.files[0].clone()
    }];
    let plan = long.plan().unwrap();
    assert_eq!((plan.tokens, plan.records), (42, 1));
    assert!((plan.padding - 6.0 / 48.0).abs() < 1e-9);
    assert_eq!(long.run(&Device::default()).unwrap().summary.steps, 8);
    long.data.limit = Some(12);
    assert_eq!(long.plan().unwrap().tokens, 12);
    long.batch.pack = Some(17);
    let refused = long.plan().unwrap_err().to_string();
    assert_eq!(refused, "batch.pack must be at most 16, what the network has positions for, got 17");
    long.data.files[0].weight = Some(1.0);
    let refused = long.check().unwrap_err().to_string();
    assert_eq!(refused, "batch.pack must be left out for a mixture, files with weights, got 17");
}

#[test]
fn the_papers_flan_2022_is_a_recipe() {
    let recipe = Recipe::read("examples/recipes/flan_2022.toml").unwrap();
    let files: Vec<(String, f64)> = (recipe.data.files.iter())
        .map(|file| (file.path.file_stem().unwrap().to_string_lossy().into_owned(), file.weight.unwrap()))
        .collect();
    let expected = FLAN_2022.map(|(name, rate)| (format!("{name}_train"), rate));
    assert_eq!(files, expected);
    assert!(recipe.data.files.iter().all(|file| file.format == FormatChoice::Flan));
    assert_eq!(
        (recipe.stage, recipe.data.order, recipe.data.limit),
        (Stage::Diffusion, OrderChoice::AsGiven, Some(512))
    );
    // 512 samples a step, and the numbers of the paper's tables.
    assert_eq!(recipe.batch.sequences.unwrap() * recipe.batch.accumulation, 512);
    let config = recipe.train_config();
    let lr = LrSchedule { peak: 1e-5, warmup: Warmup::Logarithmic(700), decay: Decay::Constant };
    assert_eq!((config.steps, config.lr, config.clip), (70_000, lr, Some(1.0)));
    assert_eq!((config.adamw.beta1, config.adamw.beta2, config.adamw.eps), (0.9, 0.98, 1e-8));
    assert!((config.adamw.weight_decay - 0.01).abs() < 1e-12);
    // Its length stage is one, too: what only mixtures have is left out.
    recipe.length_stage(16_000).check().unwrap();
}

#[test]
fn several_files_share_a_weight_and_their_order() {
    let folder = Folder::new("pieces");
    let mut recipe = tiny(&folder, "diffusion");
    let (whole, words) = (recipe.plan().unwrap(), fs::read_to_string(&recipe.data.files[0].path).unwrap());
    let (first, second) = words.split_at(words.find("ab\tAH B").unwrap());
    let file = &mut recipe.data.files[0];
    let path = std::mem::take(&mut file.path);
    file.paths = vec![folder.file("1.tsv", first), folder.file("2.tsv", second)];
    let pieces = recipe.plan().unwrap();
    assert_eq!((pieces.records, pieces.tokens), (whole.records, whole.tokens));
    assert_eq!(Recipe::parse(&toml::to_string(&recipe).unwrap()).unwrap(), recipe);
    assert_eq!(file_records(&recipe, 0), 8);
    // As one source beside another, in the order that they are given.
    let other = FileSection { path: path.clone(), paths: Vec::new(), ..recipe.data.files[0].clone() };
    recipe.data.files.push(other);
    recipe.data.order = OrderChoice::AsGiven;
    let refused = recipe.check().unwrap_err().to_string();
    assert_eq!(refused, "data.order must be \"shuffled\" for files without weights, got \"as-given\"");
    recipe.data.files.iter_mut().for_each(|file| file.weight = Some(1.0));
    assert_eq!(recipe.plan().unwrap().records, 16);
    recipe.data.files[0].path = path;
    let refused = recipe.check().unwrap_err().to_string();
    assert_eq!(refused, "data.files.path must be given, or paths, not both, got both");
    (recipe.data.files[0].path, recipe.data.files[0].paths) = ("".into(), Vec::new());
    let refused = recipe.check().unwrap_err().to_string();
    assert_eq!(refused, "data.files.path must be given, or paths, not both, got neither");
}

/// How many records a section has.
fn file_records(recipe: &Recipe, section: usize) -> usize {
    recipe.data.files[section].records(BrokenChoice::Stop).unwrap().records.len()
}

#[test]
fn the_order_of_a_mixture_is_the_recipes() {
    let _alone = alone();
    let folder = Folder::new("order");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.data.files[0].weight = Some(1.0);
    recipe.train.steps = 2;
    let shuffled = numbers_of_a_run(&recipe);
    recipe.data.order = OrderChoice::AsGiven;
    recipe.out = folder.0.join("as-given");
    assert_ne!(numbers_of_a_run(&recipe).0, shuffled.0);
}

fn numbers_of_a_run(recipe: &Recipe) -> (Vec<Vec<u64>>, Vec<u8>) {
    recipe.run(&Device::default()).unwrap();
    numbers(recipe)
}

#[test]
fn nested_fields_and_numbers_fill_templates() {
    let folder = Folder::new("nested");
    let mut recipe = tiny(&folder, "diffusion");
    let line = r#"{"translation": {"de": "ab", "en": "ba"}, "choices": ["a", "b"], "answer": 1}"#;
    let file = &mut recipe.data.files[0];
    file.path = folder.file("wmt.jsonl", line);
    file.format = FormatChoice::Json;
    file.prompt = Some("{translation.de} {choices.1}".into());
    file.response = Some("{translation.en} {answer}".into());
    let records = file.records(BrokenChoice::Stop).unwrap().records;
    assert_eq!((records[0].prompt.as_str(), records[0].response.as_str()), ("ab b", "ba 1"));
    recipe.data.files[0].response = Some("{translation.fr}".into());
    let error = recipe.plan().unwrap_err().to_string();
    let expected = "wmt.jsonl:1: expected text in the field `translation.fr`, got an object without it";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_record_that_cannot_be_used_is_named_by_file_and_line() {
    let folder = Folder::new("named");
    let mut recipe = tiny(&folder, "diffusion");
    recipe.data.cut = dlm::recipe::CutChoice::Refuse;
    recipe.data.on_broken = BrokenChoice::Skip;
    recipe.data.limit = Some(7);
    let refused = |recipe: &Recipe| recipe.plan().unwrap_err().to_string();
    let text = "ab\tAA B\nbroken\n\nad\tAE D\nbad\tB AE D\n";
    recipe.data.files[0].path = folder.file("long.tsv", text);
    let error = refused(&recipe);
    assert!(error.ends_with("long.tsv:5: expected at most 7 tokens, got 8"), "{error}");
    recipe.data.cache = Some(folder.0.join("cache"));
    let error = refused(&recipe);
    assert!(error.ends_with("long.tsv:5: expected at most 7 tokens, got 8"), "{error}");
    // So is one that is validated on, kept in a cache or not.
    recipe.data.files[0].path = folder.file("short.tsv", "ab\tAA B\n");
    recipe.data.valid.as_mut().unwrap().path = folder.0.join("long.tsv");
    let error = refused(&recipe);
    assert!(error.ends_with("long.tsv:5: expected at most 7 tokens, got 8"), "{error}");
    recipe.data.files[0].path = folder.file("held.tsv", "ab\tAA B\nbad\tB AE D\n");
    (recipe.data.valid, recipe.data.held_out) = (None, 0.5);
    for _ in 0..2 {
        let error = refused(&recipe);
        assert!(error.ends_with("held.tsv:2: expected at most 7 tokens, got 8"), "{error}");
    }
}
