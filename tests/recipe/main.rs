//! Recipes: what is read, what is refused and in which words, what is planned, and what a run leaves.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod data;
mod families;
mod fits;
mod goes_on;
mod runs;
mod text;

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlm::recipe::{Recipe, Stage, ValidateSection};

/// A new folder that vanishes at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dlm-recipe-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
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
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

const WORDS: &str =
    "ab\tAA B\nbad\tB AE D\ncab\tK AE B\nab\tAH B\ndab\tD AE B\nad\tAE D\nbe\tB IY\ncad\tK AE D\n";

/// A head on a tiny network.
pub(crate) fn tiny_head(folder: &Folder) -> Recipe {
    let mut recipe = tiny(folder, "mlm");
    recipe.stage = Stage::Length;
    recipe.validate = ValidateSection { every: 2, ..ValidateSection::default() };
    recipe
}

/// A tiny network on eight words, in a folder.
pub(crate) fn tiny(folder: &Folder, stage: &str) -> Recipe {
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
