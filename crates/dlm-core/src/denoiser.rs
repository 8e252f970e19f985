//! A network, seen from outside.

use burn::tensor::{Device, Tensor};

use crate::sequence::TokenId;

/// Which positions a position may look at, padding aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attention<'a> {
    /// Every position sees every position.
    #[default]
    Full,
    /// The first `n` positions of a row see only each other; the rest sees everything. One `n` a row.
    Prefix(&'a [usize]),
}

/// What a network is asked: ids on the host, and the positions whose logits are wanted.
///
/// Built by [`DenoiserInput::new`] and its `with_` methods; fields may be added.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DenoiserInput<'a> {
    /// Tokens, `[B, L]`, row-major.
    pub ids: &'a [TokenId],
    /// `[B, L]`.
    pub shape: [usize; 2],
    /// True at padding, `[B, L]`; `None` if there is none.
    pub pad: Option<&'a [bool]>,
    /// Diffusion time of each row, `[B]`, or empty. Time-free networks ignore it.
    pub times: &'a [f64],
    /// Who sees whom.
    pub attention: Attention<'a>,
    /// The N flat positions (`row · L + position`) whose logits are wanted, in the order of the answer.
    pub at: &'a [usize],
}

impl<'a> DenoiserInput<'a> {
    /// Asks for the logits at `at` of rows without padding.
    ///
    /// # Panics
    /// If `ids` is not `shape[0] · shape[1]` long.
    pub fn new(ids: &'a [TokenId], shape: [usize; 2], at: &'a [usize]) -> Self {
        assert_eq!(ids.len(), shape[0] * shape[1], "ids of shape {shape:?}");
        Self { ids, shape, pad: None, times: &[], attention: Attention::Full, at }
    }

    /// Hides the positions where `pad` is true.
    ///
    /// # Panics
    /// If there is not one flag for each id.
    #[must_use]
    pub fn with_pad(self, pad: &'a [bool]) -> Self {
        assert_eq!(pad.len(), self.ids.len(), "padding flags of shape {:?}", self.shape);
        Self { pad: Some(pad), ..self }
    }

    /// Tells each row's time.
    ///
    /// # Panics
    /// If there is not one time for each row.
    #[must_use]
    pub fn with_times(self, times: &'a [f64]) -> Self {
        assert_eq!(times.len(), self.shape[0], "times of {} rows", self.shape[0]);
        Self { times, ..self }
    }

    /// Restricts who sees whom.
    #[must_use]
    pub fn with_attention(self, attention: Attention<'a>) -> Self {
        Self { attention, ..self }
    }
}

/// All that losses and samplers know of a network.
pub trait Denoiser {
    /// Number of words, V.
    fn vocab_size(&self) -> usize;

    /// Where the network lives and its logits appear.
    fn device(&self) -> Device;

    /// Logits of `p_θ(x₀ | x_t)` at the positions `input.at`.
    ///
    /// # Shapes
    /// - returns: `[N, V]`, N = `input.at.len()`, in that order
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2>;

    /// Whether the logits depend on the tokens alone and not on `input.times`. A sampler asks such a
    /// network only about rows whose tokens have changed.
    fn time_free(&self) -> bool {
        false
    }
}

impl<D: Denoiser + ?Sized> Denoiser for &D {
    fn vocab_size(&self) -> usize {
        (**self).vocab_size()
    }
    fn device(&self) -> Device {
        (**self).device()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        (**self).logits(input)
    }
    fn time_free(&self) -> bool {
        (**self).time_free()
    }
}

/// A network whose last layer is a plain linear map over the vocabulary, so that a loss can apply it
/// piece by piece (see [`nll_chunked`](crate::loss::nll_chunked)).
pub trait Factored: Denoiser {
    /// What the decoder is applied to, `[N, D]`, at the positions `input.at`.
    fn features(&self, input: &DenoiserInput<'_>) -> Tensor<2>;

    /// The last layer.
    fn decoder(&self) -> Decoder;
}

/// The linear map from features to logits.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// `[V, D]`: one row a word, as embeddings are stored.
    pub weight: Tensor<2>,
    /// `[V]`.
    pub bias: Option<Tensor<1>>,
}

impl Decoder {
    /// Logits of some features.
    ///
    /// # Shapes
    /// - `features`: `[N, D]`
    /// - returns: `[N, V]`
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let logits = features.matmul(self.weight.clone().transpose());
        match &self.bias {
            None => logits,
            Some(bias) => logits + bias.clone().unsqueeze(),
        }
    }
}
