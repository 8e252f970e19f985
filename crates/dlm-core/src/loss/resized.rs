use super::{Weighting, Weights};
use crate::forward::{Noised, Resizing};
use crate::sequence::TokenId;

/// Another weighting of a text whose length may be wrong, in each row of which all places to delete count as one.
///
/// ```text
/// w_i = N/(N − D + 1) · (1/D if x₀ᵢ is delete, else 1),   N asked tokens of the row, D of them delete
/// ```
///
/// The weights of a row still add up to N. A row of which nothing is to be deleted keeps its weights; read to the
/// letter, the formula would take one part in N + 1 of them.
///
/// # Source
/// Wu et al. 2026, arXiv:2602.01326, Eq. 2 and 3 (DreamOn).
///
/// # Example
/// ```
/// use dlm_core::forward::Resizing;
/// use dlm_core::loss::{Nelbo, Reduction, Resized, Weighting};
/// use dlm_core::{Batch, Noised, Prior, Sequence, Vocabulary, schedule::Linear};
/// let vocabulary = Vocabulary::new(12, 0, 1, 2, 9)?;
/// let resizing = Resizing::new(10, 11, &vocabulary)?;
/// let batch = Batch::new(&[Sequence::whole(vec![3, 11, 11, 10])], &vocabulary)?;
/// let noised = Noised::with_noise(&batch, &[1.0], &[true; 4], Prior::Absorbing { mask: 9 })?;
/// let loss = Resized::new(Nelbo::new(Linear, Reduction::Sum), resizing);
/// let weights = loss.weights(&noised).target;
/// // Four tokens, of which two count as one: 4/3 each, and 4/3 for both.
/// assert!(weights.iter().zip([4.0, 2.0, 2.0, 4.0]).all(|(w, thirds)| (w - thirds / 3.0).abs() < 1e-12));
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resized<W> {
    inner: W,
    delete: TokenId,
}

impl<W> Resized<W> {
    /// `inner` for texts of `resizing`.
    pub fn new(inner: W, resizing: Resizing) -> Self {
        Self { inner, delete: resizing.delete() }
    }
}

impl<W: Weighting> Weighting for Resized<W> {
    fn weights(&self, noised: &Noised) -> Weights {
        let [rows, len] = noised.shape();
        let is_delete = |at: usize| noised.x0()[at] == self.delete;
        let mut counts = vec![[0.0, 0.0]; rows];
        for &at in noised.at() {
            let [asked, deleted] = &mut counts[at / len];
            *asked += 1.0;
            *deleted += f64::from(u8::from(is_delete(at)));
        }
        let factor = |&at: &usize| match counts[at / len] {
            [_, 0.0] => 1.0,
            [asked, deleted] => asked / (asked - deleted + 1.0) / if is_delete(at) { deleted } else { 1.0 },
        };
        let Weights { mut target, mut uniform } = self.inner.weights(noised);
        for (n, factor) in noised.at().iter().map(factor).enumerate() {
            target[n] *= factor;
            uniform.get_mut(n).into_iter().for_each(|w| *w *= factor);
        }
        Weights { target, uniform }
    }
}
