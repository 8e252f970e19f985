use burn::tensor::Tensor;

use super::TokenLoss;
use super::columns::{Closed, of_softmax};
use crate::forward::Noised;

/// The entropy of what the network says where its best guess is right, and 0 elsewhere: added to a loss, times
/// some λ, it makes right guesses surer, so that more of them pass a threshold at once.
///
/// # Source
/// Bie et al. 2025, arXiv:2512.15745, section 5.2, the second term of Eq. 6 (LLaDA2.0, confidence-aware parallel
/// training).
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use dlm_core::loss::{Confidence, TokenLoss};
/// use dlm_core::{Batch, Noised, Prior, Sequence, Vocabulary};
/// let vocabulary = Vocabulary::new(4, 0, 1, 2, 3)?;
/// let batch = Batch::new(&[Sequence::whole(vec![0, 1])], &vocabulary)?;
/// let noised = Noised::with_noise(&batch, &[1.0], &[true, true], Prior::Absorbing { mask: 3 })?;
/// let logits = Tensor::from_data([[0.0, 0.0, -99.0, -99.0], [9.0, 0.0, 0.0, 0.0]], &Device::flex());
/// let entropies: Vec<f32> = Confidence.terms(logits, &noised).into_data().iter().collect();
/// // The first guess is right, if by a hair: one bit. The second is wrong.
/// assert!((entropies[0] - 2.0_f32.ln()).abs() < 1e-6 && entropies[1] == 0.0);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confidence;

impl TokenLoss for Confidence {
    type Output = Tensor<2>;

    fn terms(&self, logits: Tensor<2>, noised: &Noised) -> Tensor<1> {
        of_softmax(logits, noised, |said| {
            let best = said.p.clone().max_dim(1);
            let right = said.p.clone().gather(1, said.x0.clone()).greater_equal(best).float();
            // 0·ln 0 is 0.
            let terms = said.p.clone() * said.p.clone().clamp_min(f32::MIN_POSITIVE).log();
            let value = -(terms.clone().sum_dim(1) * right.clone());
            let slope = -(terms + said.p.clone()) * right;
            Closed { value, slope }
        })
    }
}
