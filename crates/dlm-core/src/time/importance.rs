use std::collections::VecDeque;

use crate::error::{Error, in_domain, same_length};
use crate::rng::{CounterRng, Purpose};
use crate::sequence::Batch;

/// Times k/T drawn in proportion to the root mean square of the losses they had lately, so that each draw
/// tells about as much as another.
///
/// The factors undo the choice: the expected loss is that of uniform times. Until every time has a full
/// history, times are uniform.
///
/// # Source
/// Nichol and Dhariwal 2021, arXiv:2102.09672, section 3.3; RDM's `is` sampler (arXiv:2302.05737, and its
/// code) with 10 losses a time and a floor of 0.001.
///
/// # Example
/// ```
/// use dlm_core::time::Importance;
/// use dlm_core::{Batch, CounterRng, Sequence, Vocabulary};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let batch = Batch::new(&[Sequence::whole(vec![3, 4])], &vocabulary)?;
/// let mut times = Importance::new(2, 1, 0.0)?;
/// times.update(&[0.5, 1.0], &[3.0, 1.0])?; // the early time costs three times as much ..
/// assert_eq!(times.probs(), [0.75, 0.25]);
/// let (drawn, factors) = times.sample(&batch, &CounterRng::new(0));
/// assert_eq!(factors[0], if drawn[0] == 0.5 { 2.0 / 3.0 } else { 2.0 }); // .. and counts a third when drawn
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    squares: Vec<VecDeque<f64>>,
    history: usize,
    floor: f64,
}

impl Importance {
    /// T = `steps` times, the last `history` losses of each, and a share `floor` of uniform times for those
    /// whose losses were small.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` or `history` is 0, or unless `0 ≤ floor ≤ 1`.
    pub fn new(steps: usize, history: usize, floor: f64) -> Result<Self, Error> {
        in_domain(steps > 0, "steps", "at least 1", steps as f64)?;
        in_domain(history > 0, "history", "at least 1", history as f64)?;
        in_domain((0.0..=1.0).contains(&floor), "floor", "in [0, 1]", floor)?;
        Ok(Self { squares: vec![VecDeque::new(); steps], history, floor })
    }

    /// Remembers what rows cost at their times.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a loss for each time; [`Error::OutOfDomain`] for a time that is not
    /// k/T or a loss that is not finite. Nothing is remembered then.
    pub fn update(&mut self, times: &[f64], losses: &[f64]) -> Result<(), Error> {
        same_length("losses of some times", times.len(), losses.len())?;
        let steps = self.squares.len() as f64;
        for (&t, &loss) in times.iter().zip(losses) {
            let k = t * steps;
            let on_grid = (k - k.round()).abs() < 1e-6 && (1.0..=steps).contains(&k.round());
            in_domain(on_grid, "t", "on the grid of the steps", t)?;
            in_domain(loss.is_finite(), "loss", "finite", loss)?;
        }
        for (&t, &loss) in times.iter().zip(losses) {
            let squares = &mut self.squares[(t * steps).round() as usize - 1];
            if squares.len() == self.history {
                squares.pop_front();
            }
            squares.push_back(loss * loss);
        }
        Ok(())
    }

    /// Probability of each of the T times.
    pub fn probs(&self) -> Vec<f64> {
        let steps = self.squares.len() as f64;
        let uniform = vec![1.0 / steps; self.squares.len()];
        if self.squares.iter().any(|squares| squares.len() < self.history) {
            return uniform;
        }
        let root = |squares: &VecDeque<f64>| (squares.iter().sum::<f64>() / self.history as f64).sqrt();
        let roots: Vec<f64> = self.squares.iter().map(root).collect();
        let total: f64 = roots.iter().sum();
        if total <= 0.0 || !total.is_finite() {
            return uniform;
        }
        roots.iter().map(|root| (1.0 - self.floor) * root / total + self.floor / steps).collect()
    }

    /// A time for each row, and the factor of each row's loss (see [`Scaled`](crate::loss::Scaled)).
    pub fn sample(&self, batch: &Batch, rng: &CounterRng) -> (Vec<f64>, Vec<f64>) {
        let (probs, steps) = (self.probs(), self.squares.len());
        let draw = |row| {
            let u = rng.row(Purpose::Time, batch.key(row)).uniform(0);
            let mut sum = 0.0;
            let passes = probs.iter().position(|p| {
                sum += p;
                u < sum
            });
            // Rounding may leave the sum a little below 1.
            let k = passes.unwrap_or(steps - 1);
            ((k + 1) as f64 / steps as f64, 1.0 / (steps as f64 * probs[k]))
        };
        (0..batch.rows()).map(draw).unzip()
    }
}
