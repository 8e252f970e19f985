//! The stages as objectives: masked, autoregressive, and from autoregressive to diffusion.

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{MASK, WORDS, alone, batches, config, rows, toy, vocabulary};
use dlm_core::loss::{Elbo, LogScores, Mlm, Nelbo, Reduction, ScoreEntropy, forbid, nll_per_token};
use dlm_core::schedule::Linear;
use dlm_core::view::next_token;
use dlm_core::{
    Attention, Batch, CounterRng, Denoiser, DenoiserInput, Forward, Prior, Sequence, Times, corrupt,
};
use dlm_train::objective::{Anneal, Causal, Corruption, Diffused, Shift, Tokens};
use dlm_train::{Diffusion, Error, Hooks, Objective, Trainer, autoregressive, bert};

fn batch() -> Batch {
    Batch::new(&rows(5), &vocabulary()).expect("a batch")
}

/// Its logits depend on the number and the sum of the tokens seen, so that who sees whom changes the loss.
struct Counting;

impl Denoiser for Counting {
    fn vocab_size(&self) -> usize {
        WORDS
    }

    fn device(&self) -> Device {
        Device::default()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let len = input.shape[1];
        let row = |&at: &usize| {
            let seen = (0..len).filter(|&key| input.sees(at / len, at % len, key));
            let sum: f32 = seen.map(|key| 1.0 + input.ids[at / len * len + key] as f32).sum();
            (0..WORDS).map(move |word| (sum * (word as f32 + 1.0)).sin())
        };
        let logits: Vec<f32> = input.at.iter().flat_map(row).collect();
        Tensor::from_data(TensorData::new(logits, [input.at.len(), WORDS]), &self.device())
    }
}

fn value(loss: Tensor<1>) -> f64 {
    f64::from(loss.into_scalar::<f32>())
}

#[test]
fn the_autoregressive_loss_is_the_mean_negative_log_likelihood() {
    let (batch, rng) = (batch(), CounterRng::new(1));
    let ours =
        value(autoregressive(0.0).expect("no smoothing").loss(&Counting, &batch, &rng).expect("a loss"));
    let asked = corrupt::teacher_forced(&batch);
    let nll = nll_per_token(next_token(Counting).logits(&asked.input()), &asked.targets());
    assert!((ours - value(nll.mean())).abs() < 1e-5);
    // Label smoothing: (1 − ε) of it and ε of the mean over words.
    let smoothed =
        value(autoregressive(0.1).expect("a share").loss(&Counting, &batch, &rng).expect("a loss"));
    let logits = next_token(Counting).logits(&asked.input());
    let uniform = value(-burn::tensor::activation::log_softmax(logits, 1).mean());
    assert!((smoothed - 0.9 * ours - 0.1 * uniform).abs() < 1e-5);
}

#[test]
fn annealing_goes_from_causal_to_full() {
    let (batch, rng) = (batch(), CounterRng::new(1));
    let plain = || Diffusion::mlm(MASK, 0.5).expect("a ratio");
    let loss = |objective: &dyn Objective<Counting>, step: u64| {
        value(objective.loss(&Counting, &batch, &rng.at_step(step)).expect("a loss"))
    };
    let annealed = Anneal::new(plain(), 1_000_000_000).expect("batches");
    assert!((loss(&annealed, 0) - loss(&Causal(plain()), 0)).abs() < 1e-6);
    let annealed = Anneal::new(plain(), 10).expect("batches");
    assert!((loss(&annealed, 9) - loss(&plain(), 9)).abs() < 1e-6);
    let half = loss(&annealed, 4);
    assert!((half - loss(&plain(), 4)).abs() > 1e-3 && (half - loss(&Causal(plain()), 4)).abs() > 1e-3);
    assert!(matches!(Anneal::new(plain(), 0), Err(Error::OutOfDomain { .. })));
}

/// Counts the pairs that it is shown.
struct Pairs(std::sync::Mutex<Vec<bool>>);

impl Denoiser for Pairs {
    fn vocab_size(&self) -> usize {
        WORDS
    }

    fn device(&self) -> Device {
        Device::default()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let Attention::Pairs(pairs) = input.attention else { panic!("{:?}", input.attention) };
        self.0.lock().expect("one thread").extend_from_slice(pairs);
        Tensor::zeros([input.at.len(), WORDS], &self.device())
    }
}

#[test]
fn annealing_opens_a_share_of_the_later_positions() {
    let len = 200;
    let row = dlm_core::Sequence::whole(vec![5; len]);
    let batch = Batch::new(&[row], &vocabulary()).expect("a batch");
    let annealed = Anneal::new(Diffusion::mlm(MASK, 0.5).expect("a ratio"), 10).expect("batches");
    let network = Pairs(std::sync::Mutex::default());
    annealed.loss(&network, &batch, &CounterRng::new(3).at_step(2)).expect("a loss");
    let pairs = network.0.into_inner().expect("one thread");
    let later = |pair: &usize| pair % len > pair / len;
    let (ahead, behind): (Vec<usize>, Vec<usize>) = (0..len * len).partition(later);
    assert!(behind.iter().all(|&pair| pairs[pair]));
    // 19 900 pairs at 0.3: 4.5 standard deviations are 291.
    let open = ahead.iter().filter(|&&pair| pairs[pair]).count();
    assert!((5679..6261).contains(&open), "{open}");
}

#[test]
fn every_stage_trains() {
    let _alone = alone();
    let forward = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let diffusion = Diffusion::new(forward, Times::uniform(0.1).expect("ε"), Mlm);
    let adapted = Shift(Anneal::new(diffusion, 20).expect("batches"));
    let stages: [(&str, Box<dyn Objective<common::Toy>>); 3] = [
        ("masked", Box::new(bert(vocabulary(), 0.3).expect("a ratio"))),
        ("autoregressive", Box::new(autoregressive(0.1).expect("a share"))),
        ("autoregressive to diffusion", Box::new(adapted)),
    ];
    for (name, stage) in stages {
        let mut trainer = Trainer::new(toy(0.0), stage, batches(24, 8), config(60)).expect("a trainer");
        let first = trainer.step().expect("a step").loss().expect("finite");
        let last = trainer.run(Hooks::new()).expect("a run").loss.expect("steps");
        assert!(last < 0.9 * first, "{name}: {first} to {last}");
    }
}

/// Never says the mask.
struct Known<D>(D);

impl<D: Denoiser> Denoiser for Known<D> {
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        forbid(self.0.logits(input), MASK)
    }
}

#[test]
fn the_bound_of_masks_is_the_weighted_cross_entropy() {
    let (batch, rng) = (batch(), CounterRng::new(1));
    let forward = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let times = Times::uniform(0.1).expect("ε");
    for reduction in [Reduction::Rows, Reduction::Tokens, Reduction::RowTokens] {
        let plain = Diffusion::new(forward.clone(), times, Nelbo::new(Linear, reduction));
        let noise = Diffused::new(forward.clone(), times);
        let doubled = noise.clone().coupled().corrupt(&batch, &rng).expect("noise");
        assert_eq!(doubled.shape()[0], 2 * batch.rows());
        let knowing = |logits, _: &_| forbid(logits, MASK);
        let (elbo, scores) = (Elbo::new(&forward), ScoreEntropy::new(&forward));
        let bound = Tokens::of(noise.clone(), elbo, reduction).reading(knowing);
        let ratios = Tokens::of(noise.clone().coupled(), scores, reduction)
            .reading(|logits, noised| LogScores::from_logits(forbid(logits, MASK), noised, &forward));
        let agree = |ours: Tensor<1>, theirs: Tensor<1>| {
            let (ours, theirs) = (value(ours), value(theirs));
            assert!((ours - theirs).abs() < 1e-5 * theirs, "{reduction:?}: {ours} against {theirs}");
        };
        let theirs = |objective: &Diffusion<Linear, Nelbo<Linear>>| {
            objective.loss(&Known(Counting), &batch, &rng).expect("a loss")
        };
        agree(bound.loss(&Counting, &batch, &rng).expect("a loss"), theirs(&plain));
        agree(ratios.loss(&Counting, &batch, &rng).expect("a loss"), theirs(&plain.coupled()));
    }
}

#[test]
fn nothing_asked_is_nothing_learnt() {
    // No maskable token, and maskable tokens that did not become noise.
    let (words, masks) = (Prior::uniform(&vocabulary()).expect("words"), Prior::Absorbing { mask: MASK });
    let fixed = Sequence::new(vec![4, 5], vec![false, false]).expect("a row");
    let fixed = Batch::new(&[fixed], &vocabulary()).expect("a batch");
    for (batch, prior) in [(fixed, words), (batch(), masks)] {
        let forward = Forward::new(Linear, prior);
        let noise = Diffused::new(forward.clone(), Times::fixed(1e-12).expect("a time"));
        let objective = Tokens::of(noise, Elbo::new(&forward), Reduction::Tokens);
        let loss = objective.loss(&toy(0.0), &batch, &CounterRng::new(1)).expect("a loss");
        assert!(!loss.device().is_autodiff() && value(loss) == 0.0);
    }
}
