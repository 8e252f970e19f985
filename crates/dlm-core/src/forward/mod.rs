//! The forward process: x₀ → x_t.

mod blocks;
mod draw;
mod noised;
mod posterior;
mod resize;

use crate::error::{Error, in_domain, same_length};
use crate::prior::Prior;
use crate::rng::{CounterRng, Purpose};
use crate::schedule::{PerToken, Schedule};
use crate::sequence::{Batch, TokenId};

pub use blocks::{BlockQuestion, Blocks};
use draw::{Draw, flags};
pub(crate) use draw::{LEAST_ALPHA, Level};
pub use noised::Noised;
pub use posterior::Posterior;
pub use resize::Resizing;

/// A noise schedule and what tokens turn into.
///
/// # Example
/// ```
/// use dlm_core::{forward::Forward, prior::Prior, rng::CounterRng, schedule::Linear};
/// use dlm_core::sequence::{Batch, Sequence, Vocabulary};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let batch = Batch::new(&[Sequence::prompt_response(&[5, 6], &[7], &vocabulary)], &vocabulary)?;
/// let forward = Forward::new(Linear, Prior::Absorbing { mask: 9 });
/// // At t = 1 all that may become noise is noise: the response and EOS, never the prompt.
/// let noised = forward.noise(&batch, &[1.0], &CounterRng::new(0))?;
/// assert_eq!(noised.xt(), [0, 5, 6, 9, 9]);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Forward<S> {
    schedule: S,
    prior: Prior,
}

impl<S: Schedule> Forward<S> {
    /// Noise that comes by `schedule` and looks like `prior`.
    pub fn new(schedule: S, prior: Prior) -> Self {
        Self { schedule, prior }
    }

    /// The schedule.
    pub fn schedule(&self) -> &S {
        &self.schedule
    }

    /// The noise distribution.
    pub fn prior(&self) -> &Prior {
        &self.prior
    }

    /// Draws `x_t` ~ q(· | x₀): each maskable token becomes noise with probability 1 − α(t) of its row.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is one time a row; [`Error::OutOfDomain`] for a time outside
    /// [0, 1].
    pub fn noise(&self, batch: &Batch, times: &[f64], rng: &CounterRng) -> Result<Noised, Error> {
        check_times(batch, times)?;
        Ok(self.once(batch, times, rng, Draw::First))
    }

    /// Two independent draws of every row, at the times of its pair in either order. Returns 2B rows: all
    /// first draws, then all second ones. At two times this is RDM's "multi-step" sampling, at one time twice
    /// its "multi-sample".
    ///
    /// # Errors
    /// As [`Forward::noise`].
    ///
    /// # Source
    /// Zheng et al. 2023, arXiv:2302.05737, and its code.
    pub fn noise_twice(
        &self,
        batch: &Batch,
        pairs: &[(f64, f64)],
        rng: &CounterRng,
    ) -> Result<Noised, Error> {
        let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        check_times(batch, &first)?;
        check_times(batch, &second)?;
        let above = self.once(batch, &first, rng, Draw::First);
        Ok(above.stack(self.once(batch, &second, rng, Draw::Second)))
    }

    /// Draws x_t1 and x_t2, `t1 ≥ t2`, of every row so that the noise of the second is part of the noise
    /// of the first; at equal times the two draws are independent. Returns 2B rows: all x_t1, then all
    /// x_t2.
    ///
    /// A token that is noise in both stays the same noise unless it was hit again in between.
    ///
    /// # Errors
    /// As [`Forward::noise`]; [`Error::OutOfDomain`] also where `t1 < t2`.
    ///
    /// # Source
    /// Zheng et al. 2023, arXiv:2302.05737 (conditioned training); Ye et al. 2023, arXiv:2308.12219.
    pub fn noise_coupled(
        &self,
        batch: &Batch,
        pairs: &[(f64, f64)],
        rng: &CounterRng,
    ) -> Result<Noised, Error> {
        let (late, early): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        check_times(batch, &late)?;
        check_times(batch, &early)?;
        for &(t1, t2) in pairs {
            in_domain(t2 <= t1, "t2 of a coupled pair", "at most t1", t2)?;
        }
        let first = self.flags(batch, &late, rng, Draw::First);
        let mut second = self.flags(batch, &early, rng, Draw::Second);
        for (row, &(t1, t2)) in pairs.iter().enumerate().filter(|(_, (t1, t2))| t2 < t1) {
            let denoise = self.schedule.denoise_prob(t1, t2);
            let mut row_rng = rng.row(Purpose::Coupling, batch.key(row));
            for position in 0..batch.len() {
                let i = row * batch.len() + position;
                second[i] = first[i] && row_rng.uniform(position) >= denoise;
            }
        }
        let early_tokens =
            self.tokens(batch, &second, rng, Draw::Second, |row| self.level(early[row]).mask_part());
        let late_tokens = self.later_tokens(batch, pairs, [&first, &second], &early_tokens, rng);
        let doubled = self.filled(batch, late, &first, &late_tokens);
        Ok(doubled.stack(self.filled(batch, early, &second, &early_tokens)))
    }

    /// Two draws of every row that share out its tokens: what is noise in one is clean in the other, so every
    /// token is learnt once. Returns 2B rows: all at `times`, then all at the times of the complement, where
    /// α is 1 − α(t).
    ///
    /// # Errors
    /// As [`Forward::noise`].
    ///
    /// # Source
    /// Bie et al. 2025, arXiv:2512.15745, section 5.1 (LLaDA2.0, complementary masking); Wu et al. 2025,
    /// arXiv:2509.26328, section 3.2 (Fast-dLLM v2).
    pub fn noise_complementary(
        &self,
        batch: &Batch,
        times: &[f64],
        rng: &CounterRng,
    ) -> Result<Noised, Error> {
        check_times(batch, times)?;
        let first = self.flags(batch, times, rng, Draw::First);
        let second: Vec<bool> =
            first.iter().zip(batch.maskable()).map(|(&noisy, &maskable)| maskable && !noisy).collect();
        let rest: Vec<f64> =
            times.iter().map(|&t| self.schedule.time_at(1.0 - self.schedule.alpha(t))).collect();
        let tokens = |noisy: &[bool], times: &[f64], draw| {
            self.tokens(batch, noisy, rng, draw, |row| self.level(times[row]).mask_part())
        };
        let (above, below) = (tokens(&first, times, Draw::First), tokens(&second, &rest, Draw::Second));
        let doubled = self.filled(batch, times.to_vec(), &first, &above);
        Ok(doubled.stack(self.filled(batch, rest, &second, &below)))
    }

    fn once(&self, batch: &Batch, times: &[f64], rng: &CounterRng, draw: Draw) -> Noised {
        let noisy = self.flags(batch, times, rng, draw);
        let tokens = self.tokens(batch, &noisy, rng, draw, |row| self.level(times[row]).mask_part());
        self.filled(batch, times.to_vec(), &noisy, &tokens)
    }

    /// Which tokens become noise, each row at its time.
    fn flags(&self, batch: &Batch, times: &[f64], rng: &CounterRng, draw: Draw) -> Vec<bool> {
        let keep: Vec<f64> = times.iter().map(|&t| self.schedule.alpha(t)).collect();
        flags(batch, rng, draw, |row, _| keep[row])
    }
}

/// Noise of rates that depend on the word: each maskable token becomes the mask with probability t^w of its
/// word.
///
/// # Errors
/// As [`Forward::noise`]; [`Error::Length`] also if a word of the batch has no rate.
///
/// # Source
/// Shi et al. 2024, arXiv:2406.04329, section 6 (GenMD4).
pub fn noise_per_token(
    batch: &Batch,
    times: &[f64],
    rates: &PerToken,
    mask: TokenId,
    rng: &CounterRng,
) -> Result<Noised, Error> {
    check_times(batch, times)?;
    let most = batch.ids().iter().max().map_or(0, |&id| id as usize + 1);
    if most > rates.exponents().len() {
        return Err(Error::Length { what: "rates of words", expected: most, got: rates.exponents().len() });
    }
    let keep = |row: usize, flat: usize| rates.of(batch.ids()[flat]).alpha(times[row]);
    let noisy = flags(batch, rng, Draw::First, keep);
    Ok(Noised::corrupted(batch, times.to_vec(), &noisy, |_| mask))
}

/// One time in [0, 1] for each row.
pub(crate) fn check_times(batch: &Batch, times: &[f64]) -> Result<(), Error> {
    same_length("times of a batch", batch.rows(), times.len())?;
    times.iter().try_for_each(|&t| check_time(t).map(drop))
}

pub(crate) fn check_time(t: f64) -> Result<f64, Error> {
    in_domain((0.0..=1.0).contains(&t), "t", "in [0, 1]", t)
}
