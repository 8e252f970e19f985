//! Spelling → phonemes on the CMU Pronouncing Dictionary: what the examples share.

use std::error::Error;
use std::fs;
use std::path::Path;

use dlm::core::{Sequence, TokenId, Vocabulary};
use dlm::models::EncoderConfig;

/// Words of the vocabulary, in the order of their ids: special tokens, letters, ARPAbet phonemes.
const SPECIALS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const LETTERS: &str = "'abcdefghijklmnopqrstuvwxyz";
const PHONEMES: &str = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH \
                        UH UW V W Y Z ZH";

/// Where the pairs live.
pub(crate) const DATA: &str = "assets/cmudict";

/// A word, letter by letter, and how it is spoken.
pub(crate) struct Pair {
    pub(crate) letters: Vec<TokenId>,
    pub(crate) phonemes: Vec<TokenId>,
}

/// All words of the vocabulary, by id.
pub(crate) fn words() -> Vec<String> {
    let letters = LETTERS.chars().map(String::from);
    let phonemes = PHONEMES.split_whitespace().map(String::from);
    SPECIALS.into_iter().map(String::from).chain(letters).chain(phonemes).collect()
}

pub(crate) fn vocabulary() -> Result<Vocabulary, dlm::core::Error> {
    Vocabulary::new(words().len(), 2, 0, 3, 4)
}

/// The network of the examples, without its weights.
pub(crate) fn network(vocab_size: usize) -> EncoderConfig {
    EncoderConfig::new(vocab_size, 128, 3, 4).with_max_position_embeddings(64).with_dropout(0.0)
}

/// The ids of a spelling's letters.
pub(crate) fn letters(spelling: &str) -> Result<Vec<TokenId>, Box<dyn Error>> {
    let id = |letter: char| LETTERS.chars().position(|known| known == letter).map(|i| (5 + i) as TokenId);
    let ids: Option<Vec<_>> = spelling.to_lowercase().chars().map(id).collect();
    ids.ok_or_else(|| format!("{spelling:?}: letters are a to z and the apostrophe").into())
}

/// The pairs of `train`, `valid` or `test`.
pub(crate) fn pairs(split: &str) -> Result<Vec<Pair>, Box<dyn Error>> {
    let path = Path::new(DATA).join(format!("{split}.tsv"));
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let words = words();
    let pair = |line: &str| -> Result<Pair, Box<dyn Error>> {
        let (spelling, phonemes) = line.split_once('\t').ok_or("no tab")?;
        let id = |name: &str| words.iter().position(|word| word == name).map(|id| id as TokenId);
        let phonemes: Option<Vec<_>> = phonemes.split(' ').map(id).collect();
        let phonemes = phonemes.ok_or_else(|| format!("unknown phoneme in {line:?}"))?;
        Ok(Pair { letters: letters(spelling)?, phonemes })
    };
    text.lines().map(pair).collect()
}

/// `[CLS] letters phonemes [SEP]` with the phonemes and `[SEP]` to be denoised.
pub(crate) fn task(pairs: &[Pair], vocabulary: &Vocabulary) -> Vec<Sequence> {
    pairs.iter().map(|pair| Sequence::prompt_response(&pair.letters, &pair.phonemes, vocabulary)).collect()
}
