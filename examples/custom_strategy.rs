//! A decoding strategy of your own: what to know of the logits, what to commit, what to take back.
//!
//! You learn: `ReverseStep` with `Needs`, `Row` and `Proposal`; a `Denoiser` without a network; a trace.
//!
//! ```text
//! cargo run --example custom_strategy
//! ```
//!
//! Expected output (`_` noise, `[word]` just written, `~` just taken back):
//!
//! ```text
//! 0  <s> _ _ _ _ </s>
//! 1  <s> [the] _ _ _ </s>
//! 2  <s> the [cat] _ _ </s>
//! 3  <s> the cat _ [loudly] </s>
//! 4  <s> the cat [barks] loudly </s>
//! 5  <s> the ~ barks loudly </s>
//! 6  <s> the [dog] barks loudly </s>
//! 7  <s> the dog barks loudly </s>
//! mean log-probability -0.34
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use burn::tensor::{Device, Tensor, TensorData};
use dlm::core::{Denoiser, DenoiserInput, RowRng, TokenId, Vocabulary};
use dlm::sampling::trace::{Style, Trace};
use dlm::sampling::{Candidate, Canvas, Guess, Needs, Proposal, ReverseStep, Row, Step, reverse, uniform};

/// Writes every word the network is sure of, at least the surest, and takes back what has become unlikely.
struct SecondThoughts {
    write_above: f32,
    keep_above: f32,
}

impl ReverseStep for SecondThoughts {
    fn needs(&self) -> Needs {
        Needs::new(Candidate::ARGMAX).at_settled().with_current().remasking()
    }

    fn step(&self, row: &mut Row<'_>, said: &Proposal<'_>, step: &Step, _: &mut RowRng) {
        let (noisy, settled): (Vec<&Guess>, Vec<&Guess>) =
            said.guesses().iter().partition(|guess| row.is_noisy(guess.position));
        let surest = noisy.iter().map(|guess| guess.log_p).fold(f32::MIN, f32::max);
        for guess in noisy {
            if step.is_last() || guess.log_p >= surest || guess.log_p > self.write_above.ln() {
                row.commit(guess.position, guess.token, guess.log_p);
            }
        }
        for guess in settled {
            if !step.is_last() && guess.current.is_some_and(|log_p| log_p < self.keep_above.ln()) {
                row.remask(guess.position);
            }
        }
    }
}

const WORDS: [&str; 10] = ["<s>", "<pad>", "</s>", "<mask>", "the", "cat", "dog", "barks", "meows", "loudly"];

/// Which word follows which, and how gladly: (left, right, logit).
const LIKES: [(TokenId, TokenId, f32); 7] =
    [(0, 4, 5.0), (4, 5, 2.4), (4, 6, 1.6), (6, 7, 4.0), (5, 8, 1.0), (7, 9, 3.0), (9, 2, 1.8)];

/// A network of a kind: a word is the likelier the better it goes with its two neighbours.
struct Neighbours;

impl Denoiser for Neighbours {
    fn vocab_size(&self) -> usize {
        WORDS.len()
    }

    fn device(&self) -> Device {
        Device::default()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let liking = |left: TokenId, right: TokenId| {
            LIKES.iter().find(|like| (like.0, like.1) == (left, right)).map_or(0.0, |like| like.2)
        };
        let mut logits = Vec::new();
        for &at in input.at {
            let logit = |word: TokenId| liking(input.ids[at - 1], word) + liking(word, input.ids[at + 1]);
            logits.extend((0..WORDS.len() as TokenId).map(logit));
        }
        Tensor::from_data(TensorData::new(logits, [input.at.len(), WORDS.len()]), &self.device())
    }

    fn time_free(&self) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let vocabulary = Vocabulary::new(WORDS.len(), 0, 1, 2, 3)?;
    let canvas = Canvas::prompted::<[TokenId; 0]>(&[[]], &[4], &vocabulary)?;
    let strategy = SecondThoughts { write_above: 0.8, keep_above: 0.3 };
    let (canvas, trace) = Trace::run(reverse(&Neighbours, &strategy, canvas, uniform(7), 0))?;
    print!("{}", trace.render(0, |id| WORDS[id as usize].into(), Style::Plain));
    println!("mean log-probability {:.2}", canvas.mean_score(0).unwrap_or(f64::NAN));
    Ok(())
}
