//! Making a tokenizer from text, for a model that starts from random weights.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::wordlevel::{WordLevel, WordLevelTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer};

use crate::Error;
use crate::config::require;

/// BOS, padding, EOS, unknown and mask, in `RoBERTa`'s spelling; their ids are 0 to 4.
const SPECIAL: [&str; 5] = ["<s>", "<pad>", "</s>", UNKNOWN, "<mask>"];
const UNKNOWN: &str = "<unk>";

/// What the pieces of a new tokenizer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pieces {
    /// Byte pairs over bytes, as in GPT-2 and `RoBERTa`: every text comes back as it was.
    BytePairs,
    /// Words between white space. White space comes back as single spaces, a word that is not among the
    /// pieces as `<unk>`.
    Words,
    /// Characters, white space too. One that is not among the pieces comes back as `<unk>`.
    Characters,
    /// Parts of words with their probabilities, as in `SentencePiece` and XLM-R; a space is a part of the word
    /// after it. Every text of known characters comes back as it was, but for `▁`, which comes back as a space;
    /// an unknown character comes back as `<unk>`.
    ///
    /// **Two trainings on the same texts differ**, in the last digits of probabilities and in a few rare pieces:
    /// the trainer sums in the order of its threads and of a randomly seeded hash map. Keep the file.
    Unigram,
}

/// A tokenizer with at most `vocab_size` pieces, learnt from `texts`, the most frequent first, with the
/// special tokens that [`vocabulary`](crate::vocabulary) finds. The same texts in any order give the same
/// tokenizer, [`Pieces::Unigram`] aside.
///
/// `Tokenizer::save` writes its `tokenizer.json`. Texts are tokenised as they are: nothing is lower-cased or
/// normalised, and no special tokens are added around them. A text that spells a special token has its id.
///
/// # Errors
/// [`Error::Config`] for a vocabulary that has no room for the special tokens and, for
/// [`Pieces::BytePairs`], the 256 bytes; [`Error::Tokenizer`] with what the trainer said, as of
/// [`Pieces::Unigram`] with more characters than pieces, or without text.
///
/// # Example
/// ```
/// use dlm_models::{Pieces, train_tokenizer, vocabulary};
/// let texts = ["low lower lowest", "new newer newest"];
/// let tokenizer = train_tokenizer(texts, Pieces::BytePairs, 280)?;
/// let ids = tokenizer.encode("Newest, łowest!", false)?.get_ids().to_vec();
/// assert_eq!(tokenizer.decode(&ids, true)?, "Newest, łowest!");
/// let vocabulary = vocabulary(&tokenizer, tokenizer.get_vocab_size(true))?;
/// assert_eq!((vocabulary.bos, vocabulary.pad, vocabulary.eos, vocabulary.mask), (0, 1, 2, 4));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
///
/// # Source
/// Sennrich et al. 2016, arXiv:1508.07909, over bytes as in Radford et al. 2019; Kudo 2018, arXiv:1804.10959; Hugging
/// Face's trainers.
pub fn train_tokenizer<S: AsRef<str> + Send>(
    texts: impl IntoIterator<Item = S, IntoIter: Send>,
    pieces: Pieces,
    vocab_size: usize,
) -> Result<Tokenizer, Error> {
    let (least, expected) = match pieces {
        Pieces::BytePairs => (SPECIAL.len() + 256, "at least 261, for special tokens and bytes"),
        Pieces::Words | Pieces::Characters | Pieces::Unigram => {
            (SPECIAL.len() + 1, "at least 6, for special tokens and a piece")
        }
    };
    require(vocab_size >= least, "vocab_size", expected, vocab_size)?;
    let failed = |error: tokenizers::Error| Error::Tokenizer { reason: error.to_string() };
    let mut tokenizer = untrained(pieces).map_err(failed)?;
    let mut trainer = trainer(pieces, vocab_size).map_err(failed)?;
    let texts = texts.into_iter();
    // The unigram trainer panics on what it cannot count, such as no text at all.
    let trained = catch_unwind(AssertUnwindSafe(|| tokenizer.train(&mut trainer, texts).map(drop)));
    trained.unwrap_or_else(|_| Err("the trainer panicked; is there any text?".into())).map_err(failed)?;
    match tokenizer.get_vocab_size(true) {
        made if made > vocab_size => {
            let reason =
                format!("the texts' characters make {made} pieces, more than the {vocab_size} asked for");
            Err(Error::Tokenizer { reason })
        }
        _ => Ok(tokenizer),
    }
}

fn untrained(pieces: Pieces) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = match pieces {
        Pieces::BytePairs => Tokenizer::new(BPE::default()),
        // What it does not know, it calls `<unk>`.
        Pieces::Words | Pieces::Characters => Tokenizer::new(WordLevel::default()),
        Pieces::Unigram => Tokenizer::new(Unigram::default()),
    };
    match pieces {
        Pieces::BytePairs => {
            tokenizer.with_pre_tokenizer(Some(bytes())).with_decoder(Some(bytes()));
        }
        Pieces::Words => {
            tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
        }
        Pieces::Characters => {
            let each = SplitPattern::Regex("(?s).".to_owned());
            let split = Split::new(each, SplitDelimiterBehavior::Isolated, false)?;
            tokenizer.with_pre_tokenizer(Some(split)).with_decoder(Some(Fuse::new()));
        }
        Pieces::Unigram => {
            tokenizer.with_pre_tokenizer(Some(spaces())).with_decoder(Some(spaces()));
        }
    }
    Ok(tokenizer)
}

/// No space is put before a text; words are told apart as in GPT-2.
fn bytes() -> ByteLevel {
    ByteLevel::new(false, true, true)
}

/// A space is the mark `▁` of the word after it; none is put before a text.
fn spaces() -> Metaspace {
    Metaspace::new('▁', PrependScheme::Never, true)
}

fn trainer(pieces: Pieces, vocab_size: usize) -> tokenizers::Result<TrainerWrapper> {
    let special = SPECIAL.map(|token| AddedToken::from(token, true)).to_vec();
    Ok(match pieces {
        Pieces::BytePairs => BpeTrainer::builder()
            .vocab_size(vocab_size)
            .special_tokens(special)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .build()
            .into(),
        Pieces::Words | Pieces::Characters => WordLevelTrainer::builder()
            .vocab_size(vocab_size)
            .special_tokens(special)
            .show_progress(false)
            .build()?
            .into(),
        Pieces::Unigram => UnigramTrainer::builder()
            .vocab_size(u32::try_from(vocab_size).unwrap_or(u32::MAX))
            .special_tokens(special)
            .unk_token(Some(UNKNOWN.to_owned()))
            .show_progress(false)
            .build()?
            .into(),
    })
}
