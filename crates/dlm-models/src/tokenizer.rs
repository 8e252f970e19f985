//! What the networks need to know of a tokenizer.

use std::path::Path;

use dlm_core::{TokenId, Vocabulary};
use tokenizers::Tokenizer;

use crate::Error;

const BOS: &[&str] = &["<s>", "[CLS]", "<cls>", "<|startoftext|>", "<|beginoftext|>"];
const PAD: &[&str] = &["<pad>", "[PAD]", "<|endoftext|>"];
const EOS: &[&str] = &["</s>", "[SEP]", "<eos>", "<|endoftext|>"];
const MASK: &[&str] = &["<mask>", "[MASK]", "<|mdm_mask|>", "<|mask|>"];

/// Reads a `tokenizer.json` and checks that a network of `vocab_size` words has a row for each id.
///
/// What the file says of padding and truncation is dropped: sentence-embedding models fill every text up
/// to 128 tokens, which a network that is not told would read as text.
pub(crate) fn read(path: &Path, vocab_size: usize) -> Result<Tokenizer, Error> {
    let mut tokenizer = Tokenizer::from_file(path).map_err(|reason| Error::damaged(path, reason))?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|reason| Error::damaged(path, reason))?;
    match tokenizer.get_vocab(true).into_values().max() {
        Some(highest) if highest as usize >= vocab_size => {
            Err(Error::TokenizerTooLarge { highest, vocab_size })
        }
        _ => Ok(tokenizer),
    }
}

/// The special tokens of a tokenizer for a network of `size` words, by the spellings of RoBERTa and
/// BERT, of ESM, and of LLaDA and Dream, where padding is the last token too.
///
/// # Errors
/// [`Error::NoSpecialToken`] for the first that is not there; [`Error::Core`] for one that the network has
/// no row for.
pub fn vocabulary(tokenizer: &Tokenizer, size: usize) -> Result<Vocabulary, Error> {
    let find = |role, sought: &'static [&'static str]| -> Result<TokenId, Error> {
        (sought.iter().find_map(|token| tokenizer.token_to_id(token)))
            .ok_or(Error::NoSpecialToken { role, sought })
    };
    let (bos, pad) = (find("first", BOS)?, find("padding", PAD)?);
    let (eos, mask) = (find("last", EOS)?, find("mask", MASK)?);
    Ok(Vocabulary::new(size, bos, pad, eos, mask)?)
}
