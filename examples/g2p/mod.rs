//! Spelling → phonemes on the CMU Pronouncing Dictionary: what the examples share.

use std::error::Error;
use std::fs;
use std::path::Path;

use dlm::core::{Sequence, TokenId, Vocabulary};
use dlm::models::{Encoder, EncoderConfig};
use dlm::sampling::{Route, length, reverse, uniform};
use dlm::train::metrics::error_rate;
use serde_json::json;

/// Words of the vocabulary, in the order of their ids: special tokens, letters, ARPAbet phonemes.
const SPECIALS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const LETTERS: &str = "'abcdefghijklmnopqrstuvwxyz";
const PHONEMES: &str = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH \
                        UH UW V W Y Z ZH";

/// Where the pairs live.
pub const DATA: &str = "assets/cmudict";
/// Where the masked LM that `pretrain_mlm` makes lives.
pub const PRETRAINED: &str = "assets/g2p-mlm";

/// A word and how it is spoken.
pub struct Pair {
    pub spelling: String,
    pub letters: Vec<TokenId>,
    pub phonemes: Vec<TokenId>,
}

/// All words of the vocabulary, by id.
pub fn words() -> Vec<String> {
    let letters = LETTERS.chars().map(String::from);
    let phonemes = PHONEMES.split_whitespace().map(String::from);
    SPECIALS.into_iter().map(String::from).chain(letters).chain(phonemes).collect()
}

pub fn vocabulary() -> Result<Vocabulary, dlm::core::Error> {
    Vocabulary::new(words().len(), 2, 0, 3, 4)
}

/// The network of the examples, without its weights.
pub fn network(vocab_size: usize) -> EncoderConfig {
    EncoderConfig::new(vocab_size, 128, 3, 4).with_max_position_embeddings(64).with_dropout(0.0)
}

/// A `tokenizer.json` of the vocabulary: words are separated by spaces.
pub fn tokenizer_json() -> String {
    let words = words();
    let added: Vec<_> = (0..SPECIALS.len())
        .map(|id| {
            json!({"id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let vocab: serde_json::Map<_, _> = words.iter().enumerate().map(|(id, word)| (word.clone(), json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    })
    .to_string()
}

/// The ids of a spelling's letters.
pub fn letters(spelling: &str) -> Result<Vec<TokenId>, Box<dyn Error>> {
    let id = |letter: char| LETTERS.chars().position(|known| known == letter).map(|i| (5 + i) as TokenId);
    let ids: Option<Vec<_>> = spelling.to_lowercase().chars().map(id).collect();
    ids.ok_or_else(|| format!("{spelling:?}: letters are a to z and the apostrophe").into())
}

/// The pairs of `train`, `valid` or `test`.
pub fn pairs(split: &str) -> Result<Vec<Pair>, Box<dyn Error>> {
    let path = Path::new(DATA).join(format!("{split}.tsv"));
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let words = words();
    let pair = |line: &str| -> Result<Pair, Box<dyn Error>> {
        let (spelling, phonemes) = line.split_once('\t').ok_or("no tab")?;
        let id = |name: &str| words.iter().position(|word| word == name).map(|id| id as TokenId);
        let phonemes: Option<Vec<_>> = phonemes.split(' ').map(id).collect();
        let phonemes = phonemes.ok_or_else(|| format!("unknown phoneme in {line:?}"))?;
        Ok(Pair { spelling: spelling.to_owned(), letters: letters(spelling)?, phonemes })
    };
    text.lines().map(pair).collect()
}

/// `[CLS] letters phonemes [SEP]` with the phonemes and `[SEP]` to be denoised.
pub fn task(pairs: &[Pair], vocabulary: &Vocabulary) -> Vec<Sequence> {
    pairs.iter().map(|pair| Sequence::prompt_response(&pair.letters, &pair.phonemes, vocabulary)).collect()
}

/// How a network is asked: how many steps, and which lengths it may choose from for each word.
pub struct Decoding<'a> {
    pub steps: usize,
    pub lengths: &'a dyn Fn(&[Pair]) -> Result<Vec<Vec<usize>>, Box<dyn Error>>,
}

/// The reference's lengths: what the paper calls oracle length.
pub fn oracle(pairs: &[Pair]) -> Result<Vec<Vec<usize>>, Box<dyn Error>> {
    Ok(pairs.iter().map(|pair| vec![pair.phonemes.len()]).collect())
}

/// Phoneme error rate of the paper's decoder: edits over reference phonemes.
pub fn phoneme_error_rate(model: &Encoder, pairs: &[Pair], decoding: &Decoding<'_>) -> Result<f64, Box<dyn Error>> {
    let spoken = pronounce(model, pairs, decoding)?;
    let pairs = spoken.iter().zip(pairs).map(|(spoken, pair)| (spoken.as_slice(), pair.phonemes.as_slice()));
    Ok(error_rate(pairs).rate())
}

/// The phonemes of each word, the surest among its lengths.
pub fn pronounce(model: &Encoder, pairs: &[Pair], decoding: &Decoding<'_>) -> Result<Vec<Vec<TokenId>>, Box<dyn Error>> {
    let vocabulary = vocabulary()?;
    let mut spoken = Vec::with_capacity(pairs.len());
    for pairs in pairs.chunks(250) {
        let prompts: Vec<&[TokenId]> = pairs.iter().map(|pair| pair.letters.as_slice()).collect();
        let (canvas, candidates) = length::expand(&prompts, &(decoding.lengths)(pairs)?, &vocabulary)?;
        let canvas = reverse(model, &Route::paper(), canvas, uniform(decoding.steps), 0).finish()?;
        spoken.extend(candidates.best(&canvas)?.into_iter().map(|row| canvas.response(row)));
    }
    Ok(spoken)
}
