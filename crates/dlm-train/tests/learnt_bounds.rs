//! Bounds that a network learns by: with tokens that do not depend on each other they end at the entropy.

mod common;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{alone, device};
use dlm_core::forward::noise_per_token;
use dlm_core::loss::{
    D3pm, Elbo, FlowMatching, GenMd4, LogScores, Reduction, ScoreEntropy, TokenLoss, forbid,
};
use dlm_core::prior::{Mixed, Words};
use dlm_core::schedule::{Hybrid, Linear, PerToken};
use dlm_core::{
    Batch, CounterRng, Denoiser, DenoiserInput, Error, Forward, Noised, Prior, Schedule, Sequence, Times,
    TokenId, Vocabulary,
};
use dlm_train::data::{BatchSize, Batches};
use dlm_train::objective::{Corruption, Diffused, Tokens};
use dlm_train::{Hooks, LrSchedule, TrainConfig, Trainer, validation_loss};

/// The words 0 and 1, and a third id for all that is special.
const SPECIAL: TokenId = 2;

/// A distribution for each word that may stand there.
#[derive(Module, Debug)]
struct Table {
    logits: Param<Tensor<2>>,
}

impl Denoiser for Table {
    fn vocab_size(&self) -> usize {
        3
    }

    fn device(&self) -> Device {
        self.logits.val().device()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let ids: Vec<i32> = input.at.iter().map(|&at| input.ids[at] as i32).collect();
        let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), &self.device());
        forbid(self.logits.val().select(0, ids), SPECIAL)
    }
}

/// Four in five tokens are the word 0.
fn row() -> Sequence {
    Sequence::whole([0, 0, 0, 0, 1].repeat(20))
}

fn entropy() -> f64 {
    -(0.8 * 0.8_f64.ln() + 0.2 * 0.2_f64.ln())
}

fn vocabulary() -> Vocabulary {
    Vocabulary::new(3, SPECIAL, SPECIAL, SPECIAL, SPECIAL).expect("ids below the size")
}

fn words() -> Words {
    Words::uniform(&vocabulary()).expect("two words")
}

fn stratified() -> Times {
    Times::stratified(1e-3).expect("ε")
}

/// Trains a table of even words on noise of `corruption`; its loss before and after, and what it says of the word 0
/// wherever it was asked, `[3]`. `read` makes of its logits what the loss takes.
fn learn<L: TokenLoss + Sync>(
    corruption: impl Corruption,
    loss: L,
    read: impl Fn(Tensor<2>, &Noised) -> L::Output + Sync,
) -> ([f64; 2], Vec<f32>) {
    let _alone = alone();
    let objective = Tokens::of(corruption, loss, Reduction::Tokens).reading(read);
    let network = Table { logits: Param::from_tensor(Tensor::zeros([3, 3], &device())) };
    let config = TrainConfig { lr: LrSchedule::constant(5e-2), ..TrainConfig::paper(5e-2, 120) };
    let data = Batches::new(vec![row(); 32], vocabulary(), BatchSize::Sequences(32), 5).expect("a data set");
    let mut trainer = Trainer::new(network, objective, data, config).expect("a trainer");
    // 8192 rows at random times: what follows is three of their standard deviations.
    let check = Batch::new(&vec![row(); 256], &vocabulary()).expect("a batch");
    let measure = |trainer: &Trainer<Table, _>| {
        let draws = (0..32).map(|_| Ok(check.clone()));
        validation_loss(&trainer.model().valid(), trainer.objective(), draws, 3).expect("a loss")
    };
    let before = measure(&trainer);
    trainer.run(Hooks::new()).expect("a run");
    let said = burn::tensor::activation::softmax(forbid(trainer.model().valid().logits.val(), SPECIAL), 1);
    let said = said.narrow(1, 0, 1).into_data().iter().collect();
    ([before, measure(&trainer)], said)
}

const TOLERANCE: f64 = 0.02;

/// From the cross-entropy of two words held alike to the entropy.
fn ends_at_the_entropy(name: &str, [before, after]: [f64; 2]) {
    assert!((before - 2.0_f64.ln()).abs() < TOLERANCE, "{name}: {before} at first");
    assert!((after - entropy()).abs() < TOLERANCE, "{name}: {after} for {}", entropy());
}

#[test]
fn bounds_of_uniform_noise_learn_the_entropy() {
    let forward = Forward::new(Linear, Prior::Words(words()));
    let noise = |times| Diffused::new(forward.clone(), times);
    let grid = noise(Times::grid(10).expect("steps"));
    let d3pm = D3pm::new(&forward, 10).expect("steps");
    ends_at_the_entropy("D3PM", learn(grid, d3pm, |logits, _| logits).0);
    let elbo = Elbo::new(&forward);
    ends_at_the_entropy("UDLM", learn(noise(stratified()), elbo, |logits, _| logits).0);
    let read = |logits, noised: &_| LogScores::from_logits(logits, noised, &forward);
    let sedd = ScoreEntropy::new(&forward);
    ends_at_the_entropy("SEDD", learn(noise(stratified()), sedd, read).0);
}

#[test]
fn the_bound_of_hybrid_noise_learns_the_entropy() {
    let hybrid = Hybrid::new(0.2).expect("a share");
    let prior = Prior::Mixed(Mixed::hybrid(SPECIAL, words(), hybrid).expect("a mask beside the words"));
    let forward = Forward::new(hybrid, prior);
    // Words come as √t: what happens before 1e-3 counts.
    let noise = Diffused::new(forward.clone(), Times::stratified(1e-6).expect("ε"));
    ends_at_the_entropy("GIDD", learn(noise, Elbo::new(&forward), |logits, _| logits).0);
}

/// The logits of a word where its noise is known to be `x_t`: those of any word, and how likely that noise is.
fn informed(logits: Tensor<2>, noised: &Noised, likely: impl Fn(TokenId, TokenId, f64) -> f64) -> Tensor<2> {
    let noise = |&at: &usize| {
        let (xt, t) = (noised.xt()[at], noised.time_at(at));
        [likely(0, xt, t).ln() as f32, likely(1, xt, t).ln() as f32, 0.0]
    };
    let noise: Vec<f32> = noised.at().iter().flat_map(noise).collect();
    let data = TensorData::new(noise, [noised.at().len(), 3]);
    logits + Tensor::from_data(data, &Device::default())
}

#[test]
fn flow_matching_learns_what_a_token_was() {
    let forward = Forward::new(Linear, Prior::Words(words()));
    let likely = |x0, xt, t: f64| if x0 == xt { 1.0 - 0.5 * t } else { 0.5 * t };
    let noise = Diffused::new(forward, stratified());
    let (losses, said) =
        learn(noise, FlowMatching::new(Linear), |logits, noised| informed(logits, noised, likely));
    // The mean of the exact posterior's loss over words, noise and times, by a midpoint rule.
    let at = |t: f64, p: [f64; 2]| -> f64 {
        let pair = |x0: usize, xt: usize| {
            let like = |x: usize| likely(x as TokenId, xt as TokenId, t);
            let posterior = |x: usize| p[x] * like(x) / (p[0] * like(0) + p[1] * like(1));
            let cost = if x0 == xt { 1.0 } else { -posterior(x0).ln() };
            [0.8, 0.2][x0] * like(x0) * (cost - posterior(xt)) / t
        };
        pair(0, 0) + pair(0, 1) + pair(1, 0) + pair(1, 1)
    };
    let mean =
        |p| (0..5000).map(|i| at(1e-3 + 0.999 * (f64::from(i) + 0.5) / 5000.0, p)).sum::<f64>() / 5000.0;
    let expected = [mean([0.5, 0.5]), mean([0.8, 0.2])];
    assert!(expected[1] > entropy(), "a path that does not go back is a bound");
    for (got, expected) in losses.iter().zip(expected) {
        assert!((got - expected).abs() < TOLERANCE, "{got} for {expected}");
    }
    assert!(said[..2].iter().all(|p| (p - 0.8).abs() < 0.02), "{said:?}");
}

/// Noise of rates that depend on the word.
struct ByWord(PerToken);

impl Corruption for ByWord {
    fn corrupt(&self, batch: &Batch, rng: &CounterRng) -> Result<Noised, Error> {
        noise_per_token(batch, &stratified().sample(batch, rng), &self.0, SPECIAL, rng)
    }
}

#[test]
fn the_bound_of_rates_by_word_learns_the_entropy() {
    let rates = PerToken::new(&[0.5, 2.0, 1.0]).expect("rates");
    let masked = |x0, _, t| 1.0 - rates.of(x0).alpha(t);
    let (losses, said) = learn(ByWord(rates.clone()), GenMd4::new(rates.clone()), |logits, noised| {
        informed(logits, noised, masked)
    });
    ends_at_the_entropy("GenMD4", losses);
    assert!((said[SPECIAL as usize] - 0.8).abs() < 0.02, "{said:?}");
}
