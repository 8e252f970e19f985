//! When to step, and where: a plan is an iterator of [`Step`]s.
//!
//! A plan knows nothing of networks and strategies; any strategy walks any plan. Adapters of the standard
//! library apply: a run that stopped after k steps goes on with `plan.skip(k)` and the canvas it had.

use std::f64::consts::FRAC_PI_2;
use std::ops::Range;

use crate::error::Error;

/// One interval of the reverse process, from noise level `t` down to `s`.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Place in the whole plan, from 0. It addresses the step's random draws and decides nothing else.
    pub number: usize,
    /// Place among the steps of this window, 1..=`of`.
    pub index: usize,
    /// Number of steps of this window.
    pub of: usize,
    /// Time before the step, in (0, 1].
    pub t: f64,
    /// Time after the step, in [0, `t`); exactly 0 after the last.
    pub s: f64,
    /// Which of a row's editable positions are active, counted along these positions, so that rows with
    /// prompts of different lengths are treated alike. It may reach beyond a row's end.
    pub window: Range<usize>,
}

impl Step {
    /// Whether nothing in this window may stay noise after this step.
    pub fn is_last(&self) -> bool {
        self.index >= self.of
    }
}

/// `steps` equal intervals from 1 to 0 over the whole row. None if `steps` is 0, which leaves all noise.
///
/// # Example
/// ```
/// use dlm_sampling::plan::uniform;
/// let times: Vec<(f64, f64)> = uniform(4).map(|step| (step.t, step.s)).collect();
/// assert_eq!(times, [(1.0, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0.0)]);
/// ```
pub fn uniform(steps: usize) -> impl Iterator<Item = Step> + Clone {
    grid(steps, |left| left)
}

/// Times cos(π/2·(1 − i/S)) for i = S..0: short intervals near noise, long ones near the end.
///
/// # Source
/// Shi et al. 2024, arXiv:2406.04329 (the cosine grid of its sampler).
pub fn cosine(steps: usize) -> impl Iterator<Item = Step> + Clone {
    grid(steps, |left| (FRAC_PI_2 * (1.0 - left)).cos())
}

/// Windows of `block_len` positions from left to right, each walked by the whole of `plan`, until `len`
/// positions are covered ([`Canvas::longest`](crate::Canvas::longest) covers all rows). The last window
/// may be shorter.
///
/// # Errors
/// Core error `OutOfDomain` if `block_len` is 0.
///
/// # Example
/// ```
/// use dlm_sampling::plan::{blocks, uniform};
/// let windows: Vec<_> = blocks(5, 4, uniform(2))?.map(|step| (step.window, step.s)).collect();
/// assert_eq!(windows, [(0..4, 0.5), (0..4, 0.0), (4..5, 0.5), (4..5, 0.0)]);
/// # Ok::<(), dlm_sampling::Error>(())
/// ```
///
/// # Source
/// Nie et al. 2025, arXiv:2502.09992 (semi-autoregressive remasking).
pub fn blocks<P>(len: usize, block_len: usize, plan: P) -> Result<impl Iterator<Item = Step> + Clone, Error>
where
    P: Iterator<Item = Step> + Clone,
{
    if block_len == 0 {
        let domain = dlm_core::Error::OutOfDomain { name: "block_len", expected: "at least 1", got: 0.0 };
        return Err(domain.into());
    }
    let windows =
        (0..len).step_by(block_len).map(move |start| start..len.min(start.saturating_add(block_len)));
    let steps =
        windows.flat_map(move |window| plan.clone().map(move |step| Step { window: window.clone(), ..step }));
    Ok(steps.enumerate().map(|(number, step)| Step { number, ..step }))
}

/// Steps between the times `time(i / steps)`, i = `steps`..0, with exact ends.
fn grid(steps: usize, time: fn(f64) -> f64) -> impl Iterator<Item = Step> + Clone {
    let at = move |left: usize| match left {
        0 => 0.0,
        left if left == steps => 1.0,
        left => time(left as f64 / steps as f64),
    };
    (1..=steps).map(move |index| Step {
        number: index - 1,
        index,
        of: steps,
        t: at(steps - index + 1),
        s: at(steps - index),
        window: 0..usize::MAX,
    })
}
