use burn::tensor::{FloatDType, Tensor};

use super::TokenLoss;
use super::columns::{NEVER, add_at, closed_rows, column, index};
use super::nll::{constant, exponentials};
use super::place::{Piece, Place, Places, ln};
use crate::forward::{Forward, Noised};
use crate::schedule::Schedule;

/// ln of the ratios `q(y)/q(x_t)` of how likely each word y is at time t, beside the word that stands there,
/// `[N, V]` at the asked positions: what SEDD's networks say.
///
/// What is said of y = x_t is not heeded: that ratio is 1.
#[derive(Debug, Clone)]
pub struct LogScores(pub Tensor<2>);

impl LogScores {
    /// The ratios that follow from logits of p(x₀ | `x_t`): `S(y)/S(x_t)` with S = α·p + (1 − α)·π.
    ///
    /// The gradient goes through, by the tape, which is most of the cost: who has logits and wants the bound asks
    /// [`Elbo`](super::Elbo), which is the same number.
    ///
    /// # Shapes
    /// - `logits`: `[N, V]`; for noise that may be the mask with the mask forbidden
    ///
    /// # Panics
    /// If there is not one row for each asked position.
    ///
    /// # Source
    /// Shi et al. 2024, arXiv:2406.04329, Eq. 10, and Sahoo et al. 2024, arXiv:2406.07524, appendix C.3 (absorbing); what
    /// a ratio is: Lou et al. 2023, arXiv:2310.16834, Eq. 12.
    pub fn from_logits<S: Schedule>(logits: Tensor<2>, noised: &Noised, forward: &Forward<S>) -> Self {
        let places = places(noised, forward);
        let [asked, vocabulary] = logits.dims();
        assert_eq!(asked, places.list().len(), "rows of logits against asked positions");
        if asked == 0 {
            return Self(logits.cast(FloatDType::F32));
        }
        let device = logits.device();
        let piece = places.piece(0..asked, &device);
        let logits = logits.cast(FloatDType::F32);
        // A constant: ln p does not depend on what all logits are less by.
        let shifted = logits.clone() - constant(&logits).max_dim(1);
        let exp = shifted.clone().exp();
        let sum = exp.clone().sum_dim(1);
        let text = shifted - (sum.clone().log() - piece.column(|place| ln(place.alpha())));
        let noise = piece.noise(vocabulary, |_| 1.0);
        // Where there is no noise S is α·p, whose logarithm is known however small it is.
        let text_alone = noise.clone().lower_equal_elem(0.0);
        let both = (exp * (piece.column(Place::alpha) / sum) + noise).mask_fill(text_alone.clone(), 1.0);
        let all = both.log().mask_where(text_alone, text);
        let own = all.clone().gather(1, index(piece.places.iter().map(|place| place.xt), &device));
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
        let [asked, vocabulary] = self.0.dims();
        assert_eq!(asked, places.list().len(), "rows of scores against asked positions");
        let scores = self.0.clone().detach().cast(FloatDType::F32);
        if asked == 0 {
            return scores;
        }
        let device = scores.device();
        let piece = places.piece(0..asked, &device);
        let xt = index(piece.places.iter().map(|place| place.xt), &device);
        let own = scores.clone().gather(1, xt.clone());
        let (_, exp, sum) = exponentials(add_at(scores, xt, -own));
        let from_text = exp / sum - piece.log_noise(vocabulary).exp();
        // Where nothing is left it is rounding.
        let positive = from_text.clamp_min(1e-30);
        let total = positive.clone().sum_dim(1);
        positive / total
    }
}

/// The asked positions at their times.
fn places<'a, S: Schedule>(noised: &Noised, forward: &'a Forward<S>) -> Places<'a> {
    Places::new(forward, noised, |t| forward.level(t))
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
/// Lou et al. 2023, arXiv:2310.16834, Theorem 3.6, Eq. 10 (diffusion-weighted denoising score entropy).
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

impl Place {
    /// Σ_{y ≠ x_t} a·(ln a − 1); `entropy` is Σ π·ln π of the words.
    fn constant(&self, entropy: f64) -> f64 {
        let term = |mass: f64| {
            let a = mass / self.truth_xt();
            if a > 0.0 { a * (a.ln() - 1.0) } else { 0.0 }
        };
        let words = self.level.words / self.truth_xt();
        let mut sum = term(self.level.words) + term(self.level.mask) + words * entropy - term(self.noise_xt);
        if self.x0 != self.xt {
            sum += term(self.truth_x0()) - term(self.noise_x0);
        }
        sum
    }
}

impl<S: Schedule> TokenLoss for ScoreEntropy<'_, S> {
    type Output = LogScores;

    fn terms(&self, LogScores(scores): LogScores, noised: &Noised) -> Tensor<1> {
        let (forward, places) = (self.forward, places(noised, self.forward));
        let rate = |(place, &at): (&Place, &usize)| {
            forward.inflow(noised.time_at(at)).noise(forward.prior(), place.xt)
        };
        let rates: Vec<f64> = places.list().iter().zip(noised.at()).map(rate).collect();
        let device = scores.device();
        closed_rows(scores, noised, |scores, rows| {
            let rate = column(&rates[rows.clone()], &device);
            let (value, gradient) = closed(scores, &places.piece(rows, &device));
            (value * rate.clone(), gradient * rate)
        })
    }
}

/// Values `[n, 1]` of some positions and their gradients `[n, V]`, both without ρ.
fn closed(scores: Tensor<2>, piece: &Piece<'_>) -> (Tensor<2>, Tensor<2>) {
    let [_, vocabulary] = scores.dims();
    let x0 = index(piece.places.iter().map(|place| place.x0), piece.device);
    let xt = index(piece.places.iter().map(|place| place.xt), piece.device);
    // What is impossible stays finite; the word that stands there has ratio 1 and no part.
    let scores = scores.clamp_min(NEVER);
    let own = scores.clone().gather(1, xt.clone());
    let scores = add_at(scores, xt.clone(), -own);
    let ratios = piece.noise(vocabulary, |place| place.truth_xt().recip());
    let ratios = add_at(ratios, x0, piece.column(|place| place.alpha() / place.truth_xt()));
    let here = ratios.clone().gather(1, xt.clone());
    let ratios = add_at(ratios, xt.clone(), -here);
    let said = scores.clone().exp();
    let entropy = piece
        .prior
        .words()
        .map_or(0.0, |words| words.probs().iter().map(|&p| if p > 0.0 { p * p.ln() } else { 0.0 }).sum());
    let constant = piece.column(|place| place.constant(entropy));
    let sum = (said.clone() - scores * ratios.clone()).sum_dim(1) - 1.0 + constant;
    let one = sum.ones_like();
    (sum, add_at(said - ratios, xt, -one))
}
