//! Arithmetic in main memory, for devices whose tensors lie there.
//!
//! A chain of elementwise operations passes over memory once an operation; where a device hands its tensors over
//! without a copy, one loop on the host does it in one pass. What a loop computes, burn's operations compute too, on
//! any device: this is about time alone.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Whether tensors of `device` lie in main memory and go in and out of it without a copy.
///
/// Found out by doing so, once for each device.
///
/// # Example
/// ```
/// use burn::tensor::Device;
/// assert!(dlm_core::host::shares_memory(&Device::flex()));
/// ```
pub fn shares_memory(device: &Device) -> bool {
    static KNOWN: Mutex<Vec<(Device, bool)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, shares)) = known.iter().find(|(other, _)| other == device) {
        return *shares;
    }
    let shares = comes_back(&device.clone().inner());
    known.push((device.clone().inner(), shares));
    shares
}

/// Whether what is uploaded is downloaded in its own place.
fn comes_back(device: &Device) -> bool {
    const LEN: usize = 256;
    let data = vec![0f32; LEN];
    let place = data.as_ptr();
    let tensor = Tensor::<1>::from_data(TensorData::new(data, [LEN]), (device, DType::F32));
    // A device that copied has freed the place by now, and this takes it.
    let decoy = black_box(vec![1f32; LEN]);
    let back = tensor.into_data();
    let same = back.as_slice::<f32>().is_ok_and(|back| std::ptr::eq(back.as_ptr(), place));
    drop(decoy);
    same
}

/// Runs a loop compiled for the widest vectors that this processor has.
///
/// Results are the same on every processor: nothing is contracted or reordered.
///
/// # Example
/// ```
/// let (x, mut y) = (vec![2.0; 1000], vec![1.0; 1000]);
/// dlm_core::host::vectorised(|| y.iter_mut().zip(&x).for_each(|(y, x)| *y += 3.0 * x));
/// assert_eq!(y[999], 7.0);
/// ```
#[inline]
pub fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flex_hands_its_tensors_over_with_and_without_a_tape() {
        assert!(shares_memory(&Device::flex()));
        assert!(shares_memory(&Device::flex().autodiff()));
        // Another device may answer either way, and always the same.
        let device = Device::default();
        assert_eq!(shares_memory(&device), shares_memory(&device));
    }
}
