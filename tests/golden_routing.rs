//! The paper's decoder, token for token and score for score, on the traces of `tools/golden/rdm_trace.py`.

#![allow(clippy::float_cmp, reason = "scores are copied, not computed")]

use std::error::Error;

use burn::tensor::{Device, Tensor, TensorData};
use dlm_core::{Denoiser, DenoiserInput, TokenId, Vocabulary};
use dlm_sampling::{Canvas, Route, reverse, uniform};
use serde_json::Value;

const SIZE: usize = 128;

/// A network whose candidate and log-probability at step k are those of entry k of a trace.
struct Scripted<'a> {
    trace: &'a [Value],
    mask: TokenId,
}

impl Denoiser for Scripted<'_> {
    fn vocab_size(&self) -> usize {
        SIZE
    }

    fn device(&self) -> Device {
        Device::default()
    }

    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let steps = self.trace.len();
        let entry = &self.trace[((1.0 - input.times[0]) * steps as f64).round() as usize];
        let mut logits = Vec::with_capacity(input.at.len() * SIZE);
        for &at in input.at {
            let token = entry["predicted"][at].as_u64().expect("a token");
            let log_p = entry["predicted_scores"][at].as_f64().expect("a score");
            // The other words share the rest; the mask, though likeliest, has no part in it.
            let rest = ((1.0 - log_p.exp()) / (SIZE - 2) as f64).ln();
            let logit = |word: usize| match word {
                word if word == self.mask as usize => 5.0,
                word if word == token as usize => log_p,
                _ => rest,
            };
            logits.extend((0..SIZE).map(|word| logit(word) as f32));
        }
        Tensor::from_data(TensorData::new(logits, [input.at.len(), SIZE]), &self.device())
    }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
    let values = value.as_array().expect("a list");
    values.iter().map(|value| read(value).expect("an entry of the right type")).collect()
}

fn ids(value: &Value) -> Vec<TokenId> {
    list(value, |id| TokenId::try_from(id.as_u64()?).ok())
}

/// `null` is minus infinity.
fn scores(value: &Value) -> Vec<f32> {
    list(
        value,
        |score| if score.is_null() { Some(f32::NEG_INFINITY) } else { score.as_f64().map(|x| x as f32) },
    )
}

#[test]
fn route_replays_the_traces_of_reparameterised_decoding() -> Result<(), Box<dyn Error>> {
    let golden: Value = serde_json::from_str(include_str!("golden/rdm_traces.json"))?;
    let special = |name: &str| TokenId::try_from(golden["meta"][name].as_u64().expect("an id"));
    let vocabulary =
        Vocabulary::new(SIZE, special("bos")?, special("pad")?, special("eos")?, special("mask")?)?;
    let cases = golden["cases"].as_array().expect("cases");
    assert!(cases.len() >= 16);
    for case in cases {
        let text = |key: &str| case[key].as_str().expect("a text");
        let route: Route = format!("reparam-{}-deterministic-{}", text("mode"), text("schedule")).parse()?;
        let frame = (ids(&case["tokens"]), list(&case["editable"], Value::as_bool));
        let trace = case["trace"].as_array().expect("a trace");
        let model = Scripted { trace, mask: vocabulary.mask };
        let canvas = Canvas::infill(&[frame], &vocabulary)?;
        let mut steps = 0;
        let mut mean = f64::NAN;
        for (snapshot, expected) in reverse(&model, &route, canvas, uniform(trace.len()), 0).zip(trace) {
            let canvas = snapshot?.canvas;
            let at = format!("{}, step {}", text("name"), steps + 1);
            assert_eq!(canvas.ids(0), ids(&expected["tokens"]), "{at}");
            assert_eq!(canvas.noisy(0), list(&expected["noisy"], Value::as_bool), "{at}");
            for (got, expected) in canvas.scores(0).iter().zip(scores(&expected["scores"])) {
                assert!(*got == expected || (got - expected).abs() < 1e-5, "{at}: {got} is not {expected}");
            }
            mean = canvas.mean_score(0).expect("an editable position");
            steps += 1;
        }
        assert_eq!(steps, trace.len());
        assert!((mean - case["mean_score"].as_f64().expect("a mean")).abs() < 1e-5, "{}", text("name"));
    }
    Ok(())
}
