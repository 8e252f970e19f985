#![doc = include_str!("../README.md")]

pub mod evaluate;
pub mod length;
pub mod pipeline;
pub mod recipe;
pub mod text;
pub mod view;

pub use dlm_core as core;
pub use dlm_models as models;
pub use dlm_sampling as sampling;
pub use dlm_train as train;

/// The pages of `docs/`, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/extending.md")]
mod extending {}
