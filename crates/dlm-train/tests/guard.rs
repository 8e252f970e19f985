//! Steps that would harm the model, half precision, and several devices.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use burn::tensor::{FloatDType, Tensor};
use common::{Folder, MASK, Toy, alone, batches, bits, config, device, toy, values};
use dlm_core::{Batch, CounterRng};
use dlm_train::{
    Better, Diffusion, Error, Guard, Hooks, MetricsFile, Muon, Objective, OnSpike, Precision, Sample,
    StepLog, TrainConfig, Trainer, average, average_ema,
};

/// The masked-LM loss, but times `factor` in these batches.
fn spiking(at: &'static [u64], factor: f64) -> impl Objective<Toy> {
    let plain = Diffusion::mlm(MASK, 0.5).expect("a ratio");
    move |model: &Toy, batch: &Batch, rng: &CounterRng| -> Result<Tensor<1>, Error> {
        let loss = plain.loss(model, batch, rng)?;
        Ok(if at.contains(&rng.step()) { loss * factor } else { loss })
    }
}

fn guarded(on_spike: OnSpike, steps: u64) -> TrainConfig {
    let guard = Guard { factor: 20.0, learn: 3, on_spike, patience: 2 };
    TrainConfig { guard: Some(guard), ..config(steps) }
}

fn trainer(objective: impl Objective<Toy>, config: TrainConfig) -> Trainer<Toy, impl Objective<Toy>> {
    Trainer::new(toy(0.0), objective, batches(24, 8), config).expect("a trainer")
}

#[test]
fn a_spike_is_passed_over_and_counted() {
    for factor in [1e4, f64::NAN, f64::INFINITY] {
        let _alone = alone();
        let mut trainer = trainer(spiking(&[7], factor), guarded(OnSpike::Skip, 20));
        for step in 0..20 {
            let before = bits(trainer.model());
            let report = trainer.step().expect("a step");
            assert_eq!(report.spike.is_some(), step == 7, "step {step}");
            assert_eq!(bits(trainer.model()) == before, step == 7, "step {step}");
        }
        assert_eq!(trainer.spikes(), 1);
        let folder = Folder::new("spike");
        trainer.save(&folder.0).expect("a healthy model");
    }
}

#[test]
fn a_run_tells_of_its_spikes_and_its_loss_leaves_them_out() {
    let _alone = alone();
    let folder = Folder::new("spikes");
    let log = folder.0.join("log.jsonl");
    let mut trainer = trainer(spiking(&[7, 8], f64::NAN), guarded(OnSpike::Skip, 10));
    let events = folder.0.join("events");
    let hooks = Hooks::new().log_every(1).metrics(&log).tensorboard(&events);
    let summary = trainer.run(hooks).expect("a run");
    assert!(summary.loss.expect("steps").is_finite());
    let text = std::fs::read_to_string(&log).expect("a file");
    let lines: Vec<dlm_train::Metrics> =
        text.lines().map(|line| serde_json::from_str(line).expect("metrics")).collect();
    let spikes: Vec<u64> = lines.iter().map(|metrics| metrics.spikes).collect();
    assert_eq!(spikes, [0, 0, 0, 0, 0, 0, 0, 1, 2, 2]);
    // A step that was not taken has no loss and no norm: 0 would look like a triumph.
    let taken: Vec<u64> = lines.iter().filter(|line| line.loss.is_some()).map(|line| line.step).collect();
    assert_eq!(taken, [1, 2, 3, 4, 5, 6, 7, 10]);
    assert!(lines.iter().all(|line| line.loss.is_some() == line.grad_norm.is_some()));
    assert!(!text.contains("\"loss\":0") && !text.contains("\"grad_norm\":0.0"), "{text}");
    let events = std::fs::read_dir(&events).expect("a folder").next().expect("a file").expect("an entry");
    let events = std::fs::read(events.path()).expect("events");
    let points = |name: &str| events.windows(name.len()).filter(|part| *part == name.as_bytes()).count();
    let points = ["train/loss", "train/gradient_norm", "train/learning_rate"].map(points);
    assert_eq!(points, [8, 8, 10]);
    // Nor has a run that ends so.
    let mut trainer = self::trainer(spiking(&[7, 8], f64::NAN), guarded(OnSpike::Skip, 9));
    let summary = trainer.run(Hooks::new().log_every(1)).expect("a run");
    assert_eq!(summary.loss, lines[6].loss);
}

#[test]
fn patience_ends_and_a_guard_may_have_none() {
    let _alone = alone();
    let many = trainer(spiking(&[4, 5, 6], 1e4), guarded(OnSpike::Skip, 20)).run(Hooks::new());
    let Err(Error::Spike { step: 7, spike }) = many else { panic!("{many:?}") };
    assert!(spike.grad_norm > 20.0 * spike.usual && spike.usual > 0.0);
    let stopped = trainer(spiking(&[4], f64::NAN), guarded(OnSpike::Stop, 20)).run(Hooks::new());
    assert!(matches!(stopped, Err(Error::Spike { step: 5, .. })));
    let alone = trainer(spiking(&[4], f64::NAN), guarded(OnSpike::RollBack, 20)).run(Hooks::new());
    assert!(matches!(alone, Err(Error::Spike { step: 5, .. })), "there is nothing to go back to");
}

#[test]
fn a_run_goes_back_before_a_spike_and_on_with_later_batches() {
    let _alone = alone();
    let folder = Folder::new("back");
    let seen = Mutex::new(Vec::new());
    let plain = spiking(&[9], 1e4);
    let objective = |model: &Toy, batch: &Batch, rng: &CounterRng| {
        seen.lock().expect("one thread").push(rng.step());
        plain.loss(model, batch, rng)
    };
    let mut trainer = trainer(objective, guarded(OnSpike::RollBack, 12));
    let summary = trainer.run(Hooks::new().checkpoints(&folder.0, 4, 2)).expect("a run");
    assert_eq!((summary.steps, trainer.spikes()), (12, 1));
    // Step 10 fails on batch 9; from step 8 it goes on with batch 10, which nobody has seen.
    let expected: Vec<u64> = (0..10).chain(10..14).collect();
    assert_eq!(*seen.lock().expect("one thread"), expected);
    // A resumption knows which batches were passed over.
    let mut resumed = self::trainer(spiking(&[9], 1e4), guarded(OnSpike::RollBack, 12));
    resumed.resume(&folder.0).expect("a checkpoint");
    assert_eq!((resumed.steps_done(), resumed.spikes()), (12, 1));
    trainer.step().expect("a step");
    resumed.step().expect("a step");
    assert_eq!(bits(resumed.model()), bits(trainer.model()));
}

#[test]
fn a_run_does_not_go_back_for_ever() {
    let _alone = alone();
    // Step 10 diverges whatever its batches, and step 9 is fine each time.
    let (done, calls) = (AtomicU64::new(0), AtomicU64::new(0));
    let plain = spiking(&[], 1.0);
    let objective = |model: &Toy, batch: &Batch, rng: &CounterRng| {
        assert!(calls.fetch_add(1, Relaxed) < 60, "for ever");
        let loss = plain.loss(model, batch, rng)?;
        Ok(if done.swap(0, Relaxed) == 9 { loss * 1e4 } else { loss })
    };
    let folder = Folder::new("for-ever");
    let score = |_: &Toy, step| {
        done.store(step, Relaxed);
        Ok(Vec::new())
    };
    let mut looping = trainer(objective, guarded(OnSpike::RollBack, 12));
    let ended = looping.run(Hooks::new().validate(1, Better::Lower, score).checkpoints(&folder.0, 4, 2));
    assert!(matches!(ended, Err(Error::Spike { step: 10, .. })), "{ended:?}");
    // A patience of two returns.
    assert_eq!(looping.spikes(), 3);
    // One that comes further each time has patience anew: batches 9 and 12 are of steps 10 and 11.
    let folder = Folder::new("further");
    let guard = Guard { factor: 20.0, learn: 3, on_spike: OnSpike::RollBack, patience: 1 };
    let config = TrainConfig { guard: Some(guard), ..config(12) };
    let mut further = trainer(spiking(&[9, 12], 1e4), config);
    let summary = further.run(Hooks::new().checkpoints(&folder.0, 4, 2)).expect("a run");
    assert_eq!((summary.steps, further.spikes()), (12, 2));
}

#[test]
fn a_damaged_checkpoint_is_gone_back_beyond_and_told_of() {
    let _alone = alone();
    let folder = Folder::new("back-damaged");
    let damage = |_: &Toy, step| {
        if step == 9 {
            std::fs::write(folder.0.join("step-00000008/model.bpk"), "x")?;
        }
        Ok(Vec::new())
    };
    let mut trainer = trainer(spiking(&[9], 1e4), guarded(OnSpike::RollBack, 12));
    let hooks = Hooks::new().validate(9, Better::Lower, damage).checkpoints(&folder.0, 2, 1);
    let none = trainer.run(hooks);
    assert!(matches!(none, Err(Error::Checkpoint { .. })), "the only one is damaged: {none:?}");
    let folder = Folder::new("back-damaged");
    let mut trainer = self::trainer(spiking(&[9], 1e4), guarded(OnSpike::RollBack, 12));
    let hooks = Hooks::new().validate(9, Better::Lower, damage).checkpoints(&folder.0, 2, 2);
    let summary = trainer.run(hooks).expect("a run");
    assert_eq!((summary.steps, summary.damaged.len()), (12, 1));
    assert!(summary.damaged[0].contains("step-00000008"), "{:?}", summary.damaged);
    // It does not count as one of those that are kept.
    assert!(folder.0.join("aside-1-step-00000008").is_dir() && folder.0.join("step-00000010").is_dir());
}

#[test]
fn logs_of_a_run_that_went_back_hold_each_step_once_as_it_was_taken_last() {
    let _alone = alone();
    let folder = Folder::new("back-logs");
    let file = |name: &str| folder.0.join(name);
    let seen = Mutex::new(Vec::new());
    let mut trainer = trainer(spiking(&[9], 1e4), guarded(OnSpike::RollBack, 12));
    let answer = |model: &Toy, step| {
        let text = format!("{:?}", bits(model)[0]);
        seen.lock().expect("one thread").push((step, text.clone()));
        Ok(vec![Sample { step, prompt: String::new(), text, expected: String::new() }])
    };
    let hooks = Hooks::new()
        .log_every(1)
        .metrics(file("log.jsonl"))
        .samples(file("samples.jsonl"), answer)
        .tensorboard(file("events"))
        .validate(1, Better::Lower, |_, step| Ok(vec![("steps", step as f64)]))
        .checkpoints(file("checkpoints"), 4, 2);
    trainer.run(hooks).expect("a run");
    let log = MetricsFile::read(file("log.jsonl")).expect("a log");
    assert_eq!(log.iter().map(|line| line.step).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    // The ninth step, taken twice, is counted among those after the spike.
    assert_eq!(log.iter().map(|line| line.spikes).collect::<Vec<_>>(), [vec![0; 8], vec![1; 4]].concat());
    let seen = seen.into_inner().expect("one thread");
    assert_eq!(
        seen.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12]
    );
    assert_ne!(seen[8].1, seen[9].1);
    let samples = StepLog::<Sample>::read(file("samples.jsonl")).expect("samples");
    let kept: Vec<_> = samples.into_iter().map(|sample| (sample.step, sample.text)).collect();
    assert_eq!(kept, [&seen[..8], &seen[9..]].concat());
    // TensorBoard is told by a second file that the first no longer counts from step 9 on.
    let mut events: Vec<_> = std::fs::read_dir(file("events")).expect("a folder").collect();
    events.sort_by_key(|file| file.as_ref().expect("an entry").path());
    let last = std::fs::read(events[1].as_ref().expect("an entry").path()).expect("events");
    assert_eq!(events.len(), 2);
    // A record is a length of 8 bytes, a checksum of 4, the message and a checksum; the step follows on nine bytes
    // of time.
    let first = 16 + usize::from(last[0]);
    assert_eq!(last[first + 12 + 9..first + 12 + 15], [0x10, 9, 0x3a, 2, 8, 1]);
}

#[test]
fn the_best_checkpoint_is_of_no_step_that_was_undone() {
    let _alone = alone();
    // Step 10 spikes, and the run goes back to step 8: what the ninth step scored first, 0.5, is undone.
    let eighth = ("eighth", 1, [[9.0; 7].as_slice(), &[1.0, 0.5, 3.0, 3.0, 3.0, 3.0]].concat(), (8, 1.0));
    let ninth = ("ninth", 9, vec![0.5, 3.0, 4.0], (9, 3.0));
    for (name, every, scores, best) in [eighth, ninth] {
        let folder = Folder::new(&format!("back-best-{name}"));
        let mut scores = scores.into_iter();
        let mut seen = Vec::new();
        let validate = |model: &Toy, step| {
            let score = scores.next().expect("a score for each validation");
            seen.push((step, score, bits(model)));
            Ok(vec![("score", score)])
        };
        let mut first = trainer(spiking(&[9], 1e4), guarded(OnSpike::RollBack, 12));
        let hooks = Hooks::new().validate(every, Better::Lower, validate).checkpoints(&folder.0, 4, 2);
        let summary = first.run(hooks).expect("a run");
        assert_eq!((summary.best, first.spikes()), (Some(best), 1), "{name}");
        let mut loaded = trainer(spiking(&[9], 1e4), guarded(OnSpike::RollBack, 12));
        loaded.load(folder.0.join("best")).expect("the best checkpoint");
        let kept = seen.iter().find(|(step, score, _)| (*step, *score) == best).expect("a validation");
        assert_eq!((loaded.steps_done(), bits(loaded.model())), (best.0, kept.2.clone()), "{name}");
        let former = folder.0.join(".former-best");
        assert!(folder.0.join("aside-1-best").is_dir() && !former.exists(), "{name}");
    }
}

/// Whether the device of the tests lacks this precision, which a trainer says at once.
fn refused(precision: Precision) -> bool {
    let dtype = if precision == Precision::F16 { FloatDType::F16 } else { FloatDType::BF16 };
    let objective = Diffusion::mlm(MASK, 0.5).expect("a ratio");
    let config = TrainConfig { precision, ..config(1) };
    let error = Trainer::new(toy(0.0), objective, batches(24, 8), config).err();
    assert_eq!(matches!(error, Some(Error::Precision { .. })), !device().supports_dtype(dtype), "{error:?}");
    error.is_some()
}

#[test]
fn half_precision_trains_like_single() {
    let _alone = alone();
    let run = |precision| {
        let config = TrainConfig { precision, accumulation: 2, ..config(60) };
        let mut trainer = trainer(spiking(&[], 1.0), config);
        let first = trainer.step().expect("a step").loss().expect("finite");
        let last = trainer.run(Hooks::new()).expect("a run").loss.expect("steps");
        // Parameters stay in single precision.
        assert!(values(trainer.model()).iter().any(|value| value.to_bits() & 0xffff != 0));
        (first, last)
    };
    let (first, last) = run(Precision::F32);
    for half in [Precision::Bf16, Precision::F16] {
        if refused(half) {
            continue;
        }
        let (half_first, half_last) = run(half);
        assert!((half_first - first).abs() < 0.02, "{half:?}: {half_first} and {first}");
        assert!((half_last - last).abs() < 0.1, "{half:?}: {half_last} and {last}");
        assert!(half_last < 0.8 * half_first);
    }
}

#[test]
fn f16_halves_its_scale_after_an_overflow_and_a_checkpoint_keeps_it() {
    let _alone = alone();
    if refused(Precision::F16) {
        return;
    }
    let config = || TrainConfig { precision: Precision::F16, ..config(4) };
    // 65536 times the scale is infinite in f16.
    let mut trainer = trainer(spiking(&[0, 1], 65536.0), config());
    let report = trainer.step().expect("a step");
    let spike = report.spike.expect("an overflow");
    assert!(spike.loss.is_finite() && !spike.grad_norm.is_finite());
    let folder = Folder::new("scale");
    trainer.save(&folder.0).expect("a checkpoint");
    let mut resumed = self::trainer(spiking(&[0, 1], 65536.0), config());
    resumed.resume(&folder.0).expect("a checkpoint");
    for _ in 0..3 {
        trainer.step().expect("a step");
        resumed.step().expect("a step");
    }
    assert_eq!(bits(resumed.model()), bits(trainer.model()));
    // Not the guard's business, but counted.
    assert_eq!((trainer.spikes(), trainer.overflows(), resumed.overflows()), (0, 2, 2));
    assert_eq!(trainer.loss_scale(), Some(65536.0 / 4.0));
}

#[test]
fn f16_ends_where_no_scale_is_small_enough() {
    let _alone = alone();
    if refused(Precision::F16) {
        return;
    }
    let config = TrainConfig { precision: Precision::F16, ..config(40) };
    let folder = Folder::new("least-scale");
    let log = folder.0.join("log.jsonl");
    let mut hopeless =
        trainer(spiking(&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19], 1e9), config);
    let ended = hopeless.run(Hooks::new().log_every(1).metrics(&log));
    assert!(matches!(ended, Err(Error::NotFinite { step: 19, what: "gradient norm", .. })), "{ended:?}");
    assert!(values(hopeless.model()).iter().all(|value| value.is_finite()));
    assert_eq!((hopeless.overflows(), hopeless.loss_scale()), (16, Some(1.0)));
    let log = MetricsFile::read(&log).expect("a log");
    let last = log.last().expect("lines");
    assert_eq!((last.step, last.loss, last.grad_norm), (18, None, None));
    assert_eq!((last.overflows, last.loss_scale, log[0].loss_scale), (16, Some(1.0), Some(65536.0)));
}

#[test]
fn several_devices_give_the_loss_curve_of_one() {
    let _alone = alone();
    let curve = |others: usize| {
        let config = TrainConfig { accumulation: 4, muon: Some(Muon::default()), ..config(8) };
        let trainer = trainer(spiking(&[], 1.0), config);
        let mut trainer = trainer.with_devices(vec![device().inner(); others]).expect("f32 is everywhere");
        let losses: Vec<u64> =
            (0..8).map(|_| trainer.step().expect("a step").loss().expect("finite").to_bits()).collect();
        (losses, bits(trainer.model()))
    };
    let one = curve(0);
    assert_eq!(curve(1), one);
    assert_eq!(curve(3), one);
}

#[test]
fn the_average_of_checkpoints_is_the_mean_of_their_parameters() {
    let _alone = alone();
    let folder = Folder::new("average");
    let mut trainer = trainer(spiking(&[], 1.0), config(3));
    let mut expected = vec![0.0; values(trainer.model()).len()];
    let mut saved = Vec::new();
    for _ in 0..3 {
        trainer.step().expect("a step");
        saved.push(trainer.save(&folder.0).expect("a checkpoint"));
        expected.iter_mut().zip(values(trainer.model())).for_each(|(sum, value)| *sum += value / 3.0);
    }
    let mean = average(&toy(0.0), &saved).expect("checkpoints");
    for (got, expected) in values(&mean).into_iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
    }
    // Moving averages likewise.
    let averages = Folder::new("average-ema");
    let mut averaged = self::trainer(spiking(&[], 1.0), TrainConfig { ema: Some(0.5), ..config(2) });
    let mut expected = vec![0.0; values(averaged.model()).len()];
    let paths = [(); 2].map(|()| {
        averaged.step().expect("a step");
        let average = values(averaged.ema().expect("an average").model());
        expected.iter_mut().zip(average).for_each(|(sum, value)| *sum += value / 2.0);
        averaged.save(&averages.0).expect("a checkpoint")
    });
    let mean_of = average_ema(&toy(0.0), &paths).expect("checkpoints");
    for (got, expected) in values(&mean_of).into_iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
    }
    let none: [&std::path::Path; 0] = [];
    assert!(matches!(average(&mean, &none), Err(Error::Core(_))));
    // Another run's parameters have other ids.
    let other = Folder::new("average-other");
    let mut stranger = self::trainer(spiking(&[], 1.0), config(3));
    stranger.step().expect("a step");
    let path = stranger.save(&other.0).expect("a checkpoint");
    let mixed = average(&toy(0.0), &[saved[0].clone(), path]);
    assert!(matches!(mixed, Err(Error::Checkpoint { .. })));
    // There are no averages to take the mean of.
    assert!(matches!(average_ema(&toy(0.0), &saved), Err(Error::Checkpoint { .. })));
    // A damaged one is refused.
    std::fs::write(saved[1].join("model.bpk"), "x").expect("a file");
    assert!(matches!(average(&toy(0.0), &saved), Err(Error::Checkpoint { .. })));
}
