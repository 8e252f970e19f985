use burn::tensor::Tensor;

use super::TokenLoss;
use super::columns::{Closed, add_at, of_softmax, row};
use crate::forward::Noised;
use crate::schedule::PerToken;

/// The continuous-time NELBO of absorbing noise whose rate depends on the word.
///
/// ```text
/// ℓ = w(x₀)·(−ln p(x₀)) + Σ_v w(v)·p(v) − w(x₀),   w(v) = −α_v′/(1 − α_v) = w_v/t
/// ```
///
/// The last two terms vanish where all rates are one: then it is the NELBO. The logits are of p(x₀ | x_t) with
/// the mask forbidden.
///
/// # Source
/// Shi et al. 2024, arXiv:2406.04329, Eq. 12 (state-dependent masking), with fixed rates.
///
/// # Numerics
/// At t = 0, where nothing is noise, the weight is infinite.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use dlm_core::loss::{GenMd4, TokenLoss, forbid};
/// use dlm_core::{Batch, Noised, Prior, Sequence, Vocabulary, schedule::PerToken};
/// let vocabulary = Vocabulary::new(3, 0, 0, 1, 2)?;
/// let batch = Batch::new(&[Sequence::whole(vec![0])], &vocabulary)?;
/// let noised = Noised::with_noise(&batch, &[0.5], &[true], Prior::Absorbing { mask: 2 })?;
/// let logits = forbid(Tensor::zeros([1, 3], &Device::flex()), 2);
/// let loss = GenMd4::new(PerToken::new(&[1.0, 3.0, 1.0])?).terms(logits, &noised);
/// // 2·ln 2 + (2·½ + 6·½) − 2
/// assert!((loss.into_scalar::<f32>() - 2.0 * 2.0_f32.ln() - 2.0).abs() < 1e-5);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GenMd4 {
    rates: PerToken,
}

impl GenMd4 {
    /// The bound for noise of these rates (see [`noise_per_token`](crate::forward::noise_per_token)).
    pub fn new(rates: PerToken) -> Self {
        Self { rates }
    }
}

impl TokenLoss for GenMd4 {
    type Output = Tensor<2>;

    fn terms(&self, logits: Tensor<2>, noised: &Noised) -> Tensor<1> {
        let rates = self.rates.exponents();
        assert_eq!(logits.dims()[1], rates.len(), "words of the logits against rates");
        of_softmax(logits, noised, |said| {
            let own = said.column(noised.at(), |&at| rates[noised.x0()[at] as usize]);
            let per_time = said.column(noised.at(), |&at| noised.time_at(at).recip());
            let all = said.p.clone() * row(rates, &said.device);
            let value = own.clone() * (-said.log_p_x0.clone() - 1.0) + all.clone().sum_dim(1);
            let slope = add_at(all, said.x0.clone(), -own);
            Closed { value: value * per_time.clone(), slope: slope * per_time }
        })
    }
}
