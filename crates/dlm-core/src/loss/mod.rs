//! Losses. Every cross-entropy loss of the field is one sum over noisy positions,
//!
//! ```text
//! L = Σ_i  w_i · (−log p_i(x₀_i))  +  u_i · (−mean_v log p_i(v))
//! ```
//!
//! and differs only in the weights `w` (and `u`, label smoothing). A [`Weighting`] computes them on the
//! host in f64; [`nll`] does the sum on the device, over the logits at noisy positions alone.

mod nll;
mod weighting;

pub use nll::{forbid, nll, nll_chunked, nll_per_token};
pub use weighting::{Mlm, Nelbo, Rdm, Reduction, Weighting, Weights};
