//! The tokenizer of a trimmed vocabulary, by way of its file.

use std::collections::{BTreeSet, HashMap};

use dlm_core::{TokenId, Vocabulary};
use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::IdMap;
use crate::Error;

impl IdMap {
    /// Keeps the words of `words`, all special tokens, and what `tokenizer` makes these words from.
    ///
    /// Byte pairs are merged step by step, so the parts of a word are kept with it; a tokenizer of bytes keeps every
    /// byte, and so spells what it no longer has. Of such a tokenizer, which has no unknown word, padding stands for
    /// [`IdMap::trim`]'s.
    ///
    /// # Example
    /// ```
    /// use dlm_models::{IdMap, Pieces, train_tokenizer, vocabulary};
    /// let tokenizer = train_tokenizer(["low lower lowest slow"], Pieces::BytePairs, 270)?;
    /// let words = tokenizer.encode("lowest", false)?.get_ids().to_vec();
    /// let map = IdMap::of_tokenizer(words.clone(), &vocabulary(&tokenizer, 270)?, &tokenizer)?;
    /// let trimmed = map.trim_tokenizer(&tokenizer)?;
    /// assert!(trimmed.get_vocab_size(true) < 270);
    /// assert_eq!(trimmed.encode("lowest", false)?.get_ids(), map.trim(&words));
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Core`] for an id outside the full vocabulary; [`Error::Tokenizer`].
    pub fn of_tokenizer(
        words: impl IntoIterator<Item = TokenId>,
        full: &Vocabulary,
        tokenizer: &Tokenizer,
    ) -> Result<Self, Error> {
        let file = read(tokenizer)?;
        let unknown = file["model"]["unk_token"].as_str().and_then(|token| tokenizer.token_to_id(token));
        let unknown = unknown.or(file["model"]["unk_id"].as_u64().map(|id| id as TokenId));
        let mut kept: BTreeSet<TokenId> = words.into_iter().collect();
        let added = tokenizer.get_added_tokens_decoder();
        kept.extend(added.into_iter().filter_map(|(id, token)| token.special.then_some(id)));
        kept.extend(alphabet(&file, tokenizer));
        let mut pieces = parts(&file["model"]);
        let mut open: Vec<TokenId> = kept.iter().copied().collect();
        while let Some(word) = open.pop() {
            let parts = tokenizer.id_to_token(word).and_then(|word| pieces.remove(&word)).unwrap_or_default();
            let parts = parts.iter().filter_map(|part| tokenizer.token_to_id(part));
            open.extend(parts.filter(|&part| kept.insert(part)));
        }
        Self::new(kept, full, unknown.unwrap_or(full.pad))
    }

    /// The tokenizer that has the words of the map alone, under their new ids.
    ///
    /// It cuts a text as before if all its tokens were kept. Others it cuts into smaller ones, or calls unknown. Byte
    /// pairs need a map of [`IdMap::of_tokenizer`].
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the map lacks a word without which the tokenizer does not work.
    pub fn trim_tokenizer(&self, tokenizer: &Tokenizer) -> Result<Tokenizer, Error> {
        let mut file = read(tokenizer)?;
        let new = |id: TokenId| self.trimmed.get(&id).copied();
        trim_model(&mut file["model"], &new)?;
        if let Value::Array(added) = &mut file["added_tokens"] {
            let id = |token: &Value| token["id"].as_u64().and_then(|id| new(id as TokenId));
            added.retain(|token| id(token).is_some());
            for token in added.iter_mut() {
                token["id"] = json!(id(token));
            }
            // Those that are no words of the model are numbered in the order in which they stand.
            added.sort_by_key(|token| token["id"].as_u64());
        }
        for part in ["post_processor", "padding"] {
            renumber(&mut file[part], &new)?;
        }
        let trimmed = Tokenizer::from_bytes(file.to_string()).map_err(refused)?;
        for (&old, &id) in &self.trimmed {
            let Some(word) = tokenizer.id_to_token(old) else { continue };
            if trimmed.token_to_id(&word) != Some(id) {
                return Err(refused(format!("{word} cannot have the id {id}")));
            }
        }
        Ok(trimmed)
    }
}

fn read(tokenizer: &Tokenizer) -> Result<Value, Error> {
    let text = tokenizer.to_string(false).map_err(refused)?;
    serde_json::from_str(&text).map_err(refused)
}

fn refused(reason: impl std::fmt::Display) -> Error {
    Error::Tokenizer { reason: reason.to_string() }
}

/// What a text can always be spelt with.
fn alphabet(file: &Value, tokenizer: &Tokenizer) -> Vec<TokenId> {
    let is_of_bytes = ["pre_tokenizer", "decoder"].iter().any(|part| has_bytes(&file[part]));
    let bytes = ByteLevel::alphabet().into_iter().filter(|_| is_of_bytes).map(String::from);
    let falls_back = file["model"]["byte_fallback"] == json!(true);
    let named = (0..=255_u8).filter(|_| falls_back).map(|byte| format!("<0x{byte:02X}>"));
    bytes.chain(named).filter_map(|byte| tokenizer.token_to_id(&byte)).collect()
}

/// Whether a part of a tokenizer, or one of its parts, is byte-level.
fn has_bytes(part: &Value) -> bool {
    part["type"] == "ByteLevel"
        || ["pretokenizers", "decoders"]
            .iter()
            .any(|parts| part[parts].as_array().is_some_and(|parts| parts.iter().any(has_bytes)))
}

/// What each word of byte pairs is merged from.
fn parts(model: &Value) -> HashMap<String, Vec<String>> {
    let mut parts: HashMap<String, Vec<String>> = HashMap::new();
    for [left, right] in model["merges"].as_array().into_iter().flatten().filter_map(pair) {
        parts.entry(merged(model, left, right)).or_default().extend([left.to_owned(), right.to_owned()]);
    }
    parts
}

fn pair(merge: &Value) -> Option<[&str; 2]> {
    Some([merge[0].as_str()?, merge[1].as_str()?])
}

fn merged(model: &Value, left: &str, right: &str) -> String {
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default();
    format!("{left}{}", right.strip_prefix(prefix).unwrap_or(right))
}

fn trim_model(model: &mut Value, new: &impl Fn(TokenId) -> Option<TokenId>) -> Result<(), Error> {
    if let Some(unknown) = model["unk_id"].as_u64() {
        model["unk_id"] =
            json!(new(unknown as TokenId).ok_or_else(|| refused("its unknown word is not kept"))?);
    }
    let words: Map<String, Value> = match &mut model["vocab"] {
        // Pieces with their scores, numbered in the order in which they stand.
        Value::Array(pieces) => {
            let mut kept: Vec<_> =
                pieces.iter().zip(0..).filter_map(|(piece, id)| Some((new(id)?, piece.clone()))).collect();
            kept.sort_by_key(|(id, _)| *id);
            *pieces = kept.into_iter().map(|(_, piece)| piece).collect();
            return Ok(());
        }
        Value::Object(words) => std::mem::take(words),
        _ => return Err(refused("its words are not listed")),
    };
    let word = |(word, id): (String, Value)| Some((word, json!(new(id.as_u64()? as TokenId)?)));
    let words: Map<String, Value> = words.into_iter().filter_map(word).collect();
    if model["unk_token"].as_str().is_some_and(|unknown| !words.contains_key(unknown)) {
        return Err(refused("its unknown word is not kept"));
    }
    if let Some(Value::Array(mut merges)) = model.get_mut("merges").map(Value::take) {
        merges.retain(|merge| {
            let whole = pair(merge)
                .map(|[left, right]| [left, right, &merged(model, left, right)].map(str::to_owned));
            whole.is_some_and(|words_of| words_of.iter().all(|word| words.contains_key(word)))
        });
        model["merges"] = Value::Array(merges);
    }
    model["vocab"] = Value::Object(words);
    Ok(())
}

/// Ids of the tokens that are put around a text, and of padding.
fn renumber(part: &mut Value, new: &impl Fn(TokenId) -> Option<TokenId>) -> Result<(), Error> {
    let follow = |id: &mut Value| -> Result<(), Error> {
        let Some(old) = id.as_u64() else { return Ok(()) };
        let gone = || refused(format!("it puts the word {old} around texts, which is not kept"));
        *id = json!(new(old as TokenId).ok_or_else(gone)?);
        Ok(())
    };
    match part {
        Value::Array(parts) => parts.iter_mut().try_for_each(|part| renumber(part, new)),
        Value::Object(fields) => {
            fields.iter_mut().try_for_each(|(field, value)| match (field.as_str(), value) {
                ("ids", Value::Array(ids)) => ids.iter_mut().try_for_each(follow),
                // A word and its id.
                ("cls" | "sep", Value::Array(word)) => word.iter_mut().try_for_each(follow),
                ("pad_id", id) => follow(id),
                (_, value) => renumber(value, new),
            })
        }
        _ => Ok(()),
    }
}
