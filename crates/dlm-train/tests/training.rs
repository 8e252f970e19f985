//! The trainer: what a step does, and what a run does around it.

mod common;

use burn::tensor::Tensor;
use common::{Folder, MASK, Toy, alone, batches, bits, config, device, toy};
use dlm_core::{Batch, CounterRng, Denoiser, DenoiserInput};
use dlm_train::{
    Better, Decay, Diffusion, Error, Hooks, Metrics, Objective, StepReport, TrainConfig, Trainer,
    init_seeded, validation_loss,
};

type Toys<O> = Trainer<Toy, O>;

fn diffusion() -> impl Objective<Toy> {
    Diffusion::paper(MASK, 50).expect("50 steps")
}

fn all_masked() -> impl Objective<Toy> {
    Diffusion::mlm(MASK, 1.0).expect("a ratio")
}

fn trainer<O: Objective<Toy>>(objective: O, dropout: f64, config: TrainConfig) -> Toys<O> {
    Trainer::new(toy(dropout), objective, batches(24, 4), config).expect("a trainer")
}

#[test]
fn a_toy_learns_to_repeat_its_prompt() {
    let _alone = alone();
    let mut trainer = trainer(diffusion(), 0.0, config(200));
    let valid = batches(24, 8);
    let loss =
        |model: &Toy| validation_loss(&model.clone(), &all_masked(), valid.epoch(0), 1).expect("a loss");
    let before = loss(&trainer.evaluated());
    let summary = trainer.run(Hooks::new()).expect("a run");
    let after = loss(&trainer.evaluated());
    assert_eq!((summary.steps, summary.stopped_early), (200, false));
    assert!(before > 2.0 && after < 1.6, "{before} to {after}");
}

#[test]
fn two_accumulated_batches_equal_one_of_double_size() {
    let _alone = alone();
    let step = |size: usize, accumulation: usize| {
        let config = TrainConfig { accumulation, ..config(3) };
        let mut trainer = Trainer::new(toy(0.0), all_masked(), batches(24, size), config).expect("a trainer");
        let reports: Vec<StepReport> = (0..3).map(|_| trainer.step().expect("a step")).collect();
        let read =
            |report: &StepReport| (report.loss().expect("finite"), report.grad_norm().expect("finite"));
        assert!(reports.iter().all(|report| report.tokens == 8 * 6));
        (common::values(trainer.model()), reports.iter().map(read).collect::<Vec<_>>())
    };
    let ((one, reports_one), (two, reports_two)) = (step(8, 1), step(4, 2));
    for (a, b) in one.iter().zip(&two) {
        assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    }
    for ((loss_a, norm_a), (loss_b, norm_b)) in reports_one.into_iter().zip(reports_two) {
        assert!((loss_a - loss_b).abs() < 1e-5 && (norm_a - norm_b).abs() < 1e-5);
    }
}

#[test]
fn threads_change_nothing() {
    let _alone = alone();
    // Five batches in groups of one, two and eight; some of them without noise.
    let run = |threads: usize| {
        let rare = Diffusion::mlm(MASK, 0.05).expect("a ratio");
        let config = TrainConfig { accumulation: 5, ..config(4) };
        let mut trainer =
            Trainer::new(toy(0.0), rare, batches(24, 3), config).expect("a trainer").with_threads(threads);
        let reports: Vec<StepReport> = (0..4).map(|_| trainer.step().expect("a step")).collect();
        let read =
            |report: &StepReport| (report.loss().expect("finite").to_bits(), report.skipped, report.tokens);
        (bits(trainer.model()), reports.iter().map(read).collect::<Vec<_>>())
    };
    let one = run(1);
    let skipped: usize = one.1.iter().map(|&(_, skipped, _)| skipped).sum();
    assert!((1..20).contains(&skipped), "{skipped} of 20");
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
    assert_eq!(run(0), one);
}

#[test]
fn a_row_that_the_network_cannot_take_is_an_error() {
    #[derive(Debug)]
    struct Short(Toy);
    impl Denoiser for Short {
        fn vocab_size(&self) -> usize {
            self.0.vocab_size()
        }
        fn device(&self) -> burn::tensor::Device {
            self.0.device()
        }
        fn max_len(&self) -> Option<usize> {
            Some(5)
        }
        fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
            self.0.logits(input)
        }
    }
    let batch = batches(1, 1).next().expect("endless").expect("a batch");
    let refused = all_masked_of(&Short(toy(0.0)), &batch).err();
    assert!(matches!(refused, Some(Error::Core(dlm_core::Error::TooLong { row: 0, got: 6, most: 5 }))));
}

fn all_masked_of(model: &impl Denoiser, batch: &Batch) -> Result<Tensor<1>, Error> {
    Diffusion::mlm(MASK, 1.0)?.loss(model, batch, &CounterRng::new(0))
}

#[test]
fn a_batch_without_noise_is_skipped() {
    let _alone = alone();
    let nothing = |model: &Toy, _: &Batch, _: &CounterRng| Ok(Tensor::zeros([1], &model.device().inner()));
    let mut trainer = trainer(nothing, 0.0, TrainConfig { ema: Some(0.5), ..config(2) });
    let before = bits(trainer.model());
    let report = trainer.step().expect("a step");
    assert_eq!((report.step, report.skipped), (1, 1));
    assert!(report.loss().expect("zero").abs() < 1e-30);
    assert!(report.grad_norm().expect("zero").abs() < 1e-30);
    assert_eq!(bits(trainer.model()), before);
    // At such a ratio no token is noisy, and the ready objective says so too.
    let rare = Diffusion::mlm(MASK, 1e-9).expect("a ratio");
    let mut trainer = self::trainer(rare, 0.0, config(2));
    assert_eq!(trainer.step().expect("a step").skipped, 1);
}

#[test]
fn a_model_that_cannot_learn_is_refused() {
    let _alone = alone();
    let plain = toy(0.0).valid_model();
    let refused = Trainer::new(plain, diffusion(), batches(24, 4), config(1)).err();
    assert!(matches!(refused, Some(Error::Untracked)));
    let mut rising = config(1);
    rising.lr.decay = Decay::Linear { end: 9, floor: -1.0 };
    let refused = Trainer::new(toy(0.0), diffusion(), batches(24, 4), rising).err();
    assert!(matches!(refused, Some(Error::OutOfDomain { name: "floor of the learning rate", .. })));
    let config = TrainConfig { accumulation: 0, ..config(1) };
    let refused = Trainer::new(toy(0.0), diffusion(), batches(24, 4), config).err();
    assert!(matches!(refused, Some(Error::OutOfDomain { name: "accumulation", .. })));
    // Batches have numbers of 64 bits.
    for (steps, accumulation, fits) in [(u64::MAX, 1, true), (u64::MAX / 2 + 1, 2, false)] {
        let config = TrainConfig { accumulation, ..common::config(steps) };
        let refused = Trainer::new(toy(0.0), diffusion(), batches(24, 4), config).err();
        let named = |e: &Error| matches!(e, Error::OutOfDomain { name: "steps times accumulation", .. });
        assert_eq!(refused.as_ref().map(named), (!fits).then_some(true), "{refused:?}");
    }
}

trait Plain {
    fn valid_model(&self) -> Self;
}

impl Plain for Toy {
    fn valid_model(&self) -> Self {
        burn::module::Module::valid(self)
    }
}

#[test]
fn a_loss_that_is_not_finite_names_its_step() {
    let _alone = alone();
    let poisoned = |model: &Toy, batch: &Batch, rng: &CounterRng| {
        let loss = all_masked().loss(model, batch, rng)?;
        let third = *rng == CounterRng::new(9).at_step(2);
        Ok(if third { loss * f64::NAN } else { loss })
    };
    let folder = Folder::new("poisoned");
    let mut stepped = trainer(poisoned, 0.0, config(10));
    let reports: Vec<StepReport> = (0..3).map(|_| stepped.step().expect("unread")).collect();
    assert!(reports[1].loss().is_ok());
    assert!(matches!(reports[2].loss(), Err(Error::NotFinite { step: 3, what: "loss", .. })));
    assert!(matches!(reports[2].grad_norm(), Err(Error::NotFinite { step: 3, what: "gradient norm", .. })));
    // Such a model is not saved over good ones.
    assert!(matches!(stepped.save(&folder.0), Err(Error::NotFinite { step: 3, .. })));
    // Nor after a step that was skipped, whose own numbers are fine.
    let mut then_skipped = trainer(
        move |model: &Toy, batch: &Batch, rng: &CounterRng| match *rng {
            rng if rng == CounterRng::new(9).at_step(2) => poisoned(model, batch, &rng),
            _ => Ok(Tensor::zeros([1], &model.device().inner())),
        },
        0.0,
        config(10),
    );
    for _ in 0..5 {
        then_skipped.step().expect("unread");
    }
    assert!(matches!(then_skipped.save(&folder.0), Err(Error::NotFinite { step: 5, .. })));
    // A run reads every tenth step here and still finds the third.
    let error = trainer(poisoned, 0.0, config(20)).run(Hooks::new()).expect_err("a NaN");
    assert!(matches!(error, Error::NotFinite { step: 10, .. }), "{error}");
}

#[test]
fn interleaved_trainers_do_what_each_does_alone() {
    let _alone = alone();
    let run = |seed: u64, mut others: Vec<Toys<_>>| {
        let mut mine = trainer(diffusion(), 0.3, TrainConfig { seed, ..config(6) });
        for _ in 0..6 {
            mine.step().expect("a step");
            for other in &mut others {
                other.step().expect("a step");
            }
        }
        bits(mine.model())
    };
    let other = || vec![trainer(diffusion(), 0.3, TrainConfig { seed: 2, ..config(6) })];
    assert_eq!(run(1, Vec::new()), run(1, other()));
    assert_ne!(run(1, Vec::new()), run(2, Vec::new()));
}

#[test]
fn initial_parameters_depend_on_the_seed_alone() {
    let _alone = alone();
    let build = |seed| bits(&init_seeded(Toy::new(8, 0.0, &device()), &device(), seed));
    let first = build(1);
    device().seed(77);
    assert_eq!(build(1), first);
    assert_ne!(build(2), first);
}

#[test]
fn validation_is_a_mean_over_rows_and_repeats() {
    let _alone = alone();
    let model = toy(0.0).valid_model();
    let mean = |size, objective: &dyn Objective<Toy>| {
        let objective = |m: &Toy, b: &Batch, r: &CounterRng| objective.loss(m, b, r);
        validation_loss(&model, &objective, batches(10, size).epoch(0), 4).expect("a loss")
    };
    // Everything is masked and all responses are as long: any batching has the same mean.
    let (one, four) = (mean(10, &all_masked()), mean(4, &all_masked()));
    assert!((one - four).abs() < 1e-5, "{one} is not {four}");
    let again = mean(4, &diffusion());
    assert!((mean(4, &diffusion()) - again).abs() < 1e-30);
    let none = validation_loss(&model, &all_masked(), std::iter::empty(), 0);
    assert!(none.is_err());
}

fn lines(folder: &Folder) -> Vec<Metrics> {
    let text = std::fs::read_to_string(folder.0.join("metrics.jsonl")).expect("a file of metrics");
    text.lines().map(|line| serde_json::from_str(line).expect("metrics")).collect()
}

#[test]
fn a_run_stops_when_patience_ends_and_keeps_the_best() {
    let _alone = alone();
    let folder = Folder::new("patience");
    let mut values = [3.0, 1.0, 2.0, 2.0, 2.0, 0.0].into_iter();
    let mut seen = Vec::new();
    let hooks = Hooks::new()
        .log_every(2)
        .metrics(folder.0.join("metrics.jsonl"))
        .validate(5, Better::Lower, |_: &Toy, step| {
            seen.push(step);
            Ok(vec![("error", values.next().ok_or("too many validations")?)])
        })
        .patience(3)
        .checkpoints(folder.0.join("checkpoints"), 10, 2);
    let summary = trainer(diffusion(), 0.0, config(1000)).run(hooks).expect("a run");
    assert_eq!((summary.steps, summary.best, summary.stopped_early), (25, Some((10, 1.0)), true));
    assert_eq!(seen, [5, 10, 15, 20, 25]);
    let mut kept: Vec<String> = std::fs::read_dir(folder.0.join("checkpoints"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    kept.sort();
    assert_eq!(kept, ["best", "step-00000020", "step-00000025"]);
    let state = std::fs::read_to_string(folder.0.join("checkpoints/best/state.json")).expect("a state");
    assert!(state.contains("\"step\": 10"), "{state}");
    let validated = |line: &&Metrics| !line.validation.is_empty();
    let steps: Vec<u64> = lines(&folder).iter().filter(validated).map(|line| line.step).collect();
    assert_eq!(steps, [5, 10, 15, 20, 25]);
}

#[test]
fn metrics_survive_a_resumption_without_repeated_steps() {
    let _alone = alone();
    let folder = Folder::new("metrics");
    let hooks = || {
        let metrics = folder.0.join("metrics.jsonl");
        Hooks::new().log_every(2).metrics(metrics).checkpoints(folder.0.join("checkpoints"), 4, 1)
    };
    let steps = || lines(&folder).iter().map(|line| line.step).collect::<Vec<_>>();
    trainer(diffusion(), 0.2, config(6)).run(hooks()).expect("a run");
    let first = lines(&folder);
    assert_eq!(steps(), [2, 4, 6]);
    // Back to step 4: the line of step 6 was written by a run that "crashed" after it, mid-line.
    std::fs::remove_dir_all(folder.0.join("checkpoints")).expect("the checkpoints");
    let mut short = trainer(diffusion(), 0.2, config(6));
    (0..4).for_each(|_| drop(short.step().expect("a step")));
    short.save(folder.0.join("checkpoints")).expect("a checkpoint");
    let mut text = std::fs::read_to_string(folder.0.join("metrics.jsonl")).expect("metrics");
    text.push_str("{\"step\": 7, \"lo");
    std::fs::write(folder.0.join("metrics.jsonl"), text).expect("metrics");
    let mut resumed = trainer(diffusion(), 0.2, config(10));
    resumed.resume(folder.0.join("checkpoints")).expect("a checkpoint");
    assert_eq!(resumed.steps_done(), 4);
    resumed.run(hooks()).expect("a run");
    assert_eq!(steps(), [2, 4, 6, 8, 10]);
    let bits = |line: &Metrics| line.loss.expect("taken steps").to_bits();
    assert_eq!(bits(&lines(&folder)[2]), bits(&first[2]));
    // A file of something else is not cut.
    let notes = folder.file("notes.txt", "dear diary\nnothing\n");
    let error = trainer(diffusion(), 0.0, config(2)).run(Hooks::new().metrics(&notes)).expect_err("a diary");
    assert!(matches!(error, Error::Record { line: 1, .. }), "{error}");
    assert_eq!(std::fs::read_to_string(notes).expect("a diary"), "dear diary\nnothing\n");
}

#[test]
fn patience_of_none_is_patience_of_one_and_may_come_first() {
    let _alone = alone();
    let worse = |_: &Toy, step: u64| Ok(vec![("loss", step as f64)]);
    let hooks = Hooks::new().patience(0).validate(1, Better::Lower, worse);
    let summary = trainer(diffusion(), 0.0, config(9)).run(hooks).expect("a run");
    assert_eq!((summary.steps, summary.stopped_early), (2, true));
}

#[test]
fn a_failing_validation_names_its_step() {
    let _alone = alone();
    let hooks = Hooks::new().validate(2, Better::Higher, |_: &Toy, _| Err("no reference".into()));
    let error = trainer(diffusion(), 0.0, config(4)).run(hooks).expect_err("no reference");
    assert_eq!(error.to_string(), "step 2: the validation failed");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("no reference"));
}
