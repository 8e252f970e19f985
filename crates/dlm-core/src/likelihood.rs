//! How likely a model finds a text: bounds with their standard error, and the exact value of short ones.
//!
//! For an absorbing model the negative ELBO of a row, given the tokens that may not become noise, is the
//! mean over all orders of revealing its N maskable tokens of Σ −ln p(token | those revealed before):
//!
//! ```text
//! −ln p(x₀) ≤ E_t [ 1/t · Σ_noisy −ln p(x₀ᵢ | x_t) ],                 t ~ U(0, 1), noisy with chance t
//!           = E_l [ N/l · Σ_noisy −ln p(x₀ᵢ | x_l) ],                 l ~ U{1..N}, exactly l noisy
//!           = E_order [ Σ −ln p(x₀ᵢ | earlier in the order) ]
//! ```
//!
//! It is a bound, and so is every perplexity that is made of it; it is tight where the model's conditional
//! distributions are those of one joint distribution.
//!
//! # Source
//! Sahoo et al. 2024, arXiv:2406.07524, and Shi et al. 2024, arXiv:2406.04329 (first line); Nie et al.
//! 2025, arXiv:2502.09992, Eq. 6 (second); Ou et al. 2024, arXiv:2406.03736 (third).

use std::iter::Sum;

use crate::denoiser::Denoiser;
use crate::error::{Error, in_domain};
use crate::forward::Noised;
use crate::loss::nll_per_token;
use crate::prior::Prior;
use crate::rng::{CounterRng, Purpose};
use crate::sequence::{Batch, Sequence, Vocabulary};

/// Most maskable tokens of a row whose orders [`any_order`] walks: 2⁸ − 1 questions.
pub const MOST_ANY_ORDER: usize = 8;

/// What a text costs under a model, as an upper bound of −ln p; see the [module](self).
///
/// Adds up over rows: [`Sum`] gives the corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Likelihood {
    /// Nats of all tokens; infinite if a token is impossible.
    pub nats: f64,
    /// Tokens that were scored: the maskable ones, EOS among them.
    pub tokens: usize,
    /// Standard error of `nats` over the draws, in nats; 0 where nothing was drawn.
    pub standard_error: f64,
}

impl Likelihood {
    /// Bound of the bits per token; NaN without a token.
    pub fn bits_per_token(&self) -> f64 {
        self.nats / self.tokens as f64 / std::f64::consts::LN_2
    }

    /// Bound of the perplexity per token; NaN without a token.
    pub fn perplexity_bound(&self) -> f64 {
        (self.nats / self.tokens as f64).exp()
    }
}

impl Sum for Likelihood {
    /// Rows are drawn independently, so their errors add in squares.
    fn sum<I: Iterator<Item = Self>>(rows: I) -> Self {
        rows.fold(Self::default(), |sum, row| Self {
            nats: sum.nats + row.nats,
            tokens: sum.tokens + row.tokens,
            standard_error: sum.standard_error.hypot(row.standard_error),
        })
    }
}

/// Estimates the bound by noising each row several times.
///
/// Draws are addressed by (seed, draw, the row's key, position), so an estimate depends neither on the
/// batch nor on other rows. Rows of one maskable token need one question and have no error.
///
/// # Example
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use dlm_core::{Denoiser, DenoiserInput};
/// # struct Flat;
/// # impl Denoiser for Flat {
/// #     fn vocab_size(&self) -> usize { 8 }
/// #     fn device(&self) -> Device { Device::flex() }
/// #     fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> { Tensor::zeros([input.at.len(), 8], &self.device()) }
/// # }
/// use dlm_core::{Sequence, Vocabulary, likelihood::Estimator};
/// let vocabulary = Vocabulary::new(8, 0, 1, 2, 7)?;
/// let rows = [Sequence::prompt_response(&[3], &[4, 5], &vocabulary)];
/// // A network that knows nothing pays 3 bits for each of the two words and for EOS, whatever is drawn.
/// let estimates = Estimator::counts(16)?.with_seed(7).estimate(&Flat, &rows, &vocabulary)?;
/// assert_eq!(estimates[0].tokens, 3);
/// assert!((estimates[0].bits_per_token() - 3.0).abs() < 1e-6 && estimates[0].standard_error < 1e-6);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimator {
    level: Level,
    stratified: bool,
    draws: usize,
    max_rows: usize,
    seed: u64,
}

/// What is drawn first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The chance t of each token to be noise.
    Time,
    /// How many tokens are noise.
    Count,
}

impl Estimator {
    /// The plain estimator: t ~ U(0, 1), weight 1/t.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] below 2 draws, which have no standard error.
    ///
    /// # Numerics
    /// There is no ε, hence no bias; the price is that rare draws of small t weigh so much that the variance
    /// grows without bound as they come, and a standard error that has not met them is too small. Prefer
    /// [`Estimator::counts`].
    pub fn times(draws: usize) -> Result<Self, Error> {
        Self::new(Level::Time, draws)
    }

    /// `LLaDA`'s estimator of lower variance: l ~ U{1..N} tokens are noise, weight N/l.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] below 2 draws, which have no standard error.
    pub fn counts(draws: usize) -> Result<Self, Error> {
        Self::new(Level::Count, draws)
    }

    fn new(level: Level, draws: usize) -> Result<Self, Error> {
        in_domain(draws >= 2, "draws", "at least 2", draws as f64)?;
        Ok(Self { level, stratified: false, draws, max_rows: 64, seed: 0 })
    }

    /// Spreads a row's draws evenly over (0, 1), or over 1..N: one in each of as many equal parts as there
    /// are draws. The mean varies less; the standard error is computed as without, so it is too large.
    #[must_use]
    pub fn stratified(self) -> Self {
        Self { stratified: true, ..self }
    }

    /// Seeds the draws; 0 without.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Limits the rows of one forward pass; 64 without, and 0 counts as 1.
    #[must_use]
    pub fn with_max_rows(self, max_rows: usize) -> Self {
        Self { max_rows, ..self }
    }

    /// The bound of each row.
    ///
    /// # Errors
    /// [`Error::NothingMaskable`] for a row without a maskable token; what [`Batch::new`] and
    /// [`Denoiser::check`] refuse, rows being counted within a forward pass; [`Error::NonFinite`].
    pub fn estimate(
        &self,
        model: &dyn Denoiser,
        rows: &[Sequence],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Likelihood>, Error> {
        let mut questions = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let maskable = maskable(index, row)?;
            // One token is always the noisy one, with weight 1.
            let draws = if maskable.len() == 1 { 1 } else { self.draws };
            questions.extend((0..draws).map(|draw| self.question(index, row, &maskable, draw as u64)));
        }
        let costs = ask(model, rows, vocabulary, &questions, self.max_rows)?;
        let mut by_row = vec![Vec::new(); rows.len()];
        for (question, cost) in questions.iter().zip(costs) {
            by_row[question.row].push(cost);
        }
        let count = |row: &Sequence| row.maskable().iter().filter(|&&maskable| maskable).count();
        Ok(rows.iter().zip(by_row).map(|(row, costs)| mean(&costs, count(row))).collect())
    }

    /// One draw of a row's noise.
    fn question(&self, index: usize, row: &Sequence, maskable: &[usize], draw: u64) -> Question {
        let n = maskable.len();
        let (rng, key) = (CounterRng::new(self.seed).at_step(draw), row.key().unwrap_or(index as u64));
        let u = rng.row(Purpose::Time, key).uniform(0) + (-54.0_f64).exp2();
        let level = if self.stratified { (draw as f64 + u) / self.draws as f64 } else { u };
        let mut noise = rng.row(Purpose::Noise, key);
        if n == 1 {
            return Question { row: index, time: 1.0, noisy: maskable.to_vec(), weight: 1.0 };
        }
        match self.level {
            Level::Time => {
                let noisy = maskable.iter().copied().filter(|&position| noise.uniform(position) < level);
                Question { row: index, time: level, noisy: noisy.collect(), weight: level.recip() }
            }
            Level::Count => {
                let count = 1 + ((level * n as f64) as usize).min(n - 1);
                let mut noisy: Vec<(f64, usize)> =
                    maskable.iter().map(|&position| (noise.uniform(position), position)).collect();
                noisy.sort_by(|a, b| a.0.total_cmp(&b.0));
                let noisy = noisy[..count].iter().map(|&(_, position)| position).collect();
                let time = count as f64 / n as f64;
                Question { row: index, time, noisy, weight: time.recip() }
            }
        }
    }
}

/// The bound without an estimate: the mean over all N! orders, by way of the 2ᴺ sets of tokens that may be
/// known. A set of k known tokens comes before the next token in k!·(N − k − 1)! orders.
///
/// A network that heeds the time is told the noisy part of the maskable tokens.
///
/// # Errors
/// [`Error::OutOfDomain`] for a row of more than [`MOST_ANY_ORDER`] maskable tokens; else as
/// [`Estimator::estimate`].
pub fn any_order(
    model: &dyn Denoiser,
    rows: &[Sequence],
    vocabulary: &Vocabulary,
    max_rows: usize,
) -> Result<Vec<Likelihood>, Error> {
    let mut questions = Vec::new();
    let mut tokens = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let maskable = maskable(index, row)?;
        let n = maskable.len();
        in_domain(n <= MOST_ANY_ORDER, "maskable tokens of a row", "at most 8", n as f64)?;
        tokens.push(n);
        for noise in 1_u32..1 << n {
            let noisy: Vec<usize> = (0..n).filter(|i| noise >> i & 1 == 1).map(|i| maskable[i]).collect();
            let known = n - noisy.len();
            let orders = factorial(known) * factorial(noisy.len() - 1);
            let time = noisy.len() as f64 / n as f64;
            questions.push(Question { row: index, time, noisy, weight: orders / factorial(n) });
        }
    }
    let costs = ask(model, rows, vocabulary, &questions, max_rows)?;
    let mut nats = vec![0.0; rows.len()];
    for (question, cost) in questions.iter().zip(costs) {
        nats[question.row] += cost;
    }
    let likelihood = |(nats, tokens)| Likelihood { nats, tokens, standard_error: 0.0 };
    Ok(nats.into_iter().zip(tokens).map(likelihood).collect())
}

/// A row with noise, and what the cost of its noisy tokens is multiplied by.
struct Question {
    row: usize,
    time: f64,
    noisy: Vec<usize>,
    weight: f64,
}

fn maskable(index: usize, row: &Sequence) -> Result<Vec<usize>, Error> {
    let positions: Vec<usize> = (0..row.len()).filter(|&position| row.maskable()[position]).collect();
    if positions.is_empty() { Err(Error::NothingMaskable { row: index }) } else { Ok(positions) }
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|i| i as f64).product()
}

/// Mean and standard error of some draws.
fn mean(costs: &[f64], tokens: usize) -> Likelihood {
    let count = costs.len() as f64;
    let nats = costs.iter().sum::<f64>() / count;
    let squares: f64 = costs.iter().map(|cost| (cost - nats).powi(2)).sum();
    let standard_error = if costs.len() < 2 { 0.0 } else { (squares / (count - 1.0) / count).sqrt() };
    Likelihood { nats, tokens, standard_error }
}

/// The weighted cost of each question, in nats.
fn ask(
    model: &dyn Denoiser,
    rows: &[Sequence],
    vocabulary: &Vocabulary,
    questions: &[Question],
    max_rows: usize,
) -> Result<Vec<f64>, Error> {
    let mut costs = Vec::with_capacity(questions.len());
    for questions in questions.chunks(max_rows.max(1)) {
        let noised = noised(rows, vocabulary, questions)?;
        let mut asked = vec![0.0; questions.len()];
        // Where little time is left a question may have no noise.
        if !noised.at().is_empty() {
            model.check(&noised.input())?;
            let nats = nll_per_token(model.logits(&noised.input()), &noised.targets()).into_data();
            for (&at, nats) in noised.at().iter().zip(nats.iter::<f32>()) {
                let [row, position] = [at / noised.shape()[1], at % noised.shape()[1]];
                if nats.is_nan() {
                    return Err(Error::NonFinite { row: questions[row].row, position });
                }
                asked[row] += questions[row].weight * f64::from(nats);
            }
        }
        costs.extend(asked);
    }
    Ok(costs)
}

fn noised(rows: &[Sequence], vocabulary: &Vocabulary, questions: &[Question]) -> Result<Noised, Error> {
    let asked: Vec<Sequence> = questions.iter().map(|question| rows[question.row].clone()).collect();
    let batch = Batch::new(&asked, vocabulary)?;
    let mut noisy = vec![false; batch.ids().len()];
    for (row, question) in questions.iter().enumerate() {
        question.noisy.iter().for_each(|position| noisy[row * batch.len() + position] = true);
    }
    let times: Vec<f64> = questions.iter().map(|question| question.time).collect();
    Noised::with_noise(&batch, &times, &noisy, Prior::Absorbing { mask: vocabulary.mask })
}
