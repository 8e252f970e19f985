use burn::tensor::Tensor;

use super::TokenLoss;
use super::columns::{Closed, Said, add_at, log_add_exp, of_softmax};
use super::place::{Others, Piece, Place, Places, ln};
use crate::forward::{Forward, LEAST_ALPHA, Level, Noised};
use crate::schedule::{Hybrid, Schedule};

/// The continuous-time NELBO of any noise: absorbing (MDLM), uniform (UDLM, Duo), unigram, mixed (GIDD).
///
/// ```text
/// S(i)  = α·p(i) + (1 − α)·π(i)        the law of x_t, were p the law of x₀
/// S₀(i) = α·[i = x₀] + (1 − α)·π(i)    and the law that it has
/// ℓ = ρ(x_t)/S₀(x_t) · [ KL(S₀ ‖ S) + r − ln r − 1 ],   r = S₀(x_t)/S(x_t)
/// ρ(j) = d/dt[(1 − α)·π(j)] − α′/α·(1 − α)·π(j)         how fast tokens become j
/// ```
///
/// The sum over all words that a token could come from is taken exactly (Rao-Blackwellised), so ℓ has the least
/// variance that one draw of `x_t` allows; it is never negative, and 0 where p is one-hot at x₀. For absorbing
/// noise it is [`Nelbo`](super::Nelbo) under [`nll`](super::nll), which costs less.
///
/// The network's logits are over the words that a text may have: [`forbid`](super::forbid) the mask. S adds to p what
/// `x_t` itself says of its token, so the p for which ℓ is tight is that of x₀ given the *other* tokens of `x_t`.
///
/// # Source
/// von Rütte et al. 2025, arXiv:2503.04482, Theorem 3.7 (any mixture); Schiff et al. 2024, arXiv:2412.10193, Eq. 18,
/// and Sahoo et al. 2025, arXiv:2506.10892, Eq. 17 (uniform); Sahoo et al. 2024, arXiv:2406.07524, Eq. 10 (absorbing).
/// What p has to be: Gourevitch et al. 2026, arXiv:2605.22765 (leave-one-out denoiser).
///
/// # Numerics
/// The error is about 1e-7·(1 + K·p) nats, p that of `x_t`, times −α′/(1 − α), K the words of the prior: infinite weights of
/// finite terms at t = 1 are taken at α = 1e-12. Noise at t = 0, which the process never makes, costs NaN.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use dlm_core::loss::{Elbo, Reduction, TokenLoss};
/// use dlm_core::{Batch, CounterRng, Forward, Prior, Sequence, Vocabulary, schedule::Linear};
/// let vocabulary = Vocabulary::new(6, 0, 1, 2, 3)?;
/// let batch = Batch::new(&[Sequence::whole(vec![4, 5])], &vocabulary)?;
/// let forward = Forward::new(Linear, Prior::uniform(&vocabulary)?);
/// let noised = forward.noise(&batch, &[0.5], &CounterRng::new(0))?;
/// assert_eq!(noised.at(), [0, 1]); // noise cannot be told from text, so every token is asked
/// let sure = Tensor::from_data([[0.0, 0.0, 0.0, 0.0, 99.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 99.0]], &Device::flex());
/// let loss = Reduction::Tokens.reduce(Elbo::new(&forward).terms(sure, &noised), &noised);
/// assert!(loss.into_scalar::<f32>().abs() < 1e-5); // to know the text costs nothing
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Elbo<'a, S> {
    forward: &'a Forward<S>,
    weight: Weight,
}

/// What multiplies the bracket.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Weight {
    Bound { most: f64 },
    Dynamic { peak: f64, gamma: f64 },
}

impl<'a, S: Schedule> Elbo<'a, S> {
    /// The bound for noise by `forward`.
    pub fn new(forward: &'a Forward<S>) -> Self {
        Self { forward, weight: Weight::Bound { most: f64::INFINITY } }
    }

    /// With no weight above `most`: a training loss, no bound. GIDD's "clip" has 2.
    ///
    /// # Source
    /// von Rütte et al. 2025, arXiv:2503.04482 (clamped weights).
    #[must_use]
    pub fn clipped(self, most: f64) -> Self {
        Self { weight: Weight::Bound { most }, ..self }
    }
}

impl Elbo<'_, Hybrid> {
    /// GIDD's "dynamic" training weights: 2 at masks, 1 at wrong words, and at clean tokens
    /// B·π·((1 − t)/t)^(−γ/2), the bound's weights without what they share.
    ///
    /// # Source
    /// von Rütte et al. 2025, arXiv:2503.04482 (dynamic weights). Its code has sigmoid(−t) in place of the log-SNR.
    #[must_use]
    pub fn dynamic(self) -> Self {
        let schedule = self.forward.schedule();
        Self { weight: Weight::Dynamic { peak: schedule.peak(), gamma: schedule.gamma() }, ..self }
    }
}

impl<S: Schedule> Elbo<'_, S> {
    /// The weight at an asked position.
    fn weight(&self, place: &Place, t: f64) -> f64 {
        let prior = self.forward.prior();
        match self.weight {
            Weight::Bound { most } => {
                (self.forward.inflow(t).noise(prior, place.xt) / place.truth_xt()).min(most)
            }
            Weight::Dynamic { .. } if prior.mask() == Some(place.xt) => 2.0,
            Weight::Dynamic { .. } if place.x0 != place.xt => 1.0,
            Weight::Dynamic { peak, gamma } => {
                let word = prior.words().map_or(0.0, |words| words.prob(place.x0));
                peak * word * (t / (1.0 - t)).powf(0.5 * gamma)
            }
        }
    }
}

impl<S: Schedule> TokenLoss for Elbo<'_, S> {
    type Output = Tensor<2>;

    fn terms(&self, logits: Tensor<2>, noised: &Noised) -> Tensor<1> {
        let places = Places::new(self.forward, noised, |t| {
            let level = self.forward.level(t);
            Level { alpha: level.alpha.max(LEAST_ALPHA), ..level }
        });
        let each = places.list().iter().zip(noised.at());
        let weights: Vec<f64> = each.map(|(place, &at)| self.weight(place, noised.time_at(at))).collect();
        of_softmax(logits, noised, |said| {
            closed(said, &said.places(&places), &said.column(&weights, |&weight| weight))
        })
    }
}

fn closed(said: &Said, piece: &Piece<'_>, weight: &Tensor<2>) -> Closed {
    let column = |value: fn(&Place) -> f64| piece.column(value);
    let log_alpha = column(|place| place.alpha().ln());

    // S₀·ln(S₀/S) − S₀ + S of every word, taken not to be x₀: f − n·ln(1 + f/n), f = α·p, n = (1 − α)·π.
    let from_text = said.p.clone() * column(Place::alpha);
    let others = Others::new(piece, from_text.clone());
    let text_x0 = from_text.clone().gather(1, said.x0.clone());
    let text_xt = from_text.clone().gather(1, said.xt.clone());
    let sum = others.sum + from_text.clone().sum_dim(1) - text_x0.clone();
    let slope = others.slope + from_text;

    // The same of x₀: S₀·(y − ln(1 + y)), y = S/S₀ − 1.
    let log_text = log_alpha.clone() + said.log_p_x0.clone();
    let log_s = log_add_exp(column(|place| ln(place.noise_x0)), log_text.clone());
    let truth = column(Place::truth_x0);
    let y =
        (said.p.clone().gather(1, said.x0.clone()) - 1.0) * column(|place| place.alpha() / place.truth_x0());
    let l = log_ratio(y.clone(), log_s.clone() - column(|place| place.truth_x0().ln()));
    let exact = truth.clone() * (y - l);
    let exact_slope = text_x0 - truth * (log_text - log_s).exp();

    let at_xt = Ratio::new(piece, log_alpha + said.log_p_xt.clone(), text_xt);
    let correction = exact_slope - slope.clone().gather(1, said.x0.clone());
    let slope = add_at(add_at(slope, said.x0.clone(), correction), said.xt.clone(), at_xt.slope);
    Closed { value: (sum + exact + at_xt.value) * weight.clone(), slope: slope * weight.clone() }
}

/// ln(1 + x): by x where x is near 0 and a difference of logarithms would cancel, else `far`, that difference.
fn log_ratio(x: Tensor<2>, far: Tensor<2>) -> Tensor<2> {
    let is_far = x.clone().lower_elem(-0.5);
    x.clamp_min(-0.5).log1p().mask_where(is_far, far)
}

/// r − ln r − 1 at `x_t`, r = S₀/S = 1/(1 + x), and its slope.
struct Ratio {
    value: Tensor<2>,
    slope: Tensor<2>,
}

impl Ratio {
    /// Of ln(α·p) and α·p at `x_t`, `[n, 1]`.
    fn new(piece: &Piece<'_>, log_text: Tensor<2>, text: Tensor<2>) -> Self {
        let column = |value: fn(&Place) -> f64| piece.column(value);
        let log_s = log_add_exp(column(|place| ln(place.noise_xt)), log_text.clone());
        let x = (text - column(Place::alpha_xt)) / column(Place::truth_xt);
        let l = log_ratio(x.clone(), log_s.clone() - column(|place| place.truth_xt().ln()));
        // 1 − r = x/(1 + x)
        let is_far = x.clone().lower_elem(-0.5);
        let near = x.clamp_min(-0.5);
        let change = (near.clone() / (near + 1.0)).mask_where(is_far, -((-l.clone()).exp() - 1.0));
        let value = l - change.clone();
        Self { value, slope: change * (log_text - log_s).exp() }
    }
}
