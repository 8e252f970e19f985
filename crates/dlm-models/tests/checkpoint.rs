//! Folders out and in again, and every way in which a folder can be wrong.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, s};
use dlm_core::{Denoiser, DenoiserInput, Sequence, Vocabulary};
use dlm_models::{
    AutoDenoiser, Checkpoint, Encoder, EncoderConfig, Error, Family, IdMap, Missing, Stored, vocabulary,
};

const WEIGHTS: &str = "model.safetensors";

fn config(family: Family) -> EncoderConfig {
    EncoderConfig::new(13, 8, 2, 2).with_family(family).with_pad_token_id(1).with_max_position_embeddings(9)
}

fn model(family: Family) -> Encoder {
    config(family).init(&Device::default()).expect("sizes are valid")
}

/// A folder of this test alone, empty.
fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dlm-models").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a writable target folder");
    folder
}

/// A folder with a sound checkpoint.
fn sound(name: &str) -> PathBuf {
    let folder = scratch(name);
    Checkpoint::write(&model(Family::Bert), &folder, None).expect("a writable target folder");
    folder
}

fn load(folder: &Path) -> Result<Encoder, Error> {
    Ok(Checkpoint::open(folder)?.load(&Device::default())?.0)
}

fn refused(folder: &Path) -> Error {
    load(folder).expect_err("a bad folder")
}

fn logits(model: &Encoder) -> Tensor<2> {
    model.logits(&DenoiserInput::new(&[0, 4, 12, 6], [1, 4], &[0, 1, 2, 3]))
}

fn assert_same(left: Tensor<2>, right: Tensor<2>) {
    assert_eq!(left.into_data(), right.into_data());
}

/// Edits the header of a safetensors file, keeping its length.
fn edit_header(folder: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let path = folder.join(WEIGHTS);
    let mut bytes = fs::read(&path).expect("weights");
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.expect("what to edit");
    bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    fs::write(path, bytes).expect("writable");
}

#[test]
fn every_family_comes_back_bit_for_bit() {
    for family in [Family::Bert, Family::Roberta, Family::XlmRoberta] {
        let folder = scratch(&format!("back-{}", family.model_type()));
        let model = model(family);
        Checkpoint::write(&model, &folder, None).expect("written");
        let (again, report) =
            Checkpoint::open(&folder).expect("there").load(&Device::default()).expect("sound");
        assert_same(logits(&again), logits(&model));
        assert_eq!(report.loaded.len(), 5 + 2 * 16 + 5);
        assert!(report.missing.is_empty() && report.unused.is_empty(), "{report}");
        assert_eq!(again.config().family, family);
    }
}

#[test]
fn a_loaded_network_can_be_trained() {
    let folder = sound("train");
    let device = Device::default().autodiff();
    let (model, _) = Checkpoint::open(&folder).expect("there").load(&device).expect("sound");
    assert!(logits(&model).sum().is_tracked());
}

#[test]
fn missing_parts_of_a_folder_are_named() {
    let nowhere = scratch("empty").join("nowhere");
    assert!(matches!(refused(&nowhere), Error::NoFolder { path } if path == nowhere));
    assert!(matches!(refused(&scratch("empty")), Error::NoFile { file: "config.json", .. }));
    let folder = sound("no-weights");
    fs::remove_file(folder.join(WEIGHTS)).expect("weights");
    assert!(matches!(refused(&folder), Error::NoFile { file: WEIGHTS, .. }));
}

#[test]
fn bad_configurations_are_named() {
    let folder = sound("config");
    let path = folder.join("config.json");
    fs::write(&path, "{").expect("writable");
    assert!(matches!(refused(&folder), Error::ConfigJson(_)));
    let albert = config(Family::Bert).to_json().replace("\"bert\"", "\"albert\"");
    fs::write(&path, albert).expect("writable");
    assert!(matches!(refused(&folder), Error::Unsupported { field: "model_type", .. }));
    let unknown = config(Family::Bert).to_json().replace("\"bert\"", "\"t5\"");
    fs::write(&path, unknown).expect("writable");
    let any = Checkpoint::open(&folder).expect("there").load::<AutoDenoiser>(&Device::default());
    assert_eq!(any.expect_err("no such family").to_string(), "model_type = t5 is not supported");
}

#[test]
fn a_weight_that_is_not_there_is_refused_or_new() {
    let folder = sound("missing");
    edit_header(&folder, "cls.predictions.bias", "cls.predictions.bios");
    let error = refused(&folder);
    assert_eq!(error.to_string(), "the checkpoint lacks cls.predictions.bias");
    let checkpoint = Checkpoint::open(&folder).expect("there").with_missing(Missing::Initialise);
    let (_, report) = checkpoint.load::<Encoder>(&Device::default()).expect("may be missing");
    assert_eq!(report.missing, ["cls.predictions.bias"]);
    assert_eq!(report.unused, ["cls.predictions.bios"]);
    assert_eq!(
        report.to_string(),
        "41 weights loaded; 1 new: cls.predictions.bias; 1 unused: cls.predictions.bios"
    );
}

#[test]
fn a_folder_of_an_encoder_alone_has_no_prefix() {
    let folder = sound("bare");
    let names = fs::read(folder.join(WEIGHTS)).expect("weights");
    let header = String::from_utf8_lossy(&names[8..]).into_owned();
    let count = header.matches("\"bert.").count();
    for _ in 0..count {
        // Spaces outside of strings are nothing to JSON.
        edit_header(&folder, "\"bert.", "     \"");
    }
    let (_, report) =
        Checkpoint::open(&folder).expect("there").load::<Encoder>(&Device::default()).expect("sound");
    assert_eq!(report.loaded.iter().filter(|key| key.starts_with("bert.encoder.layer.")).count(), 32);
}

#[test]
fn norms_may_have_the_names_that_tensorflow_gave_them() {
    let folder = sound("tensorflow");
    edit_header(&folder, "\"bert.embeddings.LayerNorm.weight\"", "\"bert.embeddings.LayerNorm.gamma\" ");
    edit_header(&folder, "\"bert.embeddings.LayerNorm.bias\"", "\"bert.embeddings.LayerNorm.beta\"");
    load(&folder).expect("older names");
}

#[test]
fn wrong_shapes_and_types_are_named() {
    let folder = sound("shape");
    let wider = config(Family::Bert).with_intermediate_size(16).to_json();
    fs::write(folder.join("config.json"), wider).expect("writable");
    let error = refused(&folder).to_string();
    let expected = "bert.encoder.layer.0.intermediate.dense.weight: expected shape [16, 8], found [32, 8]";
    assert_eq!(error, expected);

    let folder = sound("dtype");
    edit_header(&folder, "\"dtype\":\"F32\"", "\"dtype\":\"I32\"");
    assert!(matches!(refused(&folder), Error::Dtype { .. }));
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let folder = sound("nan");
    let path = folder.join(WEIGHTS);
    let mut bytes = fs::read(&path).expect("weights");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, &bytes).expect("writable");
    // The last weight of the file, and its last element.
    let error = refused(&folder).to_string();
    assert_eq!(error, "cls.predictions.transform.dense.weight is not finite at element 63");

    bytes[end - 4..].copy_from_slice(&1e6_f32.to_le_bytes());
    fs::write(&path, &bytes).expect("writable");
    load(&folder).expect("large, but a number");
    let load = |dtype| {
        let checkpoint = Checkpoint::open(&folder).expect("there").with_dtype(Stored::As(dtype));
        checkpoint.load::<Encoder>(&Device::default()).expect_err("no such number")
    };
    let found = load(DType::F16);
    if Device::default().supports_dtype(DType::F16) {
        assert_eq!(found.to_string(), error);
    } else {
        assert!(matches!(found, Error::Unsupported { field: "dtype", .. }), "{found}");
    }
    assert!(matches!(load(DType::I32), Error::Unsupported { field: "dtype", .. }));
}

#[test]
fn weights_cut_short_are_damaged_wherever_the_cut_is() {
    let folder = sound("cut");
    let path = folder.join(WEIGHTS);
    let bytes = fs::read(&path).expect("weights");
    for len in [0, 1, 7, 8, 9, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).expect("writable");
        assert!(matches!(refused(&folder), Error::Damaged { .. }), "cut at {len}");
    }
}

#[test]
fn weights_may_lie_in_several_files() {
    let folder = sound("shards");
    let whole = load(&folder).expect("sound");
    fs::rename(folder.join(WEIGHTS), folder.join("a.safetensors")).expect("writable");
    let index = |file: &str| {
        let text =
            format!(r#"{{"metadata": {{}}, "weight_map": {{"any": "a.safetensors", "more": "{file}"}}}}"#);
        fs::write(folder.join("model.safetensors.index.json"), text).expect("writable");
    };
    index("a.safetensors");
    assert_same(logits(&load(&folder).expect("one shard")), logits(&whole));
    index("b.safetensors");
    assert!(matches!(refused(&folder), Error::Damaged { path, .. } if path.ends_with("b.safetensors")));
    index("../shards/a.safetensors");
    assert!(refused(&folder).to_string().contains("is not the name of a file"));
}

#[test]
fn a_file_of_several_that_is_cut_short_or_gone_is_named() {
    let folder = scratch("cut-shard");
    Checkpoint::write_sharded(&model(Family::Bert), &folder, None, 2000).expect("written");
    let files = fs::read_dir(&folder).expect("there").map(|entry| entry.expect("an entry").path());
    let shard = files.filter(|path| path.extension().is_some_and(|end| end == "safetensors")).max();
    let shard = shard.expect("several");
    let bytes = fs::read(&shard).expect("a shard");
    load(&folder).expect("sound");
    fs::write(&shard, &bytes[..bytes.len() - 1]).expect("writable");
    assert!(matches!(refused(&folder), Error::Damaged { path, .. } if path == shard));
    fs::remove_file(&shard).expect("there");
    assert!(matches!(refused(&folder), Error::Damaged { path, .. } if path == shard));
}

fn write_tokenizer(folder: &Path, words: &[&str]) -> PathBuf {
    let words: serde_json::Map<_, _> =
        words.iter().zip(0..).map(|(&word, id)| (word.to_owned(), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}
    });
    let path = folder.join("tokenizer.json");
    fs::write(&path, tokenizer.to_string()).expect("writable");
    path
}

#[test]
fn a_tokenizer_must_be_one_and_fit() {
    let folder = sound("tokenizer");
    let checkpoint = Checkpoint::open(&folder).expect("there");
    assert!(checkpoint.tokenizer().expect("optional").is_none());
    let path = write_tokenizer(&folder, &["<s>", "<pad>", "</s>", "<unk>", "<mask>"]);
    let tokenizer = checkpoint.tokenizer().expect("sound").expect("there");
    let words = vocabulary(&tokenizer, 13).expect("special tokens");
    assert_eq!(words, Vocabulary::new(13, 0, 1, 2, 4).expect("valid"));

    // A copy onto itself must not empty the file.
    Checkpoint::write(&load(&folder).expect("sound"), &folder, Some(&path)).expect("written");
    assert!(checkpoint.tokenizer().expect("sound").is_some());

    // LLaDA's has a [CLS] that nothing uses, and words that look special.
    write_tokenizer(&folder, &["<s>", "</s>", "<unk>"]);
    let mut llada = checkpoint.tokenizer().expect("sound").expect("there");
    let special = ["[CLS]", "<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>"];
    llada.add_special_tokens(&special.map(|token| tokenizers::AddedToken::from(token, true)));
    let words = vocabulary(&llada, 13).expect("special tokens");
    assert_eq!(words, Vocabulary::new(13, 4, 5, 5, 6).expect("valid"));

    write_tokenizer(&folder, &["<s>", "<pad>", "</s>", "<unk>"]);
    let tokenizer = checkpoint.tokenizer().expect("sound").expect("there");
    let error = vocabulary(&tokenizer, 13).expect_err("no mask");
    assert_eq!(
        error.to_string(),
        "the tokenizer has no mask token (sought <mask>, [MASK], <|mdm_mask|>, <|mask|>, <|MASK|>)"
    );

    write_tokenizer(&folder, &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"]);
    let error = checkpoint.tokenizer().expect_err("14 words");
    assert!(matches!(error, Error::TokenizerTooLarge { highest: 13, vocab_size: 13 }), "{error}");
    fs::write(&path, "[]").expect("writable");
    assert!(matches!(checkpoint.tokenizer().expect_err("no tokenizer"), Error::Damaged { .. }));
}

#[test]
fn what_ends_a_text_begins_the_next_where_a_tokenizer_has_no_first_token() {
    let folder = sound("qwen");
    // Special tokens of Qwen2.5, without a first one and without a mask.
    write_tokenizer(&folder, &["a", "b", "<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
    let mut qwen = Checkpoint::open(&folder).expect("there").tokenizer().expect("sound").expect("there");
    assert!(matches!(vocabulary(&qwen, 13), Err(Error::NoSpecialToken { role: "mask", .. })));
    qwen.add_special_tokens(&[tokenizers::AddedToken::from("<|mask|>", true)]);
    let words = vocabulary(&qwen, 13).expect("special tokens");
    assert_eq!(words, Vocabulary::new(13, 3, 3, 3, 6).expect("valid"));
    let row = Sequence::prompt_response(&[0], &[1], &words);
    assert_eq!((row.ids(), row.maskable()), (&[3, 0, 1, 3][..], &[false, false, true, true][..]));

    write_tokenizer(&folder, &["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<unk>", "<mask>"]);
    let llama = Checkpoint::open(&folder).expect("there").tokenizer().expect("sound").expect("there");
    let words = vocabulary(&llama, 13).expect("special tokens");
    assert_eq!(words, Vocabulary::new(13, 0, 1, 1, 4).expect("valid"));
}

#[test]
fn a_tokenizer_neither_pads_nor_truncates() {
    let folder = sound("padding");
    let path = write_tokenizer(&folder, &["<s>", "<pad>", "</s>", "<unk>", "<mask>"]);
    let text = fs::read_to_string(&path).expect("written");
    let padding = r#""padding":{"strategy":{"Fixed":8},"direction":"Right","pad_to_multiple_of":null,"pad_id":1,"pad_type_id":0,"pad_token":"<pad>"}"#;
    let truncation =
        r#""truncation":{"direction":"Right","max_length":1,"strategy":"LongestFirst","stride":0}"#;
    let text = text.replace(r#""padding":null"#, padding).replace(r#""truncation":null"#, truncation);
    assert!(text.contains("Fixed") && text.contains("LongestFirst"));
    fs::write(&path, text).expect("writable");
    let tokenizer = Checkpoint::open(&folder).expect("there").tokenizer().expect("sound").expect("there");
    assert!(tokenizer.get_padding().is_none() && tokenizer.get_truncation().is_none());
    assert_eq!(tokenizer.encode("<s>", true).expect("a word").get_ids(), [0]);
}

#[test]
fn trimming_keeps_the_logits_of_the_words_that_stay() {
    for family in [Family::Bert, Family::Roberta] {
        let full = Vocabulary::new(13, 0, 1, 2, 12).expect("valid");
        let map = IdMap::new([6, 4], &full, 3).expect("valid");
        assert_eq!(map.kept(), [0, 1, 2, 3, 4, 6, 12]);
        let model = model(family);
        let trimmed = map.trim_model(model.clone()).expect("fits");
        let ids = [0, 6, 12, 4];
        let at = [1, 2];
        let before = model.logits(&DenoiserInput::new(&ids, [1, 4], &at));
        let after = trimmed.logits(&DenoiserInput::new(&map.trim(&ids), [1, 4], &at));
        assert_eq!(after.dims(), [2, 7]);
        let gap = (0..7).map(|new| {
            let old = map.kept()[new] as usize;
            let gap = before.clone().slice(s![.., old..=old]) - after.clone().slice(s![.., new..=new]);
            gap.abs().max().into_scalar::<f32>()
        });
        assert!(gap.fold(0.0, f32::max) < 1e-6);
    }
}

#[test]
fn a_trimmed_network_is_a_checkpoint_like_any_other() {
    let folder = scratch("trimmed");
    let full = Vocabulary::new(13, 0, 1, 2, 12).expect("valid");
    let map = IdMap::new([5], &full, 3).expect("valid");
    let trimmed = map.trim_model(model(Family::Roberta)).expect("fits");
    Checkpoint::write(&trimmed, &folder, None).expect("written");
    map.save(folder.join("words.json")).expect("written");
    let again = load(&folder).expect("sound");
    assert_eq!((again.vocab_size(), IdMap::load(folder.join("words.json")).expect("sound")), (6, map));
    fs::write(
        folder.join("words.json"),
        r#"{"size":3,"bos":0,"pad":1,"eos":2,"mask":2,"unknown":0,"kept":[9]}"#,
    )
    .expect("writable");
    assert!(matches!(IdMap::load(folder.join("words.json")), Err(Error::Damaged { .. })));
}

#[test]
fn trimming_refuses_maps_of_other_networks() {
    let other = Vocabulary::new(14, 0, 1, 2, 12).expect("valid");
    let map = IdMap::new([], &other, 3).expect("valid");
    assert!(matches!(map.trim_model(model(Family::Bert)), Err(Error::Config { field: "vocab_size", .. })));
    assert!(IdMap::new([14], &other, 3).is_err());
    // Padding that is not where the map's vocabulary has it.
    let low = Vocabulary::new(13, 0, 0, 2, 12).expect("valid");
    let map = IdMap::new([], &low, 3).expect("valid");
    let model = config(Family::Roberta).with_pad_token_id(4).init(&Device::default()).expect("valid");
    assert!(matches!(map.trim_model(model.clone()), Err(Error::Config { field: "pad_token_id", .. })));
}
