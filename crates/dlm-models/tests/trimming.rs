//! Vocabularies cut down to a corpus: what special tokens at their end, tokenizers and folders make of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod seeded;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor};
use dlm_core::{Attention, Denoiser, DenoiserInput, TokenId, Vocabulary};
use dlm_models::{
    AutoDenoiser, Checkpoint, Error, IdMap, Pieces, Pretrained, TOKENIZER, train_tokenizer, vocabulary,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::Unigram;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use self::seeded::seeded;

/// Rows of the tables, of which some belong to no word.
const ROWS: usize = 640;
const LLADA: [&str; 4] = ["<|startoftext|>", "<|endoftext|>", "[CLS]", "<|mdm_mask|>"];
const QWEN: [&str; 4] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|mask|>"];

/// Spellings and sounds, a line each.
fn lines() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/cmudict/valid.tsv");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Byte pairs, and behind them special tokens, the first of which stands before each text.
fn byte_pairs(special: &[&str]) -> Tokenizer {
    let mut tokenizer = Tokenizer::new(BPE::default());
    let bytes = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    let alphabet = ByteLevel::alphabet().into_iter().collect();
    let trainer =
        BpeTrainer::builder().vocab_size(600).initial_alphabet(alphabet).show_progress(false).build();
    tokenizer.train(&mut TrainerWrapper::from(trainer), lines().into_iter()).unwrap();
    tokenizer
        .add_special_tokens(&special.iter().map(|&token| AddedToken::from(token, true)).collect::<Vec<_>>());
    let first = (special[0].to_owned(), tokenizer.token_to_id(special[0]).unwrap());
    let template = TemplateProcessing::builder()
        .try_single(format!("{} $A", special[0]))
        .unwrap()
        .special_tokens(vec![first])
        .build()
        .unwrap();
    tokenizer.with_post_processor(Some(template));
    tokenizer
}

fn llada(words: &Vocabulary) -> Value {
    json!({
        "model_type": "llada", "vocab_size": ROWS, "embedding_size": ROWS, "d_model": 16, "n_layers": 2, "n_heads": 2,
        "mlp_hidden_size": 24, "block_type": "llama", "layer_norm_type": "rms", "rope": true, "weight_tying": false, "activation_type": "silu",
        "init_std": 0.3, "mask_token_id": words.mask, "eos_token_id": words.eos, "pad_token_id": words.pad,
    })
}

fn qwen(words: &Vocabulary) -> Value {
    json!({
        "model_type": "qwen2", "vocab_size": ROWS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "num_key_value_heads": 1, "tie_word_embeddings": true, "initializer_range": 0.3,
        "bos_token_id": words.bos, "pad_token_id": null, "eos_token_id": [words.eos, words.eos + 2, 3],
    })
}

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("trimmed").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    tokenizer.encode(text, true).unwrap().get_ids().to_vec()
}

fn write(model: &AutoDenoiser, tokenizer: &Tokenizer, folder: &Path) {
    let path = folder.join(TOKENIZER);
    tokenizer.save(&path, false).unwrap();
    Checkpoint::write(model, folder, Some(&path)).unwrap();
}

/// A network and its tokenizer trimmed to some lines, written, and read again: logits of the words that stay are the
/// same bits.
fn check(name: &str, special: &[&str], config: fn(&Vocabulary) -> Value, attention: Attention<'_>) -> Value {
    let (tokenizer, lines, device) = (byte_pairs(special), lines(), Device::default());
    let full = vocabulary(&tokenizer, ROWS).unwrap();
    let config = config(&full).to_string();
    let model: AutoDenoiser = seeded(&device, || AutoDenoiser::from_config(&config, &device).unwrap());
    let corpus = &lines[..20];
    let words = corpus.iter().flat_map(|line| ids(&tokenizer, line));
    let map = IdMap::of_tokenizer(words, &full, &tokenizer).unwrap();
    // Bytes, special tokens, and few of the 344 merged words.
    assert!((260..400).contains(&map.len()), "{}", map.len());
    let (before, after) = (scratch(&format!("{name}/full")), scratch(&format!("{name}/trimmed")));
    write(&model, &tokenizer, &before);
    write(&map.trim_model(model.clone()).unwrap(), &map.trim_tokenizer(&tokenizer).unwrap(), &after);
    map.save(after.join("id_map.json")).unwrap();

    let checkpoint = Checkpoint::open(&after).unwrap();
    let (trimmed, report) = checkpoint.load::<AutoDenoiser>(&device).unwrap();
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report}");
    let small = checkpoint.tokenizer().unwrap().unwrap();
    assert_eq!(vocabulary(&small, trimmed.vocab_size()).unwrap(), map.vocabulary());
    let kept: Vec<i32> = map.kept().iter().map(|&id| id as i32).collect();
    let kept = Tensor::<1, Int>::from_ints(kept.as_slice(), &device);
    for line in corpus {
        let (long, short) = (ids(&tokenizer, line), ids(&small, line));
        assert_eq!(map.trim(&long), short, "{line}");
        let at: Vec<usize> = (0..long.len()).collect();
        let ask = |model: &AutoDenoiser, ids: &[TokenId]| {
            model.logits(&DenoiserInput::new(ids, [1, ids.len()], &at).with_attention(attention))
        };
        let (long, short) = (ask(&model, &long).select(1, kept.clone()), ask(&trimmed, &short));
        assert_eq!(long.into_data(), short.into_data(), "{line}");
    }
    // What it has not seen, it spells.
    for text in lines.iter().map(String::as_str).chain(["Grüße, 世界!"]) {
        let tokens = ids(&small, text);
        assert_eq!(small.decode(&tokens, true).unwrap(), text);
    }
    serde_json::from_str(&checkpoint.config().unwrap()).unwrap()
}

#[test]
fn special_tokens_at_the_end_move_and_the_folder_says_where() {
    let config = check("llada", &LLADA, llada, Attention::Full);
    let words = config["vocab_size"].as_u64().unwrap();
    assert_eq!(config["embedding_size"], words);
    // The last four words.
    assert_eq!([&config["eos_token_id"], &config["pad_token_id"]], [words - 3, words - 3]);
    assert_eq!(config["mask_token_id"], words - 1);

    // The third of the tokens that end a text is a byte, which stays where it is; there is no padding.
    let config = check("qwen2", &QWEN, qwen, Attention::Causal);
    let words = config["vocab_size"].as_u64().unwrap();
    assert_eq!(config["bos_token_id"], words - 4);
    assert_eq!(config["eos_token_id"], json!([words - 4, words - 2, 3]));
    assert_eq!(config["pad_token_id"], Value::Null);
}

#[test]
fn ids_of_words_that_go_are_left_out() {
    let full = Vocabulary::new(ROWS, 600, 600, 600, 603).unwrap();
    let config = json!({ "model_type": "qwen2", "vocab_size": ROWS, "hidden_size": 4, "num_hidden_layers": 0,
        "num_attention_heads": 2, "intermediate_size": 4, "eos_token_id": [600, 602], "sep_token_id": 602,
        "bos_token_id": -1 });
    let model = AutoDenoiser::from_config(&config.to_string(), &Device::default()).unwrap();
    let map = IdMap::new([5], &full, 600).unwrap();
    assert_eq!(map.kept(), [5, 600, 603]);
    let config: Value = serde_json::from_str(&map.trim_model(model).unwrap().to_config()).unwrap();
    assert_eq!([&config["eos_token_id"], &config["sep_token_id"]], [&json!([1]), &Value::Null]);
    assert_eq!((&config["bos_token_id"], &config["vocab_size"]), (&json!(-1), &json!(3)));
}

#[test]
fn a_network_needs_the_words_that_it_reads() {
    // ModernBERT's padding stands at the end and may move; so may ESM's mask, but it may not go.
    let (device, full) = (Device::default(), Vocabulary::new(90, 85, 86, 87, 88).unwrap());
    let read = |config: Value| AutoDenoiser::from_config(&config.to_string(), &device).unwrap();
    let map = IdMap::new([4], &full, 84).unwrap();
    let modernbert = read(json!({ "model_type": "modernbert", "vocab_size": 90, "hidden_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "pad_token_id": 86, "cls_token_id": 85 }));
    let config: Value = serde_json::from_str(&map.trim_model(modernbert).unwrap().to_config()).unwrap();
    assert_eq!([&config["pad_token_id"], &config["cls_token_id"]], [3, 2]);
    let esm = |mask: usize| {
        read(json!({ "model_type": "esm", "vocab_size": 90, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 8, "mask_token_id": mask, "pad_token_id": 86 }))
    };
    let config: Value = serde_json::from_str(&map.trim_model(esm(88)).unwrap().to_config()).unwrap();
    assert_eq!([&config["mask_token_id"], &config["pad_token_id"]], [5, 3]);
    let error = map.trim_model(esm(89)).map(drop).unwrap_err();
    assert!(matches!(error, Error::Config { field: "mask_token_id", .. }), "{error}");
    // RoBERTa counts positions from padding.
    let roberta = read(
        json!({ "model_type": "roberta", "vocab_size": 90, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 99, "pad_token_id": 86 }),
    );
    let error = map.trim_model(roberta).map(drop).unwrap_err();
    assert!(matches!(error, Error::Config { field: "pad_token_id", .. }), "{error}");
}

#[test]
fn padding_keeps_its_id_while_there_are_enough_words() {
    let kept = |pad, words: &[TokenId]| {
        let full = Vocabulary::new(50, 40, pad, 41, 42).unwrap();
        IdMap::new(words.iter().copied(), &full, 43).unwrap().kept().to_vec()
    };
    assert_eq!(kept(3, &[10]), [10, 40, 41, 3, 42, 43]);
    assert_eq!(kept(5, &[10]), [10, 40, 41, 42, 43, 5]);
    assert_eq!(kept(6, &[10]), [6, 10, 40, 41, 42, 43]);
}

#[test]
fn ids_come_back_and_other_words_are_unknown() {
    let full = Vocabulary::new(50, 40, 5, 41, 42).unwrap();
    let map = IdMap::new([10], &full, 43).unwrap();
    assert_eq!(map.trim(&[43, 10, 7, 49, 5]), [4, 0, 4, 4, 5]);
    assert_eq!(map.restore(&[4, 0, 5]).unwrap(), [43, 10, 5]);
    assert!(matches!(map.restore(&[6]), Err(Error::Core(_))));
    let path = scratch("map").join("id_map.json");
    map.save(&path).unwrap();
    assert_eq!(IdMap::load(&path).unwrap(), map);
}

/// Tokenizers of all kinds, with their unknown word and without.
fn tokenizers() -> Vec<(&'static str, Tokenizer)> {
    let learnt = |pieces| train_tokenizer(lines(), pieces, 500).unwrap();
    let special = ["<s>", "<pad>", "</s>", "<unk>"];
    let letters = || ('a'..='z').map(String::from);
    let pairs = || letters().flat_map(|first| letters().map(move |second| format!("{first}{second}")));
    let sounds = ["AH", "K", "S", "T", "ER", "IY", "L", "N"].map(str::to_owned);
    let mask = |mut tokenizer: Tokenizer| {
        let all = special.iter().chain(&["<mask>"]);
        tokenizer.add_special_tokens(&all.map(|&token| AddedToken::from(token, true)).collect::<Vec<_>>());
        tokenizer
    };
    let scores =
        special.map(str::to_owned).into_iter().chain(["▁".to_owned()]).chain(letters()).chain(pairs());
    let scores = scores.zip(1..).map(|(piece, rank)| (piece, -f64::from(rank).ln())).collect();
    let mut unigram = Tokenizer::new(Unigram::from(scores, Some(3), false).unwrap());
    unigram.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, true)));
    let words = special.map(str::to_owned).into_iter().chain(letters()).chain(pairs()).chain(sounds);
    let words: serde_json::Map<String, Value> =
        words.flat_map(|word| [format!("##{word}"), word]).zip((0..).map(Value::from)).collect();
    let model = json!({ "type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": words });
    let pieces = json!({ "version": "1.0", "pre_tokenizer": { "type": "WhitespaceSplit" }, "model": model });
    let pieces = Tokenizer::from_bytes(pieces.to_string()).unwrap();
    vec![
        ("byte pairs, special tokens first", learnt(Pieces::BytePairs)),
        ("byte pairs, special tokens last", byte_pairs(&QWEN)),
        ("words", learnt(Pieces::Words)),
        ("characters", learnt(Pieces::Characters)),
        ("unigram", mask(unigram)),
        ("word pieces", mask(pieces)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_trimmed_tokenizer_cuts_its_corpus_as_before(start in 0_usize..400, more in 1_usize..40) {
        let corpus = &lines()[start..start + more];
        for (name, tokenizer) in tokenizers() {
            let size = tokenizer.get_vocab_size(true);
            let full = vocabulary(&tokenizer, size).unwrap();
            let words = corpus.iter().flat_map(|line| ids(&tokenizer, line));
            let map = IdMap::of_tokenizer(words, &full, &tokenizer).unwrap();
            let small = map.trim_tokenizer(&tokenizer).unwrap();
            prop_assert_eq!(small.get_vocab_size(true), map.len(), "{}", name);
            prop_assert_eq!(vocabulary(&small, map.len()).unwrap(), map.vocabulary(), "{}", name);
            for line in corpus {
                prop_assert_eq!(map.trim(&ids(&tokenizer, line)), ids(&small, line), "{}: {}", name, line);
            }
        }
    }
}

#[test]
fn a_tokenizer_says_which_word_it_needs() {
    let tokenizer = byte_pairs(&LLADA);
    let full = vocabulary(&tokenizer, ROWS).unwrap();
    let other = Vocabulary::new(ROWS, full.eos, full.pad, full.eos, full.mask).unwrap();
    let error = IdMap::new([5], &other, full.eos).unwrap().trim_tokenizer(&tokenizer).unwrap_err();
    let first = full.bos;
    assert_eq!(
        error.to_string(),
        format!("cannot make the tokenizer: it puts the word {first} around texts, which is not kept")
    );
    let words = train_tokenizer(lines(), Pieces::Words, 500).unwrap();
    let full = vocabulary(&words, 500).unwrap();
    let error = IdMap::new([], &full, 0).unwrap().trim_tokenizer(&words).unwrap_err();
    assert_eq!(error.to_string(), "cannot make the tokenizer: its unknown word is not kept");
}
