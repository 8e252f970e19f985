//! Records to validate on, and those that are held out, kept beside the rows of a cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::choices::Stage;
use super::material::{Valid, question};
use super::source::{Group, Share, Shares, evenly, files};
use super::{Error, Recipe};
use crate::core::TokenId;
use crate::text::Text;
use crate::train::data::{self, Corpus, Loaded, Place, Record, Rows, Skipped, Taken, in_memory};
use crate::train::{self, Foreign, fingerprint};

impl Recipe {
    /// The records to validate on, in the network's ids.
    pub(super) fn valid(
        &self,
        groups: &[Group],
        text: &Text,
        how: &data::Recipe,
        taken: &mut Taken,
    ) -> Result<Valid, Error> {
        let encode = |words: &str| -> Result<Vec<TokenId>, Foreign> { text.encode_full(words) };
        let map = text.map().cloned().map(Arc::new);
        let mut valid = Valid::default();
        for (record, place) in self.chosen(groups, taken)? {
            // One by one, to know which are left out.
            let (rows, of) = in_memory(&One(&record, &place), how, encode, |_| {})?;
            taken.dropped += of.dropped;
            if of.rows == 1 {
                let seen = self.seen(Arc::new(rows), map.clone(), text);
                let example = seen.example(0)?;
                valid.rows.push(match self.stage {
                    Stage::Length => question(&example, text.vocabulary()),
                    _ => seen.row(0)?,
                });
                valid.examples.push(example);
                valid.records.push(record);
            }
        }
        Ok(valid)
    }

    /// The records to validate on, as text, and where they stand.
    fn chosen(&self, groups: &[Group], taken: &mut Taken) -> Result<Vec<(Record, Place)>, Error> {
        let most = self.validate.examples;
        if let Some(file) = &self.data.valid {
            let Loaded { records, skipped } = evenly(&files([file], self.data.on_broken)?, most)?;
            let complaints = skipped.first.iter().map(ToString::to_string).collect();
            taken.join(Taken { skipped: skipped.count, complaints, ..Taken::default() });
            return Ok(records);
        }
        if self.data.held_out == 0.0 {
            return Ok(Vec::new());
        }
        // Broken ones were counted with the others.
        let share = |group| Share { group, part: self.data.held_out, held_out: true };
        let shares = Shares(groups.iter().map(share).collect());
        match &self.data.cache {
            Some(folder) => kept(folder, &shares, shares.paths(), most),
            None => Ok(evenly(&shares, most)?.records),
        }
    }
}

/// One record, which knows where it stands.
struct One<'a>(&'a Record, &'a Place);

impl Corpus for One<'_> {
    fn content(&self) -> Result<u64, train::Error> {
        std::slice::from_ref(self.0).content()
    }

    fn each(
        &self,
        take: &mut dyn FnMut(Record, Place) -> Result<(), train::Error>,
    ) -> Result<Skipped, train::Error> {
        take(self.0.clone(), self.1.clone())?;
        Ok(Skipped::default())
    }
}

/// Some records of a corpus in a file, and a hash of them, which finds damage.
#[derive(Serialize, Deserialize)]
struct File {
    content: u64,
    records: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    path: PathBuf,
    line: usize,
    prompt: String,
    response: String,
}

/// What [`evenly`] chooses of a corpus, from a file in `folder` that holds it, or else chosen and kept there, so that
/// the corpus is not parsed again. `paths`, the files that it is read from, and its content name the file.
fn kept(
    folder: &Path,
    corpus: &impl Corpus,
    paths: impl Iterator<Item = PathBuf>,
    most: usize,
) -> Result<Vec<(Record, Place)>, Error> {
    let bytes = paths.flat_map(|path| path.into_os_string().into_encoded_bytes().into_iter().chain([0]));
    let key = fingerprint([corpus.content()?, most as u64].into_iter().chain(bytes.map(u64::from)));
    let path = folder.join(format!("{key:016x}.held-out"));
    if let Some(chosen) = open(&path) {
        return Ok(chosen);
    }
    let chosen = evenly(corpus, most)?.records;
    let record = |(record, place): &(Record, Place)| {
        let (path, line) = match place {
            Place::Line { path, line } => (path.to_path_buf(), *line),
            Place::Index(index) => (PathBuf::new(), *index),
        };
        Kept { path, line, prompt: record.prompt.clone(), response: record.response.clone() }
    };
    let file = File { content: content(&chosen)?, records: chosen.iter().map(record).collect() };
    // Beside its place first: a run that is cut off leaves no half of it there.
    let part = folder.join(format!(".part-{}-{key:016x}.held-out", std::process::id()));
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let json = serde_json::to_vec(&file).map_err(std::io::Error::other);
    json.and_then(|json| fs::write(&part, json)).map_err(Error::io("write", &part))?;
    fs::rename(&part, &path).map_err(Error::io("put in place", &path))?;
    Ok(chosen)
}

/// The records of a file that [`kept`] wrote, if it is there and whole.
fn open(path: &Path) -> Option<Vec<(Record, Place)>> {
    let file: File = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let record = |Kept { path, line, prompt, response }| {
        (Record { prompt, response }, Place::Line { path: Arc::from(path), line })
    };
    let records: Vec<_> = file.records.into_iter().map(record).collect();
    (content(&records).ok()? == file.content).then_some(records)
}

fn content(records: &[(Record, Place)]) -> Result<u64, train::Error> {
    records.iter().map(|(record, _)| record.clone()).collect::<Vec<_>>().content()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::train::data::Example;

    #[test]
    fn a_mixture_is_never_validated_on_what_it_learns() {
        let folder = std::env::temp_dir().join(format!("dlm-recipe-apart-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let words = fs::read_to_string("assets/cmudict/valid.tsv").unwrap();
        let words: Vec<&str> = words.lines().collect();
        let mut text = "stage = \"diffusion\"\nout = \"o\"\n[model]\nfolder = \"assets/g2p-mlm\"\n[data]\nheld_out = 0.25\n"
            .to_owned();
        // Neither length is a multiple of 4.
        for (name, words) in [("one", &words[..7]), ("other", &words[7..20])] {
            let path = folder.join(name);
            fs::write(&path, words.join("\n")).unwrap();
            text.extend([format!("[[data.files]]\npath = '{}'\nweight = 1.0\n", path.display())]);
        }
        let material = Recipe::parse(&text).unwrap().material().unwrap();
        let ids = |example: Example| (example.prompt, example.response);
        let rows = |part: &super::super::material::Part| {
            (0..part.rows.len()).map(|row| ids(part.rows.example(row).unwrap())).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = material.parts.iter().flat_map(rows).collect();
        let held: Vec<_> = material.valid.examples.into_iter().map(ids).collect();
        assert_eq!((all.len(), held.len()), (6 + 10, 1 + 3));
        assert!(held.iter().all(|example| !all.contains(example)));
        all.extend(held);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20);
        fs::remove_dir_all(folder).unwrap();
    }

    /// Nine records of a file, which count how often they are read.
    struct Counted(Cell<usize>);

    impl Corpus for Counted {
        fn content(&self) -> Result<u64, train::Error> {
            Ok(7)
        }

        fn each(
            &self,
            take: &mut dyn FnMut(Record, Place) -> Result<(), train::Error>,
        ) -> Result<Skipped, train::Error> {
            self.0.set(self.0.get() + 1);
            let path: Arc<Path> = Arc::from(Path::new("data.tsv"));
            for line in 1..10 {
                let record = Record { prompt: line.to_string(), response: "x".into() };
                take(record, Place::Line { path: path.clone(), line })?;
            }
            Ok(Skipped::default())
        }
    }

    #[test]
    fn what_is_held_out_is_read_once_and_again_when_it_is_damaged() {
        let folder = std::env::temp_dir().join(format!("dlm-recipe-held-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let corpus = Counted(Cell::new(0));
        let get = |most| kept(&folder, &corpus, ["data.tsv".into()].into_iter(), most).unwrap();
        let first = get(4);
        assert_eq!((first.len(), first[1].1.to_string().as_str()), (4, "data.tsv:3"));
        assert_eq!((get(4), corpus.0.get()), (first.clone(), 1));
        let path = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        let whole = fs::read_to_string(&path).unwrap();
        for damaged in [&whole[..40], &whole.replace("\"x\"", "\"y\"")] {
            fs::write(&path, damaged).unwrap();
            let before = corpus.0.get();
            assert_eq!((get(4), corpus.0.get()), (first.clone(), before + 1));
            assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        }
        assert_eq!((get(0).len(), fs::read_dir(&folder).unwrap().count()), (9, 2));
        fs::remove_dir_all(folder).unwrap();
    }
}
