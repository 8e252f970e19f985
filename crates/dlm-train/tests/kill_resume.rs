//! A run that is killed and resumed is, bit for bit, the run that was not. This file has processes of its own for
//! the children to die in.

mod common;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Folder, MASK, Toy, alone, batches, bits, config, toy};
use dlm_core::loss::Rdm;
use dlm_core::schedule::Linear;
use dlm_train::{
    Better, Diffusion, Hooks, MetricsFile, Sample, StepLog, TrainConfig, Trainer, latest, validation_loss,
};

const STEPS: u64 = 20;
const CHILD: &str = "DLM_TRAIN_CHILD";
/// Where the child that makes a whole run works.
const RUN: &str = "DLM_TRAIN_RUN";

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
    let mut child = child("child_trains_until_it_is_killed", CHILD, folder);
    let began = Instant::now();
    while !awaited.iter().any(|name| folder.join(name).exists()) {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "the child ended by itself: {ended:?}");
        assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint after two minutes");
        std::thread::sleep(Duration::from_micros(200));
    }
    kill(&mut child);
}

/// This program again, as one of its tests.
fn child(test: &str, variable: &str, folder: &Path) -> Child {
    let this = std::env::current_exe().expect("the test's own path");
    let mut child = Command::new(this);
    child.args(["--exact", test]).env(variable, folder).spawn().expect("a child")
}

fn kill(child: &mut Child) {
    child.kill().expect("SIGKILL");
    child.wait().expect("a dead child");
}

#[test]
fn a_killed_run_resumes_bit_for_bit() {
    let _alone = alone();
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

fn run_trainer() -> Trainer<Toy, Diffusion<Linear, Rdm>> {
    let config = TrainConfig { accumulation: 2, ema: Some(0.9), ..config(2 * STEPS) };
    let objective = Diffusion::paper(MASK, 50).expect("50 steps");
    Trainer::new(toy(0.3), objective, batches(23, 4), config).expect("a trainer")
}

/// A run with all that writes: metrics, samples, checkpoints and the best of them.
fn whole_run(folder: &Path, pause: Duration) -> Trainer<Toy, Diffusion<Linear, Rdm>> {
    let objective = Diffusion::paper(MASK, 50).expect("50 steps");
    let mut trainer = run_trainer();
    trainer.resume(folder.join("checkpoints")).expect("whole checkpoints");
    let score = move |model: &Toy, step: u64| {
        std::thread::sleep(pause);
        let loss = validation_loss(model, &objective, batches(8, 4).epoch(0), 1)?;
        // Now better, now worse.
        Ok(vec![("score", loss + (step * step % 7) as f64)])
    };
    let answer = |model: &Toy, step| {
        let (prompt, text) = ("Straße".to_owned(), format!("{:x}", bits(model)[0]));
        Ok(vec![Sample { step, prompt, text, expected: "街".to_owned() }])
    };
    let hooks = Hooks::new()
        .log_every(1)
        .metrics(folder.join("log.jsonl"))
        .samples(folder.join("samples.jsonl"), answer)
        .validate(2, Better::Lower, score)
        .checkpoints(folder.join("checkpoints"), 3, 2);
    trainer.run(hooks).expect("a run");
    trainer
}

#[test]
fn child_runs_until_it_is_killed() {
    if let Some(folder) = std::env::var_os(RUN) {
        whole_run(Path::new(&folder), Duration::from_millis(20));
    }
}

/// What a run leaves.
#[derive(Debug, PartialEq)]
struct Left {
    /// Step and bits of the numbers of each line.
    log: Vec<(u64, Vec<u64>)>,
    samples: Vec<Sample>,
    /// Names in the folder of checkpoints.
    names: Vec<String>,
    /// Step and parameters of the best one.
    best: (u64, Vec<u32>),
}

fn left(folder: &Path) -> Left {
    let checkpoints = folder.join("checkpoints");
    let log = MetricsFile::read(folder.join("log.jsonl")).expect("a log");
    let line = |line: dlm_train::Metrics| {
        let numbers = [line.loss, line.grad_norm, Some(line.lr)].into_iter().flatten();
        (line.step, numbers.chain(line.validation.into_values()).map(f64::to_bits).collect())
    };
    let samples = StepLog::read(folder.join("samples.jsonl")).expect("samples");
    let entries = std::fs::read_dir(&checkpoints).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    // A best one of steps that were lost is set aside.
    let lost = |name: &String| name.starts_with("aside-") && name.ends_with("-best");
    let mut names: Vec<_> = names.filter(|name| !lost(name)).collect();
    names.sort();
    let mut best = run_trainer();
    best.load(checkpoints.join("best")).expect("a best one");
    let best = (best.steps_done(), bits(best.model()));
    Left { log: log.into_iter().map(line).collect(), samples, names, best }
}

#[test]
fn a_run_that_is_killed_at_any_moment_leaves_what_one_that_was_not_does() {
    let _alone = alone();
    let (straight, killed) = (Folder::new("run-straight"), Folder::new("run-killed"));
    let expected = whole_run(&straight.0, Duration::ZERO);
    let mut delays = Vec::new();
    for _ in 0..5 {
        let log = killed.0.join("log.jsonl");
        let size = || std::fs::metadata(&log).map_or(0, |file| file.len());
        let (before, began) = (size(), Instant::now());
        let mut child = child("child_runs_until_it_is_killed", RUN, &killed.0);
        // Once it is under way, the moment is anybody's guess.
        while size() == before && child.try_wait().expect("a child").is_none() {
            assert!(began.elapsed() < Duration::from_mins(2), "no line after two minutes");
            std::thread::sleep(Duration::from_micros(200));
        }
        let guess = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
        let delay = Duration::from_micros(u64::from(guess.subsec_nanos()) / 7 % 90_000);
        std::thread::sleep(delay);
        delays.push(delay);
        kill(&mut child);
    }
    let resumed = whole_run(&killed.0, Duration::ZERO);
    let left_over = left(&killed.0);
    let steps: Vec<u64> = left_over.log.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, (1..=2 * STEPS).collect::<Vec<_>>(), "{delays:?}");
    assert_eq!(left_over.names, ["best", "step-00000039", "step-00000040"], "{delays:?}");
    assert_eq!(left_over, left(&straight.0), "{delays:?}");
    assert_eq!(bits(resumed.model()), bits(expected.model()), "{delays:?}");
    let average = |trainer: &Trainer<Toy, _>| bits(trainer.ema().expect("an average").model());
    assert_eq!(average(&resumed), average(&expected), "{delays:?}");
}
