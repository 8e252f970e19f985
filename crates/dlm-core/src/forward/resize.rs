//! Masked texts of a length that is not known: two words beside those of the text say where it is wrong.

use super::{Forward, Noised};
use crate::error::{Error, in_domain};
use crate::rng::{CounterRng, RowRng};
use crate::schedule::Schedule;
use crate::sequence::{Batch, Sequence, TokenId, Vocabulary};

/// The two states by which a masked text changes its length: `expand` stands for a span that needs more places
/// than one, `delete` for a place that needs none. A decoder puts two masks for the one and nothing for the other.
///
/// The loss is a weighted cross-entropy, whose share of deleted places [`Resized`](crate::loss::Resized) limits.
///
/// # Source
/// Wu et al. 2026, arXiv:2602.01326, section 3.1 (DreamOn).
///
/// # Example
/// ```
/// use dlm_core::forward::Resizing;
/// use dlm_core::{Batch, CounterRng, Forward, Prior, Purpose, Sequence, Vocabulary, schedule::Linear};
/// let vocabulary = Vocabulary::new(12, 0, 1, 2, 9)?;
/// let resizing = Resizing::new(10, 11, &vocabulary)?;
/// let text = Sequence::new(vec![3, 4, 5, 6], vec![false, true, true, false])?;
/// // Every span is merged, and nothing is inserted.
/// let short = resizing.augment(&text, 1.0, 1.0, 0, &mut CounterRng::new(0).row(Purpose::Length, 0))?;
/// assert_eq!(short.ids(), [3, 10, 6]);
/// // Both states are always noise, even where there is none yet.
/// let batch = Batch::new(&[short], &vocabulary)?;
/// let forward = Forward::new(Linear, Prior::Absorbing { mask: 9 });
/// let noised = resizing.noise(&forward, &batch, &[0.0], &CounterRng::new(0))?;
/// assert_eq!((noised.xt(), noised.x0()), ([3, 9, 6].as_slice(), [3, 10, 6].as_slice()));
/// # Ok::<(), dlm_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resizing {
    expand: TokenId,
    delete: TokenId,
}

impl Resizing {
    /// The ids of the two states, which no text has.
    ///
    /// # Errors
    /// [`Error::UnknownSpecial`] for an id outside the vocabulary; [`Error::Incompatible`] if they are one, or one
    /// is a special word of another kind.
    pub fn new(expand: TokenId, delete: TokenId, vocabulary: &Vocabulary) -> Result<Self, Error> {
        for (name, id) in [("expand", expand), ("delete", delete)] {
            if id as usize >= vocabulary.size {
                return Err(Error::UnknownSpecial { name, id, size: vocabulary.size });
            }
            if vocabulary.is_special(id) {
                return Err(Error::Incompatible { what: "a state of length", with: "another special word" });
            }
        }
        if expand == delete {
            return Err(Error::Incompatible { what: "expand", with: "a delete of the same id" });
        }
        Ok(Self { expand, delete })
    }

    /// Id of the state of a span that needs more places.
    pub fn expand(self) -> TokenId {
        self.expand
    }

    /// Id of the state of a place that needs none.
    pub fn delete(self) -> TokenId {
        self.delete
    }

    /// The text as if its length had been guessed wrongly: of the spans of maskable tokens that are picked, each
    /// token with chance `pick`, those of two tokens and more become one `expand` with chance `merge`; before random
    /// maskable tokens come up to `most` times `delete`, each number as likely.
    ///
    /// DreamOn takes `pick` from a time, 1 − α(t), drawn for this alone, a `merge` of 0.5 and a `most` of 64. A row
    /// that has no maskable token stays as it is. Where `merge` is to follow the time too, the caller computes it.
    ///
    /// # Errors
    /// [`Error::OutOfDomain`] for a chance outside [0, 1].
    pub fn augment(
        self,
        row: &Sequence,
        pick: f64,
        merge: f64,
        most: usize,
        rng: &mut RowRng,
    ) -> Result<Sequence, Error> {
        in_domain((0.0..=1.0).contains(&pick), "chance to pick", "in [0, 1]", pick)?;
        in_domain((0.0..=1.0).contains(&merge), "chance to merge", "in [0, 1]", merge)?;
        let mut tokens = Vec::with_capacity(row.len() + most);
        let picked: Vec<bool> =
            (0..row.len()).map(|i| row.maskable()[i] && rng.uniform(PLACES * i + PICK) < pick).collect();
        let mut start = 0;
        while start < row.len() {
            let run = picked[start..].iter().take_while(|&&picked| picked).count();
            if run > 1 && rng.uniform(PLACES * start + MERGE) < merge {
                tokens.push((self.expand, true));
            } else {
                tokens.extend((start..start + run.max(1)).map(|i| (row.ids()[i], row.maskable()[i])));
            }
            start += run.max(1);
        }
        let places: Vec<usize> = (0..tokens.len()).filter(|&i| tokens[i].1).collect();
        let count = if places.is_empty() { 0 } else { rng.below(COUNT, most + 1) };
        let mut chosen: Vec<usize> =
            (0..count).map(|number| places[rng.below(PLACES * number + INSERT, places.len())]).collect();
        // From the end, so that the places before stay what they were.
        chosen.sort_unstable_by(|a, b| b.cmp(a));
        for place in chosen {
            tokens.insert(place, (self.delete, true));
        }
        let (ids, maskable) = tokens.into_iter().unzip();
        let resized = Sequence::new(ids, maskable)?;
        Ok(row.key().map_or(resized.clone(), |key| resized.with_key(key)))
    }

    /// [`Forward::noise`] of masks, by which both states always become the mask.
    ///
    /// # Errors
    /// As [`Forward::noise`]; [`Error::Incompatible`] with noise that may be words.
    pub fn noise<S: Schedule>(
        self,
        forward: &Forward<S>,
        batch: &Batch,
        times: &[f64],
        rng: &CounterRng,
    ) -> Result<Noised, Error> {
        let noised = forward.noise(batch, times, rng)?;
        let state = |id: &TokenId| [self.expand, self.delete].contains(id);
        let mut noisy: Vec<bool> =
            batch.ids().iter().zip(batch.maskable()).map(|(id, &maskable)| maskable && state(id)).collect();
        noised.at().iter().for_each(|&at| noisy[at] = true);
        Noised::with_noise(batch, times, &noisy, forward.prior().clone())
    }
}

/// Where the draws of [`Resizing::augment`] stand in a row's stream: how many are inserted, and by token whether it is
/// picked, whether the span that it begins is merged, and where the insertion of its number goes.
const COUNT: usize = 0;
const PICK: usize = 1;
const MERGE: usize = 2;
const INSERT: usize = 3;
const PLACES: usize = 3;
