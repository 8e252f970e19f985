//! Checkpoints that are damaged, or of another run.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Folder, MASK, Toy, alone, batches, bits, config, device, toy};
use dlm_core::loss::Rdm;
use dlm_core::schedule::Linear;
use dlm_train::{Diffusion, Error, TrainConfig, Trainer, init_seeded, latest};

type Toys = Trainer<Toy, Diffusion<Linear, Rdm>>;

fn trainer(model: Toy, rows: usize, config: TrainConfig) -> Toys {
    let objective = Diffusion::paper(MASK, 50).expect("50 steps");
    Trainer::new(model, objective, batches(rows, 4), config).expect("a trainer")
}

fn averaged() -> TrainConfig {
    TrainConfig { ema: Some(0.9), ..config(10) }
}

/// Checkpoints of steps 1, 2 and 3.
fn three(folder: &Folder) -> Vec<PathBuf> {
    let mut trainer = trainer(toy(0.1), 24, averaged());
    let mut save = |_| {
        trainer.step().expect("a step");
        trainer.save(&folder.0).expect("a checkpoint")
    };
    (0..3).map(&mut save).collect()
}

fn whole(folder: &Folder) -> Option<PathBuf> {
    latest(&folder.0).expect("a folder").path
}

#[test]
fn what_is_loaded_is_what_was_saved() {
    let _alone = alone();
    let folder = Folder::new("saved");
    let mut first = trainer(toy(0.1), 24, averaged());
    (0..3).for_each(|_| drop(first.step().expect("a step")));
    let path = first.save(&folder.0).expect("a checkpoint");
    assert_eq!(path, folder.0.join("step-00000003"));
    // Saving again in the same place replaces it.
    assert_eq!(first.save(&folder.0).expect("a checkpoint"), path);
    // A fresh model has other values and other ids.
    let fresh = init_seeded(Toy::new(8, 0.1, &device()), &device(), 100);
    let mut second = trainer(fresh, 24, averaged());
    second.load(&path).expect("the checkpoint");
    assert_eq!(second.steps_done(), 3);
    assert_eq!(bits(second.model()), bits(first.model()));
    let average = |trainer: &Toys| bits(trainer.ema().expect("an average").model());
    assert_eq!(average(&second), average(&first));
    assert_ne!(average(&first), bits(first.model()));
    assert_eq!(bits(&second.evaluated()), average(&first));
}

#[test]
fn an_interrupted_replacement_is_undone() {
    let _alone = alone();
    let folder = Folder::new("replaced");
    let paths = three(&folder);
    let best = folder.0.join("best");
    fs::rename(&paths[2], &best).expect("a folder");
    let names = [(best.clone(), ".old-best"), (paths[1].clone(), ".old-step-00000002")];
    for (path, old) in names {
        // Killed between the two renames.
        fs::rename(&path, folder.0.join(old)).expect("a folder");
        if path != best {
            assert_eq!(whole(&folder), Some(path.clone()));
        }
        let mut trainer = trainer(toy(0.1), 24, averaged());
        trainer.load(&path).expect("the former checkpoint");
        assert!(path.is_dir() && !folder.0.join(old).exists());
    }
}

#[test]
fn a_run_goes_on_where_later_checkpoints_are_damaged_or_of_another_run() {
    let _alone = alone();
    let folder = Folder::new("aside");
    let paths = three(&folder);
    let model = paths[2].join("model.bpk");
    fs::write(&model, b"short").expect("a model");
    let run = |steps: u64| {
        let mut trainer = trainer(toy(0.1), 24, TrainConfig { steps, ..averaged() });
        trainer.resume(&folder.0).expect("a whole checkpoint");
        let from = trainer.steps_done();
        let hooks = dlm_train::Hooks::new().checkpoints(&folder.0, 1, 1);
        trainer.run(hooks).expect("a run");
        (from, whole(&folder), latest(&folder.0).expect("a folder").broken.len())
    };
    // Keeping one, the new third is kept, not the damaged one.
    assert_eq!(run(3), (2, Some(paths[2].clone()), 0));
    assert!(folder.0.join("aside-1-step-00000003").is_dir());
    // Back to step 1 by hand; what was made later is set aside, too, and loses nothing.
    let mut back = trainer(toy(0.1), 24, TrainConfig { steps: 2, ..averaged() });
    back.run(dlm_train::Hooks::new().checkpoints(&folder.0, 1, 2)).expect("a run");
    assert_eq!(whole(&folder), Some(folder.0.join("step-00000002")));
    assert!(folder.0.join("aside-2-step-00000003").is_dir());
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let _alone = alone();
    let folder = Folder::new("damaged");
    let paths = three(&folder);
    assert_eq!(whole(&folder), Some(paths[2].clone()));
    let model = paths[2].join("model.bpk");
    let bytes = fs::read(&model).expect("a model");
    // Cut short; then whole again but for one bit; then the state half written; then gone.
    fs::write(&model, &bytes[..bytes.len() - 7]).expect("a model");
    assert_eq!(whole(&folder), Some(paths[1].clone()));
    let mut flipped = bytes.clone();
    *flipped.last_mut().expect("bytes") ^= 1;
    fs::write(&model, &flipped).expect("a model");
    assert_eq!(whole(&folder), Some(paths[1].clone()));
    let broken = latest(&folder.0).expect("a folder").broken;
    assert!(broken[0].to_string().contains("damaged, delete it and resume from an older one"), "{broken:?}");
    fs::remove_file(&model).expect("a model");
    let state = paths[1].join("state.json");
    let text = fs::read_to_string(&state).expect("a state");
    fs::write(&state, &text[..text.len() / 2]).expect("a state");
    assert_eq!(whole(&folder), Some(paths[0].clone()));
    // What an interrupted save leaves behind is not a checkpoint.
    fs::rename(&paths[0], folder.0.join(".part-step-00000009")).expect("a rename");
    let found = latest(&folder.0).expect("a folder");
    assert!(found.path.is_none());
    assert_eq!(found.broken.len(), 2);
    // With damaged ones alone, nobody starts afresh by mistake.
    let mut late = trainer(toy(0.1), 24, averaged());
    assert!(matches!(late.resume(&folder.0), Err(Error::Io { .. })));
    assert!(late.resume(folder.0.join("none")).expect("nothing there").path.is_none());
}

#[test]
fn no_byte_of_a_state_changes_unseen() {
    let _alone = alone();
    let folder = Folder::new("bytes");
    let paths = three(&folder);
    let state = paths[2].join("state.json");
    let bytes = fs::read(&state).expect("a state");
    let text = String::from_utf8(bytes.clone()).expect("JSON");
    // The others out of the way, so that nobody reads their files each time.
    paths[..2].iter().for_each(|path| fs::rename(path, path.with_extension("away")).expect("a folder"));
    for at in 0..bytes.len() {
        let mut edited = bytes.clone();
        edited[at] ^= 1;
        fs::write(&state, &edited).expect("a state");
        let found = latest(&folder.0).expect("a folder");
        assert!(found.path.is_none() && found.broken.len() == 1, "byte {at} of {text}");
    }
    paths[..2].iter().for_each(|path| fs::rename(path.with_extension("away"), path).expect("a folder"));
    // What somebody may want to write there, all of it valid JSON.
    let edits = [
        ("\"step\": 3", "\"step\": 2"),
        ("\"passed_over\": 0", "\"passed_over\": 8"),
        ("\"exponent\": 16", "\"exponent\": 3"),
        ("\"spikes\": 0", "\"spikes\": 1"),
        ("\"stale\": 0", "\"stale\": 5"),
        ("\n", "\r\n"),
        ("\n}", "\n}\n"),
    ];
    for (from, to) in edits {
        assert!(text.contains(from), "{from} in {text}");
        fs::write(&state, text.replacen(from, to, 1)).expect("a state");
        assert_eq!(whole(&folder), Some(paths[1].clone()), "{from} to {to}");
    }
    // An entry of a file is taken out, and the file damaged.
    let entry = text.find("\"name\": \"model.bpk\"").expect("an entry");
    let (start, end) =
        (text[..entry].rfind('{').expect("a brace"), entry + text[entry..].find('}').expect("one"));
    fs::write(&state, format!("{}{}", &text[..start], &text[end + 2..])).expect("a state");
    fs::write(paths[2].join("model.bpk"), "x").expect("a model");
    assert_eq!(whole(&folder), Some(paths[1].clone()));
    // A whole checkpoint under the name of another step is not that step's.
    fs::remove_dir_all(&paths[2]).expect("a folder");
    fs::rename(&paths[0], folder.0.join("step-00000007")).expect("a folder");
    let found = latest(&folder.0).expect("a folder");
    assert_eq!(found.path, Some(paths[1].clone()));
    assert!(found.broken[0].to_string().ends_with("expected step 7, got step 1"), "{:?}", found.broken);
}

fn refusal(checkpoint: &Path, model: Toy, rows: usize, config: TrainConfig) -> String {
    let mut other = trainer(model, rows, config);
    let before = bits(other.model());
    let error = other.load(checkpoint).expect_err("another run");
    assert_eq!((other.steps_done(), bits(other.model())), (0, before), "left as it was");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let _alone = alone();
    let folder = Folder::new("another");
    let paths = three(&folder);
    let said = refusal(&paths[0], toy(0.1), 24, TrainConfig { seed: 1, ..averaged() });
    assert!(
        said.contains("another configuration") && said.contains("expected seed = 1, got seed = 9"),
        "{said}"
    );
    let said = refusal(&paths[0], toy(0.1), 24, TrainConfig { ema: None, ..averaged() });
    assert!(said.contains("another configuration"), "{said}");
    let said = refusal(&paths[0], toy(0.1), 25, averaged());
    assert!(said.contains("other data or another batch size"), "{said}");
    let wide = init_seeded(Toy::new(16, 0.1, &device()), &device(), 3);
    let said = refusal(&paths[0], wide, 24, averaged());
    assert!(said.contains("not an archive of this model") && said.contains("shape mismatch"), "{said}");
    // More steps are no other run.
    let mut longer = trainer(toy(0.1), 24, TrainConfig { steps: 99, ..averaged() });
    longer.load(&paths[0]).expect("the same run");
    let state = paths[0].join("state.json");
    let text = fs::read_to_string(&state).expect("a state").replace("\"format\": 4", "\"format\": 9");
    fs::write(&state, text).expect("a state");
    let said = refusal(&paths[0], toy(0.1), 24, averaged());
    assert!(said.contains("expected format 4, got format 9"), "{said}");
}
