//! Rotary positions: queries and keys turned by angles that grow with the position.
//!
//! Source: Su et al. 2021, arXiv:2104.09864; elements i and i + d/2 make a pair, as in transformers'
//! `rotate_half` (burn's own layer pairs neighbours).

use std::f64::consts::PI;

use burn::tensor::{DType, Device, Tensor, TensorData};

/// How rotary angles are shrunk for texts longer than those of the training; upstream's `rope_scaling`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Scaling {
    /// Not at all.
    None,
    /// Positions divided by a factor. Chen et al. 2023, arXiv:2306.15595.
    Linear {
        /// By how much.
        factor: f64,
    },
    /// Slow angles divided, fast ones kept, with a ramp between. Llama 3.1.
    Llama3 {
        /// By how much.
        factor: f64,
        /// Turns within `original` positions up to which an angle is divided.
        low: f64,
        /// Turns from which on it is kept.
        high: f64,
        /// Tokens of the longest text before the stretching.
        original: usize,
    },
    /// The same with a ramp over the pairs of elements, and scores made sharper. Peng et al. 2023,
    /// arXiv:2309.00071.
    Yarn {
        /// By how much.
        factor: f64,
        /// Turns from which on an angle is kept.
        fast: f64,
        /// Turns up to which it is divided.
        slow: f64,
        /// Tokens of the longest text before the stretching.
        original: usize,
        /// What queries and keys are multiplied by; if unnamed, 0.1 · ln(factor) + 1.
        sharpness: Option<f64>,
    },
}

/// The angles of one position, for each pair of elements of a head.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rotary {
    theta: f64,
    frequencies: Vec<f64>,
    amplitude: f64,
}

/// Cosines and sines of a batch's positions.
#[derive(Clone)]
pub(crate) struct Turn {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rotary {
    /// Angles θ^(−2i/d) for the first `width` (d, even) elements of a head.
    pub(crate) fn new(width: usize, theta: f64, scaling: Scaling) -> Self {
        let plain: Vec<f64> =
            (0..width / 2).map(|pair| theta.powf(-2.0 * pair as f64 / width as f64)).collect();
        let frequencies = match scaling {
            Scaling::None => plain,
            Scaling::Linear { factor } => plain.into_iter().map(|f| f / factor).collect(),
            Scaling::Llama3 { factor, low, high, original } => {
                let turns = |f: f64| original as f64 * f / (2.0 * PI);
                let keep = |f: f64| ((turns(f) - low) / (high - low)).clamp(0.0, 1.0);
                plain.into_iter().map(|f| keep(f) * f + (1.0 - keep(f)) * f / factor).collect()
            }
            Scaling::Yarn { factor, fast, slow, original, .. } => {
                let [first, last] = ramp(width, theta, fast, slow, original as f64);
                let shrink = |pair: usize| ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
                let scaled = |(pair, f): (usize, f64)| (1.0 - shrink(pair)) * f + shrink(pair) * f / factor;
                plain.into_iter().enumerate().map(scaled).collect()
            }
        };
        let amplitude = match scaling {
            Scaling::Yarn { sharpness: Some(sharpness), .. } => sharpness,
            Scaling::Yarn { factor, .. } if factor > 1.0 => 0.1 * factor.ln() + 1.0,
            _ => 1.0,
        };
        Self { theta, frequencies, amplitude }
    }

    /// The angles of position 1 as upstream stores them: rounded at each operation, where [`Rotary`] rounds once.
    pub(crate) fn stored(&self) -> Vec<f32> {
        let width = 2.0 * self.frequencies.len() as f32;
        let stored = |pair: usize| (self.theta as f32).powf(2.0 * pair as f32 / width).recip();
        (0..self.frequencies.len()).map(stored).collect()
    }

    /// The turns of some positions, none negative, one for each token of a batch.
    pub(crate) fn turn(
        &self,
        positions: &[i32],
        [rows, len]: [usize; 2],
        dtype: DType,
        device: &Device,
    ) -> Turn {
        let (pairs, last) = (self.frequencies.len(), positions.iter().copied().max().unwrap_or(0));
        let table = |function: fn(f64) -> f64| {
            // Once for each position that there is: a batch has many tokens at one position.
            let angle = |position: i32| self.frequencies.iter().map(move |f| f64::from(position) * f);
            let values: Vec<f32> =
                (0..=last).flat_map(angle).map(|a| (function(a) * self.amplitude) as f32).collect();
            let of = |&position: &i32| &values[position as usize * pairs..][..pairs];
            let values: Vec<f32> = positions.iter().flat_map(of).copied().collect();
            let data = TensorData::new(values, [rows, 1, len, pairs]);
            Tensor::<4>::from_data(data, device).cast(dtype)
        };
        Turn { cos: table(f64::cos), sin: table(f64::sin) }
    }
}

impl Turn {
    /// Turns the pairs of every head; elements beyond the rotary width stay.
    ///
    /// # Shapes
    /// - `heads`: `[B, H, L, d]`
    /// - returns: `[B, H, L, d]`
    pub(crate) fn apply(&self, heads: Tensor<4>) -> Tensor<4> {
        let [.., width] = heads.dims();
        let half = self.cos.dims()[3];
        let first = heads.clone().narrow(3, 0, half);
        let second = heads.clone().narrow(3, half, half);
        let (cos, sin) = (self.cos.clone(), self.sin.clone());
        let mut turned =
            vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
        if width > 2 * half {
            turned.push(heads.narrow(3, 2 * half, width - 2 * half));
        }
        Tensor::cat(turned, 3)
    }
}

/// The pairs between which YaRN goes from keeping angles to dividing them.
fn ramp(width: usize, theta: f64, fast: f64, slow: f64, original: f64) -> [f64; 2] {
    let pair = |turns: f64| width as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let first = pair(fast).floor().max(0.0);
    let last = pair(slow).ceil().min(width as f64 - 1.0);
    [first, last.max(first + 0.001)]
}
