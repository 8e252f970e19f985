use burn::tensor::Tensor;

use super::TokenLoss;
use super::columns::{Closed, add_at, of_softmax};
use crate::forward::Noised;
use crate::schedule::Schedule;

/// Discrete flow matching along the mixture path: the divergence between the rates at which a token should jump
/// to its clean value and those of the network.
///
/// ```text
/// ℓ = −α′/(1 − α) · [ δ − p(x_t) + (1 − δ)·(−ln p(x₀)) ],   δ = [x_t = x₀]
/// ```
///
/// Under absorbing noise, with the mask forbidden, it is the NELBO; else it asks about every token that may be
/// noise, and where one is clean it wants to hear that. The noise distribution does not enter.
///
/// # Source
/// Shaul et al. 2024, arXiv:2412.03487 (the ELBO of mixture paths, a generalised KL); Gat et al. 2024,
/// arXiv:2407.15595, Eq. 9 (the path) and 24 (the rates).
///
/// # Numerics
/// At t = 0 the weight is infinite: times begin at some ε above it.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use dlm_core::loss::{FlowMatching, TokenLoss};
/// use dlm_core::{Batch, Noised, Prior, Sequence, Vocabulary, schedule::Linear};
/// let vocabulary = Vocabulary::new(6, 0, 1, 2, 5)?;
/// let batch = Batch::new(&[Sequence::whole(vec![3, 3])], &vocabulary)?;
/// let noised = Noised::with_tokens(&batch, &[0.5], &[4, 3], &Prior::uniform(&vocabulary)?)?;
/// let losses = FlowMatching::new(Linear).terms(Tensor::zeros([2, 6], &Device::flex()), &noised);
/// let losses: Vec<f32> = losses.into_data().iter().collect();
/// assert!((losses[0] - 2.0 * (6.0_f32.ln() - 1.0 / 6.0)).abs() < 1e-5); // noise
/// assert!((losses[1] - 2.0 * (1.0 - 1.0 / 6.0)).abs() < 1e-5); // clean
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowMatching<S> {
    schedule: S,
}

impl<S: Schedule> FlowMatching<S> {
    /// Along the path on which a token is clean with probability α of `schedule`.
    pub fn new(schedule: S) -> Self {
        Self { schedule }
    }
}

impl<S: Schedule> TokenLoss for FlowMatching<S> {
    type Output = Tensor<2>;

    fn terms(&self, logits: Tensor<2>, noised: &Noised) -> Tensor<1> {
        let clean = |&at: &usize| f64::from(u8::from(noised.xt()[at] == noised.x0()[at]));
        of_softmax(logits, noised, |said| {
            let column = |value: &dyn Fn(&usize) -> f64| said.column(noised.at(), value);
            let weight = column(&|&at| self.schedule.loss_weight(noised.time_at(at)));
            let p_xt = said.p.clone().gather(1, said.xt.clone());
            let noisy = column(&|at| 1.0 - clean(at));
            // At a clean token −ln p(x₀) has no part, so an impossible one must not make 0·∞ of it.
            let nll = -said.log_p_x0.clone();
            let value = column(&clean) - p_xt.clone() + nll * noisy.clone();
            let slope = add_at(said.p.zeros_like(), said.x0.clone(), -(noisy * weight.clone()));
            let slope = add_at(slope, said.xt.clone(), -(p_xt * weight.clone()));
            Closed { value: value * weight, slope }
        })
    }
}
