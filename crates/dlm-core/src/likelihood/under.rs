//! Bounds under noise that is not only masks.

use super::ask::{Costs, maskable};
use super::estimator::{Estimator, Level};
use super::{Likelihood, TokenCost};
use crate::denoiser::Denoiser;
use crate::error::Error;
use crate::forward::{Forward, Noised};
use crate::loss::{Elbo, TokenLoss, forbid};
use crate::rng::CounterRng;
use crate::schedule::Schedule;
use crate::sequence::{Batch, Sequence, Vocabulary};

impl Estimator {
    /// The bound of each row under noise by `forward`, of which the network says p(x₀ | x_t), by the loss
    /// [`Elbo`]; for masks alone [`Estimator::counts`] has a smaller error.
    ///
    /// # Errors
    /// As [`Estimator::estimate`]; [`Error::Incompatible`] for an estimator of counts, for a prior over another
    /// number of words than the network's, and for a schedule short of α(0) = 1 or α(1) = 0
    /// ([`Truncated`](crate::schedule::Truncated), [`Clipped`](crate::schedule::Clipped)), over which it is no bound.
    pub fn estimate_under<S: Schedule>(
        &self,
        forward: &Forward<S>,
        model: &dyn Denoiser,
        rows: &[Sequence],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Likelihood>, Error> {
        let draws = self.costs_under(forward, model, rows, vocabulary)?;
        Ok(rows.iter().zip(&draws).map(|(row, draws)| self.whole(row, draws)).collect())
    }

    /// What each maskable token of each row adds to its bound of [`Estimator::estimate_under`].
    ///
    /// # Errors
    /// As there.
    pub fn by_token_under<S: Schedule>(
        &self,
        forward: &Forward<S>,
        model: &dyn Denoiser,
        rows: &[Sequence],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Vec<TokenCost>>, Error> {
        let draws = self.costs_under(forward, model, rows, vocabulary)?;
        Ok(rows.iter().zip(&draws).map(|(row, draws)| self.tokens(row, draws)).collect())
    }

    fn costs_under<S: Schedule>(
        &self,
        forward: &Forward<S>,
        model: &dyn Denoiser,
        rows: &[Sequence],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Vec<Costs>>, Error> {
        if self.level == Level::Count {
            return Err(Error::Incompatible { what: "an estimator of counts", with: "noise by a schedule" });
        }
        let schedule = forward.schedule();
        if schedule.alpha(0.0) < 1.0 || schedule.alpha(1.0) > 0.0 {
            return Err(Error::Incompatible { what: "a schedule short of the ends", with: "a bound" });
        }
        let words = forward.prior().words();
        if words.is_some_and(|words| words.probs().len() != model.vocab_size()) {
            return Err(Error::Incompatible { what: "a prior over other words", with: "the network" });
        }
        for (index, row) in rows.iter().enumerate() {
            maskable(index, row)?;
        }
        let mut by_row = vec![Vec::with_capacity(self.draws); rows.len()];
        let keyed: Vec<Sequence> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| row.clone().with_key(row.key().unwrap_or(index as u64)))
            .collect();
        for draw in 0..self.draws {
            let rng = CounterRng::new(self.seed).at_step(draw as u64);
            for (part, rows) in keyed.chunks(self.max_rows.max(1)).enumerate() {
                let batch = Batch::new(rows, vocabulary)?;
                let times: Vec<f64> = (0..rows.len()).map(|row| self.level(batch.key(row), draw).0).collect();
                let noised = forward.noise(&batch, &times, &rng)?;
                let start = part * self.max_rows.max(1);
                for (row, costs) in answer(forward, model, &noised, start)?.into_iter().enumerate() {
                    by_row[start + row].push(costs);
                }
            }
        }
        Ok(by_row)
    }
}

/// The costs of each row, the first of which is row `start` of all.
fn answer<S: Schedule>(
    forward: &Forward<S>,
    model: &dyn Denoiser,
    noised: &Noised,
    start: usize,
) -> Result<Vec<Costs>, Error> {
    let [rows, len] = noised.shape();
    let mut costs = vec![Vec::new(); rows];
    if noised.at().is_empty() {
        return Ok(costs);
    }
    model.check(&noised.input())?;
    let logits = model.logits(&noised.input());
    let logits = match forward.prior().mask() {
        Some(mask) => forbid(logits, mask),
        None => logits,
    };
    let terms = Elbo::new(forward).terms(logits, noised).into_data();
    for (&at, nats) in noised.at().iter().zip(terms.iter::<f32>()) {
        let (row, position) = (at / len, at % len);
        if nats.is_nan() {
            return Err(Error::NonFinite { row: start + row, position });
        }
        costs[row].push((position, f64::from(nats)));
    }
    Ok(costs)
}
