//! Prompts of a task, with or without demonstrations.

pub mod forms;

use std::collections::BTreeMap;

use dlm_core::rng::RowRng;
use dlm_core::{CounterRng, Purpose};

use crate::data::{Case, Record, Template};
use crate::error::{Error, Foreign};

/// The wording of a task, not yet parsed: some texts, see [`Form`]. [`forms`] holds the paper's tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormText<'a> {
    /// Opens the prompt.
    pub head: &'a str,
    /// Puts a question.
    pub query: &'a str,
    /// Stands between a question and its answer.
    pub gap: &'a str,
    /// The answer.
    pub answer: &'a str,
    /// A demonstration, where it is not the question, the gap and the answer.
    pub shot: Option<&'a str>,
    /// Stands after a demonstration.
    pub between: &'a str,
}

/// The wording of a task.
///
/// ```text
/// prompt   = head (shot between)* query      one bracket a demonstration
/// shot     = query gap answer                unless the form has its own words for it
/// response = answer
/// ```
///
/// The gap before the answer that is asked for belongs to neither prompt nor response. To tokenizers that put
/// a space before each word themselves (`SentencePiece`, `WordPiece`) that makes no difference. To byte-level
/// BPE (GPT-2, Qwen, `LLaDA`) ` B` and `B` are different tokens: for a network whose demonstrations should
/// end in the token it is to write, leave the gap empty and begin the answer with the space.
///
/// # Example
/// ```
/// use dlm_train::data::{Case, forms};
/// let form = forms::TRANSLATE_DE_EN.parse()?;
/// let hello = Case::from([("source", "Hallo."), ("target", "Hello.")]);
/// let thanks = Case::from([("source", "Danke."), ("target", "Thanks.")]);
/// assert_eq!(
///     form.prompt(&[], 0, &thanks)?,
///     "Translate the sentences into English.  German: Danke. English:"
/// );
/// assert_eq!(
///     form.prompt(&[(5, &hello)], 0, &thanks)?,
///     "Translate the sentences into English.  German: Hallo. English: Hello. German: Danke. English:"
/// );
/// assert_eq!(form.record(0, &thanks)?.response, "Thanks.");
/// # Ok::<(), dlm_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Opens the prompt; its fields are the query's.
    pub head: Template,
    /// Puts a question.
    pub query: Template,
    /// Stands between a question and its answer.
    pub gap: String,
    /// The answer.
    pub answer: Template,
    /// A demonstration, where it is not the question, the gap and the answer.
    pub shot: Option<Template>,
    /// Stands after a demonstration.
    pub between: String,
}

impl FormText<'_> {
    /// # Errors
    /// [`Error::Template`].
    pub fn parse(&self) -> Result<Form, Error> {
        Ok(Form {
            head: self.head.parse()?,
            query: self.query.parse()?,
            gap: self.gap.to_owned(),
            answer: self.answer.parse()?,
            shot: self.shot.map(str::parse).transpose()?,
            between: self.between.to_owned(),
        })
    }
}

impl Form {
    /// The prompt of a case after these demonstrations. Each case comes with its index, for errors.
    ///
    /// # Errors
    /// [`Error::MissingField`], naming the case by its index.
    pub fn prompt(&self, shots: &[(usize, &Case)], index: usize, case: &Case) -> Result<String, Error> {
        let mut prompt = self.head.fill(index, case)?;
        for &(index, shot) in shots {
            prompt.push_str(&self.demonstration(index, shot)?);
            prompt.push_str(&self.between);
        }
        prompt.push_str(&self.query.fill(index, case)?);
        Ok(prompt)
    }

    fn demonstration(&self, index: usize, case: &Case) -> Result<String, Error> {
        match &self.shot {
            Some(shot) => shot.fill(index, case),
            None => Ok(self.query.fill(index, case)? + &self.gap + &self.answer.fill(index, case)?),
        }
    }

    /// The case as a record, without demonstrations.
    ///
    /// # Errors
    /// As [`Form::prompt`].
    pub fn record(&self, index: usize, case: &Case) -> Result<Record, Error> {
        Ok(Record { prompt: self.prompt(&[], index, case)?, response: self.answer.fill(index, case)? })
    }
}

/// Where demonstrations come from, which, and how many there are at most.
#[derive(Debug, Clone, Copy)]
pub struct Shots<'a> {
    /// Answered cases.
    pub pool: &'a [Case],
    /// At most so many demonstrations.
    pub most: usize,
    /// A field that demonstrations share with the question: its subject, its language.
    pub same: Option<&'a str>,
    /// Which of the pool.
    pub order: ShotOrder,
    /// A prompt is at most so long, in the unit of the caller's length function.
    pub limit: usize,
}

/// Which cases of a pool are shown, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShotOrder {
    /// The first, as the pool has them: the same before each question.
    First,
    /// Drawn at random without replacement, by this seed and the question's index alone.
    Drawn(u64),
}

/// A prompt, and which demonstrations it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The prompt.
    pub text: String,
    /// Places of the demonstrations in the pool, in the prompt's order.
    pub shots: Vec<usize>,
}

impl<'a> Shots<'a> {
    /// At most `most` demonstrations drawn from a pool, whatever their subject, and prompts of any length.
    pub fn drawn(pool: &'a [Case], most: usize, seed: u64) -> Self {
        Self { pool, most, same: None, order: ShotOrder::Drawn(seed), limit: usize::MAX }
    }

    /// The prompt of a case after demonstrations from the pool.
    ///
    /// A case of the pool whose question reads as the query's does is never taken, so the query may itself
    /// stand in the pool. If the prompt is longer than the limit, demonstrations are taken away, the last
    /// first; the query is never cut.
    ///
    /// # Errors
    /// [`Error::TooLong`] for a query too long without any demonstration; [`Error::MissingField`] for a
    /// query, or a case of the pool that was looked at, that lacks a field; [`Error::Tokenise`] if `length`
    /// fails.
    ///
    /// # Example
    /// ```
    /// use dlm_train::data::{Case, Shots, forms};
    /// let form = forms::TRANSLATE_DE_EN.parse()?;
    /// let pool = [("Ja.", "Yes."), ("Nein.", "No."), ("Danke.", "Thanks.")]
    ///     .map(|(source, target)| Case::from([("source", source), ("target", target)]));
    /// let letters = |text: &str| Ok::<_, std::convert::Infallible>(text.len());
    /// let shots = Shots { limit: 200, ..Shots::drawn(&pool, 5, 1) };
    /// let mut drawn = shots.prompt(&form, 2, &pool[2], letters)?.shots;
    /// drawn.sort();
    /// assert_eq!(drawn, [0, 1]);
    /// let shots = Shots { limit: 90, ..shots };
    /// assert_eq!(shots.prompt(&form, 2, &pool[2], letters)?.shots.len(), 1);
    /// # Ok::<(), dlm_train::Error>(())
    /// ```
    pub fn prompt<E: Into<Foreign>>(
        &self,
        form: &Form,
        index: usize,
        query: &Case,
        length: impl Fn(&str) -> Result<usize, E>,
    ) -> Result<Prompt, Error> {
        let mut shots = self.draw(form, index, query)?;
        loop {
            let cases: Vec<(usize, &Case)> = shots.iter().map(|&shot| (shot, &self.pool[shot])).collect();
            let text = form.prompt(&cases, index, query)?;
            let got = length(&text).map_err(|error| Error::Tokenise {
                place: crate::data::Place::Index(index),
                field: "prompt",
                source: error.into(),
            })?;
            if got <= self.limit {
                return Ok(Prompt { text, shots });
            }
            if shots.pop().is_none() {
                return Err(Error::TooLong { index, limit: self.limit, got });
            }
        }
    }

    /// At most `most` places of the pool, none with the query's question.
    fn draw(&self, form: &Form, index: usize, query: &Case) -> Result<Vec<usize>, Error> {
        let question = form.query.fill(index, query)?;
        let shared = |index, case| match self.same {
            Some(field) => Template::of_field(field, "").fill(index, case),
            None => Ok(String::new()),
        };
        let wanted = shared(index, query)?;
        let places: Box<dyn Iterator<Item = usize>> = match self.order {
            ShotOrder::First => Box::new(0..self.pool.len()),
            ShotOrder::Drawn(seed) => {
                let rng = CounterRng::new(seed).row(Purpose::Shots, index as u64);
                Box::new(permutation(self.pool.len(), rng))
            }
        };
        let mut shots = Vec::new();
        for place in places {
            if shots.len() == self.most {
                break;
            }
            let case = &self.pool[place];
            if shared(place, case)? == wanted && form.query.fill(place, case)? != question {
                shots.push(place);
            }
        }
        Ok(shots)
    }
}

/// The numbers below `n` in a random order. Takes time and memory for those asked for only.
fn permutation(n: usize, mut rng: RowRng) -> impl Iterator<Item = usize> {
    // Fisher and Yates's shuffle of a list of which only the places that changed are written down.
    let mut moved = BTreeMap::new();
    (0..n).map(move |place| {
        let other = place + rng.below(place, n - place);
        let here = moved.get(&place).copied().unwrap_or(place);
        moved.insert(other, here).unwrap_or(other)
    })
}
