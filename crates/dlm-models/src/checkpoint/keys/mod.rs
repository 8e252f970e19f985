//! Upstream names of weights, a file for each family.

pub(super) mod bert;
mod llada;
mod llama;
