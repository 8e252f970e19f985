use burn::tensor::{Int, Tensor};

use super::TokenLoss;
use super::columns::{Closed, Said, add_at, log_add_exp, of_softmax};
use super::elbo::{ln, noise};
use crate::error::{Error, in_domain};
use crate::forward::{Forward, Noised};
use crate::prior::Prior;
use crate::schedule::Schedule;
use crate::sequence::TokenId;

/// The variational bound over T discrete times, of any noise: T times the divergence of one step.
///
/// ```text
/// ℓ = T·KL( q(x_s | x_t, x₀) ‖ q(x_s | x_t, p) ),   t = k/T, s = (k − 1)/T
/// ```
///
/// with [`posterior_row`](Forward::posterior_row) for q. Its mean over k uniform in 1..=T
/// ([`Times::grid`](crate::Times::grid)) is the bound; a time between the grid's counts as the next. The last step,
/// to s = 0, is of the same form and contains the reconstruction. The mask may have probability: with none
/// ([`forbid`](super::forbid)) the absorbing loss is MDLM's, the cross-entropy times T·λ₂.
///
/// # Source
/// Austin et al. 2021, arXiv:2107.03006, Eq. 1 and 4; in RDM (arXiv:2302.05737) the vanilla absorbing and
/// multinomial models; Sahoo et al. 2024, arXiv:2406.07524.
///
/// # Numerics
/// The error is about 1e-7 nats: what changes from s to t is computed as a change, not as a difference of
/// logarithms, so it does not grow with T. Published code gives NaN at t = 1/T.
///
/// # Example
/// ```
/// use burn::tensor::{Device, Tensor};
/// use dlm_core::loss::{D3pm, TokenLoss, forbid};
/// use dlm_core::{Batch, Forward, Noised, Prior, Sequence, Vocabulary, schedule::Linear};
/// let vocabulary = Vocabulary::new(5, 0, 1, 2, 4)?;
/// let batch = Batch::new(&[Sequence::whole(vec![3])], &vocabulary)?;
/// let prior = Prior::Absorbing { mask: 4 };
/// let noised = Noised::with_noise(&batch, &[0.5], &[true], prior.clone())?;
/// let logits = forbid(Tensor::zeros([1, 5], &Device::flex()), 4);
/// let loss = D3pm::new(&Forward::new(Linear, prior), 10)?.terms(logits, &noised);
/// // T·λ₂ = 10/5, and one of four words.
/// assert!((loss.into_scalar::<f32>() - 2.0 * 4.0_f32.ln()).abs() < 1e-5);
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct D3pm<'a, S> {
    forward: &'a Forward<S>,
    steps: usize,
}

impl<'a, S: Schedule> D3pm<'a, S> {
    /// The bound over `steps` (T) times.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] if `steps` is 0.
    pub fn new(forward: &'a Forward<S>, steps: usize) -> Result<Self, Error> {
        in_domain(steps > 0, "steps", "at least 1", steps as f64)?;
        Ok(Self { forward, steps })
    }

    fn place(&self, x0: TokenId, xt: TokenId, t: f64) -> Place {
        let (prior, steps) = (self.forward.prior(), self.steps as f64);
        // A grid time k/T times T may pass k by rounding.
        let k = (t * steps - 1e-6).ceil().max(1.0);
        let (s, t) = ((k - 1.0) / steps, k / steps);
        let (early, late, came) = (self.forward.level(s), self.forward.level(t), self.forward.between(s, t));
        let same = f64::from(u8::from(x0 == xt));
        let (noise_s, noise_t) = (early.noise(prior, xt), late.noise(prior, xt));
        let (truth_s, truth_t) = (noise_s + same * early.alpha, noise_t + same * late.alpha);
        // Of what is x_t at t, how much was it at s, and how much has come.
        let (stays, arrives) = (came.alpha * truth_s / truth_t, came.noise(prior, xt) / truth_t);
        Place {
            x0,
            xt,
            alpha: early.alpha,
            mask: early.mask,
            words: early.words,
            noise_x0: early.noise(prior, x0),
            noise_xt: noise_s,
            truth_xt: truth_s,
            late_alpha: late.alpha,
            late_noise_xt: noise_t,
            late_truth_xt: truth_t,
            stays,
            arrives,
            scale: steps,
        }
    }
}

/// All that the formula needs of one asked position and the network does not say; at s unless it says late.
struct Place {
    x0: TokenId,
    xt: TokenId,
    alpha: f64,
    mask: f64,
    words: f64,
    noise_x0: f64,
    noise_xt: f64,
    truth_xt: f64,
    late_alpha: f64,
    late_noise_xt: f64,
    late_truth_xt: f64,
    stays: f64,
    arrives: f64,
    scale: f64,
}

impl<S: Schedule> TokenLoss for D3pm<'_, S> {
    type Output = Tensor<2>;

    fn terms(&self, logits: Tensor<2>, noised: &Noised) -> Tensor<1> {
        assert_eq!(logits.dims()[0], noised.at().len(), "rows of logits against asked positions");
        let place = |&at: &usize| self.place(noised.x0()[at], noised.xt()[at], noised.time_at(at));
        let places: Vec<Place> = noised.at().iter().map(place).collect();
        of_softmax(logits, |said| closed(said, &places, self.forward.prior()))
    }
}

fn closed(said: &Said, places: &[Place], prior: &Prior) -> Closed {
    let column = |value: fn(&Place) -> f64| said.column(places, value);
    let (x0, xt) = (said.index(places, |place| place.x0), said.index(places, |place| place.xt));
    let noise = noise(said, places, prior, |place| [place.mask, place.words]);
    let arrives = column(|place| place.arrives);

    // What came from another word: −n·ln(1 + x) of every word, taken not to be x₀, x = α·p/n.
    let from_text = column(|place| place.alpha) * said.p.clone();
    let x = from_text.clone() / noise.clone();
    let every = -(noise * x.clone().log1p());
    let every_slope = -(from_text / (x + 1.0));

    // The same of x₀: S₀·ln(S₀/S).
    let log_alpha = column(|place| ln(place.alpha));
    let log_text = log_alpha.clone() + said.log_p.clone().gather(1, x0.clone());
    let log_s = log_add_exp(column(|place| ln(place.noise_x0)), log_text.clone());
    let truth = column(|place| place.noise_x0 + place.alpha);
    let exact = truth.clone() * (column(|place| ln(place.noise_x0 + place.alpha)) - log_s.clone());
    let exact_slope = -(truth * (log_text - log_s).exp());

    let own = Own::new(said, places, xt.clone());
    let others = every.clone().sum_dim(1) - every.gather(1, x0.clone()) + exact;
    let value = arrives.clone() * others + own.value;
    let correction = exact_slope - every_slope.clone().gather(1, x0.clone());
    let slope = add_at(add_at(every_slope, x0, correction) * arrives, xt, own.slope);
    let scale = column(|place| place.scale);
    Closed { value: value * scale.clone(), slope: slope * scale }
}

/// What concerns `x_t` itself: the normalisation at t, less what stayed from s.
///
/// ```text
/// ln S_t/S₀_t − stays·ln S_s/S₀_s = (1 − stays)·ln S_s/S₀_s + ln (S_t/S_s)/(S₀_t/S₀_s)
/// ```
struct Own {
    value: Tensor<2>,
    slope: Tensor<2>,
}

impl Own {
    fn new(said: &Said, places: &[Place], xt: Tensor<2, Int>) -> Self {
        let column = |value: fn(&Place) -> f64| said.column(places, value);
        let (log_p, p) = (said.log_p.clone().gather(1, xt.clone()), said.p.clone().gather(1, xt));
        let log_text = column(|place| ln(place.alpha)) + log_p.clone();
        let log_late_text = column(|place| ln(place.late_alpha)) + log_p;
        let log_s = log_add_exp(column(|place| ln(place.noise_xt)), log_text.clone());
        let log_late = log_add_exp(column(|place| ln(place.late_noise_xt)), log_late_text.clone());
        // Nothing that was x_t at s: its share is 0 and the change from nothing has no logarithm.
        let nothing = |place: &Place| place.truth_xt <= 0.0;
        let direct = said.column(places, |place| f64::from(u8::from(nothing(place)))).greater_elem(0.5);
        let before = log_s.clone() - column(|place| ln(place.truth_xt));
        let grown = column(|place| place.late_alpha - place.alpha) * p
            + column(|place| place.late_noise_xt - place.noise_xt);
        let grown = grown / log_s.clone().exp();
        // Far from 0, where it may leave the range of f32, a difference of logarithms is exact enough.
        let far = grown.clone().abs().greater_elem(0.5);
        let grown = grown.log1p().mask_where(far, log_late.clone() - log_s.clone());
        let truth =
            |place: &Place| if nothing(place) { 0.0 } else { (place.late_truth_xt / place.truth_xt).ln() };
        let change = grown - said.column(places, truth);
        let value = (column(|place| 1.0 - place.stays) * before + change)
            .mask_where(direct, log_late.clone() - column(|place| ln(place.late_truth_xt)));
        let slope = (log_late_text - log_late).exp() - column(|place| place.stays) * (log_text - log_s).exp();
        Self { value, slope }
    }
}
