//! Reparameterised decoding: after each step the least sure positions are noise, the rest is not.

use std::fmt;
use std::str::FromStr;

use dlm_core::RowRng;
use dlm_core::schedule::{self, Schedule};

use crate::canvas::Row;
use crate::error::Error;
use crate::plan::Step;
use crate::proposal::{Candidate, Guess, Needs, Proposal};
use crate::reverse::ReverseStep;

/// The paper's decoder and its relatives.
///
/// ```text
/// n     = active positions                    k = ⌊n · rate(s)⌋ stay or become noise
/// rank  = log p of the candidate, now         (+ τ · rate · Gumbel)
/// noisy,   not among the k lowest:  committed with its candidate and score
/// settled, among the k lowest:      taken back, if `Remask` says so; else it keeps token and score
/// ```
///
/// With [`Remask::Never`] only noisy positions compete, as in `MaskGIT` (arXiv:2202.04200).
///
/// # Source
/// Zheng et al. 2023, arXiv:2302.05737 (top-k routing); Ye et al. 2023, arXiv:2308.12219, section 3 and
/// appendix A.1.
///
/// # Example
/// ```
/// use dlm_sampling::strategy::Route;
/// assert_eq!("reparam-uncond-deterministic-cosine".parse::<Route>()?, Route::paper());
/// # Ok::<(), dlm_sampling::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Route {
    remask: Remask,
    rate: Rate,
    tau: f64,
    candidate: Candidate,
    ties: Ties,
}

/// Which settled tokens may become noise again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remask {
    /// None: a committed token is final, and the network is asked about noisy positions alone.
    Never,
    /// "cond": those that the network still predicts, but with a lower score than they were written with.
    IfLessSure,
    /// "uncond": all that are among the k lowest.
    Always,
}

/// How the share of noise falls with time: 1 − α(s).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// s.
    Linear,
    /// cos(π/2·(1 − s)): slow at first, fast at the end.
    Cosine,
}

/// What happens where scores tie at the cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ties {
    /// Exactly k positions are noise; of equals the later ones.
    #[default]
    Exact,
    /// Only positions strictly below the k-th lowest score are noise, so ties leave fewer, as in the
    /// paper's code.
    Strict,
}

impl Route {
    /// `reparam-uncond-deterministic-cosine` with argmax candidates: what the paper decodes with.
    pub fn paper() -> Self {
        Self::new(Remask::Always, Rate::Cosine)
    }

    /// A deterministic rule with argmax candidates.
    pub fn new(remask: Remask, rate: Rate) -> Self {
        Self { remask, rate, tau: 0.0, candidate: Candidate::ARGMAX, ties: Ties::Exact }
    }

    /// Adds τ·rate·Gumbel noise to the ranks.
    ///
    /// # Errors
    /// Core error `OutOfDomain` unless `tau` is finite and not negative.
    pub fn with_tau(self, tau: f64) -> Result<Self, Error> {
        if tau.is_finite() && tau >= 0.0 {
            return Ok(Self { tau, ..self });
        }
        let expected = "finite and not negative";
        Err(dlm_core::Error::OutOfDomain { name: "tau", expected, got: tau }.into())
    }

    /// Chooses candidates otherwise.
    #[must_use]
    pub fn with_candidate(self, candidate: Candidate) -> Self {
        Self { candidate, ..self }
    }

    /// Treats ties otherwise.
    #[must_use]
    pub fn with_ties(self, ties: Ties) -> Self {
        Self { ties, ..self }
    }

    /// Which of the guesses, by index, are among the k lowest.
    fn lowest(&self, guesses: &[Guess], k: usize, rate: f64, rng: &mut RowRng) -> Vec<bool> {
        let noise = self.tau * rate;
        let mut key = |guess: &Guess| {
            let gumbel = if noise > 0.0 { rng.gumbel(guess.position) } else { 0.0 };
            f64::from(guess.log_p) + noise * gumbel
        };
        let keys: Vec<f64> = guesses.iter().map(&mut key).collect();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]).then(b.cmp(&a)));
        match self.ties {
            Ties::Exact => {
                let mut low = vec![false; keys.len()];
                order.iter().take(k).for_each(|&index| low[index] = true);
                low
            }
            Ties::Strict => {
                let cut = order.get(k).map_or(f64::INFINITY, |&index| keys[index]);
                keys.iter().map(|&key| key < cut).collect()
            }
        }
    }

    fn takes_back(&self, row: &Row<'_>, guess: &Guess) -> bool {
        match self.remask {
            Remask::Never => false,
            Remask::Always => true,
            Remask::IfLessSure => {
                row.ids()[guess.position] == guess.token && guess.log_p < row.score(guess.position)
            }
        }
    }
}

impl Rate {
    /// The share of noise after a step that ends at `s`.
    fn at(self, s: f64) -> f64 {
        match self {
            Self::Linear => 1.0 - schedule::Linear.alpha(s),
            Self::Cosine => 1.0 - schedule::Cosine.alpha(s),
        }
    }
}

/// ⌊n · rate⌋, where a product that should be whole may have come out just below.
fn noise_count(n: usize, rate: f64) -> usize {
    (n as f64 * rate + 1e-9) as usize
}

impl ReverseStep for Route {
    fn needs(&self) -> Needs {
        let needs = Needs::new(self.candidate);
        if self.remask == Remask::Never { needs } else { needs.at_settled().remasking() }
    }

    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, rng: &mut RowRng) {
        let rate = self.rate.at(step.s);
        let k = noise_count(row.active().len(), rate);
        let low = self.lowest(said.guesses(), k, rate, rng);
        for (guess, low) in said.guesses().iter().zip(low) {
            let noisy = row.is_noisy(guess.position);
            if noisy && !low {
                row.commit(guess.position, guess.token, guess.log_p);
            } else if !noisy && low && self.takes_back(row, guess) {
                row.remask(guess.position);
            }
        }
    }
}

impl fmt::Display for Route {
    /// `reparam-<cond|uncond|never>-<deterministic|stochastic<τ>>-<linear|cosine>`. Candidates and ties
    /// have no place in this grammar.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remask = match self.remask {
            Remask::Never => "never",
            Remask::IfLessSure => "cond",
            Remask::Always => "uncond",
        };
        let rate = match self.rate {
            Rate::Linear => "linear",
            Rate::Cosine => "cosine",
        };
        if self.tau > 0.0 {
            write!(f, "reparam-{remask}-stochastic{:?}-{rate}", self.tau)
        } else {
            write!(f, "reparam-{remask}-deterministic-{rate}")
        }
    }
}

impl FromStr for Route {
    type Err = Error;

    /// Reads the paper's names; `never` instead of `cond` or `uncond` is an addition. Candidates are
    /// argmax, ties exact.
    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown =
            |part: &str, expected| Error::UnknownStrategy { name: name.into(), part: part.into(), expected };
        let grammar = "reparam-<cond|uncond>-<deterministic|stochastic<float>>-<linear|cosine>";
        let rest = name.strip_prefix("reparam-").ok_or_else(|| unknown(name, grammar))?;
        let (remask, rest) = rest.split_once('-').ok_or_else(|| unknown(rest, grammar))?;
        // From the right, as τ may be written with an exponent: "stochastic1e-3".
        let (noise, rate) = rest.rsplit_once('-').ok_or_else(|| unknown(rest, grammar))?;
        let remask = match remask {
            "never" => Remask::Never,
            "cond" => Remask::IfLessSure,
            "uncond" => Remask::Always,
            other => return Err(unknown(other, "cond, uncond or never")),
        };
        let rate = match rate {
            "linear" => Rate::Linear,
            "cosine" => Rate::Cosine,
            other => return Err(unknown(other, "linear or cosine")),
        };
        let tau = match noise.strip_prefix("stochastic") {
            None if noise == "deterministic" => 0.0,
            None => return Err(unknown(noise, "deterministic or stochastic<float>")),
            Some(tau) => tau.parse().map_err(|_| unknown(tau, "a number"))?,
        };
        Self::new(remask, rate).with_tau(tau)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_counts_are_those_of_whole_numbers() {
        for n in 0..=300_usize {
            for steps in 1..=64_usize {
                for step in crate::plan::uniform(steps) {
                    let exact = n - (n * step.index).div_ceil(steps);
                    assert_eq!(noise_count(n, Rate::Linear.at(step.s)), exact, "{n} {steps} {}", step.index);
                }
            }
        }
    }

    #[test]
    fn cosine_counts_never_rise_and_end_at_zero() {
        for n in 0..=300 {
            for steps in [1, 2, 3, 10, 50, 64] {
                let counts: Vec<usize> =
                    crate::plan::uniform(steps).map(|step| noise_count(n, Rate::Cosine.at(step.s))).collect();
                assert!(counts.is_sorted_by(|a, b| a >= b) && counts.last() == Some(&0), "{n} {counts:?}");
            }
        }
    }

    #[test]
    fn noise_in_the_ranks_fades_with_the_rate() -> Result<(), Error> {
        let guess = |position| Guess {
            position,
            token: 3,
            log_p: -0.1 * position as f32,
            entropy: None,
            margin: None,
            current: None,
        };
        let guesses: Vec<Guess> = (0..40).map(guess).collect();
        let lowest = |tau: f64, rate: f64| -> Result<Vec<bool>, Error> {
            let route = Route::new(Remask::Always, Rate::Linear).with_tau(tau)?;
            let mut rng = dlm_core::CounterRng::new(0).row(dlm_core::Purpose::Rule, 0);
            Ok(route.lowest(&guesses, 20, rate, &mut rng))
        };
        assert_ne!(lowest(5.0, 1.0)?, lowest(0.0, 1.0)?);
        assert_eq!(lowest(5.0, 1e-6)?, lowest(0.0, 1.0)?);
        Ok(())
    }

    #[test]
    fn names_are_read_and_written() -> Result<(), Error> {
        for name in [
            "reparam-cond-deterministic-linear",
            "reparam-uncond-stochastic5.0-cosine",
            "reparam-never-stochastic1e-7-linear",
        ] {
            assert_eq!(name.parse::<Route>()?.to_string(), name);
        }
        let noisy = Route::new(Remask::IfLessSure, Rate::Linear).with_tau(1.0)?;
        assert_eq!("reparam-cond-stochastic1-linear".parse::<Route>()?, noisy);
        Ok(())
    }

    #[test]
    fn wrong_names_say_which_part_is_wrong() {
        for (name, wrong) in [
            ("reparam", "reparam"),
            ("reparam-", ""),
            ("reparam-cond", "cond"),
            ("reparam-cond-linear", "linear"),
            ("reparam-maybe-deterministic-linear", "maybe"),
            ("reparam-cond-random-linear", "random"),
            ("reparam-cond-stochasticx-linear", "x"),
            ("reparam-cond-deterministic-spline", "spline"),
        ] {
            let error = name.parse::<Route>();
            assert!(matches!(&error, Err(Error::UnknownStrategy { part, .. }) if part == wrong), "{error:?}");
        }
        for name in ["reparam-cond-stochastic-1-linear", "reparam-cond-stochasticNaN-linear"] {
            let error = name.parse::<Route>();
            assert!(matches!(&error, Err(Error::Core(_))), "{error:?}");
        }
    }
}
