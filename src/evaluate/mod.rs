//! Evaluation: a small file says what is asked and how answers are judged; a report says what came of it.
//!
//! The wording, the data and the metrics are those of training ([`train::data`](crate::train::data),
//! [`train::metrics`](crate::train::metrics)), the decoding is that of [`sampling`](crate::sampling), and
//! options are compared by the bound of [`core::likelihood`](crate::core::likelihood), or by what a network that
//! predicts the next token says. No result depends on how rows are batched.

mod answer;
mod cases;
mod error;
mod left_to_right;
mod metric;
mod report;
mod task;
mod task_file;

use std::time::Instant;

use crate::core::{Denoiser, TokenId, Vocabulary};
use crate::models::{Encoder, LengthHead};
use crate::pipeline;
use crate::sampling::wrap::Counted;
use crate::text::Text;
use crate::view::View;

pub use self::error::Error;
pub use self::metric::Metric;
pub use self::report::{Output, Report, Score, Table};
pub use self::task::{Data, Demonstrations, Length, Method, Normalise, Options, Task, TooLong};

use self::answer::Asking;
use self::cases::{Asked, Question};
use self::report::{Cost, Judge};

/// What is evaluated: a network, its tokenizer, and what guesses lengths, if anything does.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    model: &'a dyn Denoiser,
    text: &'a Text,
    vocabulary: Vocabulary,
    view: View,
    lengths: Option<(&'a Encoder, &'a LengthHead)>,
}

impl<'a> Subject<'a> {
    /// Any network with a tokenizer of its vocabulary. Of a [`Pipeline`](crate::pipeline::Pipeline), its
    /// [`denoiser`](crate::pipeline::Pipeline::denoiser).
    pub fn new(model: &'a dyn Denoiser, text: &'a Text) -> Self {
        Self { model, text, vocabulary: *text.vocabulary(), view: View::Denoiser, lengths: None }
    }

    /// Says by which view the network was made a denoiser, [`Pipeline::view`](crate::pipeline::Pipeline::view).
    /// One that predicts the next token is decoded from left to right, a token a step, up to its first EOS, and
    /// its likelihoods are exact; without this it would be taken for a denoiser, which it is a bad one of.
    #[must_use]
    pub fn with_view(self, view: View) -> Self {
        Self { view, ..self }
    }

    /// Guesses lengths with a head and the network whose features it reads.
    #[must_use]
    pub fn with_lengths(self, lengths: Option<(&'a Encoder, &'a LengthHead)>) -> Self {
        Self { lengths, ..self }
    }

    /// Asks another network, for instance the same one behind
    /// [`Threads`](crate::sampling::wrap::Threads); lengths are guessed as before.
    #[must_use]
    pub fn with_model(self, model: &'a dyn Denoiser) -> Self {
        Self { model, ..self }
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, pipeline::Error> {
        Ok(self.text.encode(text)?)
    }

    fn decode(&self, ids: &[TokenId]) -> Result<String, pipeline::Error> {
        Ok(self.text.decode(ids)?)
    }

    fn predict_lengths(
        &self,
        prompts: &[&[TokenId]],
        beam: usize,
    ) -> Result<Vec<Vec<usize>>, pipeline::Error> {
        let (backbone, head) = self.lengths.ok_or(pipeline::Error::NoLengthHead)?;
        let prompts: Vec<Vec<TokenId>> = prompts.iter().map(|prompt| prompt.to_vec()).collect();
        crate::length::predict_lengths(backbone, head, &prompts, &self.vocabulary, beam)
    }
}

/// Asks every case of a task and judges the answers. `progress` is told how many cases are done, and of
/// how many.
///
/// # Errors
/// [`Error::NoCases`] for empty data; [`Error::Case`] for a case without what the task needs;
/// [`Error::Data`] for data that cannot be read, lacks a field, or does not fit the network, unless that is
/// skipped or cut; [`Error::Strategy`] for a network that cannot be decoded as the task wants;
/// [`Error::Pipeline`] if the tokenizer fails, or lengths are to be guessed without a head;
/// [`Error::Core`] and [`Error::Sampling`] if the network misbehaves.
///
/// # Example
/// ```no_run
/// use burn::tensor::Device;
/// use dlm::evaluate::{Subject, Table, Task, evaluate};
/// use dlm::pipeline::Pipeline;
/// let (pipeline, _) = Pipeline::load("assets/g2p", &Device::default())?;
/// let task = Task::read("tasks/g2p.toml")?;
/// let network = pipeline.denoiser();
/// let subject = Subject::new(&network, &pipeline.text).with_view(pipeline.view).with_lengths(pipeline.lengths());
/// let report = evaluate(&subject, &task, |done, of| eprintln!("{done} of {of}"))?;
/// println!("{}", Table(&[report]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate(
    subject: &Subject<'_>,
    task: &Task,
    mut progress: impl FnMut(usize, usize),
) -> Result<Report, Error> {
    let Asked { questions, left_out } = cases::questions(subject, task)?;
    let begin = Instant::now();
    let model = Counted::new(subject.model);
    let asking = Asking { subject, model: &model, task };
    let mut answers = Vec::with_capacity(questions.len());
    let runs: Vec<&[Question]> = questions.chunks(task.rows.max(1)).collect();
    for run in runs {
        answers.extend(asking.answers(run)?);
        progress(answers.len(), questions.len());
    }
    let seconds = begin.elapsed().as_secs_f64();
    let cost = Cost { seconds, forwards: model.forwards(), evaluations: model.rows() };
    let judge = Judge { task, view: subject.view };
    Ok(judge.report(&questions, &answers, left_out, cost))
}
