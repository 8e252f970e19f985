//! What the networks need to know of a tokenizer.

use std::collections::HashMap;
use std::path::Path;

use dlm_core::{TokenId, Vocabulary};
use tokenizers::Tokenizer;

use crate::Error;

// LLaDA's tokenizer has a [CLS] too, which nothing uses. Qwen's and GPT-2's have no first token: what ends a text
// begins the next.
const BOS: &[&str] =
    &["<s>", "<|startoftext|>", "[CLS]", "<cls>", "<|beginoftext|>", "<|begin_of_text|>", "<|endoftext|>"];
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
/// A token that the tokenizer has added to its words counts before a word that is spelt alike.
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
/// # Source
/// The files of the families named; where those were not at hand, code that reads them: `<|startoftext|>` and
/// `<|endoftext|>` of LLaDA, LLaDA-MoE and LLaDA2 are the first and the last token of `BailingTokenizer`, their masks those
/// of `dllm/utils/models.py` (`ZHZisZZ/dllm`), with the ids 126336 and, of experts, 156895 (`inclusionAI/dInfer`); SDAR's
/// mask is that of `generate.py` (`JetAstra/SDAR`), 151669; Llama 3.1's padding that of Meta's "Prompt Formats".
///
/// # Errors
/// [`Error::NoSpecialToken`] for the first that is not there; [`Error::Core`] for one that the network has
/// no row for.
pub fn vocabulary(tokenizer: &Tokenizer, size: usize) -> Result<Vocabulary, Error> {
    let added: HashMap<String, TokenId> =
        tokenizer.get_added_tokens_decoder().into_iter().map(|(id, token)| (token.content, id)).collect();
    let find = |role, sought: &'static [&'static str]| -> Result<TokenId, Error> {
        let special = sought.iter().find_map(|&token| added.get(token).copied());
        (special.or_else(|| sought.iter().find_map(|token| tokenizer.token_to_id(token))))
            .ok_or(Error::NoSpecialToken { role, sought })
    };
    let (bos, pad) = (find("first", BOS)?, find("padding", PAD)?);
    let (eos, mask) = (find("last", EOS)?, find("mask", MASK)?);
    Ok(Vocabulary::new(size, bos, pad, eos, mask)?)
}
