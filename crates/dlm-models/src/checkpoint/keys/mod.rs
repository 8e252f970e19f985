//! Upstream names of weights, a file for each family.

pub(super) mod bert;
mod gpt2;
mod llada;
mod llama;
