use crate::denoiser::Denoiser;
use crate::error::Error;
use crate::forward::Noised;
use crate::loss::nll_per_token;
use crate::prior::Prior;
use crate::sequence::{Batch, Sequence, Vocabulary};

/// A row with noise, and what the cost of its noisy tokens is multiplied by.
pub(super) struct Question {
    pub(super) row: usize,
    pub(super) time: f64,
    pub(super) noisy: Vec<usize>,
    pub(super) weight: f64,
}

/// The costs of the noisy positions of a row, in nats.
pub(super) type Costs = Vec<(usize, f64)>;

/// The positions of a row that may become noise.
pub(super) fn maskable(index: usize, row: &Sequence) -> Result<Vec<usize>, Error> {
    let positions: Vec<usize> = (0..row.len()).filter(|&position| row.maskable()[position]).collect();
    if positions.is_empty() { Err(Error::NothingMaskable { row: index }) } else { Ok(positions) }
}

/// The weighted costs of each question.
pub(super) fn ask(
    model: &dyn Denoiser,
    rows: &[Sequence],
    vocabulary: &Vocabulary,
    questions: &[Question],
    max_rows: usize,
) -> Result<Vec<Costs>, Error> {
    let mut costs = Vec::with_capacity(questions.len());
    for questions in questions.chunks(max_rows.max(1)) {
        let noised = noised(rows, vocabulary, questions)?;
        let mut asked = vec![Vec::new(); questions.len()];
        // Where little time is left a question may have no noise.
        if !noised.at().is_empty() {
            model.check(&noised.input())?;
            let nats = nll_per_token(model.logits(&noised.input()), &noised.targets()).into_data();
            for (&at, nats) in noised.at().iter().zip(nats.iter::<f32>()) {
                let [row, position] = [at / noised.shape()[1], at % noised.shape()[1]];
                if nats.is_nan() {
                    return Err(Error::NonFinite { row: questions[row].row, position });
                }
                asked[row].push((position, questions[row].weight * f64::from(nats)));
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
