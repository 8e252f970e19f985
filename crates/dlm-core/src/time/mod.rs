//! Where the times of a batch come from, and the only home of ε.

mod importance;

pub use importance::Importance;

use crate::error::{Error, in_domain};
use crate::forward::Blocks;
use crate::rng::{CounterRng, Purpose};
use crate::sequence::Batch;

/// A distribution of diffusion times over the rows of a batch.
///
/// # Example
/// ```
/// use dlm_core::{time::Times, rng::CounterRng, sequence::{Batch, Sequence, Vocabulary}};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let batch = Batch::new(&[Sequence::whole(vec![3, 4])], &vocabulary)?;
/// let times = Times::grid(50)?.sample(&batch, &CounterRng::new(0));
/// assert!((1..=50).any(|k| times[0] == f64::from(k) / 50.0));
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times(Kind);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Grid(usize),
    Band { low: f64, high: f64, spread: Spread, curve: Curve },
    Fixed(f64),
}

/// How the uniform numbers of a batch hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Independent,
    Stratified,
    Shifted,
}

/// How a uniform number becomes a time of the band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    Straight,
    Logarithmic,
}

impl Times {
    /// k/T with k uniform in 1..=T, the discrete times of RDM and the paper (T = 50).
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` is 0.
    pub fn grid(steps: usize) -> Result<Self, Error> {
        in_domain(steps > 0, "steps", "at least 1", steps as f64)?;
        Ok(Self(Kind::Grid(steps)))
    }

    /// Uniform in [ε, 1): ε + (1 − ε)·u, so that 1/t stays bounded. LLaDA uses ε = 1e-3.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ eps < 1`.
    pub fn uniform(eps: f64) -> Result<Self, Error> {
        Self::band(eps, Spread::Independent, Curve::Straight)
    }

    /// One draw in each of B equal parts of [ε, 1), in the order of the rows: the batch's mean loss
    /// varies less than with independent times.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ eps < 1`.
    ///
    /// # Source
    /// Sahoo et al. 2024, arXiv:2406.07524, appendix D.3 (low-discrepancy sampler).
    pub fn stratified(eps: f64) -> Result<Self, Error> {
        Self::band(eps, Spread::Stratified, Curve::Straight)
    }

    /// One draw for the whole batch, shifted by 1/B from row to row and round the end of [ε, 1): the times of
    /// a batch are evenly spaced, each alone is uniform.
    ///
    /// The draw depends on seed and step alone, so a row's time depends on its place in the batch.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ eps < 1`.
    ///
    /// # Source
    /// Kingma et al. 2021, arXiv:2107.00630, appendix I.1 (low-discrepancy sampler); Shi et al. 2024, arXiv:2406.04329,
    /// Algorithm 1.
    pub fn antithetic(eps: f64) -> Result<Self, Error> {
        Self::band(eps, Spread::Shifted, Curve::Straight)
    }

    /// ln t uniform in [ln ε, 0): MDLM's change of variables, under the linear schedule. The weight 1/t of the
    /// NELBO times [`Times::factor`] is then the same at every time, −ln ε.
    ///
    /// The NELBO is the same for every schedule, so nothing is lost by the linear one.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 < eps < 1`.
    ///
    /// # Source
    /// Sahoo et al. 2024, arXiv:2406.07524, section 3.4 and appendix E.1.1; its code (`change_of_variables`).
    pub fn log_uniform(eps: f64) -> Result<Self, Error> {
        in_domain(eps > 0.0, "eps", "in (0, 1)", eps)?;
        Self::band(eps, Spread::Independent, Curve::Logarithmic)
    }

    /// Always `time`: masked-LM training at one ratio, under the linear schedule.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 < time ≤ 1`.
    pub fn fixed(time: f64) -> Result<Self, Error> {
        in_domain(time > 0.0 && time <= 1.0, "time", "in (0, 1]", time)?;
        Ok(Self(Kind::Fixed(time)))
    }

    /// The same in [`low`, `high`) in place of [ε, 1): BD3LM's clipped times, LLaDA2's bandwidth of mask
    /// ratios.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ low < high ≤ 1`, and for logarithmic times at `low` = 0;
    /// [`Error::Incompatible`] with a grid or a fixed time.
    pub fn within(self, low: f64, high: f64) -> Result<Self, Error> {
        let Kind::Band { spread, curve, .. } = self.0 else {
            return Err(Error::Incompatible { what: "a band of times", with: "a grid or a fixed time" });
        };
        let least = low > 0.0 || curve == Curve::Straight && low == 0.0;
        in_domain(least && low < 1.0, "low end of a band", "in [0, 1), above 0 for logarithms", low)?;
        in_domain(high > low && high <= 1.0, "high end of a band", "above the low end, at most 1", high)?;
        Ok(Self(Kind::Band { low, high, spread, curve }))
    }

    fn band(eps: f64, spread: Spread, curve: Curve) -> Result<Self, Error> {
        in_domain((0.0..1.0).contains(&eps), "eps", "in [0, 1)", eps)?;
        Ok(Self(Kind::Band { low: eps, high: 1.0, spread, curve }))
    }

    /// One time for each row of `batch`.
    pub fn sample(&self, batch: &Batch, rng: &CounterRng) -> Vec<f64> {
        self.draw(batch, rng, 0..1)
    }

    /// Two independent times `(t1, t2)`, `t1 ≥ t2`, for each row: the levels of a coupled pair.
    pub fn sample_pairs(&self, batch: &Batch, rng: &CounterRng) -> Vec<(f64, f64)> {
        let (first, second) = (self.draw(batch, rng, 0..1), self.draw(batch, rng, 1..2));
        first.into_iter().zip(second).map(|(a, b)| (a.max(b), a.min(b))).collect()
    }

    /// One time for each block of each row, `[B, blocks]`; where times are spread over a batch they are spread
    /// over all blocks of it.
    pub fn sample_blocks(&self, batch: &Batch, blocks: Blocks, rng: &CounterRng) -> Vec<f64> {
        // Behind the two draws of a pair.
        self.draw(batch, rng, 2..2 + blocks.count(batch.len()))
    }

    /// What a loss at `t` is multiplied by, so that its mean over these times is an integral over time:
    /// 1 / (density of `t`).
    ///
    /// # Example
    /// ```
    /// use dlm_core::Times;
    /// let times = Times::log_uniform(1e-3)?;
    /// assert!((times.factor(0.2) / 0.2 - 1e3_f64.ln()).abs() < 1e-12); // 1/t is weighed alike at every t
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn factor(&self, t: f64) -> f64 {
        match self.0 {
            Kind::Grid(_) | Kind::Fixed(_) => 1.0,
            Kind::Band { low, high, curve: Curve::Straight, .. } => high - low,
            Kind::Band { low, high, curve: Curve::Logarithmic, .. } => t * (high / low).ln(),
        }
    }

    /// The draws at some positions of each row's stream, row by row.
    fn draw(&self, batch: &Batch, rng: &CounterRng, positions: std::ops::Range<usize>) -> Vec<f64> {
        let total = (batch.rows() * positions.len()) as f64;
        let mut shared = rng.row(Purpose::SharedTime, 0);
        let mut times = Vec::with_capacity(batch.rows() * positions.len());
        for row in 0..batch.rows() {
            let mut row_rng = rng.row(Purpose::Time, batch.key(row));
            for position in positions.clone() {
                let place = times.len() as f64;
                times.push(match self.0 {
                    Kind::Grid(steps) => (1 + row_rng.below(position, steps)) as f64 / steps as f64,
                    Kind::Fixed(time) => time,
                    Kind::Band { low, high, spread, curve } => {
                        let u = match spread {
                            Spread::Independent => row_rng.uniform(position),
                            Spread::Stratified => (place + row_rng.uniform(position)) / total,
                            Spread::Shifted => (shared.uniform(positions.start) + place / total).fract(),
                        };
                        match curve {
                            Curve::Straight => low + (high - low) * u,
                            Curve::Logarithmic => low * (high / low).powf(u),
                        }
                    }
                });
            }
        }
        times
    }
}
