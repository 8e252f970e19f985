//! What rows cost under a network that predicts the next token.

use crate::core::loss::nll_per_token;
use crate::core::{Batch, Denoiser, DenoiserInput, Error, Likelihood, Sequence, Vocabulary};

/// −ln p of each row's maskable tokens, given what stands before each: exact, of one forward pass.
///
/// `model` must see nothing behind a position that it is asked about, as
/// [`View::NextToken`](crate::view::View::NextToken) makes it.
///
/// # Errors
/// [`Error::NothingMaskable`] for a row without a maskable token; what [`Batch::new`] and [`Denoiser::check`]
/// refuse; [`Error::NonFinite`].
pub(super) fn likelihoods(
    model: &dyn Denoiser,
    rows: &[Sequence],
    vocabulary: &Vocabulary,
    max_rows: usize,
) -> Result<Vec<Likelihood>, Error> {
    let mut costs = vec![Likelihood::default(); rows.len()];
    let many = max_rows.max(1);
    for (chunk, costs) in rows.chunks(many).zip(costs.chunks_mut(many)) {
        let batch = Batch::new(chunk, vocabulary)?;
        let at: Vec<usize> = (0..batch.ids().len()).filter(|&at| batch.maskable()[at]).collect();
        let targets: Vec<u32> = at.iter().map(|&at| batch.ids()[at]).collect();
        let input = DenoiserInput::new(batch.ids(), [batch.rows(), batch.len()], &at).with_pad(batch.pad());
        model.check(&input)?;
        let nats = nll_per_token(model.logits(&input), &targets).into_data();
        for (&at, nats) in at.iter().zip(nats.iter::<f32>()) {
            let (row, position) = (at / batch.len(), at % batch.len());
            if nats.is_nan() {
                return Err(Error::NonFinite { row, position });
            }
            costs[row].nats += f64::from(nats);
            costs[row].tokens += 1;
        }
    }
    match costs.iter().position(|cost| cost.tokens == 0) {
        Some(row) => Err(Error::NothingMaskable { row }),
        None => Ok(costs),
    }
}
