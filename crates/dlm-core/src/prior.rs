//! `q_noise`: what a token turns into.

use std::sync::Arc;

use crate::error::{Error, in_domain, same_length};
use crate::schedule::Hybrid;
use crate::sequence::{TokenId, Vocabulary};

/// The distribution of pure noise.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Prior {
    /// Noise is always the mask token; once masked, a token stays masked (Austin et al. 2021,
    /// arXiv:2107.03006, section 3.1).
    Absorbing {
        /// Id of the mask token.
        mask: TokenId,
    },
    /// Noise is a random word, so it cannot be told from text: uniform (Hoogeboom et al. 2021,
    /// arXiv:2102.05379) or unigram noise.
    Words(Words),
    /// Noise is the mask or a random word (von Rütte et al. 2025, arXiv:2503.04482).
    Mixed(Mixed),
}

impl Prior {
    /// Each word of the vocabulary that is not special, alike.
    ///
    /// # Errors
    /// [`Error::Empty`] for a vocabulary of special words alone.
    pub fn uniform(vocabulary: &Vocabulary) -> Result<Self, Error> {
        Words::uniform(vocabulary).map(Self::Words)
    }

    /// `π_t(id)`: probability that noise is `id` at time `t`, which only a mixed prior heeds.
    pub fn prob(&self, id: TokenId, t: f64) -> f64 {
        let [share, _] = self.share(t);
        let mask = f64::from(u8::from(self.mask() == Some(id)));
        let word = self.words().map_or(0.0, |words| words.prob(id));
        (1.0 - share) * mask + share * word
    }

    /// Id of the mask, if noise may be the mask.
    pub fn mask(&self) -> Option<TokenId> {
        match self {
            Self::Absorbing { mask } | Self::Mixed(Mixed { mask, .. }) => Some(*mask),
            Self::Words(_) => None,
        }
    }

    /// The words that noise may be, if it may be words. A loss then asks about every token that may be noise,
    /// for noise cannot be told from text.
    pub fn words(&self) -> Option<&Words> {
        match self {
            Self::Absorbing { .. } => None,
            Self::Words(words) | Self::Mixed(Mixed { words, .. }) => Some(words),
        }
    }

    /// Whether `π_t` changes with `t`.
    pub fn varies(&self) -> bool {
        matches!(self, Self::Mixed(Mixed { share: Share::Hybrid(_), .. }))
    }

    /// Which part of the noise is words at `t`, and the derivative of that.
    pub(crate) fn share(&self, t: f64) -> [f64; 2] {
        match self {
            Self::Absorbing { .. } => [0.0, 0.0],
            Self::Words(_) => [1.0, 0.0],
            Self::Mixed(Mixed { share: Share::Constant(share), .. }) => [*share, 0.0],
            Self::Mixed(Mixed { share: Share::Hybrid(hybrid), .. }) => hybrid.share(t),
        }
    }

    /// Noise from two uniform draws: the mask with probability `mask`, else a word.
    pub(crate) fn draw(&self, mask: f64, kind: f64, word: f64) -> TokenId {
        match (self.mask(), self.words()) {
            (Some(id), Some(words)) => {
                if kind < mask {
                    id
                } else {
                    words.draw(word)
                }
            }
            (Some(id), None) => id,
            (None, Some(words)) => words.draw(word),
            (None, None) => unreachable!("noise is the mask or a word"),
        }
    }
}

/// A distribution over the words that noise may be: never the mask, nor what must not appear in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    probs: Arc<[f64]>,
    /// Sums of `probs` up to and with each word.
    sums: Arc<[f64]>,
}

impl Words {
    /// Each word that is not special, alike.
    ///
    /// # Errors
    /// [`Error::Empty`] for a vocabulary of special words alone.
    ///
    /// # Example
    /// ```
    /// use dlm_core::{Vocabulary, prior::Words};
    /// let words = Words::uniform(&Vocabulary::new(10, 0, 1, 2, 9)?)?;
    /// assert_eq!((words.prob(9), words.prob(5)), (0.0, 1.0 / 6.0));
    /// # Ok::<(), dlm_core::Error>(())
    /// ```
    pub fn uniform(vocabulary: &Vocabulary) -> Result<Self, Error> {
        let weight = |id| f64::from(u8::from(!vocabulary.is_special(id)));
        Self::weighted(&(0..vocabulary.size as TokenId).map(weight).collect::<Vec<_>>())
    }

    /// By how often each word occurs, to the power 1/`temperature`; special words never. RDM flattens with a
    /// temperature of 1.5.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a count for each word; [`Error::OutOfDomain`] unless `temperature` is
    /// finite and positive; [`Error::Empty`] if no word occurs.
    ///
    /// # Source
    /// Zheng et al. 2023, arXiv:2302.05737, and its code.
    pub fn unigram(counts: &[u64], vocabulary: &Vocabulary, temperature: f64) -> Result<Self, Error> {
        same_length("counts of a vocabulary", vocabulary.size, counts.len())?;
        let holds = temperature.is_finite() && temperature > 0.0;
        in_domain(holds, "temperature", "finite and positive", temperature)?;
        let weight = |(id, &count): (usize, &u64)| {
            let special = vocabulary.is_special(id as TokenId);
            if special || count == 0 { 0.0 } else { (count as f64).powf(temperature.recip()) }
        };
        Self::weighted(&counts.iter().enumerate().map(weight).collect::<Vec<_>>())
    }

    /// In proportion to `weights`, one for each of the V words; 0 for a word that noise never is.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] for a weight that is negative or not finite; [`Error::Empty`] if none is positive.
    pub fn weighted(weights: &[f64]) -> Result<Self, Error> {
        for &weight in weights {
            in_domain(
                weight.is_finite() && weight >= 0.0,
                "weight of a word",
                "finite, not negative",
                weight,
            )?;
        }
        let total: f64 = weights.iter().sum();
        if total <= 0.0 {
            return Err(Error::Empty { what: "the words that noise may be" });
        }
        in_domain(total.is_finite(), "sum of the weights of words", "finite", total)?;
        let probs: Arc<[f64]> = weights.iter().map(|weight| weight / total).collect();
        let mut sum = 0.0;
        let sums = probs.iter().map(|p| {
            sum += p;
            sum
        });
        Ok(Self { sums: sums.collect(), probs })
    }

    /// Probability of a word; 0 outside the vocabulary.
    pub fn prob(&self, id: TokenId) -> f64 {
        self.probs.get(id as usize).copied().unwrap_or(0.0)
    }

    /// Probability of each word, `[V]`.
    pub fn probs(&self) -> &[f64] {
        &self.probs
    }

    /// The word at which the sum of probabilities passes `u`, in [0, 1).
    fn draw(&self, u: f64) -> TokenId {
        let last = self.sums.len() - 1;
        // The sums end at 1 up to rounding; a word of probability 0 has the sum of the word before it.
        let u = u * self.sums[last];
        self.sums.partition_point(|&sum| sum <= u).min(last) as TokenId
    }
}

/// The mask, or a random word, in proportions that may change with time.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    mask: TokenId,
    words: Words,
    share: Share,
}

/// Which part of the noise is words.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Share {
    Constant(f64),
    Hybrid(Hybrid),
}

impl Mixed {
    /// A constant `share` of the noise is words.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] unless `0 ≤ share ≤ 1`; [`Error::UnknownSpecial`] for a mask outside the
    /// vocabulary of `words`; [`Error::Incompatible`] if the mask is one of the words.
    pub fn new(mask: TokenId, words: Words, share: f64) -> Result<Self, Error> {
        let share = in_domain((0.0..=1.0).contains(&share), "share of words", "in [0, 1]", share)?;
        Self::checked(mask, words, Share::Constant(share))
    }

    /// GIDD's mixture, with the schedule that it belongs to: words come and go again, and at t = 1 all is mask.
    ///
    /// # Errors
    /// As [`Mixed::new`].
    ///
    /// # Source
    /// von Rütte et al. 2025, arXiv:2503.04482, section 4 (mixing schedule).
    pub fn hybrid(mask: TokenId, words: Words, schedule: Hybrid) -> Result<Self, Error> {
        Self::checked(mask, words, Share::Hybrid(schedule))
    }

    fn checked(mask: TokenId, words: Words, share: Share) -> Result<Self, Error> {
        let size = words.probs.len();
        if mask as usize >= size {
            return Err(Error::UnknownSpecial { name: "mask", id: mask, size });
        }
        if words.prob(mask) > 0.0 {
            return Err(Error::Incompatible { what: "the mask among the words", with: "a mixed prior" });
        }
        Ok(Self { mask, words, share })
    }
}
