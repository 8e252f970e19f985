//! Text in, text out, over the committed masked LM, whose words are separated by spaces.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::Device;
use dlm::pipeline::{Error, Pipeline};
use dlm::sampling::{Canvas, Route, reverse, uniform};

fn pipeline() -> Pipeline {
    Pipeline::load("assets/g2p-mlm", &Device::default()).unwrap().0
}

#[test]
fn an_answer_is_what_the_loop_writes_and_the_surest_length_wins() {
    let pipeline = pipeline();
    let prompts = ["h e l l o", "b u r n"];
    let lengths = [vec![3, 4, 5], vec![3]];
    let answers = pipeline.generate(&prompts, &lengths, &Route::paper(), 4, 7).unwrap();
    for (prompt, (lengths, answer)) in prompts.iter().zip(lengths.iter().zip(&answers)) {
        let ids = pipeline.encode(prompt).unwrap();
        let alone = |length: usize| {
            let canvas = Canvas::prompted(&[&ids], &[length], pipeline.text.vocabulary()).unwrap();
            let canvas = reverse(&pipeline.model, &Route::paper(), canvas, uniform(4), 7).finish().unwrap();
            (canvas.mean_score(0).unwrap(), canvas.response(0))
        };
        let (score, response) =
            lengths.iter().map(|&length| alone(length)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        assert_eq!(answer.ids, response);
        assert!((answer.score - score).abs() < 1e-5, "{} is not {score}", answer.score);
        let words: Vec<String> = response.iter().map(|&id| pipeline.text.token(id).unwrap()).collect();
        let words: Vec<&str> =
            words.iter().map(String::as_str).filter(|word| !word.starts_with('[')).collect();
        assert_eq!(answer.text, words.join(" "));
        assert!(answer.score < 0.0 && !answer.text.is_empty());
    }
}

#[test]
fn many_prompts_go_in_several_passes_with_the_same_answers() {
    let pipeline = pipeline();
    let generate = |prompts: &[&str]| {
        let lengths = vec![vec![2]; prompts.len()];
        pipeline.generate(prompts, &lengths, &Route::paper(), 2, 1).unwrap()
    };
    let all = generate(&["a b"; 65]);
    assert_eq!(all.len(), 65);
    assert_eq!(all[64].ids, generate(&["a b"])[0].ids);
}

#[test]
fn what_cannot_be_answered_is_an_error() {
    let pipeline = pipeline();
    let refused = |prompts: &[&str], lengths: &[Vec<usize>], steps| {
        pipeline.generate(prompts, lengths, &Route::paper(), steps, 0).unwrap_err()
    };
    assert!(matches!(refused(&["a"], &[vec![1]], 0), Error::NoSteps));
    let error = refused(&["a", "a b"], &[vec![1], vec![1, 61]], 1);
    assert!(matches!(error, Error::TooLong { index: 1, got: 65, most: 64 }), "{error}");
    assert!(matches!(refused(&["a"], &[vec![usize::MAX]], 1), Error::TooLong { index: 0, .. }));
    assert!(matches!(refused(&["a"], &[], 1), Error::Sampling(_)));
    assert!(matches!(refused(&["a"], &[vec![]], 1), Error::Sampling(_)));
    assert!(pipeline.generate(&[], &[], &Route::paper(), 1, 0).unwrap().is_empty());
    let missing = Pipeline::load("assets/cmudict", &Device::default()).err().unwrap();
    assert!(matches!(missing, Error::Models(_)), "{missing}");
}

#[test]
fn a_folder_with_a_length_head_guesses_lengths() {
    let (pipeline, _) = Pipeline::load("assets/g2p", &Device::default()).unwrap();
    let lengths = pipeline.predict_lengths(&["rust", "internationalisation"], 3).unwrap();
    assert!(lengths[0].contains(&4) && lengths[0].len() == 3, "{lengths:?}");
    let answers = pipeline.generate(&["rust", "burn"], &[vec![4], vec![3]], &Route::paper(), 10, 0).unwrap();
    assert_eq!([answers[0].text.as_str(), answers[1].text.as_str()], ["R AH S T", "B ER N"]);
    assert!(matches!(self::pipeline().predict_lengths(&["a"], 1), Err(Error::NoLengthHead)));
}

#[test]
fn a_length_head_of_another_network_is_refused() {
    let folder = std::env::temp_dir().join(format!("dlm-pipeline-head-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(std::path::Path::new("assets/g2p-mlm").join(file), folder.join(file)).unwrap();
    }
    let other = dlm::models::EncoderConfig::new(71, 16, 1, 2);
    dlm::models::LengthHeadConfig::of(&other).init(&Device::default()).unwrap().write(&folder).unwrap();
    let refused = Pipeline::load(&folder, &Device::default()).err();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(refused, Some(Error::HeadWidth { network: 128, got: 16 })), "{refused:?}");
}
