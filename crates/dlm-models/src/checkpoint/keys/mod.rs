//! Upstream names of weights, a file for each family.

pub(super) mod albert;
pub(super) mod bert;
pub(super) mod dit;
pub(super) mod esm;
mod fairseq;
mod gpt2;
mod llada;
mod llama;
pub(super) mod llava;
pub(super) mod modernbert;
pub(super) mod rdm;
