use burn::tensor::{Int, Tensor};

use super::TokenLoss;
use super::columns::{Closed, NEVER, Said, add_at, log_add_exp, of_softmax, row};
use crate::forward::{Forward, LEAST_ALPHA, Noised};
use crate::prior::Prior;
use crate::schedule::{Hybrid, Schedule};
use crate::sequence::TokenId;

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
/// von Rütte et al. 2025, arXiv:2503.04482 (the GIDD ELBO: any mixture); Schiff et al. 2024, arXiv:2412.10193, and
/// Sahoo et al. 2025, arXiv:2506.10892 (uniform); Sahoo et al. 2024, arXiv:2406.07524, Eq. 10 (absorbing). What p
/// has to be: "Uniform Diffusion Models Revisited" 2026, arXiv:2605.22765.
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

/// All that the formula needs of one asked position and the network does not say.
struct Place {
    x0: TokenId,
    xt: TokenId,
    alpha: f64,
    /// (1 − α)·π that is the mask, and that is words.
    mask: f64,
    words: f64,
    /// (1 − α)·π at x₀.
    noise_x0: f64,
    /// S₀ at `x_t`.
    truth_xt: f64,
    weight: f64,
}

impl Place {
    fn same(&self) -> f64 {
        f64::from(u8::from(self.x0 == self.xt))
    }
}

impl<S: Schedule> Elbo<'_, S> {
    fn places(&self, noised: &Noised) -> Vec<Place> {
        let prior = self.forward.prior();
        let place = |&at: &usize| {
            let (x0, xt, t) = (noised.x0()[at], noised.xt()[at], noised.time_at(at));
            let mut level = self.forward.level(t);
            level.alpha = level.alpha.max(LEAST_ALPHA);
            let same = if x0 == xt { level.alpha } else { 0.0 };
            let truth_xt = level.noise(prior, xt) + same;
            let bound = self.forward.inflow(t).noise(prior, xt) / truth_xt;
            Place {
                x0,
                xt,
                alpha: level.alpha,
                mask: level.mask,
                words: level.words,
                noise_x0: level.noise(prior, x0),
                truth_xt,
                weight: self.weight.at(bound, prior, (x0, xt), t),
            }
        };
        noised.at().iter().map(place).collect()
    }
}

impl Weight {
    fn at(self, bound: f64, prior: &Prior, (x0, xt): (TokenId, TokenId), t: f64) -> f64 {
        match self {
            Self::Bound { most } => bound.min(most),
            Self::Dynamic { .. } if prior.mask() == Some(xt) => 2.0,
            Self::Dynamic { .. } if x0 != xt => 1.0,
            Self::Dynamic { peak, gamma } => {
                let word = prior.words().map_or(0.0, |words| words.prob(x0));
                peak * word * (t / (1.0 - t)).powf(0.5 * gamma)
            }
        }
    }
}

impl<S: Schedule> TokenLoss for Elbo<'_, S> {
    type Output = Tensor<2>;

    fn terms(&self, logits: Tensor<2>, noised: &Noised) -> Tensor<1> {
        assert_eq!(logits.dims()[0], noised.at().len(), "rows of logits against asked positions");
        let places = self.places(noised);
        of_softmax(logits, |said| closed(said, &places, self.forward.prior()))
    }
}

/// (1 − α)·π of every word, `[n, V]`, next to nothing where it is nothing; `parts` gives that of the mask and of
/// all words.
pub(super) fn noise<T>(
    said: &Said,
    places: &[T],
    prior: &Prior,
    parts: impl Fn(&T) -> [f64; 2],
) -> Tensor<2> {
    // Small enough that α·p/n is as good as infinite, large enough that it is finite.
    let floor = 1e-30;
    let [_, vocabulary] = said.p.dims();
    let mut noise = match prior.words() {
        None => Tensor::zeros(said.p.shape(), &said.device),
        Some(words) => {
            assert_eq!(words.probs().len(), vocabulary, "words of the prior against words of the logits");
            said.column(places, |place| parts(place)[1]) * row(words.probs(), &said.device)
        }
    };
    if let Some(mask) = prior.mask() {
        noise = add_at(noise, said.index(places, |_| mask), said.column(places, |place| parts(place)[0]));
    }
    noise.clamp_min(floor)
}

/// ln of a probability that may be 0.
pub(super) fn ln(p: f64) -> f64 {
    if p > 0.0 { p.ln() } else { NEVER }
}

fn closed(said: &Said, places: &[Place], prior: &Prior) -> Closed {
    let column = |value: fn(&Place) -> f64| said.column(places, value);
    let (x0, xt) = (said.index(places, |place| place.x0), said.index(places, |place| place.xt));
    let alpha = column(|place| place.alpha);
    let noise = noise(said, places, prior, |place| [place.mask, place.words]);

    // S₀·ln(S₀/S) − S₀ + S of every word, taken not to be x₀: n·(x − ln(1 + x)), x = α·p/n.
    let from_text = alpha.clone() * said.p.clone();
    let x = from_text.clone() / noise.clone();
    let every = from_text.clone() - noise * x.clone().log1p();
    let every_slope = from_text.clone() * (x.clone() / (x + 1.0));

    // The same of x₀: S₀·(y − ln(1 + y)), y = S/S₀ − 1.
    let log_alpha = column(|place| place.alpha.ln());
    let log_text = log_alpha.clone() + said.log_p.clone().gather(1, x0.clone());
    let p_x0 = said.p.clone().gather(1, x0.clone());
    let log_s = log_add_exp(column(|place| ln(place.noise_x0)), log_text.clone());
    let truth = column(|place| place.noise_x0 + place.alpha);
    let y = (p_x0 - 1.0) * column(|place| place.alpha / (place.noise_x0 + place.alpha));
    let l = log_ratio(y.clone(), log_s.clone() - column(|place| (place.noise_x0 + place.alpha).ln()));
    let exact = truth.clone() * (y - l);
    let exact_slope = from_text.clone().gather(1, x0.clone()) - truth * (log_text - log_s).exp();

    // r − ln r − 1 at x_t, r = S₀/S = 1/(1 + x).
    let at_xt = Ratio::new(said, places, &log_alpha, &from_text, xt.clone());
    let weight = column(|place| place.weight);
    let value = every.clone().sum_dim(1) - every.gather(1, x0.clone()) + exact + at_xt.value;
    let correction = exact_slope - every_slope.clone().gather(1, x0.clone());
    let slope = add_at(add_at(every_slope, x0, correction), xt, at_xt.slope);
    Closed { value: value * weight.clone(), slope: slope * weight }
}

/// ln(1 + x): by x where x is near 0 and a difference of logarithms would cancel, else `far`, that difference.
fn log_ratio(x: Tensor<2>, far: Tensor<2>) -> Tensor<2> {
    let is_far = x.clone().lower_elem(-0.5);
    x.clamp_min(-0.5).log1p().mask_where(is_far, far)
}

/// r − ln r − 1 and its slope.
struct Ratio {
    value: Tensor<2>,
    slope: Tensor<2>,
}

impl Ratio {
    fn new(
        said: &Said,
        places: &[Place],
        log_alpha: &Tensor<2>,
        from_text: &Tensor<2>,
        xt: Tensor<2, Int>,
    ) -> Self {
        let column = |value: fn(&Place) -> f64| said.column(places, value);
        let same = column(Place::same) * column(|place| place.alpha);
        let log_noise = column(|place| ln(place.truth_xt - place.same() * place.alpha));
        let log_text = log_alpha.clone() + said.log_p.clone().gather(1, xt.clone());
        let log_s = log_add_exp(log_noise, log_text.clone());
        let x = (from_text.clone().gather(1, xt) - same) / column(|place| place.truth_xt);
        let l = log_ratio(x.clone(), log_s.clone() - column(|place| place.truth_xt.ln()));
        // 1 − r = x/(1 + x)
        let is_far = x.clone().lower_elem(-0.5);
        let near = x.clamp_min(-0.5);
        let change = (near.clone() / (near + 1.0)).mask_where(is_far, -((-l.clone()).exp() - 1.0));
        let value = l - change.clone();
        Self { value, slope: change * (log_text - log_s).exp() }
    }
}
