//! The forward process: x₀ → x_t.

use crate::denoiser::DenoiserInput;
use crate::error::{Error, in_domain, same_length};
use crate::prior::Prior;
use crate::rng::{CounterRng, Purpose};
use crate::schedule::Schedule;
use crate::sequence::{Batch, TokenId};

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

/// The routing probabilities of the exact posterior `q(x_s | x_t, x₀)`.
///
/// ```text
/// x_t = x₀:  q = λ₁·x_t + (1 − λ₁)·q_noise
/// x_t ≠ x₀:  q = λ₂·x₀  + (1 − λ₂)·q_noise(x_t),   q_noise(x_t) = β·x_t + (1 − β)·q_noise
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Probability that a clean token stays as it is.
    pub lambda1: f64,
    /// Probability that a noisy token is denoised.
    pub lambda2: f64,
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
    pub fn prior(&self) -> Prior {
        self.prior
    }

    /// Draws `x_t` ~ q(· | x₀): each maskable token becomes noise with probability 1 − α(t) of its row.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is one time a row; [`Error::OutOfDomain`] for a time outside
    /// [0, 1].
    pub fn noise(&self, batch: &Batch, times: &[f64], rng: &CounterRng) -> Result<Noised, Error> {
        check_times(batch, times)?;
        let noisy = self.draw(batch, times, rng, Purpose::Noise);
        Ok(Noised::new(batch, times.to_vec(), &noisy, self.prior))
    }

    /// Draws x_t1 and x_t2, `t1 ≥ t2`, of every row so that the noise of the second is part of the noise
    /// of the first; at equal times the two draws are independent. Returns 2B rows: all x_t1, then all
    /// x_t2.
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
        let first = self.draw(batch, &late, rng, Purpose::Noise);
        let fresh = self.draw(batch, &early, rng, Purpose::Coupling);
        let mut second = fresh;
        for (row, &(t1, t2)) in pairs.iter().enumerate().filter(|(_, (t1, t2))| t2 < t1) {
            let denoise = self.schedule.denoise_prob(t1, t2);
            let mut row_rng = rng.row(Purpose::Coupling, batch.key(row));
            for position in 0..batch.len() {
                let i = row * batch.len() + position;
                second[i] = first[i] && row_rng.uniform(position) >= denoise;
            }
        }
        let doubled = Noised::new(batch, late, &first, self.prior);
        Ok(doubled.stack(Noised::new(batch, early, &second, self.prior)))
    }

    /// λ₁ and λ₂ of `q(x_s | x_t, x₀)` for a clean token that is `xt`.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ s < t ≤ 1`.
    ///
    /// # Source
    /// Zheng et al. 2023, arXiv:2302.05737, as restated by Wang et al. 2024, arXiv:2402.18567, appendix.
    pub fn posterior(&self, t: f64, s: f64, xt: TokenId) -> Result<Posterior, Error> {
        check_time(t)?;
        in_domain((0.0..t).contains(&s), "s", "in [0, t)", s)?;
        let (alpha_t, alpha_s) = (self.schedule.alpha(t), self.schedule.alpha(s));
        let (beta, q) = (alpha_t / alpha_s, self.prior.prob(xt));
        let lambda1 = 1.0 - (1.0 - beta) * (1.0 - alpha_s) * q / (alpha_t + (1.0 - alpha_t) * q);
        let lambda1 = if q == 0.0 { 1.0 } else { lambda1 };
        Ok(Posterior { lambda1, lambda2: self.schedule.denoise_prob(t, s) })
    }

    fn draw(&self, batch: &Batch, times: &[f64], rng: &CounterRng, purpose: Purpose) -> Vec<bool> {
        let mut noisy = vec![false; batch.maskable().len()];
        for (row, (&t, noisy)) in times.iter().zip(noisy.chunks_exact_mut(batch.len())).enumerate() {
            let keep = self.schedule.alpha(t);
            let mut row_rng = rng.row(purpose, batch.key(row));
            let maskable = &batch.maskable()[row * batch.len()..][..batch.len()];
            for (position, (noisy, &maskable)) in noisy.iter_mut().zip(maskable).enumerate() {
                *noisy = maskable && row_rng.uniform(position) >= keep;
            }
        }
        noisy
    }
}

fn check_times(batch: &Batch, times: &[f64]) -> Result<(), Error> {
    same_length("times of a batch", batch.rows(), times.len())?;
    times.iter().try_for_each(|&t| check_time(t).map(drop))
}

fn check_time(t: f64) -> Result<f64, Error> {
    in_domain((0.0..=1.0).contains(&t), "t", "in [0, 1]", t)
}

/// A batch after noising: everything a network and a loss need to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Noised {
    x0: Vec<TokenId>,
    xt: Vec<TokenId>,
    pad: Vec<bool>,
    times: Vec<f64>,
    maskable: Vec<usize>,
    at: Vec<usize>,
    documents: Option<Vec<u32>>,
    shape: [usize; 2],
}

impl Noised {
    /// `batch` with noise exactly where `noisy` says so, `[B, L]`: for a mask drawn elsewhere.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a time for each row and a flag for each position.
    pub fn with_noise(batch: &Batch, times: &[f64], noisy: &[bool], prior: Prior) -> Result<Self, Error> {
        same_length("times of a batch", batch.rows(), times.len())?;
        same_length("noise flags of a batch", batch.ids().len(), noisy.len())?;
        Ok(Self::new(batch, times.to_vec(), noisy, prior))
    }

    fn new(batch: &Batch, times: Vec<f64>, noisy: &[bool], prior: Prior) -> Self {
        let Prior::Absorbing { mask } = prior;
        Self::corrupted(batch, times, noisy, |_| mask)
    }

    /// `batch` with `corrupt(flat position)` where `noisy` says so, `[B, L]`.
    pub(crate) fn corrupted(
        batch: &Batch,
        times: Vec<f64>,
        noisy: &[bool],
        corrupt: impl Fn(usize) -> TokenId,
    ) -> Self {
        let token = |(i, (&id, &noisy)): (usize, (&TokenId, &bool))| if noisy { corrupt(i) } else { id };
        let count = |row: &[bool]| row.iter().filter(|&&maskable| maskable).count();
        Self {
            x0: batch.ids().to_vec(),
            xt: batch.ids().iter().zip(noisy).enumerate().map(token).collect(),
            pad: batch.pad().to_vec(),
            times,
            maskable: batch.maskable().chunks_exact(batch.len()).map(count).collect(),
            at: (0..noisy.len()).filter(|&i| noisy[i]).collect(),
            documents: batch.documents().map(<[u32]>::to_vec),
            shape: [batch.rows(), batch.len()],
        }
    }

    fn stack(mut self, below: Self) -> Self {
        let offset = self.x0.len();
        self.x0.extend(below.x0);
        self.xt.extend(below.xt);
        self.pad.extend(below.pad);
        self.times.extend(below.times);
        self.maskable.extend(below.maskable);
        self.at.extend(below.at.into_iter().map(|i| i + offset));
        self.documents = self.documents.zip(below.documents).map(|(above, below)| [above, below].concat());
        self.shape[0] += below.shape[0];
        self
    }

    /// The question to a network: its logits at the noisy positions.
    pub fn input(&self) -> DenoiserInput<'_> {
        let input = DenoiserInput::new(&self.xt, self.shape, &self.at);
        let input = input.with_pad(&self.pad).with_times(&self.times);
        match &self.documents {
            None => input,
            Some(documents) => input.with_documents(documents),
        }
    }

    /// Clean tokens, `[B, L]`.
    pub fn x0(&self) -> &[TokenId] {
        &self.x0
    }

    /// Noisy tokens, `[B, L]`.
    pub fn xt(&self) -> &[TokenId] {
        &self.xt
    }

    /// The time of each row, `[B]`.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// The N flat positions that are noise, ascending.
    pub fn at(&self) -> &[usize] {
        &self.at
    }

    /// The clean tokens at the noisy positions, `[N]`.
    pub fn targets(&self) -> Vec<TokenId> {
        self.at.iter().map(|&i| self.x0[i]).collect()
    }

    /// How many positions of each row may become noise, `[B]`.
    pub fn maskable(&self) -> &[usize] {
        &self.maskable
    }

    /// `[B, L]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }
}
