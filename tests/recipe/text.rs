//! A recipe's text: fields, values, complaints.

use std::collections::BTreeSet;
use std::fs;

use dlm::recipe::{FileSection, FormChoice, NewModel, NoiseChoice, Recipe};
use dlm::train::{Guard, Muon};

use crate::{Folder, tiny};

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
    recipe.train.decay_steps = Some(1);
    recipe.data.cache = Some("c".into());
    recipe.batch.pack = Some(64);
    recipe.train.muon = Some(Muon::default());
    recipe.train.guard = Some(Guard::default());
    recipe.diffusion.anneal_steps = Some(3);
    let file = FileSection {
        prompt: Some("p".into()),
        response: Some("r".into()),
        form: Some(FormChoice::Flan),
        weight: Some(2.0),
        paths: vec!["q".into()],
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
    fields("", &toml::from_str(&full().to_toml().unwrap()).unwrap(), &mut there_are);
    assert!(there_are.len() > 60, "{}", there_are.len());
    assert_eq!(there_are.difference(&written).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(written.difference(&there_are).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_recipe_survives_being_written() {
    let folder = Folder::new("round-trip");
    let recipe = tiny(&folder, "mlm");
    assert_eq!(Recipe::parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
    for file in fs::read_dir("examples/recipes").unwrap() {
        let recipe = Recipe::read(file.unwrap().path()).unwrap();
        assert_eq!(Recipe::parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
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
