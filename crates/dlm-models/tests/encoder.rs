//! Laws of the encoder: who sees whom, where positions start, what is refused.

mod seeded;

use burn::module::Module;
use burn::tensor::{Device, Tensor, Tolerance, s};
use dlm_core::{Attention, Batch, Denoiser, DenoiserInput, Factored, Sequence, TokenId, Vocabulary};
use dlm_models::{Encoder, EncoderConfig, Family};

use self::seeded::{alone, seeded};

const PAD: TokenId = 1;
const FAMILIES: [Family; 5] =
    [Family::Bert, Family::DistilBert, Family::Roberta, Family::XlmRoberta, Family::XlmRobertaXl];

fn config(family: Family) -> EncoderConfig {
    EncoderConfig::new(11, 16, 2, 4)
        .with_family(family)
        .with_pad_token_id(PAD as usize)
        .with_max_position_embeddings(10)
        // Large weights, so that every position matters.
        .with_initializer_range(0.5)
}

fn model(family: Family) -> Encoder {
    built(&config(family), &Device::default())
}

/// A network with the same weights at each run.
fn built(config: &EncoderConfig, device: &Device) -> Encoder {
    seeded(device, || config.init(device).expect("sizes are valid"))
}

fn assert_close(left: Tensor<2>, right: Tensor<2>) {
    left.into_data().assert_approx_eq::<f32>(&right.into_data(), Tolerance::absolute(1e-5));
}

fn distance(left: Tensor<2>, right: Tensor<2>) -> f32 {
    (left - right).abs().max().into_scalar()
}

#[test]
fn a_row_gives_the_same_logits_alone_and_padded_on_either_side() {
    for family in FAMILIES {
        let model = model(family);
        let alone = model.logits(&DenoiserInput::new(&[3, 4, 5], [1, 3], &[0, 1, 2]));
        let ids = [3, 4, 5, PAD, PAD, PAD, PAD, 3, 4, 5, 6, 7, 8, 9, 10];
        let pad: Vec<bool> = ids.iter().map(|&id| id == PAD).collect();
        let at = [0, 1, 2, 7, 8, 9];
        let batch = model.logits(&DenoiserInput::new(&ids, [3, 5], &at).with_pad(&pad));
        assert_close(batch.clone().slice(s![0..3, ..]), alone.clone());
        assert_close(batch.slice(s![3..6, ..]), alone);
    }
}

#[test]
fn logits_come_in_the_order_asked() {
    let model = model(Family::Bert);
    let ids = [3, 4, 5, 6];
    let ask = |at: &[usize]| model.logits(&DenoiserInput::new(&ids, [2, 2], at));
    let all = ask(&[0, 1, 2, 3]);
    assert_close(
        ask(&[2, 0]),
        Tensor::cat(vec![all.clone().slice(s![2..3, ..]), all.slice(s![0..1, ..])], 0),
    );
}

#[test]
fn a_prefix_sees_itself_alone_and_the_rest_sees_everything() {
    let model = model(Family::Roberta);
    let ask = |ids: &[TokenId], attention| {
        model.logits(&DenoiserInput::new(ids, [1, 4], &[0, 1, 2, 3]).with_attention(attention))
    };
    let prefix = |ids: &[TokenId]| ask(ids, Attention::Prefix(&[2]));
    assert_close(prefix(&[3, 4, 5, 6]).slice(s![0..2, ..]), prefix(&[3, 4, 7, 8]).slice(s![0..2, ..]));
    assert!(
        distance(prefix(&[3, 4, 5, 6]).slice(s![2..4, ..]), prefix(&[3, 9, 5, 6]).slice(s![2..4, ..])) > 1e-2
    );
    assert!(distance(prefix(&[3, 4, 5, 6]), ask(&[3, 4, 5, 6], Attention::Full)) > 1e-2);
    assert_close(ask(&[3, 4, 5, 6], Attention::Prefix(&[4])), ask(&[3, 4, 5, 6], Attention::Full));
}

#[test]
fn a_prefix_and_padding_go_together() {
    let model = model(Family::Bert);
    let attention = Attention::Prefix(&[1]);
    let alone = DenoiserInput::new(&[3, 4, 5], [1, 3], &[0, 1, 2]).with_attention(attention);
    let pad = [false, false, false, true];
    let padded = DenoiserInput::new(&[3, 4, 5, PAD], [1, 4], &[0, 1, 2]).with_attention(attention);
    assert_close(model.logits(&padded.with_pad(&pad)), model.logits(&alone));
}

#[test]
fn a_causal_network_does_not_see_what_comes() {
    let model = model(Family::Roberta);
    let ask = |ids: &[TokenId], attention| {
        model.logits(&DenoiserInput::new(ids, [1, 4], &[0, 1, 2, 3]).with_attention(attention))
    };
    let causal = |ids: &[TokenId]| ask(ids, Attention::Causal);
    assert_close(causal(&[3, 4, 5, 6]).slice(s![0..3, ..]), causal(&[3, 4, 5, 9]).slice(s![0..3, ..]));
    assert!(distance(causal(&[3, 4, 5, 6]), causal(&[9, 4, 5, 6])) > 1e-2);
    // The same as pairs, and not by chance the same as something else.
    let pairs: Vec<bool> = (0..16).map(|pair| pair % 4 <= pair / 4).collect();
    assert_close(causal(&[3, 4, 5, 6]), ask(&[3, 4, 5, 6], Attention::Pairs(&pairs)));
    assert!(distance(causal(&[3, 4, 5, 6]), ask(&[3, 4, 5, 6], Attention::Full)) > 1e-2);
}

#[test]
fn packed_documents_give_the_logits_they_give_alone() {
    let vocabulary = Vocabulary::new(11, 0, PAD, 2, 10).expect("ids below the size");
    let documents = [vec![3, 4, 5], vec![6, 7], vec![8, 3, 9, 4, 5, 6, 7], vec![5]];
    let [a, b, c, d] = documents.clone().map(Sequence::whole);
    let batch = Batch::packed(&[vec![a, b], vec![c, d]], &vocabulary).expect("a batch");
    for (family, attention) in [(Family::Bert, Attention::Full), (Family::Roberta, Attention::Causal)] {
        let model = model(family);
        let at = [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15];
        let input = DenoiserInput::new(batch.ids(), [2, 8], &at).with_pad(batch.pad());
        let input = input.with_documents(batch.documents().expect("numbers")).with_attention(attention);
        let alone = documents.iter().map(|ids| {
            let at: Vec<usize> = (0..ids.len()).collect();
            model.logits(&DenoiserInput::new(ids, [1, ids.len()], &at).with_attention(attention))
        });
        assert_close(model.logits(&input), Tensor::cat(alone.collect(), 0));
    }
    // Eight tokens in a row, but no document of more than the seven that fit.
    let short = built(&config(Family::Bert).with_max_position_embeddings(7), &Device::default());
    let input = DenoiserInput::new(batch.ids(), [2, 8], &[0]).with_pad(batch.pad());
    assert!(short.check(&input.with_documents(batch.documents().expect("numbers"))).is_ok());
    assert!(short.check(&input).is_err());
}

#[test]
fn a_row_of_padding_is_finite_and_disturbs_nobody() {
    for device in [Device::default(), Device::default().autodiff()] {
        let model = built(&config(Family::Bert), &device);
        let pad = [false, false, true, true];
        let input = DenoiserInput::new(&[3, 4, PAD, PAD], [2, 2], &[0, 1, 2, 3]).with_pad(&pad);
        let logits = model.logits(&input);
        assert!(logits.is_finite().all().into_scalar::<bool>());
    }
}

#[test]
fn asking_nothing_answers_nothing() {
    let model = model(Family::Bert);
    let input = DenoiserInput::new(&[3, 4], [1, 2], &[]);
    assert_eq!(model.logits(&input).dims(), [0, 11]);
    assert_eq!(model.features(&input).dims(), [0, 16]);
}

#[test]
fn attention_on_the_tape_equals_the_operation() {
    let train = built(&config(Family::Bert).with_dropout(0.0), &Device::default().autodiff());
    let pad = [false, false, false, false, false, true];
    let input = DenoiserInput::new(&[3, 4, 5, 6, 7, PAD], [2, 3], &[0, 2, 3, 4]).with_pad(&pad);
    assert_close(train.logits(&input), train.valid().logits(&input).autodiff());
}

#[test]
fn dropout_acts_in_training_alone() {
    let model = built(&config(Family::Bert).with_dropout(0.5), &Device::default());
    let _alone = alone();
    let input = DenoiserInput::new(&[3, 4, 5], [1, 3], &[0, 1, 2]);
    assert_close(model.logits(&input), model.logits(&input));
    let train = model.train();
    assert!(distance(train.logits(&input), train.logits(&input)) > 1e-2);
}

#[test]
fn bad_input_is_refused() {
    let model = model(Family::Roberta);
    // Ten rows in the table, of which RoBERTa leaves out two.
    let long = [3; 9];
    let refused = |input: &DenoiserInput<'_>| model.check(input).expect_err("bad input");
    let error = refused(&DenoiserInput::new(&long, [1, 9], &[]));
    assert!(matches!(error, dlm_core::Error::TooLong { row: 0, got: 9, most: 8 }), "{error}");
    let pad = [false, false, false, false, true, false, false, false, false];
    model.check(&DenoiserInput::new(&long, [1, 9], &[]).with_pad(&pad)).expect("eight tokens fit");
    let error = refused(&DenoiserInput::new(&[3, 11], [1, 2], &[]));
    assert_eq!(error.to_string(), "row 0, position 1: token id 11 is not below the vocabulary size 11");
    let error = refused(&DenoiserInput::new(&[3, 4], [1, 2], &[2]));
    assert!(matches!(error, dlm_core::Error::NoPosition { at: 2, len: 2 }), "{error}");
    let error = refused(&DenoiserInput::new(&[3, 4], [1, 2], &[]).with_attention(Attention::Prefix(&[])));
    assert_eq!(error.to_string(), "prefixes of a batch: expected 1, got 0");
}

#[test]
#[should_panic(expected = "token id 11 is not below the vocabulary size 11")]
fn logits_panic_with_the_message_of_check() {
    model(Family::Bert).logits(&DenoiserInput::new(&[11], [1, 1], &[0]));
}

#[test]
fn counted_parameters_are_those_of_the_network() {
    for family in FAMILIES {
        assert_eq!(model(family).num_params(), config(family).param_counts().total());
    }
}
