//! The length stage: a head on the frozen backbone learns how long answers are, and proposes lengths.
//!
//! # Source
//! Ye et al. 2023, arXiv:2308.12219: trained after the adaptation, on prompts alone.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::core::{Batch, CounterRng, Denoiser, DenoiserInput, Sequence, TokenId, Vocabulary};
use crate::models::{Encoder, LengthHead, LengthHeadConfig, length_class, length_loss, top_lengths};
use crate::pipeline::Error;
use crate::train::{
    self, BatchSize, BatchSource, Batches, Objective, TrainConfig, Trainer, fingerprint, init_seeded,
};

/// A trainer of the head that predicts the length of the answer to each prompt; the caller runs it. The
/// backbone does not change.
///
/// `examples` are prompts without special tokens, each with the number of tokens of its answer, EOS not
/// counted. The head sees BOS and the prompt. A checkpoint of other prompts, lengths, another backbone or another
/// head is refused. The backbone is computed in its own numbers, the head in those of the configuration.
///
/// # Errors
/// [`Error::Models`] for sizes that a head cannot have; [`Error::Train`] without an example, and as
/// [`Trainer::new`], which refuses a precision that the device lacks.
///
/// # Example
/// ```
/// use burn::tensor::Device;
/// use dlm::core::Vocabulary;
/// use dlm::length::{length_trainer, predict_lengths};
/// use dlm::models::{EncoderConfig, LengthHeadConfig};
/// use dlm::train::{BatchSize, Hooks, TrainConfig};
/// let vocabulary = Vocabulary::new(20, 0, 1, 2, 19)?;
/// let backbone = EncoderConfig::new(20, 16, 1, 2).init(&Device::default())?;
/// let config = LengthHeadConfig::of(backbone.config()).with_classes(8);
/// // Answers are as long as prompts.
/// let examples: Vec<_> = (1..6).map(|length| (vec![7; length], length)).collect();
/// let run = TrainConfig::cosine(1e-3, 2);
/// let mut trainer =
///     length_trainer(&backbone, &config, &examples, &vocabulary, BatchSize::Sequences(5), run)?;
/// trainer.run(Hooks::new())?;
/// let lengths = predict_lengths(&backbone, &trainer.evaluated(), &[vec![7, 7]], &vocabulary, 3)?;
/// assert_eq!(lengths[0].len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn length_trainer<'a>(
    backbone: &Encoder,
    config: &LengthHeadConfig,
    examples: &'a [(Vec<TokenId>, usize)],
    vocabulary: &Vocabulary,
    size: BatchSize,
    run: TrainConfig,
) -> Result<Trainer<LengthHead, impl Objective<LengthHead> + 'a>, Error> {
    // Frozen: no dropout, no tape.
    let backbone = backbone.valid();
    let device = backbone.device().autodiff();
    let head = config.init(&device)?;
    let head = init_seeded(head, &device, run.seed);
    let prompts = examples.iter().map(|(prompt, _)| question(prompt, vocabulary)).collect();
    let prompts = Batches::new(prompts, *vocabulary, size, run.seed)?;
    let lengths = fingerprint(examples.iter().map(|(_, length)| *length as u64));
    // Sizes, and the dropout that no parameter tells.
    let sizes = serde_json::to_string(config).unwrap_or_default();
    let questions = Questions {
        prompts,
        about: [lengths, content(&backbone), fingerprint(sizes.bytes().map(u64::from))],
    };
    let objective = move |head: &LengthHead, batch: &Batch, _: &CounterRng| {
        backbone.check(&input(batch))?;
        let features = backbone.hidden(&input(batch));
        let logits = head.logits(features, Some(batch.pad()));
        let classes = logits.dims()[1];
        // `Batches` names each row by its index among the examples.
        let words = (0..batch.rows()).map(|row| examples[batch.key(row) as usize].1);
        let targets: Vec<usize> = words.map(|words| length_class(words + 1, classes)).collect();
        Ok(length_loss(logits, &targets))
    };
    Ok(Trainer::new(head, objective, questions, run)?)
}

/// Prompts, and what their answers, the backbone and the head are known by.
struct Questions {
    prompts: Batches,
    about: [u64; 3],
}

impl BatchSource for Questions {
    fn batch(&mut self, index: u64) -> Result<Batch, train::Error> {
        self.prompts.batch(index)
    }

    fn fingerprint(&self) -> u64 {
        fingerprint([self.prompts.fingerprint()].into_iter().chain(self.about))
    }
}

/// A hash of all parameters.
fn content<M: Module>(module: &M) -> u64 {
    struct Content(u64);
    impl ModuleVisitor for Content {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.base().into_data();
            let bits = values.iter::<f32>().map(|value| u64::from(value.to_bits()));
            self.0 = fingerprint([self.0].into_iter().chain(bits));
        }
    }
    let mut content = Content(0);
    module.visit(&mut content);
    content.0
}

/// The `beam` likeliest answer lengths of each prompt, likeliest first, none longer than fits the
/// network.
///
/// # Errors
/// [`Error::Train`] for prompts that make no batch or that the network cannot take; [`Error::Models`] for scores that are not finite;
/// [`Error::TooLong`] for a prompt that leaves no room for an answer.
pub fn predict_lengths(
    backbone: &Encoder,
    head: &LengthHead,
    prompts: &[Vec<TokenId>],
    vocabulary: &Vocabulary,
    beam: usize,
) -> Result<Vec<Vec<usize>>, Error> {
    let backbone = &backbone.valid();
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
        backbone.check(&input(&batch)).map_err(train::Error::from)?;
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
