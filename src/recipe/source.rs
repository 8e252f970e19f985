//! A recipe's files as records of text.

use super::choices::{BrokenChoice, FormChoice, FormatChoice};
use super::{Error, FileSection};
use crate::train::data::{
    Chat, Corpus, Documents, Fields, Files, Form, FormText, Format, Loaded, NaturalInstructions, OnBroken,
    Outputs, Record, Skipped, Template, Turns, forms, read,
};
use crate::train::{self, fingerprint};

impl FileSection {
    /// Reads the file as a whole.
    ///
    /// # Errors
    /// Those of [`read`], and a template's own.
    pub fn records(&self, on_broken: BrokenChoice) -> Result<Loaded<Record>, Error> {
        Ok(read(&self.path, &self.format()?, on_broken.into())?)
    }

    fn format(&self) -> Result<Format, Error> {
        let templates = self.templates()?;
        Ok(match (self.format, templates) {
            (FormatChoice::Json, Some([prompt, response])) => Format::Filled { prompt, response },
            (FormatChoice::Json, None) => Format::Json(Fields::default()),
            (FormatChoice::Tsv, Some([prompt, response])) => {
                Format::Columns { names: self.columns.clone(), prompt, response }
            }
            (FormatChoice::Tsv, None) => Format::Tsv,
            (FormatChoice::Lines, _) => Format::Text(Documents::Lines),
            (FormatChoice::Paragraphs, _) => Format::Text(Documents::Paragraphs),
            (FormatChoice::Alpaca, _) => Format::Alpaca,
            (FormatChoice::Flan, _) => Format::Json(Fields::flan()),
            (FormatChoice::Chat, _) => Format::Chat(Chat::plain(Turns::Every)),
            (FormatChoice::NaturalInstructions, _) => {
                Format::NaturalInstructions(NaturalInstructions { positive: 2, outputs: Outputs::First })
            }
        })
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

    /// What a mixture calls the file.
    pub(super) fn name(&self) -> String {
        self.path.file_stem().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

/// Several files, one after the other.
pub(super) fn files<'a>(
    sections: impl IntoIterator<Item = &'a FileSection>,
    on_broken: BrokenChoice,
) -> Result<Files, Error> {
    let file = |section: &FileSection| Ok((section.path.clone(), section.format()?));
    let files = sections.into_iter().map(file).collect::<Result<_, Error>>()?;
    Ok(Files { files, on_broken: on_broken.into() })
}

/// Of some files' records the share, evenly spaced, that is held out, or the others.
pub(super) struct Share<'a> {
    pub(super) files: &'a Files,
    pub(super) part: f64,
    pub(super) held_out: bool,
}

impl Corpus for Share<'_> {
    fn content(&self) -> Result<u64, train::Error> {
        Ok(fingerprint([self.files.content()?, self.part.to_bits(), u64::from(self.held_out)]))
    }

    fn each(
        &self,
        take: &mut dyn FnMut(Record) -> Result<(), train::Error>,
    ) -> Result<Skipped, train::Error> {
        let mut index = 0.0;
        self.files.each(&mut |record| {
            let before = (index * self.part).floor();
            index += 1.0;
            let held_out = (index * self.part).floor() > before;
            if held_out == self.held_out { take(record) } else { Ok(()) }
        })
    }

    fn estimate(&self) -> Option<usize> {
        let (all, part) = (self.files.estimate()?, self.part);
        Some((all as f64 * if self.held_out { part } else { 1.0 - part }).round() as usize)
    }
}

/// At most `most` of the records of a corpus, evenly spaced; 0 for all. Memory holds twice as many at most.
pub(super) fn evenly(corpus: &impl Corpus, most: usize) -> Result<Loaded<Record>, Error> {
    let (mut kept, mut every, mut index) = (Vec::new(), 1_u64, 0_u64);
    let skipped = corpus.each(&mut |record| {
        if index.is_multiple_of(every) {
            kept.push(record);
        }
        index += 1;
        if most > 0 && kept.len() == 2 * most {
            let mut place = 0;
            kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            every *= 2;
        }
        Ok(())
    })?;
    let (all, most) = (kept.len(), if most == 0 { kept.len() } else { most.min(kept.len()) });
    let mut place = 0..;
    kept.retain(|_| {
        // The places floor(i · all / most), each once.
        place.next().is_some_and(|place| (place * most).div_ceil(all) * all < (place + 1) * most)
    });
    Ok(Loaded { records: kept, skipped })
}

impl From<BrokenChoice> for OnBroken {
    fn from(choice: BrokenChoice) -> Self {
        match choice {
            BrokenChoice::Stop => Self::Stop,
            BrokenChoice::Skip => Self::Skip,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn records(n: usize) -> Vec<Record> {
        (0..n).map(|i| Record { prompt: i.to_string(), response: String::new() }).collect()
    }

    fn names(records: &[Record]) -> Vec<usize> {
        records.iter().map(|record| record.prompt.parse().unwrap_or_default()).collect()
    }

    #[test]
    fn a_held_out_share_is_evenly_spaced_and_disjoint() {
        let path = std::env::temp_dir().join(format!("dlm-recipe-share-{}", std::process::id()));
        let lines = (0..20).map(|i| format!("{i}\t")).collect::<Vec<_>>().join("\n");
        std::fs::write(&path, lines).unwrap();
        let files = Files { files: vec![(path.clone(), Format::Tsv)], on_broken: OnBroken::Stop };
        let of = |held_out| {
            let share = Share { files: &files, part: 0.25, held_out };
            (names(&evenly(&share, 0).unwrap().records), share.content().unwrap())
        };
        let ((kept, first), (held, second)) = (of(false), of(true));
        assert_eq!(held, [3, 7, 11, 15, 19]);
        assert_eq!(kept.len(), 15);
        assert!(kept.iter().all(|name| !held.contains(name)));
        assert_ne!(first, second);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn some_of_many_are_evenly_spaced() {
        let evenly = |n: usize, most| names(&evenly(&records(n), most).unwrap().records);
        assert_eq!(evenly(10, 4), [0, 2, 4, 6]);
        assert_eq!(evenly(10, 0).len(), 10);
        assert_eq!(evenly(3, 9), [0, 1, 2]);
        assert_eq!(evenly(0, 4), [0; 0]);
        // Every fourth is kept while they come, 75 at the end; of those one of three in two.
        let some = evenly(300, 50);
        assert_eq!((some.len(), some[0], some[1], some[2], some[49]), (50, 0, 4, 12, 292));
    }
}
