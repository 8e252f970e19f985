use super::ask::{Costs, Question, ask, maskable};
use super::{Likelihood, TokenCost};
use crate::denoiser::Denoiser;
use crate::error::{Error, in_domain};
use crate::rng::{CounterRng, Purpose};
use crate::sequence::{Sequence, Vocabulary};

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
    pub(super) level: Level,
    stratified: bool,
    antithetic: bool,
    pub(super) draws: usize,
    pub(super) max_rows: usize,
    pub(super) seed: u64,
}

/// What is drawn first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
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
    ///
    /// # Source
    /// Sahoo et al. 2024, arXiv:2406.07524, Eq. 11, under the linear schedule.
    pub fn times(draws: usize) -> Result<Self, Error> {
        Self::new(Level::Time, draws)
    }

    /// `LLaDA`'s estimator of lower variance: l ~ U{1..N} tokens are noise, weight N/l.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] below 2 draws, which have no standard error.
    ///
    /// # Source
    /// Nie et al. 2025, arXiv:2502.09992, Eq. 6.
    pub fn counts(draws: usize) -> Result<Self, Error> {
        Self::new(Level::Count, draws)
    }

    fn new(level: Level, draws: usize) -> Result<Self, Error> {
        in_domain(draws >= 2, "draws", "at least 2", draws as f64)?;
        Ok(Self { level, stratified: false, antithetic: false, draws, max_rows: 64, seed: 0 })
    }

    /// Spreads a row's draws evenly over (0, 1), or over 1..N: one in each of as many equal parts as there
    /// are draws. The mean varies less; the standard error is computed as without, so it is too large.
    #[must_use]
    pub fn stratified(self) -> Self {
        Self { stratified: true, ..self }
    }

    /// Takes draws in pairs, the second at the other end: at 1 − t for t, N + 1 − l for l, with the tokens noised
    /// last that were first. What one overrates the other underrates; the standard error is over pairs, and an
    /// odd number of draws is rounded up.
    #[must_use]
    pub fn antithetic(self) -> Self {
        Self { antithetic: true, draws: self.draws + self.draws % 2, ..self }
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
    /// [`Error::NothingMaskable`] for a row without a maskable token; what [`Batch::new`](crate::Batch::new) and
    /// [`Denoiser::check`] refuse, rows being counted within a forward pass; [`Error::NonFinite`].
    pub fn estimate(
        &self,
        model: &dyn Denoiser,
        rows: &[Sequence],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Likelihood>, Error> {
        let draws = self.costs(model, rows, vocabulary)?;
        Ok(rows.iter().zip(&draws).map(|(row, draws)| self.whole(row, draws)).collect())
    }

    /// What each maskable token of each row adds to its bound.
    ///
    /// # Errors
    /// As [`Estimator::estimate`].
    pub fn by_token(
        &self,
        model: &dyn Denoiser,
        rows: &[Sequence],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Vec<TokenCost>>, Error> {
        let draws = self.costs(model, rows, vocabulary)?;
        Ok(rows.iter().zip(&draws).map(|(row, draws)| self.tokens(row, draws)).collect())
    }

    /// The costs of each draw of each row.
    fn costs(
        &self,
        model: &dyn Denoiser,
        rows: &[Sequence],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Vec<Costs>>, Error> {
        let mut questions = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let maskable = maskable(index, row)?;
            // One token is always the noisy one, with weight 1.
            let draws = if maskable.len() == 1 { 1 } else { self.draws };
            questions.extend((0..draws).map(|draw| self.question(index, row, &maskable, draw)));
        }
        let costs = ask(model, rows, vocabulary, &questions, self.max_rows)?;
        let mut by_row = vec![Vec::new(); rows.len()];
        for (question, cost) in questions.iter().zip(costs) {
            by_row[question.row].push(cost);
        }
        Ok(by_row)
    }

    /// The bound of a row from its draws.
    pub(super) fn whole(&self, row: &Sequence, draws: &[Costs]) -> Likelihood {
        let sums: Vec<f64> = draws.iter().map(|costs| costs.iter().map(|(_, cost)| cost).sum()).collect();
        let tokens = row.maskable().iter().filter(|&&maskable| maskable).count();
        let (nats, standard_error) = self.mean(&sums);
        Likelihood { nats, tokens, standard_error }
    }

    /// The parts of a row's tokens from its draws.
    pub(super) fn tokens(&self, row: &Sequence, draws: &[Costs]) -> Vec<TokenCost> {
        let positions: Vec<usize> = (0..row.len()).filter(|&position| row.maskable()[position]).collect();
        let mut by_token = vec![vec![0.0; draws.len()]; row.len()];
        for (draw, costs) in draws.iter().enumerate() {
            for &(position, cost) in costs {
                by_token[position][draw] = cost;
            }
        }
        let token = |position: usize| {
            let (nats, standard_error) = self.mean(&by_token[position]);
            TokenCost { position, nats, standard_error }
        };
        positions.into_iter().map(token).collect()
    }

    /// Mean and standard error of some draws, or of their pairs.
    fn mean(&self, draws: &[f64]) -> (f64, f64) {
        let pairs: Vec<f64> = if self.antithetic && draws.len() > 1 {
            draws.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect()
        } else {
            draws.to_vec()
        };
        let count = pairs.len() as f64;
        let mean = pairs.iter().sum::<f64>() / count;
        let squares: f64 = pairs.iter().map(|cost| (cost - mean).powi(2)).sum();
        (mean, if pairs.len() < 2 { 0.0 } else { (squares / (count - 1.0) / count).sqrt() })
    }

    /// The number in (0, 1) of one draw of a row, and whether it is the second of a pair.
    pub(super) fn level(&self, key: u64, draw: usize) -> (f64, bool) {
        let (draw, draws, second) = if self.antithetic {
            (draw / 2, self.draws / 2, draw % 2 == 1)
        } else {
            (draw, self.draws, false)
        };
        let rng = CounterRng::new(self.seed).at_step(draw as u64);
        let u = rng.row(Purpose::Time, key).uniform(0) + (-54.0_f64).exp2();
        let level = if self.stratified { (draw as f64 + u) / draws as f64 } else { u };
        (if second { 1.0 - level } else { level }, second)
    }

    /// One draw of a row's noise.
    fn question(&self, index: usize, row: &Sequence, maskable: &[usize], draw: usize) -> Question {
        let (n, key) = (maskable.len(), row.key().unwrap_or(index as u64));
        if n == 1 {
            return Question { row: index, time: 1.0, noisy: maskable.to_vec(), weight: 1.0 };
        }
        let (level, second) = self.level(key, draw);
        let step = if self.antithetic { draw / 2 } else { draw };
        let mut noise = CounterRng::new(self.seed).at_step(step as u64).row(Purpose::Noise, key);
        let mut chance = |position: usize| {
            let u = noise.uniform(position);
            if second { 1.0 - u } else { u }
        };
        match self.level {
            Level::Time => {
                let noisy = maskable.iter().copied().filter(|&position| chance(position) < level);
                Question { row: index, time: level, noisy: noisy.collect(), weight: level.recip() }
            }
            Level::Count => {
                let count = 1 + ((level * n as f64) as usize).min(n - 1);
                let mut noisy: Vec<(f64, usize)> =
                    maskable.iter().map(|&position| (chance(position), position)).collect();
                noisy.sort_by(|a, b| a.0.total_cmp(&b.0));
                let noisy = noisy[..count].iter().map(|&(_, position)| position).collect();
                let time = count as f64 / n as f64;
                Question { row: index, time, noisy, weight: time.recip() }
            }
        }
    }
}
