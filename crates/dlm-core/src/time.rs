//! Where the times of a batch come from, and the only home of ε.

use crate::error::{Error, in_domain};
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
    Uniform(f64),
    Stratified(f64),
    Fixed(f64),
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
        Ok(Self(Kind::Uniform(valid_eps(eps)?)))
    }

    /// One draw in each of B equal parts of [ε, 1), in the order of the rows: the batch's mean loss
    /// varies less than with independent times.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ eps < 1`.
    ///
    /// # Source
    /// Sahoo et al. 2024, arXiv:2406.07524, appendix C.3 (low-discrepancy sampler).
    pub fn stratified(eps: f64) -> Result<Self, Error> {
        Ok(Self(Kind::Stratified(valid_eps(eps)?)))
    }

    /// Always `time`: masked-LM training at one ratio, under the linear schedule.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 < time ≤ 1`.
    pub fn fixed(time: f64) -> Result<Self, Error> {
        in_domain(time > 0.0 && time <= 1.0, "time", "in (0, 1]", time)?;
        Ok(Self(Kind::Fixed(time)))
    }

    /// One time for each row of `batch`.
    pub fn sample(&self, batch: &Batch, rng: &CounterRng) -> Vec<f64> {
        self.draw(batch, rng, 0)
    }

    /// Two independent times `(t1, t2)`, `t1 ≥ t2`, for each row: the levels of a coupled pair.
    pub fn sample_pairs(&self, batch: &Batch, rng: &CounterRng) -> Vec<(f64, f64)> {
        let first = self.draw(batch, rng, 0);
        let second = self.draw(batch, rng, 1);
        first.into_iter().zip(second).map(|(a, b)| (a.max(b), a.min(b))).collect()
    }

    fn draw(&self, batch: &Batch, rng: &CounterRng, position: usize) -> Vec<f64> {
        let rows = batch.rows();
        let spread = |eps: f64, u: f64| eps + (1.0 - eps) * u;
        (0..rows)
            .map(|row| {
                let mut row_rng = rng.row(Purpose::Time, batch.key(row));
                match self.0 {
                    Kind::Grid(steps) => (1 + row_rng.below(position, steps)) as f64 / steps as f64,
                    Kind::Uniform(eps) => spread(eps, row_rng.uniform(position)),
                    Kind::Stratified(eps) => {
                        spread(eps, (row as f64 + row_rng.uniform(position)) / rows as f64)
                    }
                    Kind::Fixed(time) => time,
                }
            })
            .collect()
    }
}

fn valid_eps(eps: f64) -> Result<f64, Error> {
    in_domain((0.0..1.0).contains(&eps), "eps", "in [0, 1)", eps)
}
