//! A small instruction set about English words, made of the CMU Pronouncing Dictionary: several tasks, each in
//! several wordings, as JSON lines with `inputs` and `targets` (Flan's format), and a tokenizer of characters.

use std::error::Error;
use std::fs;
use std::path::Path;

use dlm::train::data::{Case, Template, read_tsv};
use serde_json::json;

/// Where the set is written; `examples/recipes/instruct.toml` reads it there.
pub(crate) const DATA: &str = "out/instruct-data";
/// Words of so many letters.
const LETTERS: std::ops::RangeInclusive<usize> = 3..=6;
/// Every so many words a task gets one, each in one wording.
const SPACING: usize = 3;
/// Validation words of each task.
const VALID_WORDS: usize = 20;
/// Test words of each task.
pub(crate) const TEST_WORDS: usize = 50;
const SPECIALS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 '.,?:";

/// What can be asked of a word: its wordings, and the answer.
pub(crate) struct Task {
    pub(crate) name: &'static str,
    /// Over the fields `word` and `sound`.
    wordings: &'static [&'static str],
    /// A wording that training never sees.
    held_out: Option<&'static str>,
    answer: fn(&str, &str) -> String,
}

/// A question with its answer.
pub(crate) struct Question {
    pub(crate) inputs: String,
    pub(crate) targets: String,
}

pub(crate) const TASKS: &[Task] = &[
    Task {
        name: "first_letter",
        wordings: &["{word}: first letter?", "{word} begins with"],
        held_out: Some("{word} starts with"),
        answer: |word, _| word.chars().take(1).collect(),
    },
    Task {
        name: "last_letter",
        wordings: &["{word}: last letter?", "{word} ends in"],
        held_out: None,
        answer: |word, _| word.chars().last().into_iter().collect(),
    },
    Task {
        name: "length",
        wordings: &["{word}: how many letters?", "{word} has how many letters?"],
        held_out: None,
        answer: |word, _| word.chars().count().to_string(),
    },
    Task {
        name: "capitals",
        wordings: &["{word} in capitals?", "{word}: upper case"],
        held_out: None,
        answer: |word, _| word.to_uppercase(),
    },
    Task {
        name: "backwards",
        wordings: &["{word} backwards?", "{word}: in reverse"],
        held_out: None,
        answer: |word, _| word.chars().rev().collect(),
    },
    Task {
        name: "sound",
        wordings: &["{word}: how is it said?", "{word} sounds like"],
        held_out: None,
        answer: |_, sound| sound.to_owned(),
    },
];

/// A word and how it is spoken.
type Word = (String, String);

/// Writes a file for each task, one to validate on, and the tokenizer.
pub(crate) fn write() -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(DATA)?;
    let words = words("train")?;
    for (index, task) in TASKS.iter().enumerate() {
        let own = words.iter().skip(index % SPACING).step_by(SPACING).enumerate();
        let questions = own.map(|(i, word)| task.ask(task.wordings[i % task.wordings.len()], word));
        lines(&format!("{}.jsonl", task.name), questions)?;
    }
    let words = self::words("valid")?;
    let every = (words.len() / VALID_WORDS).max(1);
    let some = || words.iter().step_by(every).take(VALID_WORDS).enumerate();
    let ask =
        |task: &'static Task| some().map(|(i, word)| task.ask(task.wordings[i % task.wordings.len()], word));
    let questions = TASKS.iter().flat_map(ask);
    lines("valid.jsonl", questions)?;
    fs::write(Path::new(DATA).join("tokenizer.json"), tokenizer())?;
    Ok(())
}

/// Test questions of a task in the wordings of training, or in the one held out.
pub(crate) fn test(task: &Task, held_out: bool) -> Result<Vec<Question>, Box<dyn Error>> {
    let words = words("test")?;
    let every = (words.len() / TEST_WORDS).max(1);
    let wordings: Vec<&str> =
        if held_out { task.held_out.into_iter().collect() } else { task.wordings.to_vec() };
    let words = words.iter().step_by(every).take(TEST_WORDS).enumerate();
    match wordings.len() {
        0 => Ok(Vec::new()),
        n => words.map(|(i, word)| task.ask(wordings[i % n], word)).collect(),
    }
}

impl Task {
    fn ask(&self, wording: &str, (word, sound): &Word) -> Result<Question, Box<dyn Error>> {
        let case = Case::from([("word", word.as_str()), ("sound", sound)]);
        let inputs = wording.parse::<Template>()?.fill(0, &case)?;
        Ok(Question { inputs, targets: (self.answer)(word, sound) })
    }
}

fn words(split: &str) -> Result<Vec<Word>, Box<dyn Error>> {
    let records = read_tsv(Path::new("assets/cmudict").join(format!("{split}.tsv")))?;
    let plain = |word: &str| word.chars().all(|letter| letter.is_ascii_lowercase());
    let words = records.into_iter().map(|record| (record.prompt, record.response));
    Ok(words.filter(|(word, _)| plain(word) && LETTERS.contains(&word.len())).collect())
}

fn lines(
    name: &str,
    questions: impl Iterator<Item = Result<Question, Box<dyn Error>>>,
) -> Result<(), Box<dyn Error>> {
    let line = |question: Result<Question, Box<dyn Error>>| {
        question.map(|Question { inputs, targets }| json!({"inputs": inputs, "targets": targets}).to_string())
    };
    let lines = questions.map(line).collect::<Result<Vec<_>, _>>()?;
    Ok(fs::write(Path::new(DATA).join(name), lines.join("\n") + "\n")?)
}

/// A `tokenizer.json` whose words are single characters.
fn tokenizer() -> String {
    let words = SPECIALS.into_iter().map(String::from).chain(CHARACTERS.chars().map(String::from));
    let vocab: serde_json::Map<_, _> = words.enumerate().map(|(id, word)| (word, json!(id))).collect();
    let added: Vec<_> = SPECIALS
        .iter()
        .enumerate()
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let single =
        json!({"type": "Split", "pattern": {"Regex": "(?s)."}, "behavior": "Isolated", "invert": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": single, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    })
    .to_string()
}
