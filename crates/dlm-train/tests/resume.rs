//! Six steps at once are three, a checkpoint, and three more, bit by bit, whatever has a state.

mod common;

use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::Tensor;
use common::{Folder, MASK, Toy, alone, batches, bits, config, device, rows, toy, vocabulary};
use dlm_core::loss::Mlm;
use dlm_core::recompute::segment;
use dlm_core::{Batch, CounterRng};
use dlm_train::data::{BatchSource, Mixture, Packed, Packing, Source};
use dlm_train::objective::Diffused;
use dlm_train::{
    Better, CrossEntropy, Diffusion, Hooks, Muon, Precision, StepReport, TrainConfig, Trainer, init_seeded,
    validation_loss,
};

type Objective = CrossEntropy<Diffused<dlm_core::schedule::Linear>, Mlm>;
type Toys = Trainer<Toy, Objective>;

fn objective() -> Objective {
    Diffusion::mlm(MASK, 0.5).expect("a ratio")
}

/// Numbers of a trainer's parameters, of their average, and of what it remembers.
fn state(trainer: &Toys) -> (Vec<u32>, Option<Vec<u32>>, [u64; 3]) {
    let average = trainer.ema().map(|ema| bits(ema.model()));
    (bits(trainer.model()), average, [trainer.steps_done(), trainer.spikes(), trainer.overflows()])
}

fn step(trainer: &mut Toys, steps: usize) -> Vec<[u64; 2]> {
    let number = |report: StepReport| {
        let (loss, norm) = (report.loss().expect("finite"), report.grad_norm().expect("finite"));
        [loss.to_bits(), norm.to_bits()]
    };
    (0..steps).map(|_| number(trainer.step().expect("a step"))).collect()
}

/// The law for one configuration and one source of batches.
fn holds(name: &str, build: impl Fn() -> Toys) {
    let folder = Folder::new(&format!("law-{name}"));
    let (mut straight, mut first, mut second) = (build(), build(), build());
    let expected = step(&mut straight, 6);
    assert_eq!(step(&mut first, 3), expected[..3], "{name}: the same twice");
    first.save(&folder.0).expect("a checkpoint");
    drop(first);
    second.resume(&folder.0).expect("a checkpoint");
    assert_eq!(step(&mut second, 3), expected[3..], "{name}");
    assert_eq!(state(&second), state(&straight), "{name}");
}

fn build(dropout: f64, config: TrainConfig, source: impl BatchSource + Send + 'static) -> Toys {
    Trainer::new(toy(dropout), objective(), source, config).expect("a trainer")
}

#[test]
fn a_resumed_run_is_the_run_that_was_not_interrupted() {
    let _alone = alone();
    let plain = || TrainConfig { accumulation: 2, ..config(6) };
    let table: [(&str, f64, TrainConfig); 6] = [
        ("dropout", 0.3, plain()),
        ("average", 0.3, TrainConfig { ema: Some(0.8), ..plain() }),
        ("muon", 0.3, TrainConfig { muon: Some(Muon::default()), ..plain() }),
        ("checkpointing", 0.3, TrainConfig { gradient_checkpointing: true, ..plain() }),
        ("bf16", 0.3, TrainConfig { precision: Precision::Bf16, ..plain() }),
        ("f16", 0.3, TrainConfig { precision: Precision::F16, ema: Some(0.8), ..plain() }),
    ];
    for (name, dropout, config) in table {
        let refused = Trainer::new(toy(dropout), objective(), batches(23, 4), config.clone()).is_err();
        // A device may lack half precision.
        assert!(!refused || config.precision != Precision::F32, "{name}");
        if !refused {
            holds(name, || build(dropout, config.clone(), batches(23, 4)));
        }
    }
}

#[test]
fn threads_may_change_where_a_run_goes_on_if_there_is_no_dropout() {
    let _alone = alone();
    let config = TrainConfig { accumulation: 3, muon: Some(Muon::default()), ..config(6) };
    let threads = std::cell::Cell::new(0);
    holds("threads", || {
        threads.set(threads.get() + 1);
        build(0.0, config.clone(), batches(23, 4)).with_threads(threads.get())
    });
}

#[test]
fn packed_rows_and_mixtures_go_on_where_they_were() {
    let _alone = alone();
    // Six batches cross from one epoch, or window, to the next.
    let packed = || Packed::new(rows(9), vocabulary(), Packing { len: 12, rows: 2 }, 3).expect("documents");
    holds("packed", || build(0.3, config(6), packed()));
    let mixture = || {
        let source = |name: &str, weight, n| Source { name: name.into(), weight, rows: rows(n) };
        let sources = vec![source("a", 3.0, 20), source("b", 1.0, 7)];
        Mixture::new(sources, vocabulary(), 4, 2).expect("sources")
    };
    holds("mixture", || build(0.3, config(6), mixture()));
    holds("tokens", || build(0.3, config(6), mixture().by_tokens(40).expect("short rows")));
}

#[test]
fn patience_counts_on_after_a_resumption() {
    let _alone = alone();
    let run = |folder: &Folder, steps: u64| {
        let mut trainer = build(0.3, TrainConfig { ema: Some(0.8), ..config(steps) }, batches(23, 4));
        trainer.resume(&folder.0).expect("a folder");
        // Best at step 2; a loss is computed on the average, and not looked at.
        let score = |model: &Toy, step: u64| {
            validation_loss(model, &objective(), batches(8, 4).epoch(0), 1)?;
            Ok(vec![("distance", step.abs_diff(2) as f64)])
        };
        let hooks = Hooks::new().validate(1, Better::Lower, score).patience(4).checkpoints(&folder.0, 3, 2);
        let summary = trainer.run(hooks).expect("a run");
        ((summary.steps, summary.best, summary.stopped_early), state(&trainer))
    };
    let (whole, halves) = (Folder::new("patience-whole"), Folder::new("patience-halves"));
    let expected = run(&whole, 20);
    assert_eq!(expected.0, (6, Some((2, 0.0)), true));
    assert_eq!(run(&halves, 3).0, (3, Some((2, 0.0)), false));
    assert_eq!(run(&halves, 20), expected);
}

/// burn draws dropout from one generator of the process, whatever the device: batches that ran at once would compute a
/// layer again under another mask than it had.
#[test]
fn devices_do_not_disturb_the_dropout_that_checkpointing_draws_twice() {
    type Network = (Linear, Dropout);
    let _alone = alone();
    let layer = |(linear, dropout): &Network, x: Tensor<2>| {
        // Time for another thread to come between the seed and the draw.
        std::thread::sleep(std::time::Duration::from_millis(1));
        dropout.forward(linear.forward(x))
    };
    let objective = |network: &Network, batch: &Batch, _: &CounterRng| {
        let input = Tensor::<2>::ones([batch.rows(), 8], &network.0.weight.device());
        let output = segment(network, segment(network, input, layer), layer);
        Ok((output.clone() * output).mean())
    };
    let run = |others: usize, threads: usize| {
        let config = TrainConfig { accumulation: 6, gradient_checkpointing: true, ..config(3) };
        let network = (LinearConfig::new(8, 8).init(&device()), DropoutConfig::new(0.4).init());
        let network = init_seeded(network, &device(), 3);
        let trainer = Trainer::new(network, objective, batches(23, 8), config).expect("a trainer");
        let others = vec![device().inner(); others];
        let mut trainer = trainer.with_threads(threads).with_devices(others).expect("f32 is everywhere");
        (0..3).for_each(|_| drop(trainer.step().expect("a step")));
        bits(trainer.model())
    };
    let one = run(0, 1);
    assert_eq!(run(2, 1), one);
    assert_eq!(run(5, 4), one);
}
