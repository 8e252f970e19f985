//! Text in, text out: a folder with a network and its tokenizer, ready to generate.

use std::path::Path;

use burn::tensor::Device;

use crate::core::{Denoiser, TokenId};
use crate::models::{AutoDenoiser, Checkpoint, Encoder, LengthHead, Report, TOKENIZER};
use crate::sampling::{Canvas, ReverseStep, length, reverse, uniform};
use crate::text::{self, Text};
use crate::view::View;

/// What can go wrong between text and text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder cannot be used.
    #[error(transparent)]
    Models(#[from] dlm_models::Error),
    /// Decoding failed.
    #[error(transparent)]
    Sampling(#[from] dlm_sampling::Error),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] dlm_train::Error),
    /// The folder has no `tokenizer.json`.
    #[error("{folder} has no tokenizer.json: text needs one; with token ids, use dlm::sampling directly")]
    NoTokenizer {
        /// The folder.
        folder: String,
    },
    /// The length head reads features of another width than the network's.
    #[error("the length head reads {got} features, the network has {network}")]
    HeadWidth {
        /// Width of the network.
        network: usize,
        /// Width that the head was built for.
        got: usize,
    },
    /// Lengths were asked of a folder that cannot guess them.
    #[error("the folder has no length head (length_head.json): name the lengths")]
    NoLengthHead,
    /// The tokenizer and the network do not fit together.
    #[error(transparent)]
    Text(text::Error),
    /// The tokenizer refused a text or some ids.
    #[error("text {index}: the tokenizer failed: {reason}")]
    Tokenizer {
        /// Which text.
        index: usize,
        /// What it said.
        reason: String,
    },
    /// Without a step, nothing is written.
    #[error("the number of decoding steps must be at least 1, got 0")]
    NoSteps,
    /// A prompt and its answer do not fit the network.
    #[error("prompt {index} with its answer has {got} tokens, the network has positions for {most}")]
    TooLong {
        /// Which prompt.
        index: usize,
        /// Its tokens, special ones and the longest answer counted.
        got: usize,
        /// What fits.
        most: usize,
    },
}

/// Rows of one forward pass; an answer does not depend on it.
const MAX_ROWS: usize = 64;

/// A network of any family with its tokenizer.
///
/// # Example
/// ```no_run
/// use burn::tensor::Device;
/// use dlm::pipeline::Pipeline;
/// use dlm::sampling::Route;
/// let (pipeline, report) = Pipeline::load("out/adapted", &Device::default())?;
/// println!("{report}");
/// // One prompt, answers of 3 and of 4 tokens; the surer one is returned. Ten steps of the paper's decoder.
/// let answers = pipeline.generate(&["ein haus"], &[vec![3, 4]], &Route::paper(), 10, 7)?;
/// println!("{}", answers[0].text);
/// # Ok::<(), dlm::pipeline::Error>(())
/// ```
pub struct Pipeline {
    /// The network.
    pub model: AutoDenoiser,
    /// How it wants to be asked.
    pub view: View,
    /// Its tokenizer.
    pub text: Text,
    /// What guesses the lengths of answers, if the folder has it.
    pub length_head: Option<LengthHead>,
}

/// A generated text.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text, special tokens removed.
    pub text: String,
    /// Its tokens, special ones included.
    pub ids: Vec<TokenId>,
    /// Mean log-probability of its tokens when they were written, nats; 0 for an answer of no tokens.
    pub score: f64,
}

impl Pipeline {
    /// Reads a Hugging Face folder with a tokenizer, and `id_map.json`, `view.json` and the length head where
    /// there are any.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::HeadWidth`], and [`Error::Models`] for each other way the folder can
    /// be wrong.
    pub fn load(folder: impl AsRef<Path>, device: &Device) -> Result<(Self, Report), Error> {
        let checkpoint = Checkpoint::open(folder.as_ref())?;
        let (model, report) = checkpoint.load::<AutoDenoiser>(device)?;
        if !checkpoint.folder().join(TOKENIZER).is_file() {
            return Err(Error::NoTokenizer { folder: checkpoint.folder().display().to_string() });
        }
        let text = Text::of_folder(checkpoint.folder(), Some(model.vocab_size()))?;
        let view = View::of_folder(checkpoint.folder(), &model)?;
        let length_head = LengthHead::read(folder.as_ref(), device)?;
        if let (AutoDenoiser::Encoder(encoder), Some(head)) = (&model, &length_head) {
            let (network, got) = (encoder.config().hidden_size, head.config().width());
            if network != got {
                return Err(Error::HeadWidth { network, got });
            }
        }
        Ok((Self { model, view, text, length_head }, report))
    }

    /// The network as losses and samplers want it.
    pub fn denoiser(&self) -> Box<dyn Denoiser + '_> {
        self.view.of(&self.model)
    }

    /// What guesses lengths, with the network whose features it reads.
    pub fn lengths(&self) -> Option<(&Encoder, &LengthHead)> {
        match (&self.model, &self.length_head) {
            (AutoDenoiser::Encoder(encoder), Some(head)) => Some((encoder, head)),
            _ => None,
        }
    }

    /// The tokens of a text, without special tokens around them.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, Error> {
        Ok(self.text.encode(text)?)
    }

    /// The text of some tokens, special ones left out.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn decode(&self, ids: &[TokenId]) -> Result<String, Error> {
        Ok(self.text.decode(ids)?)
    }

    /// The `beam` likeliest answer lengths of each prompt, likeliest first, for [`Pipeline::generate`].
    ///
    /// # Errors
    /// [`Error::NoLengthHead`]; [`Error::Tokenizer`], naming the prompt; and as
    /// [`predict_lengths`](crate::length::predict_lengths).
    pub fn predict_lengths(&self, prompts: &[&str], beam: usize) -> Result<Vec<Vec<usize>>, Error> {
        let (encoder, head) = self.lengths().ok_or(Error::NoLengthHead)?;
        let prompts = self.encode_all(prompts)?;
        crate::length::predict_lengths(encoder, head, &prompts, self.text.vocabulary(), beam)
    }

    /// Answers each prompt in `steps` steps of `strategy`: all the lengths of a prompt are tried, and the
    /// answer with the highest mean score is kept.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] and [`Error::TooLong`], which name the prompt; [`Error::NoSteps`] for 0 steps;
    /// [`Error::Sampling`] unless each prompt has at least one length, and for a network that misbehaves.
    pub fn generate(
        &self,
        prompts: &[&str],
        lengths: &[Vec<usize>],
        strategy: &dyn ReverseStep,
        steps: usize,
        seed: u64,
    ) -> Result<Vec<Answer>, Error> {
        if steps == 0 {
            return Err(Error::NoSteps);
        }
        let prompts = self.encode_all(prompts)?;
        self.check_lengths(&prompts, lengths)?;
        let (canvas, candidates) = length::expand(&prompts, lengths, self.text.vocabulary())?;
        let network = self.denoiser();
        let reverse = reverse(&network, strategy, canvas, uniform(steps), seed).with_max_rows(MAX_ROWS);
        let canvas = reverse.finish()?;
        let best = candidates.best(&canvas)?;
        best.into_iter()
            .enumerate()
            .map(|(index, row)| self.answer(&canvas, row).map_err(naming(index)))
            .collect()
    }

    fn encode_all(&self, prompts: &[&str]) -> Result<Vec<Vec<TokenId>>, Error> {
        let encode = |(index, prompt): (usize, &&str)| self.encode(prompt).map_err(naming(index));
        prompts.iter().enumerate().map(encode).collect()
    }

    fn answer(&self, canvas: &Canvas, row: usize) -> Result<Answer, Error> {
        let ids = canvas.response(row);
        Ok(Answer { text: self.decode(&ids)?, score: canvas.mean_score(row).unwrap_or(0.0), ids })
    }

    fn check_lengths(&self, prompts: &[Vec<TokenId>], lengths: &[Vec<usize>]) -> Result<(), Error> {
        let most = self.model.max_len().unwrap_or(usize::MAX);
        for (index, (prompt, lengths)) in prompts.iter().zip(lengths).enumerate() {
            let got = prompt.len().saturating_add(*lengths.iter().max().unwrap_or(&0)).saturating_add(2);
            if got > most {
                return Err(Error::TooLong { index, got, most });
            }
        }
        Ok(())
    }
}

/// For `map_err`: says which text the tokenizer refused.
fn naming(index: usize) -> impl FnOnce(Error) -> Error {
    move |error| match error {
        Error::Tokenizer { reason, .. } => Error::Tokenizer { index, reason },
        other => other,
    }
}

impl From<text::Error> for Error {
    fn from(error: text::Error) -> Self {
        match error {
            text::Error::Models(error) => Self::Models(error),
            text::Error::Tokenizer { reason } => Self::Tokenizer { index: 0, reason },
            other @ text::Error::Map { .. } => Self::Text(other),
        }
    }
}
