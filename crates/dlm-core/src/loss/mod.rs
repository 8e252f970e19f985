//! Losses. Every cross-entropy loss of the field is one sum over noisy positions,
//!
//! ```text
//! L = Σ_i  w_i · (−log p_i(x₀_i))  +  u_i · (−mean_v log p_i(v))
//! ```
//!
//! and differs only in the weights `w` (and `u`, label smoothing). A [`Weighting`] computes them on the
//! host in f64; [`nll`] does the sum on the device, over the logits at noisy positions alone.
//!
//! A loss that is more than that is a [`TokenLoss`]: nats at each asked position, to be averaged by a
//! [`Reduction`]. All take logits of p(x₀ | x_t) but [`ScoreEntropy`], which takes [`LogScores`].
//!
//! | loss | of | noise |
//! |---|---|---|
//! | [`Nelbo`] | MDLM, MD4, LLaDA, BD3LM (a time for each block) | absorbing |
//! | [`Rdm`] | RDM and the paper | absorbing, words |
//! | [`Cart`] | Dream | absorbing |
//! | [`Resized`] | DreamOn, around another: texts that change their length | absorbing |
//! | [`Flat`], [`Mlm`] | masked language models | absorbing |
//! | [`D3pm`] | D3PM, over T discrete times | any |
//! | [`Elbo`] | UDLM, Duo, GIDD, in continuous time | any |
//! | [`ScoreEntropy`] | SEDD, for a network that says ratios | any |
//! | [`FlowMatching`] | discrete flow matching | any that does not vary |
//! | [`GenMd4`] | GenMD4, a rate for each word | absorbing |
//! | [`Confidence`] | LLaDA2's confidence, beside another loss | any |

mod cart;
mod chunked;
mod columns;
mod confidence;
mod d3pm;
mod elbo;
mod flow;
mod gen_md4;
mod nelbo;
mod nll;
mod place;
mod rdm;
mod resized;
mod score_entropy;
mod weighting;

pub use cart::Cart;
pub use chunked::{NllChunks, nll_chunked};
pub use confidence::Confidence;
pub use d3pm::D3pm;
pub use elbo::Elbo;
pub use flow::FlowMatching;
pub use gen_md4::GenMd4;
pub use nelbo::Nelbo;
pub use nll::{forbid, nll, nll_per_token};
pub use rdm::Rdm;
pub use resized::Resized;
pub use score_entropy::{LogScores, ScoreEntropy};
pub use weighting::{Flat, Mlm, Reduction, Scaled, Weighting, Weights};

use burn::tensor::Tensor;

use crate::forward::Noised;

/// A loss that is no weighted cross-entropy: nats at each asked position, not yet averaged.
pub trait TokenLoss {
    /// What it takes of a network at the asked positions: logits of p(x₀ | x_t), `[N, V]`, which every
    /// [`Denoiser`](crate::Denoiser) gives, or [`LogScores`].
    type Output;

    /// The loss of each position of `noised.at()`, with its gradient.
    ///
    /// # Shapes
    /// - `output`: `[N, V]`, any float type; reduced in f32
    /// - returns: `[N]`, nats, f32
    ///
    /// # Panics
    /// If `output` does not have one row for each asked position, or not one column for each word of the prior.
    ///
    /// # Numerics
    /// First order only: the gradient is a constant to automatic differentiation.
    fn terms(&self, output: Self::Output, noised: &Noised) -> Tensor<1>;
}
