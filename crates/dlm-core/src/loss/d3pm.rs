use burn::tensor::{Device, Tensor};

use super::TokenLoss;
use super::columns::{Closed, Said, add_at, column, log_add_exp, of_softmax};
use super::place::{Others, Piece, Place, Places, ln};
use crate::error::{Error, in_domain};
use crate::forward::{Forward, Noised};
use crate::schedule::Schedule;

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
/// Austin et al. 2021, arXiv:2107.03006: Eq. 1 (the bound), 3 (the posterior) and 4 (x₀-parameterisation); Sahoo et al.
/// 2024, arXiv:2406.07524, Eq. 9 (absorbing) and 8 (with the mask forbidden). The vanilla absorbing and multinomial
/// models of RDM (arXiv:2302.05737).
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

    /// The time t = k/T of the grid that is not before `t`, and s = (k − 1)/T.
    fn interval(&self, t: f64) -> [f64; 2] {
        let steps = self.steps as f64;
        // A grid time k/T times T may pass k by rounding.
        let k = (t * steps - 1e-6).ceil().max(1.0);
        [(k - 1.0) / steps, k / steps]
    }
}

/// What a position's steps from s to t add to its places at both.
#[derive(Clone, Copy)]
struct Between {
    /// Of what is `x_t` at t, how much was it at s.
    stays: f64,
    /// And how much has come, times T.
    arrives: f64,
    /// S₀ at `x_t` and t.
    late_truth: f64,
    late_alpha: f64,
    late_noise: f64,
    /// S₀ at `x_t` and s.
    early_truth: f64,
    early_alpha: f64,
    early_noise: f64,
}

impl<S: Schedule> D3pm<'_, S> {
    fn between(&self, early: &Place, late: &Place, [s, t]: [f64; 2]) -> Between {
        let came = self.forward.between(s, t);
        let (early_truth, late_truth) = (early.truth_xt(), late.truth_xt());
        Between {
            stays: came.alpha * early_truth / late_truth,
            arrives: self.steps as f64 * came.noise(self.forward.prior(), early.xt) / late_truth,
            late_truth,
            late_alpha: late.alpha(),
            late_noise: late.noise_xt,
            early_truth,
            early_alpha: early.alpha(),
            early_noise: early.noise_xt,
        }
    }
}

impl<S: Schedule> TokenLoss for D3pm<'_, S> {
    type Output = Tensor<2>;

    fn terms(&self, logits: Tensor<2>, noised: &Noised) -> Tensor<1> {
        let at =
            |end: usize| Places::new(self.forward, noised, |t| self.forward.level(self.interval(t)[end]));
        let (early, late) = (at(0), at(1));
        let pairs = early.list().iter().zip(late.list()).zip(noised.at());
        let between: Vec<Between> = pairs
            .map(|((early, late), &at)| self.between(early, late, self.interval(noised.time_at(at))))
            .collect();
        of_softmax(logits, noised, |said| {
            closed(said, &said.places(&early), &between[said.rows.clone()], self.steps as f64)
        })
    }
}

fn closed(said: &Said, piece: &Piece<'_>, between: &[Between], steps: f64) -> Closed {
    let column = |value: fn(&Place) -> f64| piece.column(value);
    // What came from another word: −n·ln(1 + f/n) of every word, taken not to be x₀, f = α·p, n = (1 − α)·π.
    let others = Others::new(piece, said.p.clone() * column(Place::alpha));

    // The same of x₀: S₀·ln(S₀/S).
    let log_text = column(|place| ln(place.alpha())) + said.log_p_x0.clone();
    let log_s = log_add_exp(column(|place| ln(place.noise_x0)), log_text.clone());
    let truth = column(Place::truth_x0);
    let exact = truth.clone() * (column(|place| ln(place.truth_x0())) - log_s.clone());
    let exact_slope = -(truth * (log_text - log_s).exp());

    let own = Own::new(said, between);
    let arrives = numbers(between, &said.device, |b| b.arrives);
    let value = arrives.clone() * (others.sum + exact) + own.value * steps;
    let correction = exact_slope - others.slope.clone().gather(1, said.x0.clone());
    let slope = add_at(others.slope, said.x0.clone(), correction) * arrives;
    Closed { value, slope: add_at(slope, said.xt.clone(), own.slope * steps) }
}

/// A number of each position, `[n, 1]`.
fn numbers(between: &[Between], device: &Device, value: impl Fn(&Between) -> f64) -> Tensor<2> {
    column(&between.iter().map(value).collect::<Vec<_>>(), device)
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
    fn new(said: &Said, between: &[Between]) -> Self {
        let column = |value: &dyn Fn(&Between) -> f64| numbers(between, &said.device, value);
        let p = said.p.clone().gather(1, said.xt.clone());
        let log_text = column(&|b| ln(b.early_alpha)) + said.log_p_xt.clone();
        let log_late_text = column(&|b| ln(b.late_alpha)) + said.log_p_xt.clone();
        let log_s = log_add_exp(column(&|b| ln(b.early_noise)), log_text.clone());
        let log_late = log_add_exp(column(&|b| ln(b.late_noise)), log_late_text.clone());
        // Nothing that was x_t at s: its share is 0 and the change from nothing has no logarithm.
        let nothing = |b: &Between| b.early_truth <= 0.0;
        let direct = column(&|b| f64::from(u8::from(nothing(b)))).greater_elem(0.5);
        let before = log_s.clone() - column(&|b| ln(b.early_truth));
        let grown = column(&|b| b.late_alpha - b.early_alpha) * p + column(&|b| b.late_noise - b.early_noise);
        let grown = grown / log_s.clone().exp();
        // Far from 0, where it may leave the range of f32, a difference of logarithms is exact enough.
        let far = grown.clone().abs().greater_elem(0.5);
        let grown = grown.log1p().mask_where(far, log_late.clone() - log_s.clone());
        let truth = |b: &Between| if nothing(b) { 0.0 } else { (b.late_truth / b.early_truth).ln() };
        let change = grown - column(&truth);
        let value = (column(&|b| 1.0 - b.stays) * before + change)
            .mask_where(direct, log_late.clone() - column(&|b| ln(b.late_truth)));
        let slope = (log_late_text - log_late).exp() - column(&|b| b.stays) * (log_text - log_s).exp();
        Self { value, slope }
    }
}
