//! GELU on the tape, with its exact derivative.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use burn::tensor::{DType, Tensor, TensorData};
use dlm_core::host::{shares_memory, vectorised};
use rayon::prelude::*;

/// x · Φ(x) with its derivative Φ(x) + x · φ(x): burn's `gelu` has that of its tanh approximation on every
/// backend but flex (0.22.1), which is off by up to 1e-3.
///
/// On the tape this is a line through the point, x · slope + rest, so that the backward pass needs one tensor of this
/// size.
pub(crate) fn gelu_with_exact_gradient<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let at = x.clone().inner();
    let [slope, rest] = match at.dtype() {
        DType::F32 if shares_memory(&at.device()) => lines_on_host(at),
        _ => lines(&at),
    };
    x * Tensor::from_inner(slope) + Tensor::from_inner(rest)
}

/// The slope of GELU, and the value at 0 of the line through its point.
fn lines<const D: usize>(at: &Tensor<D>) -> [Tensor<D>; 2] {
    let cumulative = at.clone().mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5);
    let density = (at.clone().square() * -0.5).exp() * (FRAC_2_SQRT_PI * 0.5 * FRAC_1_SQRT_2);
    let slope = cumulative.clone() + at.clone() * density;
    let rest = at.clone() * (cumulative - slope.clone());
    [slope, rest]
}

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 13;

/// [`lines`] in one pass, to 2e-7.
fn lines_on_host<const D: usize>(at: Tensor<D>) -> [Tensor<D>; 2] {
    let (device, shape) = (at.device(), at.shape());
    let mut slope = at.into_data();
    let mut rest = vec![0f32; slope.num_elements()];
    if let Ok(slope) = slope.as_mut_slice::<f32>() {
        slope.par_chunks_mut(CHUNK).zip(rest.par_chunks_mut(CHUNK)).for_each(|(slope, rest)| {
            vectorised(|| {
                for (x, rest) in slope.iter_mut().zip(rest) {
                    [*x, *rest] = line(*x);
                }
            });
        });
    }
    [slope, TensorData::new(rest, shape)].map(|data| Tensor::from_data(data, (&device, DType::F32)))
}

/// Slope and rest at one point. Φ(−|x|) is a polynomial times exp(−x²/2), which is also the density's.
///
/// Source: Abramowitz & Stegun 1964, 7.1.26, whose error is at most 1.5e-7 for erf.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for the vectors of `vectorised` only where it is inlined")]
fn line(x: f32) -> [f32; 2] {
    const DENSITY: f32 = 0.398_942_3;
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + (0.327_591_1 * FRAC_1_SQRT_2 as f32) * x.abs());
    let series = [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    let tail = 0.5 * bell * t * series.iter().fold(1.061_405_4, |sum, c| sum * t + c);
    let cumulative = if x < 0.0 { tail } else { 1.0 - tail };
    let slope = cumulative + x * bell * DENSITY;
    [slope, x * (cumulative - slope)]
}

/// e^x for x ≤ 0, 0 below −87: two units in the last place.
///
/// Source: the range reduction and polynomial of Cephes's `expf` (Moshier).
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for the vectors of `vectorised` only where it is inlined")]
fn exp(x: f32) -> f32 {
    // Adding it rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let whole = x.max(-87.0) * std::f32::consts::LOG2_E + ROUND;
    let power = f32::from_bits(whole.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    let whole = whole - ROUND;
    let rest = (x.max(-87.0) - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let series = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    let sum = series.iter().fold(1.987_569_1e-4, |sum, c| sum * rest + c);
    let value = (sum * rest * rest + rest + 1.0) * power;
    if x < -87.0 { 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tolerance};

    #[test]
    fn the_exponential_is_right_to_a_few_units_in_the_last_place() {
        for step in 0..870_000 {
            let x = step as f32 * -1e-4;
            let (got, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got / expected - 1.0).abs() < 2e-7, "exp({x}): {got} for {expected}");
        }
        assert_eq!(
            [0.0, -88.0, f32::NEG_INFINITY].map(|x| exp(x).to_bits()),
            [1f32, 0.0, 0.0].map(f32::to_bits)
        );
    }

    #[test]
    fn the_host_draws_the_same_lines_as_the_device() {
        let mut points: Vec<f32> = (-60_000..60_000).map(|step| step as f32 * 2e-4).collect();
        points.extend([f32::MIN, -1e10, -0.0, 1e-30, 1e10, f32::MAX.sqrt()]);
        let count = points.len();
        let at = Tensor::<1>::from_data(TensorData::new(points, [count]), &Device::flex());
        let close = |[slope, rest]: [Tensor<1>; 2], [other, others]: [Tensor<1>; 2]| {
            let tolerance = Tolerance::<f32>::absolute(4e-7);
            slope.into_data().assert_approx_eq(&other.into_data(), tolerance);
            rest.into_data().assert_approx_eq(&others.into_data(), Tolerance::<f32>::absolute(1e-6));
        };
        close(lines_on_host(at.clone()), lines(&at));
        let nan = Tensor::<1>::from_floats([f32::NAN], &Device::flex());
        assert!(lines_on_host(nan)[0].clone().into_scalar::<f32>().is_nan());
    }
}
