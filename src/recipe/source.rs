//! A recipe's files as records of text.

use std::cell::Cell;
use std::path::PathBuf;

use super::choices::{BrokenChoice, FormChoice, FormatChoice};
use super::{Error, FileSection, Recipe};
use crate::train::data::{
    Chat, Corpus, Documents, Fields, Files, Form, FormText, Format, Loaded, NaturalInstructions, OnBroken,
    Outputs, Place, Record, Skipped, Template, Turns, forms,
};
use crate::train::{self, fingerprint};

impl FileSection {
    /// Its files: one, or several of one kind.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let path = Some(&self.path).filter(|path| !path.as_os_str().is_empty());
        path.into_iter().chain(&self.paths)
    }

    /// Reads its files as a whole, one after the other.
    ///
    /// # Errors
    /// Those of [`read`](crate::train::data::read), and a template's own.
    pub fn records(&self, on_broken: BrokenChoice) -> Result<Loaded<Record>, Error> {
        let Loaded { records, skipped } = evenly(&files([self], on_broken)?, 0)?;
        Ok(Loaded { records: records.into_iter().map(|(record, _)| record).collect(), skipped })
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

    /// What a mixture calls the file, or the first of several.
    fn name(&self) -> String {
        let path = self.files().next().unwrap_or(&self.path);
        path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }
}

/// Several files, one after the other.
pub(super) fn files<'a>(
    sections: impl IntoIterator<Item = &'a FileSection>,
    on_broken: BrokenChoice,
) -> Result<Files, Error> {
    let mut all = Vec::new();
    for section in sections {
        let format = section.format()?;
        all.extend(section.files().map(|path| (path.clone(), format.clone())));
    }
    Ok(Files { files: all, on_broken: on_broken.into() })
}

/// Files that are drawn from together.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) weight: f64,
    files: Files,
    /// The hash of the files, which are read as a whole for it.
    content: Cell<Option<u64>>,
}

impl Group {
    fn new(name: String, weight: f64, files: Files) -> Self {
        Self { name, weight, files, content: Cell::new(None) }
    }

    fn content(&self) -> Result<u64, train::Error> {
        let content = self.content.get().map_or_else(|| self.files.content(), Ok)?;
        self.content.set(Some(content));
        Ok(content)
    }
}

impl Recipe {
    /// Files that are drawn from together: each section of a mixture by itself, else all.
    pub(super) fn groups(&self) -> Result<Vec<Group>, Error> {
        let (sections, on_broken) = (&self.data.files, self.data.on_broken);
        if !self.is_mixture() {
            return Ok(vec![Group::new("all files".to_owned(), 1.0, files(sections, on_broken)?)]);
        }
        let group = |section: &FileSection| {
            let weight = section.weight.unwrap_or(1.0);
            Ok(Group::new(section.name(), weight, files([section], on_broken)?))
        };
        sections.iter().map(group).collect()
    }
}

/// Of a group's records the share, evenly spaced, that is held out, or the others.
pub(super) struct Share<'a> {
    pub(super) group: &'a Group,
    pub(super) part: f64,
    pub(super) held_out: bool,
}

impl Corpus for Share<'_> {
    fn content(&self) -> Result<u64, train::Error> {
        Ok(fingerprint([self.group.content()?, self.part.to_bits(), u64::from(self.held_out)]))
    }

    fn each(
        &self,
        take: &mut dyn FnMut(Record, Place) -> Result<(), train::Error>,
    ) -> Result<Skipped, train::Error> {
        let mut index = 0.0;
        self.group.files.each(&mut |record, place| {
            let before = (index * self.part).floor();
            index += 1.0;
            let held_out = (index * self.part).floor() > before;
            if held_out == self.held_out { take(record, place) } else { Ok(()) }
        })
    }

    fn estimate(&self) -> Option<usize> {
        let (all, part) = (self.group.files.estimate()?, self.part);
        Some((all as f64 * if self.held_out { part } else { 1.0 - part }).round() as usize)
    }
}

/// The shares of several groups, one after the other. Each is evenly spaced in its own group: what is held out of a
/// mixture is what none of its sources gives.
pub(super) struct Shares<'a>(pub(super) Vec<Share<'a>>);

impl Shares<'_> {
    /// The files that they come from.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.0.iter().flat_map(|share| share.group.files.files.iter().map(|(path, _)| path.clone()))
    }
}

impl Corpus for Shares<'_> {
    fn content(&self) -> Result<u64, train::Error> {
        let contents = self.0.iter().map(Corpus::content).collect::<Result<Vec<_>, _>>()?;
        Ok(fingerprint(contents))
    }

    fn each(
        &self,
        take: &mut dyn FnMut(Record, Place) -> Result<(), train::Error>,
    ) -> Result<Skipped, train::Error> {
        let mut skipped = Skipped::default();
        for share in &self.0 {
            skipped.join(share.each(take)?);
        }
        Ok(skipped)
    }
}

/// At most `most` of the records of a corpus, evenly spaced, and where they stand; 0 for all. Memory holds twice as
/// many at most.
pub(super) fn evenly(corpus: &impl Corpus, most: usize) -> Result<Loaded<(Record, Place)>, Error> {
    let (mut kept, mut every, mut index) = (Vec::new(), 1_u64, 0_u64);
    let skipped = corpus.each(&mut |record, place| {
        if index.is_multiple_of(every) {
            kept.push((record, place));
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
            Self::MgsmDe => forms::MGSM_DE,
            Self::MgsmZh => forms::MGSM_ZH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(n: usize) -> Vec<Record> {
        (0..n).map(|i| Record { prompt: i.to_string(), response: String::new() }).collect()
    }

    fn names(corpus: &impl Corpus, most: usize) -> Vec<usize> {
        let chosen = evenly(corpus, most).unwrap().records;
        chosen.iter().map(|(record, _)| record.prompt.parse().unwrap_or_default()).collect()
    }

    /// A group of a file with these numbers as prompts.
    fn group(name: &str, numbers: std::ops::Range<usize>) -> (PathBuf, Group) {
        let path = std::env::temp_dir().join(format!("dlm-recipe-{name}-{}", std::process::id()));
        let lines = numbers.map(|i| format!("{i}\t")).collect::<Vec<_>>().join("\n");
        std::fs::write(&path, lines).unwrap();
        let files = Files { files: vec![(path.clone(), Format::Tsv)], on_broken: OnBroken::Stop };
        (path, Group::new(name.to_owned(), 1.0, files))
    }

    #[test]
    fn a_held_out_share_is_evenly_spaced_and_disjoint() {
        let (path, group) = group("share", 0..20);
        let of = |held_out| {
            let share = Share { group: &group, part: 0.25, held_out };
            (names(&share, 0), share.content().unwrap())
        };
        let ((kept, first), (held, second)) = (of(false), of(true));
        assert_eq!(held, [3, 7, 11, 15, 19]);
        assert_eq!(kept.len(), 15);
        assert!(kept.iter().all(|name| !held.contains(name)));
        assert_ne!(first, second);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn shares_of_several_groups_are_disjoint_whatever_their_lengths() {
        let (one, other) = (group("seven", 0..7), group("six", 7..13));
        let of = |held_out| {
            let share = |group| Share { group, part: 0.25, held_out };
            Shares(vec![share(&one.1), share(&other.1)])
        };
        let (held, kept) = (names(&of(true), 0), names(&of(false), 0));
        assert_eq!(held, [3, 10]);
        let mut all = [held, kept].concat();
        all.sort_unstable();
        assert_eq!(all, (0..13).collect::<Vec<_>>());
        for (path, _) in [one, other] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn some_of_many_are_evenly_spaced() {
        let evenly = |n: usize, most| names(&records(n), most);
        assert_eq!(evenly(10, 4), [0, 2, 4, 6]);
        assert_eq!(evenly(10, 0).len(), 10);
        assert_eq!(evenly(3, 9), [0, 1, 2]);
        assert_eq!(evenly(0, 4), [0; 0]);
        // Every fourth is kept while they come, 75 at the end; of those one of three in two.
        let some = evenly(300, 50);
        assert_eq!((some.len(), some[0], some[1], some[2], some[49]), (50, 0, 4, 12, 292));
    }
}
