//! Event files against the bytes of the `TensorBoard` package (`tools/golden/tb_events.py`).

mod common;

use std::fs;

use common::{Folder, alone, batches, config, toy};
use dlm_train::tensorboard::{Event, framed};
use dlm_train::{Better, Diffusion, Hooks, Sample, StepLog, Trainer};

#[test]
fn the_bytes_are_those_of_the_package() {
    let numbers = [("train/loss", 2.5), ("train/learning_rate", 1e-3), ("validation/bleu", 31.25)];
    let text = format!("**ein Haus**\n\na house — {}", "long ".repeat(40));
    let events = [
        (1.5, 0, Event::Version),
        (2.0, 1, Event::Start),
        (3.25, 300, Event::Scalars(&numbers)),
        (4.0, 70_000, Event::Text("samples/0", &text)),
    ];
    let ours = events.iter().flat_map(|(time, step, event)| framed(&event.encode(*time, *step)));
    assert_eq!(ours.collect::<Vec<_>>(), include_bytes!("golden/events.tfevents"));
}

/// The messages of a file; every length and checksum is looked at.
fn messages(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut messages) = (bytes, Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().expect("8 bytes")) as usize;
        let message = &rest[12..12 + length];
        assert_eq!(rest[..length + 16], framed(message));
        messages.push(message.to_vec());
        rest = &rest[length + 16..];
    }
    messages
}

#[test]
fn a_run_writes_its_numbers_and_its_samples() {
    let _alone = alone();
    let folder = Folder::new("tensorboard");
    let objective = || Diffusion::mlm(common::MASK, 1.0).expect("a ratio");
    let run = |steps: u64, done: bool| {
        let mut trainer =
            Trainer::new(toy(0.0), objective(), batches(24, 4), config(steps)).expect("a trainer");
        trainer.resume(folder.0.join("checkpoints")).expect("a folder");
        let answer = |_: &_, step| {
            let sample = Sample { step, prompt: "a".into(), text: "b".into(), expected: "c".into() };
            Ok(vec![sample])
        };
        let hooks = Hooks::new()
            .log_every(2)
            .metrics(folder.0.join("log.jsonl"))
            .tensorboard(folder.0.join("events"))
            .samples(folder.0.join("samples.jsonl"), answer)
            .validate(2, Better::Lower, |_, step| Ok(vec![("valid", step as f64)]))
            .checkpoints(folder.0.join("checkpoints"), 2, 1);
        trainer.run(hooks).expect("a run");
        let mut files: Vec<_> = fs::read_dir(folder.0.join("events")).expect("a folder").collect();
        assert_eq!(files.len(), if done { 2 } else { 1 });
        files.sort_by_key(|file| file.as_ref().expect("an entry").path());
        files.pop().expect("a file").expect("an entry").path()
    };
    run(4, false);
    let last = messages(&fs::read(run(6, true)).expect("events"));
    // Version, start, the scalars of step 6, its sample.
    assert_eq!(last.len(), 4);
    assert!(last[0].ends_with(b"brain.Event:2"));
    // The step is field 2, after nine bytes of time: what an interrupted run wrote of step 5 is void.
    assert_eq!(last[1][9..], [0x10, 5, 0x3a, 2, 8, 1]);
    assert_eq!(last[2][9..11], [0x10, 6]);
    for name in ["train/loss", "train/learning_rate", "train/gradient_norm", "validation/valid"] {
        assert!(last[2].windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
    let samples = StepLog::<Sample>::read(folder.0.join("samples.jsonl")).expect("samples");
    assert_eq!(samples.iter().map(|sample| sample.step).collect::<Vec<_>>(), [2, 4, 6]);
    // Nothing is left to do, and nothing is written.
    run(6, true);
}
