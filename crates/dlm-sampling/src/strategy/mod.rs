//! Decoding rules, one a file: rows in, commits and remasks out. No tensor, no loop.
//!
//! | name | rule | source |
//! |---|---|---|
//! | `reparam-<cond\|uncond>-<deterministic\|stochastic<τ>>-<linear\|cosine>` | [`Route`]: the least sure are noise | arXiv:2302.05737, 2308.12219 |
//! | `cmlm` | [`Ancestral`]: each reveals itself by chance | arXiv:2107.03006, 2308.12219 |
//! | `ar` | [`LeftToRight`] | arXiv:2308.12219 |
//! | `llada-low-confidence`, `llada-random` | [`Llada`]: a quota a step | arXiv:2502.09992 |

mod ancestral;
mod left_to_right;
mod llada;
mod route;

use std::fmt;
use std::str::FromStr;

use dlm_core::RowRng;
use dlm_core::schedule::Linear;

pub use ancestral::Ancestral;
pub use left_to_right::LeftToRight;
pub use llada::Llada;
pub use route::{Rate, Remask, Route, Ties};

use crate::canvas::Row;
use crate::error::Error;
use crate::plan::Step;
use crate::proposal::{Candidate, Needs, Proposal};
use crate::reverse::ReverseStep;

/// The strategies that have a name, for command lines and configurations. In code use the types.
///
/// # Example
/// ```
/// use dlm_sampling::{Candidate, strategy::Strategy};
/// let strategy = "cmlm".parse::<Strategy>()?.with_candidate(Candidate::SAMPLED);
/// assert_eq!(strategy.to_string(), "cmlm");
/// # Ok::<(), dlm_sampling::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Strategy {
    /// `reparam-…`.
    Route(Route),
    /// `cmlm`.
    Ancestral(Ancestral<Linear>),
    /// `ar`.
    LeftToRight(LeftToRight),
    /// `llada-low-confidence`.
    LladaLowConfidence(Llada),
    /// `llada-random`.
    LladaRandom(Llada),
}

impl Strategy {
    /// The same rule with other candidates. Parsed strategies use [`Candidate::ARGMAX`], as the paper's
    /// scripts do.
    #[must_use]
    pub fn with_candidate(self, candidate: Candidate) -> Self {
        match self {
            Self::Route(route) => Self::Route(route.with_candidate(candidate)),
            Self::Ancestral(_) => Self::Ancestral(Ancestral::new(Linear, candidate)),
            Self::LeftToRight(_) => Self::LeftToRight(LeftToRight::new(candidate)),
            Self::LladaLowConfidence(llada) => Self::LladaLowConfidence(llada.with_candidate(candidate)),
            Self::LladaRandom(llada) => Self::LladaRandom(llada.with_candidate(candidate)),
        }
    }

    fn rule(&self) -> &dyn ReverseStep {
        match self {
            Self::Route(rule) => rule,
            Self::Ancestral(rule) => rule,
            Self::LeftToRight(rule) => rule,
            Self::LladaLowConfidence(rule) | Self::LladaRandom(rule) => rule,
        }
    }
}

impl ReverseStep for Strategy {
    fn needs(&self) -> Needs {
        self.rule().needs()
    }
    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, rng: &mut RowRng) {
        self.rule().step(row, said, step, rng);
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => route.fmt(f),
            Self::Ancestral(_) => f.write_str("cmlm"),
            Self::LeftToRight(_) => f.write_str("ar"),
            Self::LladaLowConfidence(_) => f.write_str("llada-low-confidence"),
            Self::LladaRandom(_) => f.write_str("llada-random"),
        }
    }
}

impl FromStr for Strategy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let candidate = Candidate::ARGMAX;
        match name {
            "cmlm" => Ok(Self::Ancestral(Ancestral::new(Linear, candidate))),
            "ar" => Ok(Self::LeftToRight(LeftToRight::new(candidate))),
            "llada-low-confidence" => Ok(Self::LladaLowConfidence(Llada::low_confidence())),
            "llada-random" => Ok(Self::LladaRandom(Llada::random())),
            name if name.starts_with("reparam") => name.parse().map(Self::Route),
            name => Err(Error::UnknownStrategy {
                name: name.into(),
                part: name.into(),
                expected: "cmlm, ar, llada-low-confidence, llada-random or reparam-…",
            }),
        }
    }
}
