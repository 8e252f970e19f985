//! A run that is killed and resumed is, bit for bit, the run that was not. This file has a process of
//! its own for the child to die in, and one test that draws from burn's generator.

mod common;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Folder, MASK, Toy, batches, bits, config, toy};
use dlm_core::loss::Rdm;
use dlm_core::schedule::Linear;
use dlm_train::{Diffusion, TrainConfig, Trainer, latest};

const STEPS: u64 = 20;
const CHILD: &str = "DLM_TRAIN_CHILD";

/// Dropout on, two batches a step, an average: everything that has a state.
fn trainer() -> Trainer<Toy, Diffusion<Linear, Rdm>> {
    let config = TrainConfig { accumulation: 2, ema: Some(0.9), ..config(STEPS) };
    let objective = Diffusion::paper(MASK, 50).expect("50 steps");
    Trainer::new(toy(0.3), objective, batches(23, 4), config).expect("a trainer")
}

/// Trains to the end and returns the bits of every loss and gradient norm.
fn finish(trainer: &mut Trainer<Toy, Diffusion<Linear, Rdm>>, save: Option<&Path>) -> Vec<[u64; 2]> {
    let mut numbers = Vec::new();
    while !trainer.is_done() {
        let report = trainer.step().expect("a step");
        let (loss, norm) = (report.loss().expect("finite"), report.grad_norm().expect("finite"));
        numbers.push([loss.to_bits(), norm.to_bits()]);
        if let Some(folder) = save {
            trainer.save(folder).expect("a checkpoint");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    numbers
}

/// The body of the child, which never reaches its end: it is killed while it steps and saves.
#[test]
fn child_trains_until_it_is_killed() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let mut trainer = trainer();
        trainer.resume(&folder).expect("whole checkpoints");
        finish(&mut trainer, Some(Path::new(&folder)));
    }
}

/// Starts the child, and kills it once one of these is in the folder.
fn train_and_kill(folder: &Path, awaited: &[&str]) {
    let this = std::env::current_exe().expect("the test's own path");
    let mut child = Command::new(this)
        .args(["--exact", "child_trains_until_it_is_killed"])
        .env(CHILD, folder)
        .spawn()
        .expect("a child");
    let began = Instant::now();
    while !awaited.iter().any(|name| folder.join(name).exists()) {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "the child ended by itself: {ended:?}");
        assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint after two minutes");
        std::thread::sleep(Duration::from_micros(200));
    }
    kill(&mut child);
}

fn kill(child: &mut Child) {
    child.kill().expect("SIGKILL");
    child.wait().expect("a dead child");
}

#[test]
fn a_killed_run_resumes_bit_for_bit() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let folder = Folder::new("kill");
    let mut straight = trainer();
    let expected = finish(&mut straight, None);
    assert_eq!(expected.len() as u64, STEPS);

    // Killed three times: the later children are themselves resumptions, and the last one is killed while
    // it writes, if it is caught at it.
    train_and_kill(&folder.0, &["step-00000004"]);
    train_and_kill(&folder.0, &["step-00000010"]);
    train_and_kill(&folder.0, &[".part-step-00000014", "step-00000014"]);

    let mut resumed = trainer();
    let found = resumed.resume(&folder.0).expect("a whole checkpoint");
    assert!(found.path.is_some());
    let at = resumed.steps_done();
    assert!((13..STEPS).contains(&at), "killed at step {at}");
    let numbers = finish(&mut resumed, None);
    assert_eq!(numbers, expected[at as usize..]);
    assert_eq!(bits(resumed.model()), bits(straight.model()));
    let average = |trainer: &Trainer<Toy, _>| bits(trainer.ema().expect("an average").model());
    assert_eq!(average(&resumed), average(&straight));
    assert!(latest(&folder.0).expect("a folder").broken.is_empty());
}
