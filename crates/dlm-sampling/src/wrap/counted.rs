use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor};
use dlm_core::{Denoiser, DenoiserInput};

/// Counts what the network is asked.
///
/// # Example
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use dlm_core::{Denoiser, DenoiserInput, Vocabulary};
/// # use dlm_sampling::{Canvas, Error, reverse, strategy::Route, uniform, wrap::Counted};
/// # struct Flat;
/// # impl Denoiser for Flat {
/// #     fn vocab_size(&self) -> usize { 6 }
/// #     fn device(&self) -> Device { Device::flex() }
/// #     fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> { Tensor::zeros([input.at.len(), 6], &self.device()) }
/// # }
/// # let vocabulary = Vocabulary::new(6, 0, 1, 2, 5)?;
/// let model = Counted::new(Flat);
/// let canvas = Canvas::prompted(&[[3], [4]], &[2, 2], &vocabulary)?;
/// reverse(&model, &Route::paper(), canvas, uniform(3), 0).finish()?;
/// assert_eq!((model.forwards(), model.rows()), (3, 6));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Counted<D> {
    inner: D,
    forwards: AtomicUsize,
    rows: AtomicUsize,
}

impl<D: Denoiser> Counted<D> {
    /// Counts from zero.
    pub fn new(inner: D) -> Self {
        Self { inner, forwards: AtomicUsize::new(0), rows: AtomicUsize::new(0) }
    }

    /// Forward passes so far.
    pub fn forwards(&self) -> usize {
        self.forwards.load(Ordering::Relaxed)
    }

    /// Rows evaluated so far: the NFE of the literature, summed over rows.
    pub fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }
}

impl<D: Denoiser> Denoiser for Counted<D> {
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
        self.forwards.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(input.shape[0], Ordering::Relaxed);
        self.inner.logits(input)
    }

    fn time_free(&self) -> bool {
        self.inner.time_free()
    }
}
