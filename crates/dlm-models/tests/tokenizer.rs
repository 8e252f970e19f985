//! Tokenizers learnt from text.

use std::fs;

use dlm_models::{Error, Pieces, train_tokenizer, vocabulary};
use proptest::prelude::*;
use tokenizers::Tokenizer;

const KINDS: [Pieces; 3] = [Pieces::BytePairs, Pieces::Words, Pieces::Characters];

/// Spellings and sounds, a line each.
fn lines() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/cmudict/valid.tsv");
    fs::read_to_string(path).expect("an asset").lines().map(str::to_owned).collect()
}

fn round_trip(tokenizer: &Tokenizer, text: &str) -> String {
    let ids = tokenizer.encode(text, false).expect("ids").get_ids().to_vec();
    tokenizer.decode(&ids, true).expect("text")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_comes_back_from_byte_pairs(texts in prop::collection::vec("[^<]{0,40}", 1..6), unseen in "[^<]{0,40}") {
        let tokenizer = train_tokenizer(&texts, Pieces::BytePairs, 300).expect("a tokenizer");
        for text in texts.iter().chain([&unseen]) {
            prop_assert_eq!(&round_trip(&tokenizer, text), text);
        }
    }

    #[test]
    fn seen_characters_come_back(texts in prop::collection::vec("[^<]{1,40}", 1..6)) {
        let tokenizer = train_tokenizer(&texts, Pieces::Characters, 10_000).expect("a tokenizer");
        for text in &texts {
            prop_assert_eq!(&round_trip(&tokenizer, text), text);
            prop_assert_eq!(tokenizer.encode(text.as_str(), false).expect("ids").len(), text.chars().count());
        }
    }

    #[test]
    fn seen_words_come_back_with_single_spaces(texts in prop::collection::vec("[a-zäß.,\n\t ]{0,40}", 1..6)) {
        let tokenizer = train_tokenizer(&texts, Pieces::Words, 10_000).expect("a tokenizer");
        for text in &texts {
            let words: Vec<&str> = text.split_whitespace().collect();
            prop_assert_eq!(round_trip(&tokenizer, text), words.join(" "));
        }
    }
}

#[test]
fn the_order_of_the_texts_changes_nothing() {
    let mut lines = lines();
    for pieces in KINDS {
        let first = train_tokenizer(&lines, pieces, 600).expect("a tokenizer");
        lines.reverse();
        let second = train_tokenizer(&lines, pieces, 600).expect("a tokenizer");
        let json = |tokenizer: &Tokenizer| tokenizer.to_string(false).expect("JSON");
        assert_eq!(json(&first), json(&second), "{pieces:?}");
    }
}

#[test]
fn a_real_corpus_comes_back_and_byte_pairs_shorten_it() {
    let lines = lines();
    let ids = |vocab_size| {
        let tokenizer = train_tokenizer(&lines, Pieces::BytePairs, vocab_size).expect("a tokenizer");
        assert_eq!(tokenizer.get_vocab_size(true), vocab_size);
        assert!(lines.iter().all(|line| round_trip(&tokenizer, line) == *line));
        lines.iter().map(|line| tokenizer.encode(line.as_str(), false).expect("ids").len()).sum::<usize>()
    };
    let (bytes, pairs) = (ids(261), ids(600));
    assert_eq!(bytes, lines.iter().map(String::len).sum::<usize>());
    assert!(2 * pairs < bytes, "{pairs} of {bytes}");
}

#[test]
fn unigrams_of_a_real_corpus_give_it_back_and_shorten_it() {
    let lines = lines();
    let tokenizer = train_tokenizer(&lines, Pieces::Unigram, 600).expect("a tokenizer");
    assert!((300..=600).contains(&tokenizer.get_vocab_size(true)), "{}", tokenizer.get_vocab_size(true));
    let characters = lines.iter().map(|line| line.chars().count()).sum::<usize>();
    let tokens = |line: &String| tokenizer.encode(line.as_str(), false).expect("ids").len();
    assert!(5 * lines.iter().map(tokens).sum::<usize>() < 4 * characters);
    for text in lines.iter().map(String::as_str).chain(["  a  b ", "a", " ", ""]) {
        assert_eq!(round_trip(&tokenizer, text), text);
    }
    let path = std::env::temp_dir().join(format!("dlm-unigram-{}.json", std::process::id()));
    tokenizer.save(&path, true).expect("a file");
    let read = Tokenizer::from_file(&path).expect("a tokenizer");
    assert_eq!(round_trip(&read, &lines[0]), lines[0]);
    let found = vocabulary(&read, read.get_vocab_size(true)).expect("special tokens");
    assert_eq!((found.bos, found.pad, found.eos, found.mask), (0, 1, 2, 4));
    assert_eq!(read.encode("aЖ", false).expect("ids").get_ids().last(), Some(&3));
    fs::remove_file(path).expect("the temporary file");
}

#[test]
fn unigrams_of_nothing_or_of_too_many_characters_are_refused() {
    let reason = |texts: &[&str], size| match train_tokenizer(texts, Pieces::Unigram, size) {
        Err(Error::Tokenizer { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(&[], 100).contains("is there any text"), "{}", reason(&[], 100));
    assert!(reason(&["abcdefgh"], 6).contains("not large enough"));
    assert!(reason(&["abcdefgh"], 10).contains("make 13 pieces, more than the 10 asked for"));
}

#[test]
fn merges_are_those_counted_by_hand() {
    // "ab" three times, then "abc" twice; " d" not once.
    let tokenizer = train_tokenizer(["ab", "abc", "abc"], Pieces::BytePairs, 263).expect("a tokenizer");
    let tokens = tokenizer.encode("abcab", false).expect("ids").get_tokens().to_vec();
    assert_eq!(tokens, ["abc", "ab"]);
    assert_eq!([261, 262].map(|id| tokenizer.id_to_token(id).expect("a piece")), ["ab", "abc"]);
}

#[test]
fn a_saved_tokenizer_reads_back_with_its_special_tokens() {
    let path = std::env::temp_dir().join(format!("dlm-tokenizer-{}.json", std::process::id()));
    for pieces in KINDS {
        let tokenizer = train_tokenizer(lines(), pieces, 500).expect("a tokenizer");
        tokenizer.save(&path, true).expect("a file");
        let read = Tokenizer::from_file(&path).expect("a tokenizer");
        assert_eq!(read.to_string(false).expect("JSON"), tokenizer.to_string(false).expect("JSON"));
        let found = vocabulary(&read, read.get_vocab_size(true)).expect("special tokens");
        assert_eq!((found.bos, found.pad, found.eos, found.mask), (0, 1, 2, 4));
        assert_eq!(read.encode("a<mask>", false).expect("ids").get_ids().last(), Some(&4));
    }
    fs::remove_file(path).expect("the temporary file");
}

#[test]
fn what_was_not_seen_is_unknown() {
    for (pieces, text) in [(Pieces::Words, "one three"), (Pieces::Characters, "o3")] {
        let tokenizer = train_tokenizer(["one two"], pieces, 100).expect("a tokenizer");
        let tokens = tokenizer.encode(text, false).expect("ids").get_tokens().to_vec();
        assert_eq!(tokens[1], "<unk>", "{pieces:?}");
    }
}

#[test]
fn a_vocabulary_without_room_is_refused() {
    for (pieces, least) in [(Pieces::BytePairs, 261), (Pieces::Words, 6), (Pieces::Characters, 6)] {
        assert!(train_tokenizer(["a"], pieces, least).is_ok());
        let refused = train_tokenizer(["a"], pieces, least - 1);
        assert!(matches!(refused, Err(Error::Config { field: "vocab_size", .. })), "{refused:?}");
    }
}
