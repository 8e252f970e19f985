//! Loss values and gradients against `tools/golden/losses.py`: f64, written from the published equations.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use burn::tensor::{Device, Tensor};
use dlm::core::loss::{Mlm, Nelbo, Rdm, Reduction, Weighting, forbid, nll, nll_per_token};
use dlm::core::schedule::{Cosine, Linear, Polynomial};
use dlm::core::{Batch, Noised, Prior, Sequence, Vocabulary};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/losses.json")).unwrap()
}

fn rows<T>(value: &Value, map: impl Fn(&Value) -> T) -> Vec<Vec<T>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(&map).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

fn id(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// One of the three kinds of input of the golden file, as a noised batch and its logits `[N, V]`.
fn noised(inputs: &Value, kind: &str, times: &[f64]) -> (Noised, Tensor<2>) {
    let (x0, xt) = if kind == "whole" { ("x0_whole", "xt_whole") } else { ("x0", "xt") };
    let (x0, xt) = (rows(&inputs[x0], id), rows(&inputs[xt], id));
    let maskable = rows(&inputs["maskable"], |flag| flag.as_bool().unwrap());
    let vocabulary = Vocabulary::new(7, 0, 5, 1, 6).unwrap();
    let sequences: Vec<_> = (0..times.len())
        .map(|row| match kind {
            "whole" => Sequence::whole(x0[row].clone()),
            _ => Sequence::new(x0[row % 3].clone(), maskable[row % 3].clone()).unwrap(),
        })
        .collect();
    let batch = Batch::new(&sequences, &vocabulary).unwrap();
    let noisy: Vec<bool> = xt[..times.len()].concat().iter().map(|&id| id == 6).collect();
    let noised = Noised::with_noise(&batch, times, &noisy, Prior::Absorbing { mask: 6 }).unwrap();
    let values: Vec<f32> = rows(&inputs["logits"], |row| row.as_array().unwrap().clone())
        .concat()
        .concat()
        .iter()
        .map(|x| x.as_f64().unwrap() as f32)
        .collect();
    let at: Vec<f32> = noised.at().iter().flat_map(|&i| values[i * 7..][..7].to_vec()).collect();
    let device = Device::default().autodiff();
    let logits = Tensor::<1>::from_floats(at.as_slice(), &device).reshape([noised.at().len(), 7]);
    (noised, logits.require_grad())
}

fn weighting(case: &Value) -> Option<Box<dyn Weighting>> {
    let text = |key: &str| case[key].as_str().unwrap_or_default();
    Some(match text("name") {
        "dllm" | "rdm" => {
            let rdm = match text("weight") {
                "linear" => Rdm::linear(50),
                "constant" => Rdm::constant(50),
                _ => Rdm::reciprocal(50),
            };
            let rdm = rdm.unwrap().with_label_smoothing(case["label_smoothing"].as_f64().unwrap()).unwrap();
            let rdm = if case["factor"] == 1 { rdm.unit_scale() } else { rdm };
            Box::new(if text("name") == "rdm" { rdm.with_reduction(Reduction::Positions) } else { rdm })
        }
        "mdlm" => {
            let reduction =
                if text("normaliser") == "mean over rows" { Reduction::Rows } else { Reduction::Tokens };
            match text("schedule") {
                "linear" => Box::new(Nelbo::new(Linear, reduction)),
                "cosine" => Box::new(Nelbo::new(Cosine, reduction)),
                "polynomial_2" => Box::new(Nelbo::new(Polynomial::new(2.0).unwrap(), reduction)),
                _ => return None, // a curve that is not here
            }
        }
        "llada" if text("stage") == "pre-training" => Box::new(Nelbo::llada_pretraining()),
        "llada" => Box::new(Nelbo::llada_sft()),
        _ => Box::new(Mlm),
    })
}

fn times(inputs: &Value, case: &Value) -> Vec<f64> {
    if case["inputs"] == "coupled" {
        return inputs["steps"].as_array().unwrap().iter().map(|k| k.as_f64().unwrap() / 50.0).collect();
    }
    let eps = case["eps"].as_f64().unwrap_or(0.0);
    inputs["t"].as_array().unwrap().iter().map(|t| eps + (1.0 - eps) * t.as_f64().unwrap()).collect()
}

#[test]
fn every_loss_equals_its_published_equation() {
    let golden = golden();
    let mut checked = 0;
    for case in golden["cases"].as_array().unwrap() {
        let suppressed = case["mask_logit"] == "suppressed";
        // A forbidden word has no log-probability to smooth.
        let smoothed = case["label_smoothing"].as_f64().is_some_and(|eps| eps > 0.0);
        let Some(weighting) = weighting(case).filter(|_| !(suppressed && smoothed)) else { continue };
        let times = times(&golden["inputs"], case);
        let (noised, logits) = noised(&golden["inputs"], case["inputs"].as_str().unwrap(), &times);
        let asked = if suppressed { forbid(logits.clone(), 6) } else { logits.clone() };
        let loss = nll(asked, &noised, &weighting);
        let (got, expected) = (f64::from(loss.clone().into_scalar::<f32>()), case["value"].as_f64().unwrap());
        assert!((got - expected).abs() <= 2e-6 * expected.abs(), "{case}: got {got}");
        if let Some(gradient) = case["gradient"].as_array() {
            let flat: Vec<f64> = rows(&Value::Array(gradient.clone()), |row| row.as_array().unwrap().clone())
                .concat()
                .concat()
                .iter()
                .map(|g| g.as_f64().unwrap())
                .collect();
            let got: Vec<f32> = logits.grad(&loss.backward()).unwrap().into_data().iter().collect();
            for (n, &i) in noised.at().iter().enumerate() {
                for v in 0..7 {
                    let (got, expected) = (f64::from(got[n * 7 + v]), flat[i * 7 + v]);
                    assert!(
                        (got - expected).abs() < 1e-5,
                        "{case}: position {i}, word {v}: {got} {expected}"
                    );
                }
            }
        }
        checked += 1;
    }
    assert!(checked >= 45, "only {checked} cases were checked");
}

#[test]
fn the_loss_of_a_token_equals_its_published_value() {
    let golden = golden();
    for (kind, times) in [("coupled", vec![0.5; 6]), ("whole", vec![0.5; 3])] {
        let (noised, logits) = noised(&golden["inputs"], kind, &times);
        let expected = rows(&golden["nll"][format!("{kind}, mask kept")], |x| x.as_f64().unwrap()).concat();
        let got: Vec<f32> = nll_per_token(logits, &noised.targets()).into_data().iter().collect();
        for (got, &i) in got.iter().zip(noised.at()) {
            assert!((f64::from(*got) - expected[i]).abs() < 2e-6, "{kind}, position {i}");
        }
    }
}
