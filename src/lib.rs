#![doc = include_str!("../README.md")]

pub use dlm_core as core;
pub use dlm_models as models;
pub use dlm_sampling as sampling;
pub use dlm_train as train;
