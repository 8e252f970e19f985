//! Gradient checkpointing: activations that are computed again in the backward pass instead of kept.
//!
//! A network passes its states through its layers by [`segment`]. That is a plain call, unless a trainer
//! listens by [`recording`]: then a layer's forward pass leaves nothing on the tape but its input and output,
//! and the trainer runs each layer once more when the gradient of its output is known. Peak memory holds the
//! activations of one layer instead of all, for one more forward pass of time.
//!
//! Source: Chen et al. 2016, arXiv:1604.06174, section 4.

use std::cell::RefCell;

use burn::module::Module;
use burn::tensor::Tensor;

/// A layer whose activations were not kept.
pub struct Segment {
    /// The layer's output: a leaf, whose gradient the rest of the network gives.
    pub output: Tensor<2>,
    again: Box<dyn FnOnce() -> Tensor<2>>,
}

impl Segment {
    /// The layer's output once more, now with its tape.
    pub fn again(self) -> Tensor<2> {
        (self.again)()
    }
}

struct Tape {
    seed: u64,
    segments: Vec<Segment>,
}

thread_local! {
    // Reaches the layers through signatures that know nothing of training.
    static TAPE: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

/// Runs `forward` and returns the segments that were left off its tape, in their order. Only what runs in this
/// thread is recorded.
///
/// Before each segment, and again before it is computed anew, the device's generator is seeded from `seed`,
/// so that dropout is the same both times. burn's generator belongs to the whole process: while a segment runs, no
/// other thread may draw from it or seed it, on whichever device, or the gradient is that of another dropout mask.
pub fn recording<R>(seed: u64, forward: impl FnOnce() -> R) -> (R, Vec<Segment>) {
    let outer = TAPE.replace(Some(Tape { seed, segments: Vec::new() }));
    let result = forward();
    let tape = TAPE.replace(outer);
    (result, tape.map_or_else(Vec::new, |tape| tape.segments))
}

/// Applies a layer to its input.
///
/// # Shapes
/// - `input`, returns: `[N, D]`, as `forward` has them
///
/// # Example
/// ```
/// use burn::module::Param;
/// use burn::tensor::{Device, Tensor};
/// use dlm_core::recompute::{recording, segment};
/// let device = Device::flex().autodiff();
/// // A parameter is the smallest module.
/// let weight = Param::from_tensor(Tensor::<2>::ones([2, 2], &device).require_grad());
/// let x = Tensor::<2>::ones([1, 2], &device);
/// let layer = |weight: &Param<Tensor<2>>, x: Tensor<2>| x.matmul(weight.val());
/// let (y, segments) = recording(0, || segment(&weight, x, layer));
/// assert_eq!(segments.len(), 1);
/// # let _ = y;
/// ```
pub fn segment<M: Module + 'static>(
    layer: &M,
    input: Tensor<2>,
    forward: impl Fn(&M, Tensor<2>) -> Tensor<2> + 'static,
) -> Tensor<2> {
    let seed =
        TAPE.with_borrow(|tape| tape.as_ref().map(|tape| tape.seed.wrapping_add(tape.segments.len() as u64)));
    let Some(seed) = seed.filter(|_| input.is_autodiff()) else { return forward(layer, input) };
    let device = input.device();
    device.seed(seed);
    let constant = input.clone().detach().set_require_grad(false);
    let output = forward(&layer.clone().no_grad(), constant).detach().require_grad();
    let layer = layer.clone();
    let again = Box::new(move || {
        device.seed(seed);
        forward(&layer, input)
    });
    let segment = Segment { output: output.clone(), again };
    TAPE.with_borrow_mut(|tape| {
        if let Some(tape) = tape {
            tape.segments.push(segment);
        }
    });
    output
}
