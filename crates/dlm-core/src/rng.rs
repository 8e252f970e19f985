//! Counter-based randomness: a draw is a function of where it is used, not of what was drawn before.
//!
//! Every uniform number is addressed by (seed, purpose, row, step, position), so a row sees the same
//! draws alone, in any batch and in any order, and a resumed run continues where it stopped without
//! saving a generator's state. `ChaCha` does the work: the address is its key and its word position.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a draw is for. Draws for different purposes never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// When: the diffusion time of a row.
    Time = 1,
    /// Which positions become noise.
    Noise = 2,
    /// Which noisy positions of the later row are clean in the earlier row of a coupled pair.
    Coupling = 3,
    /// Which token a network's distribution yields.
    Token = 4,
    /// What a decoding rule decides.
    Rule = 5,
    /// The order of training data.
    Order = 6,
    /// The seed of the device's own generator (dropout, initialisation).
    Device = 7,
    /// Which source of a mixture a sample comes from, and the order within each source.
    Mixture = 8,
    /// Which demonstrations a prompt shows.
    Shots = 9,
    /// Which pairs of positions attention connects while it is opened.
    Attention = 10,
    /// Which token noise becomes.
    NoiseToken = 11,
    /// When: the draw that all rows of a batch share.
    SharedTime = 12,
    /// Which positions become noise, where the first draw was not accepted.
    Redraw = 14,
    /// Initial values of new parameters.
    Weights = 13,
    /// How a text's length is made wrong.
    Length = 15,
    /// In what order the batches of a stretch of a mixture come.
    Windows = 16,
}

/// A seed and a step: the part of an address that a whole batch shares.
///
/// # Example
/// ```
/// use dlm_core::rng::{CounterRng, Purpose};
/// let rng = CounterRng::new(7).at_step(3);
/// let alone = rng.row(Purpose::Noise, 41).uniform(5);
/// let mut row = rng.row(Purpose::Noise, 41);
/// let earlier: Vec<f64> = (0..5).map(|position| row.uniform(position)).collect();
/// assert_eq!(row.uniform(5), alone);
/// assert!(!earlier.contains(&alone));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterRng {
    seed: u64,
    step: u64,
}

impl CounterRng {
    /// The draws of `seed` at step 0.
    pub fn new(seed: u64) -> Self {
        Self { seed, step: 0 }
    }

    /// The draws of the same seed at another step.
    #[must_use]
    pub fn at_step(self, step: u64) -> Self {
        Self { step, ..self }
    }

    /// The step.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The draws for one row, told apart from other rows by `key`.
    pub fn row(&self, purpose: Purpose, key: u64) -> RowRng {
        let mut address = [0; 32];
        for (bytes, word) in address.chunks_exact_mut(8).zip([self.seed, key, self.step, purpose as u64]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        RowRng { chacha: ChaCha8Rng::from_seed(address), next: 0 }
    }
}

/// The draws of one row at one step for one purpose, addressed by position.
#[derive(Debug, Clone)]
pub struct RowRng {
    chacha: ChaCha8Rng,
    next: usize,
}

impl RowRng {
    /// The 64 random bits at `position`.
    pub fn bits(&mut self, position: usize) -> u64 {
        if position != self.next {
            self.chacha.set_word_pos(2 * position as u128);
        }
        self.next = position + 1;
        self.chacha.next_u64()
    }

    /// Uniform in [0, 1) with 53 bits.
    pub fn uniform(&mut self, position: usize) -> f64 {
        (self.bits(position) >> 11) as f64 * (-53.0_f64).exp2()
    }

    /// Standard Gumbel, −ln(−ln u), in f64: f32 truncates its upper tail, which lowers the effective
    /// temperature of whatever it perturbs (Zheng et al. 2024, arXiv:2409.02908).
    pub fn gumbel(&mut self, position: usize) -> f64 {
        let u = self.uniform(position) + (-54.0_f64).exp2();
        -(-u.ln()).ln()
    }

    /// Uniform in `0..n`, without the bias of a remainder at any `n` that fits a vocabulary.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, position: usize, n: usize) -> usize {
        assert!(n > 0, "there is no number below 0");
        ((u128::from(self.bits(position)) * n as u128) >> 64) as usize
    }
}
