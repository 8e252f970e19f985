use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dlm_core::{Denoiser, DenoiserInput};
use rayon::prelude::*;

/// Splits the rows of each forward pass over rayon's threads. Meant for CPUs, where much of a network's work keeps
/// one core busy; rows do not see each other, so the answer is the same. A single row gains too, because its products
/// then start where they run.
///
/// # Example
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use dlm_core::{Denoiser, DenoiserInput, Vocabulary};
/// # use dlm_sampling::{Canvas, Error, reverse, strategy::Route, uniform, wrap::Threads};
/// # struct Flat;
/// # impl Denoiser for Flat {
/// #     fn vocab_size(&self) -> usize { 6 }
/// #     fn device(&self) -> Device { Device::flex() }
/// #     fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> { Tensor::zeros([input.at.len(), 6], &self.device()) }
/// # }
/// # let vocabulary = Vocabulary::new(6, 0, 1, 2, 5)?;
/// let model = Threads::new(Flat, 2);
/// let canvas = Canvas::prompted(&[[3], [4]], &[2, 2], &vocabulary)?;
/// reverse(&model, &Route::paper(), canvas, uniform(3), 0).finish()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Threads<D> {
    inner: D,
    threads: usize,
}

/// The part of an input that one thread works on.
struct Part {
    rows: Range<usize>,
    /// Asked positions, counted from the part's first.
    at: Vec<usize>,
    /// Where the answers to them go.
    order: Vec<i32>,
}

impl<D: Denoiser + Sync> Threads<D> {
    /// At most `threads` threads; 0 counts as 1.
    pub fn new(inner: D, threads: usize) -> Self {
        Self { inner, threads: threads.max(1) }
    }

    /// Rows in equal parts, those without a question left out.
    fn parts(&self, input: &DenoiserInput<'_>) -> Vec<Part> {
        let [rows, len] = input.shape;
        let per = rows.div_ceil(self.threads).max(1);
        let parts = (0..rows).step_by(per).map(|first| {
            let rows = first..rows.min(first + per);
            let mine = |at: usize| rows.contains(&(at / len));
            let order: Vec<usize> = (0..input.at.len()).filter(|&i| mine(input.at[i])).collect();
            let at = order.iter().map(|&i| input.at[i] - first * len).collect();
            Part { order: order.into_iter().map(|i| i as i32).collect(), at, rows }
        });
        parts.filter(|part| !part.at.is_empty()).collect()
    }
}

impl<D: Denoiser + Sync> Denoiser for Threads<D> {
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
        let parts = self.parts(input);
        if parts.is_empty() {
            return self.inner.logits(input);
        }
        let answers =
            parts.par_iter().map(|part| self.inner.logits(&input.rows(part.rows.clone(), &part.at)));
        let logits = Tensor::cat(answers.collect(), 0);
        let order: Vec<i32> = parts.into_iter().flat_map(|part| part.order).collect();
        if order.is_sorted() { logits } else { logits.select(0, inverse(&order, &self.device())) }
    }

    fn time_free(&self) -> bool {
        self.inner.time_free()
    }
}

/// Where each answer is to be found.
fn inverse(order: &[i32], device: &Device) -> Tensor<1, Int> {
    let mut found = vec![0; order.len()];
    for (place, &i) in order.iter().enumerate() {
        found[i as usize] = place as i32;
    }
    let len = found.len();
    Tensor::from_data(TensorData::new(found, [len]), device)
}
