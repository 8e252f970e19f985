//! Laws that every family keeps: rows do not see each other, padding and packing change nothing, sizes are those of
//! the published networks, and what is not implemented is refused by name.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Tensor, s};
use dlm_core::{Attention, Batch, Denoiser, DenoiserInput, Sequence, TokenId, Vocabulary};
use dlm_models::{
    Albert, AlbertConfig, Bits, ClipVisionConfig, Dit, DitConfig, EncoderConfig, Error, Esm, EsmConfig,
    LlavaConfig, Lora, ModernBert, ModernBertConfig, Pretrained, Rdm, RdmConfig, freeze, normalised,
    quantised, trainable,
};

const PAD: TokenId = 1;
const MASK: TokenId = 10;

/// Moves every parameter, so that none is zero or one.
struct Stir;

impl ModuleMapper for Stir {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| value.clone() + value.random_like(Distribution::Normal(0.0, 0.3)))
    }
}

fn read<M: Pretrained>(config: &str) -> M {
    M::from_config(config, &Device::default()).expect("sizes are valid").map(&mut Stir)
}

fn albert() -> Albert {
    read(
        r#"{"model_type": "albert", "vocab_size": 11, "embedding_size": 6, "hidden_size": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
        "max_position_embeddings": 9}"#,
    )
}

fn modernbert() -> ModernBert {
    read(
        r#"{"model_type": "modernbert", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 3,
        "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 9, "pad_token_id": 1,
        "local_attention": 4, "norm_bias": true, "attention_bias": true, "mlp_bias": true,
        "classifier_bias": true, "decoder_bias": false}"#,
    )
}

fn esm() -> Esm {
    read(
        r#"{"model_type": "esm", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 9, "mask_token_id": 10,
        "pad_token_id": 1, "token_dropout": true}"#,
    )
}

fn dit(more: &str) -> Dit {
    let sizes = r#""vocab_size": 11, "model_length": 9, "hidden_dim": 8, "cond_dim": 4, "n_blocks": 2,
        "n_heads": 2"#;
    read(&format!("{{{sizes}, {more}}}"))
}

fn rdm() -> Rdm {
    read(
        r#"{"model_type": "diffusion_transformer", "vocab_size": 11, "encoder_embed_dim": 8,
        "encoder_ffn_embed_dim": 12, "encoder_attention_heads": 2, "encoder_layers": 2, "decoder_layers": 2,
        "max_source_positions": 4, "max_target_positions": 4}"#,
    )
}

fn time_free() -> Vec<(&'static str, Box<dyn Denoiser>)> {
    vec![
        ("albert", Box::new(albert())),
        ("modernbert", Box::new(modernbert())),
        ("esm", Box::new(esm())),
        ("mdlm", Box::new(dit(r#""model_type": "mdlm""#))),
        ("duo", Box::new(dit(r#""model_type": "duo", "causal": true"#))),
    ]
}

fn assert_close(what: &str, left: Tensor<2>, right: Tensor<2>) {
    let gap = distance(left, right);
    assert!(gap < 1e-4, "{what}: {gap}");
}

fn distance(left: Tensor<2>, right: Tensor<2>) -> f32 {
    (left - right).abs().max().into_scalar()
}

#[test]
fn a_row_gives_the_same_logits_alone_and_padded_on_either_side() {
    for (name, model) in time_free() {
        assert!(model.time_free());
        let alone = model.logits(&DenoiserInput::new(&[3, MASK, 5], [1, 3], &[0, 1, 2]));
        let ids = [3, MASK, 5, PAD, PAD, PAD, PAD, 3, MASK, 5, 6, 7, 8, 9, MASK];
        let pad: Vec<bool> = ids.iter().map(|&id| id == PAD).collect();
        let input = DenoiserInput::new(&ids, [3, 5], &[0, 1, 2, 7, 8, 9]).with_pad(&pad);
        let batch = model.logits(&input);
        assert_close(name, batch.clone().slice(s![0..3, ..]), alone.clone());
        assert_close(name, batch.slice(s![3..6, ..]), alone);
    }
}

#[test]
fn packed_documents_give_the_logits_they_give_alone() {
    let vocabulary = Vocabulary::new(11, 0, PAD, 2, MASK).expect("ids below the size");
    let documents = [vec![3, MASK, 5, 9, 4], vec![6, MASK, MASK]];
    let batch =
        Batch::packed(&[documents.clone().map(Sequence::whole).to_vec()], &vocabulary).expect("a batch");
    for (name, model) in time_free() {
        let input = DenoiserInput::new(batch.ids(), [1, 8], &[0, 1, 2, 3, 4, 5, 6, 7]);
        let packed = model.logits(&input.with_documents(batch.documents().expect("numbers")));
        let alone = documents.iter().map(|ids| {
            let at: Vec<usize> = (0..ids.len()).collect();
            model.logits(&DenoiserInput::new(ids, [1, ids.len()], &at))
        });
        assert_close(name, packed, Tensor::cat(alone.collect(), 0));
    }
}

#[test]
fn a_protein_of_masks_alone_has_finite_logits() {
    let logits = esm().logits(&DenoiserInput::new(&[MASK, MASK, 3], [1, 3], &[0]));
    let masks =
        esm().logits(&DenoiserInput::new(&[MASK, MASK, PAD], [1, 3], &[0]).with_pad(&[false, false, true]));
    for logits in [logits, masks] {
        assert!(logits.into_data().iter::<f32>().all(f32::is_finite));
    }
}

#[test]
fn a_network_that_sees_the_time_wants_one_for_each_row() {
    let model = dit(r#""model_type": "udlm""#);
    let ids = [3, MASK, 5, 3, MASK, 5];
    let input = DenoiserInput::new(&ids, [2, 3], &[1, 4]);
    assert!(!model.time_free());
    let error = model.check(&input).expect_err("no times");
    assert_eq!(error.to_string(), "times of a batch: expected 2, got 0");
    let both = model.logits(&input.with_times(&[0.2, 0.9]));
    let alone = |t| model.logits(&DenoiserInput::new(&ids[..3], [1, 3], &[1]).with_times(&[t]));
    assert_close("first", both.clone().slice(s![0..1, ..]), alone(0.2));
    assert_close("second", both.slice(s![1..2, ..]), alone(0.9));
    assert!(distance(alone(0.2), alone(0.9)) > 1e-3);
    let told = |t| dit(r#""model_type": "mdlm""#).config().noise.at(t);
    assert!(told(0.0).abs() < 1e-12);
    assert!((told(1.0) - 1000.0_f64.ln()).abs() < 1e-9); // −ln 10⁻³
}

#[test]
fn a_target_sees_its_source_and_no_other_row() {
    let model = rdm();
    let alone = |ids: &[TokenId]| {
        let at: Vec<usize> = (3..ids.len()).collect();
        model.logits(&DenoiserInput::new(ids, [1, ids.len()], &at).with_times(&[0.5]))
    };
    let row = alone(&[4, 5, 2, 0, MASK]);
    let ids = [4, 5, 2, 0, MASK, PAD, 9, 2, 0, 7, MASK, 2];
    let pad: Vec<bool> = ids.iter().map(|&id| id == PAD).collect();
    let input = DenoiserInput::new(&ids, [2, 6], &[3, 4]).with_pad(&pad).with_times(&[0.5, 0.1]);
    assert_close("batch", model.logits(&input), row.clone());
    let prefix = DenoiserInput::new(&[4, 5, 2, 0, MASK], [1, 5], &[3, 4]).with_times(&[0.5]);
    assert_close("prefix", model.logits(&prefix.with_attention(Attention::Prefix(&[3]))), row.clone());
    assert!(distance(row.clone(), alone(&[4, 6, 2, 0, MASK])) > 1e-4);
    // Under causal attention the first target position does not see the second; else it does.
    let first = |last, attention| {
        let ids = [4, 5, 2, 0, last];
        let input = DenoiserInput::new(&ids, [1, 5], &[3]).with_times(&[0.5]).with_attention(attention);
        model.logits(&input)
    };
    assert_close("causal", first(MASK, Attention::Causal), first(7, Attention::Causal));
    assert!(distance(first(MASK, Attention::Full), first(7, Attention::Full)) > 1e-4);
}

#[test]
fn rows_that_have_no_sides_are_refused() {
    let model = rdm();
    let refused = |ids: &[TokenId], at: &[usize]| {
        let input = DenoiserInput::new(ids, [1, ids.len()], at).with_times(&[0.5]);
        model.check(&input).expect_err("refused").to_string()
    };
    let sourceless = "row 0: the network needs a source, which ends in EOS or is a prefix";
    assert_eq!(refused(&[3, 4], &[]), sourceless);
    assert_eq!(refused(&[3, 2, 0], &[1]), "row 0: the network needs to be asked behind the source");
    assert_eq!(refused(&[3, 4, 5, 6, 2, 0], &[]), "row 0 has 5 tokens, the network has positions for 4");
    let input = DenoiserInput::new(&[3, 2, 0], [1, 3], &[2]);
    assert_eq!(model.check(&input).expect_err("no time").to_string(), "times of a batch: expected 1, got 0");
    assert!(model.length_logits(&DenoiserInput::new(&[3, 2], [1, 2], &[])).is_ok());
}

#[test]
fn linear_layers_take_adapters_and_whole_numbers() {
    fn check<M: Pretrained>(model: M, target: &str) {
        let input = DenoiserInput::new(&[3, 4, 5, 6], [2, 2], &[0, 3]).with_times(&[0.3, 0.6]);
        let (logits, largest) = (model.logits(&input), model.logits(&input).abs().max().into_scalar::<f32>());
        let rounded = distance(quantised(&model, Bits::Eight).logits(&input), logits.clone());
        assert!(rounded > 0.0 && rounded < 0.1 * largest, "{target}: {rounded} of {largest}");
        let all = trainable(&model.clone().train());
        let adapted = Lora::new(2, 4.0, [target]).attach(model.train()).expect("a linear layer");
        assert!(trainable(&adapted) < all, "{target}");
        assert_close(target, adapted.valid().logits(&input), logits);
    }
    check(albert(), "attention.query");
    check(modernbert(), "Wqkv");
    check(esm(), "attention.self.key");
    check(dit(r#""model_type": "udlm""#), "attn_qkv");
}

/// Parameters by the shapes they are saved in; none is drawn.
fn count<M: Pretrained>(mut model: M, prefix: &str) -> usize {
    let slots = model.slots().into_iter().filter(|(key, _)| key.starts_with(prefix));
    slots.map(|(_, slot)| slot.shape().iter().product::<usize>()).sum()
}

#[test]
fn published_sizes_have_as_many_parameters_as_upstream_counts() {
    let device = Device::default();
    let of = |text: &str| format!("{{{text}}}");
    let albert = of(r#""model_type": "albert", "hidden_size": 768, "num_attention_heads": 12,
        "intermediate_size": 3072"#);
    assert_eq!(count(Albert::from_config(&albert, &device).expect("base"), ""), 11_221_680);
    let base = ModernBertConfig::default().init(&device).expect("base");
    assert_eq!(count(base, ""), 149_655_232);
    let large = of(r#""model_type": "modernbert", "hidden_size": 1024, "intermediate_size": 2624,
        "num_hidden_layers": 28, "num_attention_heads": 16"#);
    assert_eq!(count(ModernBert::from_config(&large, &device).expect("large"), ""), 395_881_664);
    let esm = |layers, width| {
        of(&format!(
            r#""model_type": "esm", "hidden_size": {width}, "intermediate_size": {}, "num_hidden_layers": {layers},
            "num_attention_heads": 20"#,
            4 * width
        ))
    };
    assert_eq!(count(Esm::from_config(&esm(6, 320), &device).expect("8M"), ""), 7_512_474);
    assert_eq!(count(Esm::from_config(&esm(33, 1280), &device).expect("650M"), ""), 651_043_254);
    assert_eq!(count(DitConfig::default().init(&device).expect("mdlm-owt"), ""), 169_627_218);
    // The paper's 39 M are with the words of IWSLT14.
    assert_eq!(count(RdmConfig::iwslt(10_000).init(&device).expect("iwslt"), ""), 39_157_248);
    let text = EncoderConfig::new(11, 8, 1, 2);
    let clip = LlavaConfig::new(text, ClipVisionConfig::large(224)).init(&device).expect("ViT-L/14");
    assert_eq!(count(clip, "vision_tower."), 303_179_776);
}

type Read<'a> = &'a dyn Fn(&str) -> Result<(), Error>;

#[test]
fn variants_that_are_not_implemented_are_refused_by_name() {
    let albert = |text: &str| AlbertConfig::from_json(text).map(drop);
    let modernbert = |text: &str| ModernBertConfig::from_json(text).map(drop);
    let esm = |text: &str| EsmConfig::from_json(text).map(drop);
    let dit = |text: &str| DitConfig::from_json(text).map(drop);
    let rdm = |text: &str| RdmConfig::from_json(text).map(drop);
    let clip = |text: &str| ClipVisionConfig::from_json(text).map(drop);
    let cases: [(Read<'_>, &str, &str); 11] = [
        (&albert, r#"{"model_type": "bert"}"#, "model_type = bert is not supported"),
        (
            &albert,
            r#"{"model_type": "albert", "inner_group_num": 2}"#,
            "inner_group_num = 2 is not supported",
        ),
        (&albert, r#"{"model_type": "albert", "hidden_act": "selu"}"#, "hidden_act = selu is not supported"),
        (
            &modernbert,
            r#"{"model_type": "modernbert", "layer_types": ["full_attention"]}"#,
            r#"layer_types = ["full_attention"] is not supported"#,
        ),
        (
            &esm,
            r#"{"model_type": "esm", "position_embedding_type": "absolute"}"#,
            r#"position_embedding_type = "absolute" is not supported"#,
        ),
        (&dit, r#"{"model_type": "udlm", "cfg": true}"#, "cfg = true is not supported"),
        (
            &dit,
            r#"{"tokens": 9, "graph": {"type": "uniform"}, "model": {}}"#,
            r#"graph.type = "uniform" is not supported"#,
        ),
        (
            &rdm,
            r#"{"model_type": "diffusion_transformer", "decoder_use_rpe": true}"#,
            "decoder_use_rpe = true is not supported",
        ),
        (
            &rdm,
            r#"{"model_type": "diffusion_transformer", "decoder_embed_dim": 256}"#,
            "decoder_embed_dim = 256 is not supported",
        ),
        (
            &clip,
            r#"{"model_type": "clip_vision_model", "patch_size": 30}"#,
            "image_size must be a multiple of patch_size, got 224",
        ),
        (
            &dit,
            r#"{"model_type": "mdlm", "n_heads": 5}"#,
            "hidden_dim must be an even number for each head, got 768",
        ),
    ];
    for (read, text, message) in cases {
        assert_eq!(read(text).expect_err(text).to_string(), message);
    }
    for read in [&albert as Read<'_>, &modernbert, &esm, &dit, &rdm, &clip] {
        assert!(matches!(read("{}"), Err(Error::NoFamily)));
        assert!(matches!(read("["), Err(Error::ConfigJson(_))));
    }
}

#[test]
fn a_new_seeing_network_knows_the_words_of_its_pictures() {
    let tower = r#"{"model_type": "clip_vision_model", "hidden_size": 8, "intermediate_size": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 4, "patch_size": 2}"#;
    let tower = ClipVisionConfig::from_json(tower).expect("valid");
    let text = EncoderConfig::new(11, 8, 1, 2).with_initializer_range(0.5);
    let model = LlavaConfig::new(text, tower).init(&Device::default()).expect("valid").map(&mut Stir);
    let black = normalised(&[0; 48]);
    let white = normalised(&[255; 48]);
    // (0 − 0.481..) / 0.268.., red first.
    assert!((black[0] + 0.481_454_66 / 0.268_629_54).abs() < 1e-6);
    let seeing = model.see(&[black, white].concat()).expect("two pictures");
    assert_eq!((seeing.vocab_size(), seeing.words(1)), (19, vec![15, 16, 17, 18]));
    let ask = |picture: usize| {
        let mut ids = vec![0];
        ids.extend(seeing.words(picture));
        ids.extend([5, MASK, 2]);
        seeing.logits(&DenoiserInput::new(&ids, [1, 8], &[6])).narrow(1, 0, 11)
    };
    assert!(distance(ask(0), ask(1)) > 1e-3);
    let refused = seeing.check(&DenoiserInput::new(&[19], [1, 1], &[])).expect_err("no such patch");
    assert_eq!(refused.to_string(), "row 0, position 0: token id 19 is not below the vocabulary size 19");
    assert!(model.check(&DenoiserInput::new(&[11], [1, 1], &[])).is_err());
    let first_stage = freeze(model.clone().train(), |key| !key.starts_with("multi_modal_projector."));
    assert_eq!(trainable(&first_stage), 2 * (8 * 8 + 8));
    let error = model.see(&[0.0; 50]).expect_err("a picture and two numbers").to_string();
    assert_eq!(error, "numbers of pictures: expected 48, got 50");
}
