//! Questions to a network that come from no diffusion process: masked and autoregressive language modelling.

use crate::error::{Error, in_domain};
use crate::forward::Noised;
use crate::rng::{CounterRng, Purpose};
use crate::sequence::{Batch, TokenId, Vocabulary};

/// BERT's corruption: each maskable token is asked with probability `ratio` (0.15); of those asked, 80 % are
/// the mask, 10 % a word drawn from the vocabulary without its special words, and 10 % as they were.
///
/// The network thus learns scores for tokens that it sees, which the paper's decoder, when it takes tokens
/// back, relies on.
///
/// # Errors
/// [`Error::OutOfDomain`] unless `0 < ratio ≤ 1`; [`Error::Empty`] for a vocabulary of special words alone.
///
/// # Source
/// Devlin et al. 2018, arXiv:1810.04805, section 3.1.
///
/// # Example
/// ```
/// use dlm_core::{Batch, CounterRng, Sequence, Vocabulary, corrupt};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let batch = Batch::new(&[Sequence::whole(vec![5; 10_000])], &vocabulary)?;
/// let noised = corrupt::bert(&batch, 0.15, &vocabulary, &CounterRng::new(1))?;
/// let masks = noised.xt().iter().filter(|&&id| id == 9).count();
/// assert!((1350..1650).contains(&noised.at().len()) && (1080..1320).contains(&masks));
/// # Ok::<(), dlm_core::Error>(())
/// ```
pub fn bert(batch: &Batch, ratio: f64, vocabulary: &Vocabulary, rng: &CounterRng) -> Result<Noised, Error> {
    in_domain(ratio > 0.0 && ratio <= 1.0, "ratio", "in (0, 1]", ratio)?;
    let words: Vec<TokenId> =
        (0..vocabulary.size as TokenId).filter(|&id| !vocabulary.is_special(id)).collect();
    if words.is_empty() {
        return Err(Error::Empty { what: "the vocabulary without its special words" });
    }
    let len = batch.len();
    let mut asked = batch.maskable().to_vec();
    let mut tokens = batch.ids().to_vec();
    for row in 0..batch.rows() {
        let mut noise = rng.row(Purpose::Noise, batch.key(row));
        let mut token = rng.row(Purpose::Token, batch.key(row));
        for position in 0..len {
            let flat = row * len + position;
            asked[flat] = asked[flat] && noise.uniform(position) < ratio;
            let (kind, word) = (token.uniform(2 * position), token.below(2 * position + 1, words.len()));
            if kind < 0.8 {
                tokens[flat] = vocabulary.mask;
            } else if kind < 0.9 {
                tokens[flat] = words[word];
            }
        }
    }
    Ok(Noised::corrupted(batch, vec![ratio; batch.rows()], &asked, |flat| tokens[flat]))
}

/// Every maskable token is asked and none hidden: the question of an autoregressive network, which must
/// not see the token that it predicts (see [`view::NextToken`](crate::view::NextToken)).
///
/// # Example
/// ```
/// use dlm_core::{Batch, Sequence, Vocabulary, corrupt};
/// let vocabulary = Vocabulary::new(10, 0, 1, 2, 9)?;
/// let batch = Batch::new(&[Sequence::prompt_response(&[5, 6], &[7], &vocabulary)], &vocabulary)?;
/// let asked = corrupt::teacher_forced(&batch);
/// assert_eq!((asked.xt(), asked.at()), ([0, 5, 6, 7, 2].as_slice(), [3, 4].as_slice()));
/// # Ok::<(), dlm_core::Error>(())
/// ```
pub fn teacher_forced(batch: &Batch) -> Noised {
    Noised::corrupted(batch, vec![1.0; batch.rows()], batch.maskable(), |flat| batch.ids()[flat])
}
