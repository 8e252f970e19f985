//! What the network says about each asked position, reduced on the device to a few numbers.

use burn::tensor::{FloatDType, IndexingUpdateOp, Int, Tensor, TensorData, Transaction, s};
use dlm_core::TokenId;

use crate::error::Error;

/// How the candidate token of a position is chosen.
///
/// # Numerics
/// A draw inverts the cumulative sum of softmax(logits / T) in f32 with 24 random bits: words are told
/// apart down to a probability of about 1e-7, and a word whose f32 probability is 0 is never drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// 0 for the most probable word.
    temperature: f64,
}

impl Candidate {
    /// The most probable word; of equals the backend's choice (on the CPU, the lowest id).
    pub const ARGMAX: Self = Self { temperature: 0.0 };

    /// A draw from the network's own distribution: temperature 1.
    pub const SAMPLED: Self = Self { temperature: 1.0 };

    /// A draw from softmax(logits / `temperature`); at 0 the most probable word.
    ///
    /// # Errors
    /// Core error `OutOfDomain` unless `temperature` is finite and not negative.
    ///
    /// # Example
    /// ```
    /// use dlm_sampling::Candidate;
    /// assert_eq!(Candidate::at_temperature(0.0)?, Candidate::ARGMAX);
    /// assert!(Candidate::at_temperature(f64::NAN).is_err());
    /// # Ok::<(), dlm_sampling::Error>(())
    /// ```
    pub fn at_temperature(temperature: f64) -> Result<Self, Error> {
        if temperature.is_finite() && temperature >= 0.0 {
            return Ok(Self { temperature });
        }
        let expected = "finite and not negative";
        Err(dlm_core::Error::OutOfDomain { name: "temperature", expected, got: temperature }.into())
    }

    /// Whether the same logits always give the same candidate.
    pub fn is_deterministic(self) -> bool {
        self.temperature == 0.0
    }
}

/// Which reductions of the logits a strategy wants, and at which positions.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent wishes, set by name")]
pub struct Needs {
    pub(crate) candidate: Candidate,
    pub(crate) settled: bool,
    pub(crate) remasks: bool,
    pub(crate) entropy: bool,
    pub(crate) margin: bool,
    pub(crate) current: bool,
}

impl Needs {
    /// A candidate and its log-probability at the noisy positions of the window, and nothing else.
    pub fn new(candidate: Candidate) -> Self {
        Self { candidate, settled: false, remasks: false, entropy: false, margin: false, current: false }
    }

    /// Asks at settled positions of the window too, not at noisy ones alone, as long as the row has noise
    /// there or the strategy is [`remasking`](Self::remasking).
    #[must_use]
    pub fn at_settled(self) -> Self {
        Self { settled: true, ..self }
    }

    /// The strategy may take tokens back, so it wants to see rows of which nothing is noise.
    #[must_use]
    pub fn remasking(self) -> Self {
        Self { remasks: true, ..self }
    }

    /// Asks for [`Guess::entropy`].
    #[must_use]
    pub fn with_entropy(self) -> Self {
        Self { entropy: true, ..self }
    }

    /// Asks for [`Guess::margin`].
    #[must_use]
    pub fn with_margin(self) -> Self {
        Self { margin: true, ..self }
    }

    /// Asks for [`Guess::current`].
    #[must_use]
    pub fn with_current(self) -> Self {
        Self { current: true, ..self }
    }
}

/// What the network says about one position. Probabilities are those of the un-tempered logits, without
/// the mask token, which is never a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Guess {
    /// Position in the row.
    pub position: usize,
    /// The candidate.
    pub token: TokenId,
    /// Log-probability of the candidate, nats.
    pub log_p: f32,
    /// Entropy of the position's distribution, nats; if asked for.
    pub entropy: Option<f32>,
    /// Probability of the first word less that of the second, in [0, 1]; if asked for.
    pub margin: Option<f32>,
    /// Log-probability of the token that stands there now, nats, −∞ where it is noise; if asked for.
    pub current: Option<f32>,
}

/// What the network says about one row at one step: a [`Guess`] for each asked position, ascending.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    guesses: &'a [Guess],
}

impl<'a> Proposal<'a> {
    pub(crate) fn new(guesses: &'a [Guess]) -> Self {
        Self { guesses }
    }

    /// The guesses, by position.
    pub fn guesses(&self) -> &'a [Guess] {
        self.guesses
    }

    /// The guess at a position, if it was asked.
    pub fn at(&self, position: usize) -> Option<&'a Guess> {
        let index = self.guesses.binary_search_by_key(&position, |guess| guess.position).ok()?;
        self.guesses.get(index)
    }
}

/// The question to a few rows of logits, on the host: one entry a position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// (row of the canvas, position).
    pub(crate) places: Vec<(usize, usize)>,
    /// The token that stands there; the mask, which is impossible, where it is noise.
    pub(crate) tokens: Vec<TokenId>,
    /// Uniform in [0, 1): the draw of the candidate.
    pub(crate) uniforms: Vec<f32>,
}

/// The answers, still on the device: candidates `[N, 1]` and the numbers asked for `[N, 1..=4]`.
#[derive(Debug)]
pub(crate) struct Reduced {
    tokens: Tensor<2, Int>,
    numbers: Tensor<2>,
}

/// Reduces logits `[N, V]`, any float type, to what `needs` names. In f32, with two temporaries of the
/// size of the logits and without a synchronisation.
pub(crate) fn reduce(logits: Tensor<2>, mask: TokenId, needs: &Needs, asked: &Asked) -> Reduced {
    let device = logits.device();
    let mask = mask as usize;
    let logits = logits.detach().cast(FloatDType::F32).slice_fill(s![.., mask..=mask], f32::NEG_INFINITY);
    let (highest, argmax) = logits.clone().max_dim_with_indices(1);
    let shifted = logits - highest;
    let exp = shifted.clone().exp();
    let sum = exp.clone().sum_dim(1);
    let log_sum = sum.clone().log();
    let log_p = |token: Tensor<2, Int>| shifted.clone().gather(1, token) - log_sum.clone();

    let tokens = match needs.candidate.temperature {
        0.0 => argmax.clone(),
        temperature => draw(&shifted, &argmax, temperature, &asked.uniforms),
    };
    let mut numbers = vec![log_p(tokens.clone())];
    if needs.current {
        let current: Vec<i32> = asked.tokens.iter().map(|&id| id as i32).collect();
        numbers.push(log_p(Tensor::from_data(TensorData::new(current, [asked.tokens.len(), 1]), &device)));
    }
    if needs.entropy {
        // An impossible word adds nothing, but 0 · −∞ is not a number; exp(−200) is 0 in f32.
        let weighted = exp.clone() * shifted.clone().clamp_min(-200.0);
        numbers.push(log_sum.clone() - weighted.sum_dim(1) / sum.clone());
    }
    if needs.margin {
        let first = sum.ones_like();
        let second = exp.scatter(1, argmax, -first.clone(), IndexingUpdateOp::Add).max_dim(1);
        numbers.push((first - second) / sum);
    }
    Reduced { tokens, numbers: Tensor::cat(numbers, 1) }
}

/// Inverts the cumulative distribution of softmax(shifted / T) at `uniforms`.
fn draw(shifted: &Tensor<2>, argmax: &Tensor<2, Int>, temperature: f64, uniforms: &[f32]) -> Tensor<2, Int> {
    let [rows, vocabulary] = shifted.dims();
    let last = vocabulary - 1;
    let cumulative = (shifted.clone() / temperature).exp().cumsum(1);
    let total = cumulative.clone().slice(s![.., last..=last]);
    let uniforms = Tensor::<2>::from_data(TensorData::new(uniforms.to_vec(), [rows, 1]), &shifted.device());
    // Just below the total, even where rounding made the uniform 1: some word's sum always exceeds it.
    let target = (uniforms * total).mul_scalar(1.0 - (-22.0_f64).exp2());
    let token = cumulative.lower_equal(target).int().sum_dim(1).clamp_max(last as i32);
    // A parallel cumulative sum need not be monotone to the last bit; an impossible word stays so.
    let impossible = (shifted.clone().gather(1, token.clone()) / temperature).exp().equal_elem(0.0);
    token.mask_where(impossible, argmax.clone())
}

/// Reads the answers to several questions back at once. Returns the guesses in the order asked.
///
/// # Errors
/// [`Error::NonFinite`] for the first place whose logits are not finite; [`Error::Device`].
pub(crate) fn read(answers: Vec<(Asked, Reduced)>, needs: &Needs) -> Result<Vec<(usize, Guess)>, Error> {
    let mut transaction = Transaction::default();
    let mut questions = Vec::with_capacity(answers.len());
    for (asked, reduced) in answers {
        transaction = transaction.register(reduced.tokens).register(reduced.numbers);
        questions.push(asked);
    }
    let data = transaction.try_execute().map_err(|error| Error::Device { message: error.to_string() })?;
    let mut guesses = Vec::new();
    for (asked, data) in questions.iter().zip(data.chunks_exact(2)) {
        let mut tokens = data[0].iter::<i64>();
        let mut numbers = data[1].iter::<f32>();
        for &(row, position) in &asked.places {
            let mut number = |wanted: bool| wanted.then(|| numbers.next().unwrap_or(f32::NAN));
            let log_p = number(true).unwrap_or(f32::NAN);
            let (current, entropy) = (number(needs.current), number(needs.entropy));
            let margin = number(needs.margin);
            let token = tokens.next().unwrap_or_default() as TokenId;
            if !log_p.is_finite() {
                return Err(Error::NonFinite { row, position });
            }
            guesses.push((row, Guess { position, token, log_p, entropy, margin, current }));
        }
    }
    Ok(guesses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn impossible_words_are_not_drawn_even_at_the_ends() {
        let p = [0.0_f32, 0.25, 0.0, 0.75, 0.0];
        let cases = [(0.0, 1), (0.2, 1), (0.2499, 1), (0.2501, 3), (0.9999, 3), (1.0, 3)];
        for (u, expected) in cases {
            let shifted = Tensor::<2>::from_floats([p.map(|p| (p / 0.75).ln())], &Device::default());
            let argmax = Tensor::<2, Int>::from_ints([[3]], &Device::default());
            let token = draw(&shifted, &argmax, 1.0, &[u]).into_scalar::<i64>();
            assert_eq!(token, expected, "u = {u}");
        }
    }
}
