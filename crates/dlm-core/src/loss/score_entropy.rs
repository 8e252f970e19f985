use burn::tensor::{FloatDType, Tensor, s};

use super::TokenLoss;
use super::columns::{NEVER, add_at, attach_rows, column, index, log_add_exp, pieces, row};
use super::elbo::ln;
use super::nll::exponentials;
use crate::forward::{Forward, Noised};
use crate::prior::Prior;
use crate::schedule::Schedule;
use crate::sequence::TokenId;

/// ln of the ratios `q(y)/q(x_t)` of how likely each word y is at time t, beside the word that stands there,
/// `[N, V]` at the asked positions: what SEDD's networks say.
///
/// What is said of y = x_t is not heeded: that ratio is 1.
#[derive(Debug, Clone)]
pub struct LogScores(pub Tensor<2>);

impl LogScores {
    /// The ratios that follow from logits of p(x₀ | `x_t`): `S(y)/S(x_t)` with S = α·p + (1 − α)·π.
    ///
    /// The gradient goes through, by the tape.
    ///
    /// # Shapes
    /// - `logits`: `[N, V]`; for noise that may be the mask with the mask forbidden
    ///
    /// # Panics
    /// If there is not one row for each asked position.
    ///
    /// # Source
    /// Sahoo et al. 2024, arXiv:2406.07524 (absorbing); Lou et al. 2023, arXiv:2310.16834.
    pub fn from_logits<S: Schedule>(logits: Tensor<2>, noised: &Noised, forward: &Forward<S>) -> Self {
        let places = places(noised, forward);
        assert_eq!(logits.dims()[0], places.len(), "rows of logits against asked positions");
        if places.is_empty() {
            return Self(logits.cast(FloatDType::F32));
        }
        let device = logits.device();
        let (shifted, _, sum) = exponentials(logits.cast(FloatDType::F32));
        let log_p = shifted - sum.log();
        let log_alpha = column(&numbers(&places, |place| ln(place.alpha)), &device);
        let all = log_add_exp(log_noise(&places, forward.prior(), &log_p), log_p + log_alpha);
        let own = all.clone().gather(1, index(places.iter().map(|place| place.xt), &device));
        Self(all - own)
    }

    /// What SEDD's networks give before "scale by sigma": the ratios less ln(e^σ − 1) and ln(V − 1),
    /// σ = −ln α, so that a network whose output is around 0 starts near the right size.
    ///
    /// # Panics
    /// If there is not one row for each asked position.
    ///
    /// # Source
    /// Lou et al. 2023, arXiv:2310.16834, its code.
    pub fn scaled_by_sigma(output: Tensor<2>, noised: &Noised, schedule: &impl Schedule) -> Self {
        let [asked, vocabulary] = output.dims();
        assert_eq!(asked, noised.at().len(), "rows of outputs against asked positions");
        let shift = |&at: &usize| {
            let alpha = schedule.alpha(noised.time_at(at));
            // ln(e^σ − 1) = ln((1 − α)/α)
            ln(1.0 - alpha) - ln(alpha) + ((vocabulary - 1) as f64).ln()
        };
        let shifts: Vec<f64> = noised.at().iter().map(shift).collect();
        if asked == 0 {
            return Self(output.cast(FloatDType::F32));
        }
        let device = output.device();
        Self(output.cast(FloatDType::F32) - column(&shifts, &device))
    }

    /// p(x₀ | x_t) that the ratios follow from, `[N, V]`: (S − (1 − α)·π)/α, where that is positive, made to sum
    /// to 1. For evaluation: no gradient.
    ///
    /// # Panics
    /// If there is not one row for each asked position.
    pub fn probabilities<S: Schedule>(&self, noised: &Noised, forward: &Forward<S>) -> Tensor<2> {
        let places = places(noised, forward);
        assert_eq!(self.0.dims()[0], places.len(), "rows of scores against asked positions");
        let scores = self.0.clone().detach().cast(FloatDType::F32);
        if places.is_empty() {
            return scores;
        }
        let device = scores.device();
        let xt = index(places.iter().map(|place| place.xt), &device);
        let own = scores.clone().gather(1, xt.clone());
        let (_, exp, sum) = exponentials(add_at(scores, xt, -own));
        let from_text = exp / sum - log_noise(&places, forward.prior(), &self.0).exp();
        // Where nothing is left it is rounding.
        let positive = from_text.clamp_min(1e-30);
        let total = positive.clone().sum_dim(1);
        positive / total
    }
}

/// Score entropy: the continuous-time NELBO for a network that says ratios, of any noise.
///
/// ```text
/// ℓ = ρ(x_t) · Σ_{y ≠ x_t} [ s(y) − a(y)·ln s(y) + a(y)·(ln a(y) − 1) ],   a(y) = S₀(y)/S₀(x_t)
/// ```
///
/// with S₀ and ρ as in [`Elbo`](super::Elbo), which it equals, position by position, for ratios from
/// [`LogScores::from_logits`]. The word y = x_t has no part.
///
/// # Source
/// Lou et al. 2023, arXiv:2310.16834 (diffusion-weighted denoising score entropy).
#[derive(Debug, Clone, Copy)]
pub struct ScoreEntropy<'a, S> {
    forward: &'a Forward<S>,
}

impl<'a, S: Schedule> ScoreEntropy<'a, S> {
    /// The bound for noise by `forward`.
    pub fn new(forward: &'a Forward<S>) -> Self {
        Self { forward }
    }
}

/// All that the formulas need of one asked position and the network does not say.
struct Place {
    x0: TokenId,
    xt: TokenId,
    alpha: f64,
    /// (1 − α)·π that is the mask, and that is words.
    mask: f64,
    words: f64,
    noise_x0: f64,
    noise_xt: f64,
    rate: f64,
}

impl Place {
    fn clean(&self) -> bool {
        self.x0 == self.xt
    }

    /// S₀ at `x_t`.
    fn truth(&self) -> f64 {
        self.noise_xt + if self.clean() { self.alpha } else { 0.0 }
    }

    /// Σ_{y ≠ x_t} a·(ln a − 1); `entropy` is Σ π·ln π of the words.
    fn constant(&self, entropy: f64) -> f64 {
        let term = |mass: f64| {
            let a = mass / self.truth();
            if a > 0.0 { a * (a.ln() - 1.0) } else { 0.0 }
        };
        let words = self.words / self.truth();
        let mut sum = term(self.words) + term(self.mask) + words * entropy - term(self.noise_xt);
        if !self.clean() {
            sum += term(self.noise_x0 + self.alpha) - term(self.noise_x0);
        }
        sum
    }
}

fn places<S: Schedule>(noised: &Noised, forward: &Forward<S>) -> Vec<Place> {
    let prior = forward.prior();
    let place = |&at: &usize| {
        let (x0, xt, t) = (noised.x0()[at], noised.xt()[at], noised.time_at(at));
        let (level, inflow) = (forward.level(t), forward.inflow(t));
        Place {
            x0,
            xt,
            alpha: level.alpha,
            mask: level.mask,
            words: level.words,
            noise_x0: level.noise(prior, x0),
            noise_xt: level.noise(prior, xt),
            rate: inflow.noise(prior, xt),
        }
    };
    noised.at().iter().map(place).collect()
}

fn numbers(places: &[Place], of: impl Fn(&Place) -> f64) -> Vec<f64> {
    places.iter().map(of).collect()
}

/// ln((1 − α)·π) of every word, `[n, V]`.
fn log_noise(places: &[Place], prior: &Prior, like: &Tensor<2>) -> Tensor<2> {
    let device = like.device();
    let [_, vocabulary] = like.dims();
    let is_mask = |id: usize| prior.mask() == Some(id as TokenId);
    let word = |id: usize| prior.words().map_or(NEVER, |words| ln(words.prob(id as TokenId)));
    // The two kinds side by side: a sum would lose a small number in ln 0.
    let of = |value: &dyn Fn(usize) -> f64| row(&(0..vocabulary).map(value).collect::<Vec<_>>(), &device);
    let words = column(&numbers(places, |place| ln(place.words)), &device);
    let masks = column(&numbers(places, |place| ln(place.mask)), &device);
    let kinds = words * of(&|id| f64::from(u8::from(!is_mask(id))))
        + masks * of(&|id| f64::from(u8::from(is_mask(id))));
    kinds + of(&|id| if is_mask(id) { 0.0 } else { word(id) })
}

impl<S: Schedule> TokenLoss for ScoreEntropy<'_, S> {
    type Output = LogScores;

    fn terms(&self, LogScores(scores): LogScores, noised: &Noised) -> Tensor<1> {
        let [asked, vocabulary] = scores.dims();
        assert_eq!(asked, noised.at().len(), "rows of scores against asked positions");
        if asked == 0 {
            return Tensor::zeros([0], &scores.device());
        }
        let (scores, places) = (scores.cast(FloatDType::F32), places(noised, self.forward));
        let constant = scores.clone().detach();
        let prior = self.forward.prior();
        let each = pieces(asked, vocabulary)
            .map(|rows| piece(constant.clone().slice(s![rows.clone(), ..]), &places[rows], prior));
        let (values, gradients): (Vec<_>, Vec<_>) = each.unzip();
        attach_rows(Tensor::cat(values, 0), scores, Tensor::cat(gradients, 0))
    }
}

/// Values `[n, 1]` of some positions and their gradients `[n, V]`.
fn piece(scores: Tensor<2>, places: &[Place], prior: &Prior) -> (Tensor<2>, Tensor<2>) {
    let device = scores.device();
    let column = |of: &dyn Fn(&Place) -> f64| column(&numbers(places, of), &device);
    let (x0, xt) = (index(places.iter().map(|p| p.x0), &device), index(places.iter().map(|p| p.xt), &device));
    // What is impossible stays finite; the word that stands there has ratio 1 and no part.
    let scores = scores.clamp_min(NEVER);
    let own = scores.clone().gather(1, xt.clone());
    let scores = add_at(scores, xt.clone(), -own);
    let mut ratios = match prior.words() {
        None => scores.zeros_like(),
        Some(words) => column(&|p| p.words / p.truth()) * row(words.probs(), &device),
    };
    if let Some(mask) = prior.mask() {
        ratios = add_at(ratios, index(places.iter().map(|_| mask), &device), column(&|p| p.mask / p.truth()));
    }
    ratios = add_at(ratios, x0, column(&|p| p.alpha / p.truth()));
    let here = ratios.clone().gather(1, xt.clone());
    let ratios = add_at(ratios, xt.clone(), -here);
    let said = scores.clone().exp();
    let rate = column(&|p| p.rate);
    let entropy = prior
        .words()
        .map_or(0.0, |words| words.probs().iter().map(|&p| if p > 0.0 { p * p.ln() } else { 0.0 }).sum());
    let sum = (said.clone() - ratios.clone() * scores).sum_dim(1) - 1.0 + column(&|p| p.constant(entropy));
    let one = rate.ones_like();
    let gradient = add_at(said - ratios, xt, -one);
    (sum * rate.clone(), gradient * rate)
}
