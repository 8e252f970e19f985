//! Laws of the decoders, each over all families: who sees whom, where positions start, what is refused.

use burn::module::Module;
use burn::tensor::{Device, Tensor, Tolerance, s};
use dlm_core::recompute::recording;
use dlm_core::view::{Shifted, next_token};
use dlm_core::{Attention, Batch, Denoiser, DenoiserInput, Sequence, TokenId, Vocabulary};
use dlm_models::{
    Bits, Gpt2Config, Llama, LlamaConfig, LlamaFamily, Lora, ParamCounts, Pretrained, quantised, trainable,
};

const PAD: TokenId = 1;
const FAMILIES: [LlamaFamily; 10] = [
    LlamaFamily::Llama,
    LlamaFamily::Mistral,
    LlamaFamily::Qwen2,
    LlamaFamily::Qwen3,
    LlamaFamily::Qwen3Moe,
    LlamaFamily::Dream,
    LlamaFamily::Sdar,
    LlamaFamily::SdarMoe,
    LlamaFamily::Llada,
    LlamaFamily::Llada2,
];

/// With large weights, so that every position matters.
fn config(family: LlamaFamily) -> LlamaConfig {
    let mut config = LlamaConfig::new(family, 11, 16, 2, 4);
    config.max_position_embeddings = 10;
    (config.initializer_range, config.attention_dropout) = (0.3, 0.0);
    if family != LlamaFamily::Llada {
        (config.num_key_value_heads, config.head_dim) = (2, 8);
    }
    if let Some(experts) = &mut config.experts {
        (experts.num_experts, experts.moe_intermediate_size) = (16, 8);
    }
    config
}

fn gpt2() -> Gpt2Config {
    let mut config = Gpt2Config::new(11, 16, 2, 4).with_dropout(0.0);
    (config.n_positions, config.initializer_range) = (10, 0.3);
    config
}

/// Every decoder there is.
fn models(device: &Device) -> Vec<(String, Box<dyn Denoiser>)> {
    let llamas = FAMILIES.into_iter().map(|family| {
        let model = config(family).init(device).expect("sizes are valid");
        (format!("{family:?}"), Box::new(model) as Box<dyn Denoiser>)
    });
    let gpt2 = gpt2().init(device).expect("sizes are valid");
    llamas.chain([("Gpt2".to_owned(), Box::new(gpt2) as Box<dyn Denoiser>)]).collect()
}

fn close(left: Tensor<2>, right: Tensor<2>) -> bool {
    distance(left, right) < 1e-5
}

fn distance(left: Tensor<2>, right: Tensor<2>) -> f32 {
    (left - right).abs().max().into_scalar()
}

#[test]
fn a_row_gives_the_same_logits_alone_and_padded_on_either_side() {
    for (name, model) in models(&Device::default()) {
        let alone = model.logits(&DenoiserInput::new(&[3, 4, 5], [1, 3], &[0, 1, 2]));
        let ids = [3, 4, 5, PAD, PAD, PAD, PAD, 3, 4, 5, 6, 7, 8, 9, 10];
        let pad: Vec<bool> = ids.iter().map(|&id| id == PAD).collect();
        let at = [0, 1, 2, 7, 8, 9];
        let batch = model.logits(&DenoiserInput::new(&ids, [3, 5], &at).with_pad(&pad));
        assert!(close(batch.clone().slice(s![0..3, ..]), alone.clone()), "{name}: padding behind");
        assert!(close(batch.slice(s![3..6, ..]), alone), "{name}: padding before");
    }
}

#[test]
fn everybody_sees_everybody_and_knows_where() {
    for (name, model) in models(&Device::default()) {
        let first = |ids: &[TokenId]| model.logits(&DenoiserInput::new(ids, [1, 4], &[0]));
        assert!(distance(first(&[3, 4, 5, 6]), first(&[3, 4, 5, 9])) > 1e-3, "{name}: the last token");
        assert!(distance(first(&[3, 4, 5, 6]), first(&[3, 5, 4, 6])) > 1e-3, "{name}: the order");
    }
}

#[test]
fn what_comes_after_a_block_is_not_seen() {
    for (name, model) in models(&Device::default()) {
        let at = [0, 1, 2, 3];
        let ask = |ids: &[TokenId], attention| {
            model.logits(&DenoiserInput::new(ids, [1, 4], &at).with_attention(attention))
        };
        let causal = |ids: &[TokenId]| ask(ids, Attention::Causal);
        let (clean, late) = (causal(&[3, 4, 5, 6]), causal(&[3, 4, 5, 9]));
        assert!(close(clean.clone().slice(s![0..3, ..]), late.slice(s![0..3, ..])), "{name}: causal");
        assert!(close(clean, ask(&[3, 4, 5, 6], Attention::BlockCausal(1))), "{name}: blocks of one");
        let both = DenoiserInput::new(&[9, 8, 7, 6, 3, 4, 5, 6], [2, 4], &[4, 5, 6, 7]);
        let both = model.logits(&both.with_attention(Attention::Causal));
        assert!(close(both, causal(&[3, 4, 5, 6])), "{name}: the second row");
        let blocks = |ids: &[TokenId]| ask(ids, Attention::BlockCausal(2));
        let (clean, late) = (blocks(&[3, 4, 5, 6]), blocks(&[3, 4, 5, 9]));
        assert!(close(clean.clone().slice(s![0..2, ..]), late.clone().slice(s![0..2, ..])), "{name}: blocks");
        assert!(distance(clean.slice(s![2..3, ..]), late.slice(s![2..3, ..])) > 1e-3, "{name}: within one");
    }
}

#[test]
fn packed_documents_give_the_logits_they_give_alone() {
    let vocabulary = Vocabulary::new(11, 0, PAD, 2, 10).expect("ids below the size");
    let documents = [vec![3, 4, 5], vec![6, 7], vec![8, 3, 9, 4, 5, 6, 7], vec![5]];
    let [a, b, c, d] = documents.clone().map(Sequence::whole);
    let batch = Batch::packed(&[vec![a, b], vec![c, d]], &vocabulary).expect("a batch");
    for (name, model) in models(&Device::default()) {
        for attention in [Attention::Full, Attention::Causal] {
            let at = [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15];
            let input = DenoiserInput::new(batch.ids(), [2, 8], &at).with_pad(batch.pad());
            let input = input.with_documents(batch.documents().expect("numbers")).with_attention(attention);
            let alone = documents.iter().map(|ids| {
                let at: Vec<usize> = (0..ids.len()).collect();
                model.logits(&DenoiserInput::new(ids, [1, ids.len()], &at).with_attention(attention))
            });
            let alone = Tensor::cat(alone.collect(), 0);
            assert!(close(model.logits(&input), alone), "{name}, {attention:?}");
        }
    }
}

#[test]
fn logits_come_in_the_order_asked_and_nothing_for_nothing() {
    for (name, model) in models(&Device::default()) {
        let ask = |at: &[usize]| model.logits(&DenoiserInput::new(&[3, 4, 5, 6], [2, 2], at));
        let all = ask(&[0, 1, 2, 3]);
        let turned = Tensor::cat(vec![all.clone().slice(s![2..3, ..]), all.slice(s![0..1, ..])], 0);
        assert!(close(ask(&[2, 0]), turned), "{name}");
        assert_eq!(ask(&[]).dims(), [0, 11], "{name}");
    }
}

#[test]
fn shifted_views_answer_one_position_late() {
    for (name, model) in models(&Device::default()) {
        let input = |at| DenoiserInput::new(&[3, 4, 5], [1, 3], at);
        assert!(close(Shifted(&*model).logits(&input(&[1, 2])), model.logits(&input(&[0, 1]))), "{name}");
        let causal = model.logits(&input(&[0, 1]).with_attention(Attention::Causal));
        assert!(close(next_token(&*model).logits(&input(&[1, 2])), causal), "{name}");
    }
}

#[test]
fn a_row_of_padding_is_finite() {
    for device in [Device::default(), Device::default().autodiff()] {
        for (name, model) in models(&device) {
            let pad = [false, false, true, true];
            let input = DenoiserInput::new(&[3, 4, PAD, PAD], [2, 2], &[0, 1, 2, 3]).with_pad(&pad);
            assert!(model.logits(&input).is_finite().all().into_scalar::<bool>(), "{name}");
        }
    }
}

#[test]
fn hidden_states_are_those_behind_the_logits() {
    let model = config(LlamaFamily::Llama).init(&Device::default()).expect("sizes are valid");
    let input = DenoiserInput::new(&[3, 4, 5, 6], [2, 2], &[0, 1, 2, 3]);
    let hidden = model.hidden(&input).flatten::<2>(0, 1);
    let logits = dlm_core::Factored::decoder(&model).forward(hidden);
    logits.into_data().assert_approx_eq::<f32>(&model.logits(&input).into_data(), Tolerance::absolute(1e-5));
}

#[test]
fn counted_parameters_are_those_of_the_network() {
    let device = Device::default();
    let count = |model: &Llama| model.num_params();
    for family in FAMILIES {
        let mut config = config(family);
        assert_eq!(count(&config.init(&device).expect("valid")), config.param_counts().total(), "{family:?}");
        config.tie_word_embeddings ^= true;
        if let Some(experts) = &mut config.experts {
            (experts.num_shared_experts, experts.first_k_dense_replace) = (2, 1);
        }
        assert_eq!(count(&config.init(&device).expect("valid")), config.param_counts().total(), "{family:?}");
    }
    let counts: ParamCounts = gpt2().param_counts();
    assert_eq!(gpt2().init(&device).expect("valid").num_params(), counts.total());
}

#[test]
fn bad_input_is_refused() {
    for (name, model) in models(&Device::default()) {
        let error = model.check(&DenoiserInput::new(&[3; 11], [1, 11], &[])).expect_err("too long");
        assert!(matches!(error, dlm_core::Error::TooLong { got: 11, most: 10, .. }), "{name}: {error}");
        let error = model.check(&DenoiserInput::new(&[11], [1, 1], &[])).expect_err("unknown");
        assert!(matches!(error, dlm_core::Error::UnknownToken { id: 11, .. }), "{name}: {error}");
    }
}

#[test]
fn blocks_can_be_computed_again() {
    let device = Device::default().autodiff();
    for (name, model) in models(&device) {
        let input = DenoiserInput::new(&[3, 4, 5, 6], [2, 2], &[0, 3]).with_pad(&[false, false, false, true]);
        let (logits, segments) = recording(3, || model.logits(&input));
        assert_eq!(segments.len(), 2, "{name}");
        assert!(close(logits, model.logits(&input)), "{name}");
    }
}

#[test]
fn linear_layers_take_adapters_and_whole_numbers() {
    fn check<M: Pretrained>(model: M, target: &str) {
        let input = DenoiserInput::new(&[3, 4, 5, 6], [2, 2], &[0, 3]);
        let (logits, largest) = (model.logits(&input), model.logits(&input).abs().max().into_scalar::<f32>());
        let rounded = distance(quantised(&model, Bits::Eight).logits(&input), logits.clone());
        assert!(rounded > 0.0 && rounded < 0.1 * largest, "{target}: {rounded} of {largest}");
        let all = trainable(&model.clone().train());
        let adapted = Lora::new(2, 4.0, [target]).attach(model.train()).expect("a linear layer");
        assert!(trainable(&adapted) < all, "{target}");
        assert!(close(adapted.valid().logits(&input), logits), "{target}");
    }
    let llama = |family| config(family).init(&Device::default()).expect("sizes are valid");
    check(llama(LlamaFamily::Llama), "q_proj");
    check(llama(LlamaFamily::Llada), "ff_proj");
    check(gpt2().init(&Device::default()).expect("sizes are valid"), "c_attn");
}

#[test]
fn folders_of_others_name_weights_otherwise() {
    let gpt2 = gpt2().init(&Device::default()).expect("sizes are valid");
    let words = gpt2.spellings("transformer.wte.weight");
    assert_eq!(words, ["wte.weight", "denoise_model.wte.weight", "embed_tokens.weight"]);
    assert_eq!(gpt2.spellings("transformer.ln_f.bias"), ["ln_f.bias", "denoise_model.ln_f.bias"]);
    let llama = config(LlamaFamily::Llama).init(&Device::default()).expect("sizes are valid");
    assert_eq!(llama.spellings("model.norm.weight"), ["norm.weight", "denoise_model.norm.weight"]);
    assert!(llama.spellings("lm_head.weight").is_empty());
}
