//! What the networks need to know of a tokenizer.

use std::path::Path;

use dlm_core::{TokenId, Vocabulary};
use tokenizers::Tokenizer;

use crate::Error;

// Qwen's and GPT-2's tokenizers have no first token: what ends a text begins the next.
const BOS: &[&str] =
    &["<s>", "[CLS]", "<cls>", "<|startoftext|>", "<|beginoftext|>", "<|begin_of_text|>", "<|endoftext|>"];
const PAD: &[&str] = &["<pad>", "[PAD]", "<|endoftext|>", "<|finetune_right_pad_id|>", "<|end_of_text|>"];
const EOS: &[&str] = &["</s>", "[SEP]", "<eos>", "<|endoftext|>", "<|end_of_text|>"];
const MASK: &[&str] = &["<mask>", "[MASK]", "<|mdm_mask|>", "<|mask|>", "<|MASK|>"];

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

/// The special tokens of a tokenizer for a network of `size` words, by the spellings of RoBERTa and BERT, of ESM, of
/// LLaDA, Dream and SDAR, of Llama 3, Qwen and GPT-2.
///
/// Every row starts with a token that is never noise, and of which a network that looks back only is asked its first
/// word. Qwen's and GPT-2's tokenizers have none, so there `<|endoftext|>` is the first token, the last, and padding.
/// They have no mask either: add one to the tokenizer, and rows to the network
/// ([`with_more_words`](crate::with_more_words)) unless it has some to spare.
///
/// # Example
/// ```no_run
/// use tokenizers::{AddedToken, Tokenizer};
/// let mut tokenizer = Tokenizer::from_file("Qwen2.5-0.5B/tokenizer.json")?;
/// tokenizer.add_special_tokens(&[AddedToken::from("<|mask|>", true)]);
/// // The published network has 151 936 rows for 151 666 words.
/// let vocabulary = dlm_models::vocabulary(&tokenizer, 151_936)?;
/// assert_eq!(vocabulary.bos, vocabulary.eos);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
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
