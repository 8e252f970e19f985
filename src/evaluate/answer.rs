//! Answers: written, or chosen among options by their likelihood.

use super::Subject;
use super::cases::Question;
use super::error::Error;
use super::left_to_right::likelihoods;
use super::task::{DRAWS, Length, Method, Normalise, Task};
use crate::core::{Denoiser, Estimator, Likelihood, Sequence};
use crate::sampling::strategy::LeftToRight;
use crate::sampling::{Candidate, Route, Strategy, length, reverse, uniform};
use crate::view::View;

/// What was answered to a question.
pub(super) struct Answer {
    pub(super) text: String,
    /// Tokens of the answer.
    pub(super) tokens: usize,
    /// What the first reference costs, if a metric asks for it.
    pub(super) likelihood: Option<Likelihood>,
}

/// How a run of questions is put: the task, and the network, which may be watched.
pub(super) struct Asking<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) model: &'a dyn Denoiser,
    pub(super) task: &'a Task,
}

impl Asking<'_> {
    /// The answers to some questions, in their order.
    pub(super) fn answers(&self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        let mut answers = match &self.task.method {
            Method::Generate { length, strategy, steps, temperature } => {
                let strategy = decoder(self.task, *strategy, *temperature, self.subject.view)?;
                self.generate(questions, length, &strategy, *steps)?
            }
            Method::Choose { normalise, draws, .. } => self.choose(questions, *normalise, *draws)?,
        };
        if self.task.metrics.iter().any(|metric| metric.needs_likelihood()) {
            let costs = self.likelihoods(questions)?;
            answers.iter_mut().zip(costs).for_each(|(answer, cost)| answer.likelihood = Some(cost));
        }
        Ok(answers)
    }

    fn generate(
        &self,
        questions: &[Question],
        length: &Length,
        strategy: &Strategy,
        steps: usize,
    ) -> Result<Vec<Answer>, Error> {
        let prompts: Vec<&[u32]> = questions.iter().map(|question| question.prompt.as_slice()).collect();
        let lengths: Vec<Vec<usize>> = match length {
            Length::Predicted(beam) => self.subject.predict_lengths(&prompts, *beam)?,
            _ => questions.iter().map(|question| question.lengths.clone()).collect(),
        };
        let (canvas, candidates) = length::expand(&prompts, &lengths, &self.subject.vocabulary)?;
        // Draws are addressed by the case's place in the data, not by its place in this run.
        let keys = questions.iter().zip(&lengths).flat_map(|(question, lengths)| {
            (0..lengths.len()).map(|candidate| (question.index as u64) << 32 | candidate as u64)
        });
        let canvas = canvas.with_keys(&keys.collect::<Vec<_>>())?;
        let late = self.subject.view == View::NextToken;
        // Such a network knows nothing of a token while one before it is noise.
        let steps = if late { lengths.iter().flatten().copied().max().unwrap_or(0).max(1) } else { steps };
        let plan = uniform(steps);
        let run = reverse(&self.model, strategy, canvas, plan, self.task.seed).with_max_rows(self.task.rows);
        let canvas = run.finish()?;
        let answer = |row: usize| {
            let mut ids = canvas.response(row);
            if let Some(end) = ids.iter().position(|&id| late && id == self.subject.vocabulary.eos) {
                // It was taught to end a text there, and nothing of what may come after.
                ids.truncate(end);
            }
            Ok(Answer { text: self.subject.decode(&ids)?, tokens: ids.len(), likelihood: None })
        };
        candidates.best(&canvas)?.into_iter().map(answer).collect()
    }

    /// All options of a question draw the same noise where they are equally long, so that what they have in
    /// common does not decide.
    fn choose(
        &self,
        questions: &[Question],
        normalise: Normalise,
        draws: usize,
    ) -> Result<Vec<Answer>, Error> {
        let (mut rows, mut tokens) = (Vec::new(), Vec::new());
        for question in questions {
            for option in &question.options {
                let option = self.subject.encode(option)?;
                tokens.push(option.len());
                rows.push(self.row(question, &option));
            }
        }
        let costs = self.costs(self.model, &rows, draws)?;
        let mut at = 0;
        let answer = |question: &Question| {
            let cost = |(place, option): (usize, &String)| {
                let cost = costs[at + place];
                match normalise {
                    Normalise::Sum => cost.nats,
                    Normalise::Token => cost.nats / cost.tokens as f64,
                    Normalise::Byte => cost.nats / option.len().max(1) as f64,
                }
            };
            let costs: Vec<f64> = question.options.iter().enumerate().map(cost).collect();
            let likeliest =
                (0..costs.len()).fold(0, |best, place| if costs[place] < costs[best] { place } else { best });
            let answer = Answer {
                text: question.options[likeliest].clone(),
                tokens: tokens[at + likeliest],
                likelihood: None,
            };
            at += costs.len();
            answer
        };
        Ok(questions.iter().map(answer).collect())
    }

    /// What the first references cost.
    fn likelihoods(&self, questions: &[Question]) -> Result<Vec<Likelihood>, Error> {
        let rows: Vec<Sequence> =
            questions.iter().map(|question| self.row(question, &question.reference)).collect();
        // Not the watched network: what answers cost is one thing, what a metric costs another.
        self.costs(self.subject.model, &rows, draws(self.task))
    }

    /// What rows cost: a bound, or for a network that predicts the next token what it says.
    fn costs(&self, model: &dyn Denoiser, rows: &[Sequence], draws: usize) -> Result<Vec<Likelihood>, Error> {
        let vocabulary = &self.subject.vocabulary;
        match self.subject.view {
            View::NextToken => Ok(likelihoods(model, rows, vocabulary, self.task.rows)?),
            View::Denoiser | View::Shifted => Ok(self.estimator(draws)?.estimate(model, rows, vocabulary)?),
        }
    }

    fn row(&self, question: &Question, response: &[u32]) -> Sequence {
        let row = Sequence::prompt_response(&question.prompt, response, &self.subject.vocabulary);
        row.with_key(question.index as u64)
    }

    fn estimator(&self, draws: usize) -> Result<Estimator, Error> {
        let estimator = Estimator::counts(draws)?.stratified();
        Ok(estimator.with_seed(self.task.seed).with_max_rows(self.task.rows))
    }
}

/// The decoder of a task for a network of this view.
pub(super) fn decoder(
    task: &Task,
    strategy: Option<Strategy>,
    temperature: f64,
    view: View,
) -> Result<Strategy, Error> {
    let candidate = Candidate::at_temperature(temperature)?;
    let late = view == View::NextToken;
    let strategy = match strategy {
        Some(strategy) => strategy,
        None if late => Strategy::LeftToRight(LeftToRight::new(candidate)),
        None => Strategy::Route(Route::paper()).with_candidate(candidate),
    };
    if late && !matches!(strategy, Strategy::LeftToRight(_)) {
        return Err(Error::Strategy { task: task.name.clone(), got: strategy.to_string() });
    }
    Ok(strategy)
}

/// Draws of a reference's likelihood.
pub(super) fn draws(task: &Task) -> usize {
    match task.method {
        Method::Choose { draws, .. } => draws,
        Method::Generate { .. } => DRAWS,
    }
}
