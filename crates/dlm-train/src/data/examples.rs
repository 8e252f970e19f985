//! Prompt and response as tokens, and the sequences made of them.

use dlm_core::{Sequence, TokenId, Vocabulary};

use crate::error::{Error, in_domain};

/// A record after tokenisation, without special tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The context, never noised.
    pub prompt: Vec<TokenId>,
    /// What a model learns to write.
    pub response: Vec<TokenId>,
}

/// What becomes of an example that is longer than a sequence may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The end is kept: the prompt loses its first tokens and, if that is not enough, so does the
    /// response. The paper's way; an instruction at the start of a long prompt is lost.
    PromptLeft,
    /// The start is kept: the response loses its last tokens, and there is no EOS, because the text
    /// does not end there. An example whose prompt alone is too long is an error.
    ResponseRight,
    /// The example is left out; the result is shorter by one.
    Drop,
    /// The example is an error.
    Refuse,
}

/// The longest sequence, BOS and EOS counted, and what to do with longer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Tokens, at least 3.
    pub tokens: usize,
    /// What becomes of longer examples.
    pub cut: Cut,
}

impl Default for Limit {
    /// The paper's: 512 tokens, the end is kept.
    fn default() -> Self {
        Self { tokens: 512, cut: Cut::PromptLeft }
    }
}

/// Examples as `BOS prompt response EOS`, the response and EOS maskable, none longer than `limit`.
///
/// # Errors
/// [`Error::OutOfDomain`] for a limit below 3; [`Error::TooLong`] as [`Cut`] says.
///
/// # Source
/// Ye et al. 2023, arXiv:2308.12219, and its code, which cuts BOS off with the prompt; here BOS stays.
pub fn sequences(
    examples: &[Example],
    vocabulary: &Vocabulary,
    limit: Limit,
) -> Result<Vec<Sequence>, Error> {
    fitted(0, examples, vocabulary, limit)
}

/// As [`sequences`], for a stretch of the data that begins with example `first`.
pub(super) fn fitted(
    first: usize,
    examples: &[Example],
    vocabulary: &Vocabulary,
    limit: Limit,
) -> Result<Vec<Sequence>, Error> {
    in_domain(limit.tokens >= 3, "length limit", "at least 3", limit.tokens as f64)?;
    let fitted = examples.iter().zip(first..).map(|(example, i)| fit(i, example, vocabulary, limit));
    fitted.filter_map(Result::transpose).collect()
}

fn fit(
    index: usize,
    example: &Example,
    vocabulary: &Vocabulary,
    limit: Limit,
) -> Result<Option<Sequence>, Error> {
    let Example { prompt, response } = example;
    let got = prompt.len() + response.len() + 2;
    let over = got.saturating_sub(limit.tokens);
    let too_long = Error::TooLong { index, limit: limit.tokens, got };
    if over == 0 {
        return Ok(Some(Sequence::prompt_response(prompt, response, vocabulary)));
    }
    match limit.cut {
        Cut::PromptLeft => {
            let from_prompt = over.min(prompt.len());
            let response = &response[over - from_prompt..];
            Ok(Some(Sequence::prompt_response(&prompt[from_prompt..], response, vocabulary)))
        }
        Cut::ResponseRight if prompt.len() + 1 < limit.tokens => {
            let whole = Sequence::prompt_response(prompt, response, vocabulary);
            let (ids, maskable) = (&whole.ids()[..limit.tokens], &whole.maskable()[..limit.tokens]);
            Ok(Some(Sequence::new(ids.to_vec(), maskable.to_vec())?))
        }
        Cut::Drop => Ok(None),
        Cut::ResponseRight | Cut::Refuse => Err(too_long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::new(20, 0, 1, 2, 19).expect("ids below 20")
    }

    fn cut(
        prompt: &[TokenId],
        response: &[TokenId],
        tokens: usize,
        cut: Cut,
    ) -> Result<Vec<Sequence>, Error> {
        let example = Example { prompt: prompt.to_vec(), response: response.to_vec() };
        sequences(&[example], &vocabulary(), Limit { tokens, cut })
    }

    #[test]
    fn the_paper_keeps_the_end_of_a_long_prompt() {
        let rows = cut(&[5, 6, 7, 8], &[9, 10], 6, Cut::PromptLeft).expect("fits");
        assert_eq!(rows[0].ids(), [0, 7, 8, 9, 10, 2]);
        assert_eq!(rows[0].maskable(), [false, false, false, true, true, true]);
        let rows = cut(&[5], &[9, 10, 11, 12], 5, Cut::PromptLeft).expect("fits");
        assert_eq!(rows[0].ids(), [0, 10, 11, 12, 2]);
        assert_eq!(rows[0].maskable(), [false, true, true, true, true]);
    }

    #[test]
    fn a_response_cut_on_the_right_has_no_end() {
        let rows = cut(&[5, 6], &[9, 10, 11], 5, Cut::ResponseRight).expect("fits");
        assert_eq!(rows[0].ids(), [0, 5, 6, 9, 10]);
        assert_eq!(rows[0].maskable(), [false, false, false, true, true]);
        let refused = cut(&[5, 6, 7, 8], &[9], 5, Cut::ResponseRight);
        assert!(matches!(refused, Err(Error::TooLong { index: 0, limit: 5, got: 7 })));
    }

    #[test]
    fn an_example_at_the_limit_is_whole_and_one_above_it_is_dropped_or_refused() {
        for how in [Cut::PromptLeft, Cut::ResponseRight, Cut::Drop, Cut::Refuse] {
            let rows = cut(&[5, 6], &[9], 5, how).expect("fits");
            assert_eq!(rows[0].ids(), [0, 5, 6, 9, 2]);
        }
        assert!(cut(&[5, 6], &[9], 4, Cut::Drop).expect("dropped").is_empty());
        assert!(matches!(cut(&[5, 6], &[9], 4, Cut::Refuse), Err(Error::TooLong { .. })));
        assert!(matches!(cut(&[], &[], 2, Cut::Refuse), Err(Error::OutOfDomain { .. })));
    }
}
