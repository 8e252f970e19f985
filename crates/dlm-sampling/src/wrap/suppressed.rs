use burn::tensor::{Device, Tensor, TensorData};
use dlm_core::{Denoiser, DenoiserInput, TokenId};

use crate::error::Error;

/// Makes some words impossible, for instance EOS and padding inside a response of given length. The
/// probabilities of the others are renormalised.
#[derive(Debug)]
pub struct Suppressed<D> {
    inner: D,
    /// `[1, V]`: 0, or −∞ for a suppressed word.
    bias: Tensor<2>,
}

impl<D: Denoiser> Suppressed<D> {
    /// `inner` without the words `ids`. If that leaves no word but the mask, sampling ends with
    /// [`Error::NonFinite`].
    ///
    /// # Errors
    /// Core error `UnknownSpecial` for an id outside the vocabulary.
    pub fn new(inner: D, ids: &[TokenId]) -> Result<Self, Error> {
        let size = inner.vocab_size();
        let mut bias = vec![0.0_f32; size];
        for &id in ids {
            let word = bias.get_mut(id as usize);
            *word.ok_or(dlm_core::Error::UnknownSpecial { name: "suppressed", id, size })? =
                f32::NEG_INFINITY;
        }
        let bias = Tensor::from_data(TensorData::new(bias, [1, size]), &inner.device());
        Ok(Self { inner, bias })
    }
}

impl<D: Denoiser> Denoiser for Suppressed<D> {
    fn vocab_size(&self) -> usize {
        self.inner.vocab_size()
    }

    fn device(&self) -> Device {
        self.inner.device()
    }

    fn max_len(&self) -> Option<usize> {
        self.inner.max_len()
    }

    fn check(&self, input: &DenoiserInput<'_>) -> Result<(), dlm_core::Error> {
        self.inner.check(input)
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let logits = self.inner.logits(input);
        let bias = self.bias.clone().cast(logits.dtype());
        logits + bias
    }

    fn time_free(&self) -> bool {
        self.inner.time_free()
    }
}
