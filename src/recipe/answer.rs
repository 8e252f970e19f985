//! Answers of a network, and how good they are.

use std::collections::BTreeMap;

use super::choices::{LengthChoice, MetricChoice};
use super::{Error, Text};
use crate::core::TokenId;
use crate::models::Encoder;
use crate::sampling::wrap::Threads;
use crate::sampling::{Route, length, reverse, uniform};
use crate::train::Better;
use crate::train::data::Example;
use crate::train::metrics::{Bleu, Chrf, Rouge, error_rate, exact_match, rouge, rouge_mean};

/// Prompts of one pass.
const AT_ONCE: usize = 50;

/// Lets a network answer with the paper's decoder.
pub struct Answerer<'a> {
    /// Text to ids and back.
    pub text: &'a Text,
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
        model: &Encoder,
        prompts: &[P],
        lengths: &[Vec<usize>],
    ) -> Result<Vec<String>, Error> {
        let network = Threads::new(model, self.threads);
        let mut answers = Vec::with_capacity(prompts.len());
        for (prompts, lengths) in prompts.chunks(AT_ONCE).zip(lengths.chunks(AT_ONCE)) {
            let (canvas, candidates) = length::expand(prompts, lengths, self.text.vocabulary())?;
            let canvas = reverse(&network, &Route::paper(), canvas, uniform(self.steps), 0).finish()?;
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
    pub(super) fn new<'a>(examples: impl Iterator<Item = &'a Example>) -> Self {
        let mut counts: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
        for Example { prompt, response } in examples {
            *counts.entry(prompt.len()).or_default().entry(response.len()).or_default() += 1;
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

impl MetricChoice {
    /// What a log calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Bleu => "bleu",
            Self::BleuLowercase => "bleu_lowercase",
            Self::Chrf => "chrf",
            Self::RougeL => "rouge_l",
            Self::ExactMatch => "exact_match",
            Self::WordErrorRate => "word_error_rate",
        }
    }

    pub(super) fn better(self) -> Better {
        match self {
            Self::Loss | Self::WordErrorRate => Better::Lower,
            _ => Better::Higher,
        }
    }

    /// The score of answers beside their references; `None` for the loss, which needs none.
    pub fn score(self, answers: &[String], references: &[&str]) -> Option<f64> {
        let pairs = || answers.iter().map(String::as_str).zip(references.iter().copied());
        match self {
            Self::Loss => None,
            Self::Bleu => Some(Bleu::default().corpus(pairs()).score),
            Self::BleuLowercase => Some(Bleu { lowercase: true, ..Bleu::default() }.corpus(pairs()).score),
            Self::Chrf => Some(Chrf::default().corpus(pairs())),
            Self::RougeL => {
                let scores = pairs().map(|(answer, reference)| rouge(Rouge::L, answer, reference));
                Some(rouge_mean(scores).map_or(0.0, |mean| mean.f1))
            }
            Self::ExactMatch => {
                exact_match(pairs().map(|(answer, reference)| (answer.trim(), reference.trim())))
            }
            Self::WordErrorRate => {
                let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                let pairs: Vec<_> =
                    pairs().map(|(answer, reference)| (words(answer), words(reference))).collect();
                Some(error_rate(pairs.iter().map(|(a, b)| (a.as_slice(), b.as_slice()))).rate())
            }
        }
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
        let examples = [(2, 3), (2, 3), (2, 4), (6, 9), (6, 7)].map(|(p, r)| example(p, r));
        let table = LengthTable::new(examples.iter());
        assert_eq!([0, 2, 4, 5, 6, 99].map(|prompt| table.at(prompt)), [3, 3, 3, 7, 7, 7]);
        let asked = [example(6, 1)];
        assert_eq!(table.lengths(LengthChoice::Frequent, &asked, 12), [[4]]);
        assert_eq!(table.lengths(LengthChoice::Reference, &asked, 12), [[1]]);
        assert_eq!(LengthTable::new([].iter()).at(3), 1);
    }

    #[test]
    fn a_metric_judges_texts() {
        let answers = ["AA B".to_owned(), "C".to_owned()];
        let score = |metric: MetricChoice| metric.score(&answers, &["AA D", "C"]);
        assert_eq!(score(MetricChoice::ExactMatch), Some(0.5));
        assert_eq!(score(MetricChoice::WordErrorRate), Some(1.0 / 3.0));
        assert_eq!(score(MetricChoice::Loss), None);
        assert_eq!(MetricChoice::RougeL.score(&answers[1..], &["C"]), Some(1.0));
    }
}
