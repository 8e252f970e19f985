//! A network seen otherwise: through wrappers that change what it is asked.

use burn::tensor::{Device, Tensor};

use crate::denoiser::{Attention, Decoder, Denoiser, DenoiserInput, Factored};
use crate::error::Error;

/// The network whose answer about a position is the inner one's at the position before it, as networks that
/// predict the next token give it. A row's first position, which has none before it, answers for itself.
///
/// This is how a diffusion model is made of an autoregressive network without relearning its last layer.
///
/// # Source
/// Gong et al. 2024, arXiv:2410.17891, section 3.2; Ye et al. 2025, arXiv:2508.15487 (Dream).
#[derive(Debug, Clone)]
pub struct Shifted<D>(pub D);

/// The network with this attention, whatever it is asked with.
#[derive(Debug, Clone)]
pub struct Attending<'a, D> {
    /// The network.
    pub inner: D,
    /// Who sees whom.
    pub attention: Attention<'a>,
}

/// An autoregressive network as a denoiser: it sees what stands before a position, and predicts what stands
/// there.
pub type NextToken<D> = Shifted<Attending<'static, D>>;

/// See [`NextToken`].
///
/// # Example
/// ```
/// # use burn::tensor::{Device, Tensor};
/// use dlm_core::view::next_token;
/// use dlm_core::{Attention, Denoiser, DenoiserInput};
/// struct Network;
/// impl Denoiser for Network {
///     # fn vocab_size(&self) -> usize { 4 }
///     # fn device(&self) -> Device { Device::flex() }
///     fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
///         assert_eq!((input.attention, input.at), (Attention::Causal, [0, 1].as_slice()));
///         // ..
///         # Tensor::zeros([2, 4], &self.device())
///     }
/// }
/// let logits = next_token(Network).logits(&DenoiserInput::new(&[1, 2, 3], [1, 3], &[1, 2]));
/// assert_eq!(logits.dims(), [2, 4]);
/// ```
pub fn next_token<D>(inner: D) -> NextToken<D> {
    Shifted(Attending { inner, attention: Attention::Causal })
}

impl<D> Shifted<D> {
    fn before(input: &DenoiserInput<'_>) -> Vec<usize> {
        let len = input.shape[1];
        input.at.iter().map(|&at| if at.is_multiple_of(len) { at } else { at - 1 }).collect()
    }
}

impl<D: Denoiser> Denoiser for Shifted<D> {
    fn vocab_size(&self) -> usize {
        self.0.vocab_size()
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn max_len(&self) -> Option<usize> {
        self.0.max_len()
    }

    fn check(&self, input: &DenoiserInput<'_>) -> Result<(), Error> {
        self.0.check(input)
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        self.0.logits(&input.asking(&Self::before(input)))
    }

    fn time_free(&self) -> bool {
        self.0.time_free()
    }
}

impl<D: Factored> Factored for Shifted<D> {
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        self.0.features(&input.asking(&Self::before(input)))
    }

    fn decoder(&self) -> Decoder {
        self.0.decoder()
    }
}

impl<D> Attending<'_, D> {
    fn seen<'b>(&'b self, input: &DenoiserInput<'b>) -> DenoiserInput<'b> {
        input.with_attention(self.attention)
    }
}

impl<D: Denoiser> Denoiser for Attending<'_, D> {
    fn vocab_size(&self) -> usize {
        self.inner.vocab_size()
    }

    fn device(&self) -> Device {
        self.inner.device()
    }

    fn max_len(&self) -> Option<usize> {
        self.inner.max_len()
    }

    fn check(&self, input: &DenoiserInput<'_>) -> Result<(), Error> {
        self.inner.check(&self.seen(input))
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        self.inner.logits(&self.seen(input))
    }

    fn time_free(&self) -> bool {
        self.inner.time_free()
    }
}

impl<D: Factored> Factored for Attending<'_, D> {
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        self.inner.features(&self.seen(input))
    }

    fn decoder(&self) -> Decoder {
        self.inner.decoder()
    }
}
