use super::ask::{Question, ask, maskable};
use super::{Likelihood, TokenCost};
use crate::denoiser::Denoiser;
use crate::error::{Error, in_domain};
use crate::sequence::{Sequence, Vocabulary};

/// Most maskable tokens of a row whose orders [`any_order`] walks: 2⁸ − 1 questions.
pub const MOST_ANY_ORDER: usize = 8;

/// The bound without an estimate: the mean over all N! orders, by way of the 2ᴺ sets of tokens that may be
/// known. A set of k known tokens comes before the next token in k!·(N − k − 1)! orders.
///
/// A network that heeds the time is told the noisy part of the maskable tokens.
///
/// # Errors
/// [`Error::OutOfDomain`] for a row of more than [`MOST_ANY_ORDER`] maskable tokens; else as
/// [`Estimator::estimate`](super::Estimator::estimate).
///
/// # Source
/// Ou et al. 2024, arXiv:2406.03736, Theorem 2.
pub fn any_order(
    model: &dyn Denoiser,
    rows: &[Sequence],
    vocabulary: &Vocabulary,
    max_rows: usize,
) -> Result<Vec<Likelihood>, Error> {
    let sum = |costs: Vec<TokenCost>| {
        let nats = costs.iter().map(|cost| cost.nats).sum();
        Likelihood { nats, tokens: costs.len(), standard_error: 0.0 }
    };
    Ok(any_order_by_token(model, rows, vocabulary, max_rows)?.into_iter().map(sum).collect())
}

/// What each maskable token of each row adds to the bound of [`any_order`]: the mean over all orders of
/// −ln p(token | those revealed before).
///
/// # Errors
/// As [`any_order`].
pub fn any_order_by_token(
    model: &dyn Denoiser,
    rows: &[Sequence],
    vocabulary: &Vocabulary,
    max_rows: usize,
) -> Result<Vec<Vec<TokenCost>>, Error> {
    let mut questions = Vec::new();
    let mut by_row = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let maskable = maskable(index, row)?;
        let n = maskable.len();
        let cost = |&position: &usize| TokenCost { position, nats: 0.0, standard_error: 0.0 };
        by_row.push(maskable.iter().map(cost).collect::<Vec<_>>());
        in_domain(n <= MOST_ANY_ORDER, "maskable tokens of a row", "at most 8", n as f64)?;
        for noise in 1_u32..1 << n {
            let noisy: Vec<usize> = (0..n).filter(|i| noise >> i & 1 == 1).map(|i| maskable[i]).collect();
            let known = n - noisy.len();
            let orders = factorial(known) * factorial(noisy.len() - 1);
            let time = noisy.len() as f64 / n as f64;
            questions.push(Question { row: index, time, noisy, weight: orders / factorial(n) });
        }
    }
    for (question, costs) in questions.iter().zip(ask(model, rows, vocabulary, &questions, max_rows)?) {
        for token in &mut by_row[question.row] {
            let own = costs.iter().filter(|(position, _)| *position == token.position);
            token.nats += own.map(|(_, cost)| cost).sum::<f64>();
        }
    }
    Ok(by_row)
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|i| i as f64).product()
}
