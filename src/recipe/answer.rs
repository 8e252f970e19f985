//! Answers of a network, and how good they are.

use std::collections::BTreeMap;

use super::choices::LengthChoice;
use super::{Error, Text, View};
use crate::core::{Denoiser, TokenId};
use crate::sampling::strategy::LeftToRight;
use crate::sampling::wrap::Threads;
use crate::sampling::{Candidate, ReverseStep, Route, length, reverse, uniform};
use crate::train::data::Example;

/// Prompts of one pass.
const AT_ONCE: usize = 50;

/// Lets a network answer: with the paper's decoder, or from left to right if it predicts the next token.
pub struct Answerer<'a> {
    /// Text to ids and back.
    pub text: &'a Text,
    /// How the network is asked.
    pub view: View,
    /// Decoding steps.
    pub steps: usize,
    /// Threads over the rows of a pass.
    pub threads: usize,
}

impl Answerer<'_> {
    /// The answer to each prompt; of several lengths the surest.
    ///
    /// # Errors
    /// [`Error::Sampling`] unless each prompt has a length and all fit the network; those of [`Text::decode`].
    pub fn answer<P: AsRef<[TokenId]>>(
        &self,
        model: &(impl Denoiser + Sync),
        prompts: &[P],
        lengths: &[Vec<usize>],
    ) -> Result<Vec<String>, Error> {
        self.decode(&*self.view.of(Threads::new(model, self.threads)), prompts, lengths)
    }

    fn decode<P: AsRef<[TokenId]>>(
        &self,
        network: &dyn Denoiser,
        prompts: &[P],
        lengths: &[Vec<usize>],
    ) -> Result<Vec<String>, Error> {
        let most = lengths.iter().flatten().copied().max().unwrap_or(0).max(1);
        let (strategy, steps): (&dyn ReverseStep, usize) = match self.view {
            View::NextToken => (&LeftToRight::new(Candidate::ARGMAX), most),
            View::Denoiser | View::Shifted => (&Route::paper(), self.steps),
        };
        let mut answers = Vec::with_capacity(prompts.len());
        for (prompts, lengths) in prompts.chunks(AT_ONCE).zip(lengths.chunks(AT_ONCE)) {
            let (canvas, candidates) = length::expand(prompts, lengths, self.text.vocabulary())?;
            let canvas = reverse(network, strategy, canvas, uniform(steps), 0).finish()?;
            for row in candidates.best(&canvas)? {
                answers.push(self.text.decode(&canvas.response(row))?);
            }
        }
        Ok(answers)
    }
}

/// The most frequent length of an answer, by the number of tokens of the prompt.
pub(super) struct LengthTable(BTreeMap<usize, usize>);

impl LengthTable {
    /// Of pairs of them: tokens of a prompt, tokens of its answer.
    pub(super) fn new(pairs: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut counts: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
        for (prompt, response) in pairs {
            *counts.entry(prompt).or_default().entry(response).or_default() += 1;
        }
        let most = |counts: BTreeMap<usize, usize>| {
            // Of equally frequent ones the shortest.
            counts.into_iter().rev().max_by_key(|&(_, count)| count).map_or(0, |(length, _)| length)
        };
        Self(counts.into_iter().map(|(prompt, counts)| (prompt, most(counts))).collect())
    }

    /// For a prompt of so many tokens, or of the nearest number that was seen.
    fn at(&self, prompt: usize) -> usize {
        let below = self.0.range(..=prompt).next_back();
        let above = self.0.range(prompt..).next();
        let distance = |(seen, _): &(&usize, &usize)| prompt.abs_diff(**seen);
        below.into_iter().chain(above).min_by_key(distance).map_or(1, |(_, &length)| length)
    }

    /// The lengths that answers get; none longer than fits.
    pub(super) fn lengths(&self, choice: LengthChoice, examples: &[Example], most: usize) -> Vec<Vec<usize>> {
        let length = |Example { prompt, response }: &Example| match choice {
            LengthChoice::Reference => response.len(),
            LengthChoice::Frequent => self.at(prompt.len()).min(most.saturating_sub(prompt.len() + 2)),
        };
        examples.iter().map(|example| vec![length(example)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(prompt: usize, response: usize) -> Example {
        Example { prompt: vec![5; prompt], response: vec![5; response] }
    }

    #[test]
    fn the_most_frequent_length_of_the_nearest_prompt_is_taken() {
        let table = LengthTable::new([(2, 3), (2, 3), (2, 4), (6, 9), (6, 7)].into_iter());
        assert_eq!([0, 2, 4, 5, 6, 99].map(|prompt| table.at(prompt)), [3, 3, 3, 7, 7, 7]);
        let asked = [example(6, 1)];
        assert_eq!(table.lengths(LengthChoice::Frequent, &asked, 12), [[4]]);
        assert_eq!(table.lengths(LengthChoice::Reference, &asked, 12), [[1]]);
        assert_eq!(LengthTable::new([].into_iter()).at(3), 1);
    }
}
