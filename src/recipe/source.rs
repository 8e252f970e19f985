//! A recipe's files as records of text.

use super::choices::{BrokenChoice, FormChoice, FormatChoice};
use super::{Error, FileSection};
use crate::train::data::{
    Case, Chat, Documents, Fields, Form, FormText, Format, NaturalInstructions, OnBroken, Outputs, Record,
    Template, Turns, forms, read,
};

/// What a file held.
pub struct FileRecords {
    /// The whole ones, in the file's order.
    pub records: Vec<Record>,
    /// Broken ones that were left out.
    pub skipped: usize,
}

impl FileSection {
    /// Reads the file.
    ///
    /// # Errors
    /// Those of [`read`]; a template's own, and [`MissingField`](crate::train::Error::MissingField).
    pub fn records(&self, on_broken: BrokenChoice) -> Result<FileRecords, Error> {
        let on_broken = match on_broken {
            BrokenChoice::Stop => OnBroken::Stop,
            BrokenChoice::Skip => OnBroken::Skip,
        };
        let templates = self.templates()?;
        let loaded = read(&self.path, &self.format(templates.as_ref()), on_broken)?;
        let records = match templates {
            Some(templates) if self.format == FormatChoice::Tsv => self.fill(&templates, loaded.records)?,
            _ => loaded.records,
        };
        Ok(FileRecords { records, skipped: loaded.skipped.count })
    }

    fn format(&self, templates: Option<&[Template; 2]>) -> Format {
        match (self.format, templates) {
            (FormatChoice::Json, Some([prompt, response])) => {
                Format::Filled { prompt: prompt.clone(), response: response.clone() }
            }
            (FormatChoice::Json, None) => Format::Json(Fields::default()),
            (FormatChoice::Tsv, _) => Format::Tsv,
            (FormatChoice::Lines, _) => Format::Text(Documents::Lines),
            (FormatChoice::Paragraphs, _) => Format::Text(Documents::Paragraphs),
            (FormatChoice::Alpaca, _) => Format::Alpaca,
            (FormatChoice::Flan, _) => Format::Json(Fields::flan()),
            (FormatChoice::Chat, _) => Format::Chat(Chat::plain(Turns::Every)),
            (FormatChoice::NaturalInstructions, _) => {
                Format::NaturalInstructions(NaturalInstructions { positive: 2, outputs: Outputs::First })
            }
        }
    }

    /// Prompt and response, if the recipe words them.
    fn templates(&self) -> Result<Option<[Template; 2]>, Error> {
        if let Some(form) = self.form {
            let Form { head, query, answer, .. } = form.text().parse()?;
            return Ok(Some([format!("{head}{query}").parse()?, answer]));
        }
        match (&self.prompt, &self.response) {
            (Some(prompt), Some(response)) => Ok(Some([prompt.parse()?, response.parse()?])),
            _ => Ok(None),
        }
    }

    fn fill(&self, [prompt, response]: &[Template; 2], records: Vec<Record>) -> Result<Vec<Record>, Error> {
        let fill = |(index, record): (usize, Record)| {
            let [first, second] = self.columns.clone();
            let case = Case::from([(first, record.prompt), (second, record.response)]);
            Ok(Record { prompt: prompt.fill(index, &case)?, response: response.fill(index, &case)? })
        };
        records.into_iter().enumerate().map(fill).collect()
    }

    /// What a mixture calls the file.
    pub(super) fn name(&self) -> String {
        self.path.file_stem().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

impl FormChoice {
    fn text(self) -> FormText<'static> {
        match self {
            Self::TranslateDeEn => forms::TRANSLATE_DE_EN,
            Self::TranslateDeEnBare => forms::TRANSLATE_DE_EN_BARE,
            Self::Summarise => forms::SUMMARISE,
            Self::Flan => forms::FLAN,
            Self::ChainOfThought => forms::CHAIN_OF_THOUGHT,
            Self::Mmlu => forms::MMLU,
            Self::Tydiqa => forms::TYDIQA,
            Self::Mgsm => forms::MGSM,
        }
    }
}
