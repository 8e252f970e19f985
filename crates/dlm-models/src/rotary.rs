//! Rotary positions: queries and keys turned by angles that grow with the position.
//!
//! Source: Su et al. 2021, arXiv:2104.09864; elements i and i + d/2 make a pair, as in transformers'
//! `rotate_half` (burn's own layer pairs neighbours).

use std::collections::BTreeMap;
use std::f64::consts::PI;

use burn::tensor::{DType, Device, Tensor, TensorData};

/// How rotary angles are shrunk for texts longer than those of the training; upstream's `rope_scaling`.
#[derive(Debug, Clone, PartialEq)]
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
        /// Whether the ramp begins and ends at whole pairs.
        truncate: bool,
    },
    /// A larger θ for a longer text, so that the slowest angle of its last position is that of the longest text of
    /// the training. "Dynamic NTK". A text has the angles of its own length, whatever is asked beside it.
    Dynamic {
        /// By how much texts may be longer.
        factor: f64,
        /// Tokens of the longest text before the stretching.
        original: usize,
    },
    /// Every angle divided by a factor of its own, by others in texts longer than those of the training. Ding et al.
    /// 2024, arXiv:2402.13753.
    LongRope {
        /// By how much texts may be longer.
        factor: f64,
        /// The factors of texts of up to `original` tokens, one a pair of elements.
        short: Vec<f64>,
        /// The factors of longer texts.
        long: Vec<f64>,
        /// Tokens of the longest text before the stretching.
        original: usize,
        /// What queries and keys are multiplied by; if unnamed, √(1 + ln(factor) / ln(original)).
        sharpness: Option<f64>,
    },
}

/// How the elements of a head are turned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rotary {
    width: usize,
    theta: f64,
    scaling: Scaling,
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
        Self { width, theta, scaling }
    }

    /// The angles of position 1 as upstream stores them: rounded at each operation, where [`Rotary`] rounds once.
    pub(crate) fn stored(&self) -> Vec<f32> {
        let stored = |pair: usize| (self.theta as f32).powf(2.0 * pair as f32 / self.width as f32).recip();
        (0..self.width / 2).map(stored).collect()
    }

    /// The turns of some positions, none negative, one for each token of a batch.
    pub(crate) fn turn(
        &self,
        positions: &[i32],
        [rows, len]: [usize; 2],
        dtype: DType,
        device: &Device,
    ) -> Turn {
        let (pairs, amplitude) = (self.width / 2, self.amplitude());
        // Once for each position that there is: a batch has many tokens at one position.
        let mut tables: BTreeMap<usize, [Vec<f32>; 2]> = BTreeMap::new();
        let mut turns = [const { Vec::<f32>::new() }; 2];
        let last = positions.iter().copied().max().unwrap_or(0);
        for row in positions.chunks(len.max(1)) {
            let stage = self.stage(row.iter().copied().max().unwrap_or(0) as usize + 1);
            let tables = tables.entry(stage).or_insert_with(|| {
                let frequencies = self.frequencies(stage);
                [f64::cos, f64::sin].map(|function: fn(f64) -> f64| {
                    let angles = |position: i32| frequencies.iter().map(move |f| f64::from(position) * f);
                    (0..=last).flat_map(angles).map(|a| (function(a) * amplitude) as f32).collect()
                })
            });
            for (turns, table) in turns.iter_mut().zip(tables) {
                let of = |&position: &i32| &table[position as usize * pairs..][..pairs];
                turns.extend(row.iter().flat_map(of));
            }
        }
        let [cos, sin] = turns.map(|values| {
            let data = TensorData::new(values, [rows, 1, len, pairs]);
            Tensor::<4>::from_data(data, device).cast(dtype)
        });
        Turn { cos, sin }
    }

    /// What of a text's length its angles depend on: the number of tokens that they are made for.
    fn stage(&self, tokens: usize) -> usize {
        match self.scaling {
            Scaling::Dynamic { original, .. } => tokens.max(original),
            Scaling::LongRope { original, .. } => original + usize::from(tokens > original),
            _ => 0,
        }
    }

    /// The angles of position 1, for each pair of elements of a head, in a text of a [`Rotary::stage`].
    fn frequencies(&self, stage: usize) -> Vec<f64> {
        let width = self.width as f64;
        let of_base = |base: f64| {
            (0..self.width / 2).map(move |pair| base.powf(-2.0 * pair as f64 / width)).enumerate()
        };
        let plain = of_base(self.theta);
        match &self.scaling {
            Scaling::None => plain.map(|(_, f)| f).collect(),
            Scaling::Linear { factor } => plain.map(|(_, f)| f / factor).collect(),
            Scaling::Llama3 { factor, low, high, original } => {
                let turns = |f: f64| *original as f64 * f / (2.0 * PI);
                let keep = |f: f64| ((turns(f) - low) / (high - low)).clamp(0.0, 1.0);
                plain.map(|(_, f)| keep(f) * f + (1.0 - keep(f)) * f / factor).collect()
            }
            Scaling::Yarn { factor, .. } => {
                let [first, last] = self.ramp();
                let shrink = |pair: usize| ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
                plain.map(|(pair, f)| (1.0 - shrink(pair)) * f + shrink(pair) * f / factor).collect()
            }
            Scaling::Dynamic { factor, original } => {
                let stretch = factor * stage as f64 / *original as f64 - (factor - 1.0);
                of_base(self.theta * stretch.powf(width / (width - 2.0))).map(|(_, f)| f).collect()
            }
            Scaling::LongRope { short, long, original, .. } => {
                let factors = if stage > *original { long } else { short };
                plain.zip(factors).map(|((_, f), factor)| f / factor).collect()
            }
        }
    }

    fn amplitude(&self) -> f64 {
        match self.scaling {
            Scaling::Yarn { sharpness: Some(sharpness), .. }
            | Scaling::LongRope { sharpness: Some(sharpness), .. } => sharpness,
            Scaling::Yarn { factor, .. } if factor > 1.0 => 0.1 * factor.ln() + 1.0,
            Scaling::LongRope { factor, original, .. } if factor > 1.0 => {
                (1.0 + factor.ln() / (original as f64).ln()).sqrt()
            }
            _ => 1.0,
        }
    }

    /// The pairs between which YaRN goes from keeping angles to dividing them; none otherwise.
    fn ramp(&self) -> [f64; 2] {
        let Scaling::Yarn { fast, slow, original, truncate, .. } = self.scaling else { return [0.0, 1.0] };
        let width = self.width as f64;
        let pair = |turns: f64| width * (original as f64 / (turns * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
        let (first, last) = (pair(fast), pair(slow));
        let (first, last) = if truncate { (first.floor(), last.ceil()) } else { (first, last) };
        let (first, last) = (first.max(0.0), last.min(width - 1.0));
        [first, last.max(first + 0.001)]
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
