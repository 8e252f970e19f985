//! The length stage: a head on the frozen backbone learns how long answers are, and proposes lengths.
//!
//! # Source
//! Ye et al. 2023, arXiv:2308.12219: trained after the adaptation, on prompts alone.

use burn::tensor::Tensor;

use crate::core::{Batch, CounterRng, Denoiser, DenoiserInput, Sequence, TokenId, Vocabulary};
use crate::models::{Encoder, LengthHead, LengthHeadConfig, length_class, length_loss, top_lengths};
use crate::pipeline::Error;
use crate::train::{self, BatchSize, Batches, Hooks, TrainConfig, Trainer, init_seeded};

/// Trains a head that predicts the length of the answer to each prompt. The backbone does not change.
///
/// `examples` are prompts without special tokens, each with the number of tokens of its answer, EOS not
/// counted. The head sees BOS and the prompt.
///
/// # Errors
/// [`Error::Models`] for sizes that a head cannot have; [`Error::Train`] without an example, and as
/// [`Trainer::run`].
pub fn train_lengths(
    backbone: &Encoder,
    config: &LengthHeadConfig,
    examples: &[(Vec<TokenId>, usize)],
    vocabulary: &Vocabulary,
    size: BatchSize,
    run: TrainConfig,
    hooks: Hooks<'_, LengthHead>,
) -> Result<LengthHead, Error> {
    let device = backbone.device().inner().autodiff();
    let head = config.init(&device)?;
    let head = init_seeded(|_| head, &device, run.seed);
    let prompts = examples.iter().map(|(prompt, _)| question(prompt, vocabulary)).collect();
    let batches = Batches::new(prompts, *vocabulary, size, run.seed)?;
    let objective = |head: &LengthHead, batch: &Batch, _: &CounterRng| -> Result<Tensor<1>, train::Error> {
        backbone.check(&input(batch))?;
        let features = backbone.hidden(&input(batch)).detach();
        let logits = head.logits(features, Some(batch.pad()));
        let classes = logits.dims()[1];
        // `Batches` names each row by its index among the examples.
        let words = (0..batch.rows()).map(|row| examples[batch.key(row) as usize].1);
        let targets: Vec<usize> = words.map(|words| length_class(words + 1, classes)).collect();
        Ok(length_loss(logits, &targets))
    };
    let mut trainer = Trainer::new(head, objective, batches, run)?;
    trainer.run(hooks)?;
    Ok(trainer.evaluated())
}

/// The `beam` likeliest answer lengths of each prompt, likeliest first, none longer than fits the
/// network.
///
/// # Errors
/// [`Error::Train`] for prompts that make no batch; [`Error::Models`] for scores that are not finite;
/// [`Error::TooLong`] for a prompt that leaves no room for an answer.
pub fn predict_lengths(
    backbone: &Encoder,
    head: &LengthHead,
    prompts: &[Vec<TokenId>],
    vocabulary: &Vocabulary,
    beam: usize,
) -> Result<Vec<Vec<usize>>, Error> {
    let most = backbone.config().max_len();
    let mut lengths = Vec::with_capacity(prompts.len());
    for (chunk, prompts) in prompts.chunks(64).enumerate() {
        let mut room = Vec::with_capacity(prompts.len());
        for (index, prompt) in prompts.iter().enumerate() {
            let got = prompt.len() + 3;
            if got > most {
                return Err(Error::TooLong { index: chunk * 64 + index, got, most });
            }
            room.push(most - got + 1);
        }
        let rows: Vec<Sequence> = prompts.iter().map(|prompt| question(prompt, vocabulary)).collect();
        let batch = Batch::new(&rows, vocabulary).map_err(train::Error::from)?;
        let logits = head.logits(backbone.hidden(&input(&batch)), Some(batch.pad()));
        lengths.extend(top_lengths(logits, beam, &room)?);
    }
    Ok(lengths)
}

/// BOS and a prompt.
fn question(prompt: &[TokenId], vocabulary: &Vocabulary) -> Sequence {
    let mut ids = vec![vocabulary.bos];
    ids.extend_from_slice(prompt);
    Sequence::whole(ids)
}

fn input(batch: &Batch) -> DenoiserInput<'_> {
    DenoiserInput::new(batch.ids(), [batch.rows(), batch.len()], &[]).with_pad(batch.pad())
}
