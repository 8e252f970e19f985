//! Several lengths per prompt, and the choice among the results.

use dlm_core::{TokenId, Vocabulary};

use crate::canvas::Canvas;
use crate::error::Error;

/// Which rows of a canvas are candidates for the same prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// Candidates of each prompt; their rows follow each other.
    counts: Vec<usize>,
}

/// One row for each prompt and each of its lengths, wherever these come from: a length predictor, a
/// window around a guess, the reference. A length may repeat, for several draws of the same length.
///
/// Row keys are such that what becomes of a candidate does not depend on the candidates of other prompts.
///
/// # Errors
/// Core errors `Length` unless there is a list of lengths for each prompt, `Empty` for a list without a
/// length, and those of [`Canvas::prompted`].
///
/// # Example
/// ```
/// use dlm_core::Vocabulary;
/// use dlm_sampling::length::expand;
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let (canvas, _candidates) = expand(&[[5], [6]], &[vec![2, 3], vec![4]], &vocabulary)?;
/// assert_eq!(canvas.rows(), 3);
/// assert_eq!(canvas.ids(1), [0, 5, 9, 9, 9, 2]);
/// # Ok::<(), dlm_sampling::Error>(())
/// ```
pub fn expand<P: AsRef<[TokenId]>>(
    prompts: &[P],
    lengths: &[Vec<usize>],
    vocabulary: &Vocabulary,
) -> Result<(Canvas, Candidates), Error> {
    if prompts.len() != lengths.len() {
        let (expected, got) = (prompts.len(), lengths.len());
        return Err(dlm_core::Error::Length { what: "lists of lengths", expected, got }.into());
    }
    let mut rows = Vec::new();
    let mut flat = Vec::new();
    let mut keys = Vec::new();
    for (index, (prompt, lengths)) in prompts.iter().zip(lengths).enumerate() {
        if lengths.is_empty() {
            return Err(dlm_core::Error::Empty { what: "a list of lengths" }.into());
        }
        for (candidate, &length) in lengths.iter().enumerate() {
            rows.push(prompt.as_ref());
            flat.push(length);
            keys.push((index as u64) << 32 | candidate as u64);
        }
    }
    let canvas = Canvas::prompted(&rows, &flat, vocabulary)?.with_keys(&keys)?;
    Ok((canvas, Candidates { counts: lengths.iter().map(Vec::len).collect() }))
}

impl Candidates {
    /// The row with the highest mean score over its response, for each prompt; of equals the first. A
    /// response without a token loses to any other.
    ///
    /// # Errors
    /// Core error `Length` if `canvas` does not have one row for each candidate.
    ///
    /// # Source
    /// Ye et al. 2023, arXiv:2308.12219 (length beam).
    pub fn best(&self, canvas: &Canvas) -> Result<Vec<usize>, Error> {
        let (expected, got) = (self.counts.iter().sum(), canvas.rows());
        if expected != got {
            return Err(dlm_core::Error::Length { what: "rows of candidates", expected, got }.into());
        }
        let score = |row: usize| canvas.mean_score(row).unwrap_or(f64::NEG_INFINITY);
        let mut start = 0;
        let best = self.counts.iter().map(|&count| {
            let rows = start..start + count;
            start = rows.end;
            rows.clone().fold(rows.start, |best, row| if score(row) > score(best) { row } else { best })
        });
        Ok(best.collect())
    }
}
