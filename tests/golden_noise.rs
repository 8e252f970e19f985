//! Losses of every kind of noise against `tools/golden/losses_noise.py`: f64, each written from its own paper.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::{Device, Tensor};
use dlm::core::loss::{
    Cart, Confidence, D3pm, Elbo, FlowMatching, GenMd4, LogScores, Rdm, Reduction, ScoreEntropy, TokenLoss,
    Weighting, forbid, nll_per_token,
};
use dlm::core::prior::{Mixed, Words};
use dlm::core::schedule::{Hybrid, Linear, PerToken, Table};
use dlm::core::{Batch, Forward, Noised, Prior, Schedule, Sequence, Vocabulary};
use serde_json::Value;

const V: usize = 6;
const MASK: u32 = 5;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/losses_noise.json")).unwrap()
}

fn ids(rows: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(rows.clone()).unwrap()
}

/// All positions of one kind of noise, and the logits at those that are asked.
fn noised(inputs: &Value, kind: &str, prior: &Prior, latest: f64) -> (Noised, Tensor<2>) {
    let vocabulary = Vocabulary::new(V, 0, 0, 0, MASK).unwrap();
    let rows: Vec<Sequence> = ids(&inputs["x0"]).into_iter().map(Sequence::whole).collect();
    let batch = Batch::new(&rows, &vocabulary).unwrap();
    let steps: Vec<f64> = serde_json::from_value(inputs["steps"].clone()).unwrap();
    let times: Vec<f64> = steps.iter().map(|k| (k / 20.0).min(latest)).collect();
    let noised = Noised::with_tokens(&batch, &times, &ids(&inputs[kind]).concat(), prior).unwrap();
    let logits: Vec<Vec<Vec<f32>>> = serde_json::from_value(inputs["logits"].clone()).unwrap();
    let asked: Vec<f32> = noised.at().iter().flat_map(|&at| logits.concat()[at].clone()).collect();
    let device = Device::default().autodiff();
    let logits = Tensor::<1>::from_floats(asked.as_slice(), &device).reshape([noised.at().len(), V]);
    (noised, logits.require_grad())
}

fn numbers(terms: &Tensor<1>) -> Vec<f32> {
    terms.clone().into_data().iter().collect()
}

/// Value and gradient at every asked position, and 0 in the golden file elsewhere.
fn same(case: &Value, noised: &Noised, logits: &Tensor<2>, terms: &Tensor<1>) {
    let name = case["name"].as_str().unwrap();
    let values: Vec<Vec<f64>> = serde_json::from_value(case["values"].clone()).unwrap();
    let gradients: Vec<Vec<Vec<f64>>> = serde_json::from_value(case["gradients"].clone()).unwrap();
    let (values, gradients) = (values.concat(), gradients.concat());
    let gradient: Vec<f32> =
        logits.grad(&terms.clone().sum().backward()).unwrap().into_data().iter().collect();
    for (n, (&at, got)) in noised.at().iter().zip(numbers(terms)).enumerate() {
        let close =
            |got: f32, expected: f64| (f64::from(got) - expected).abs() < 2e-5 * (1.0 + expected.abs());
        assert!(close(got, values[at]), "{name}, position {at}: {got} is not {}", values[at]);
        for v in 0..V {
            let (got, expected) = (gradient[n * V + v], gradients[at][v]);
            assert!(close(got, expected), "{name}, position {at}, word {v}: {got} is not {expected}");
        }
    }
    let asked = |at: &usize| noised.at().contains(at);
    assert!(
        (0..values.len()).filter(|at| !asked(at)).all(|at| values[at] == 0.0),
        "{name}: asked too little"
    );
}

#[test]
fn every_loss_equals_its_published_equation() {
    let golden = golden();
    let inputs = &golden["inputs"];
    let all = Words::weighted(&[1.0; V]).unwrap();
    let five = Words::weighted(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.0]).unwrap();
    let hybrid = Hybrid::new(inputs["p_uniform"].as_f64().unwrap()).unwrap();
    let masks = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let words = Forward::new(Linear, Prior::Words(all));
    let both = Forward::new(hybrid, Prior::Mixed(Mixed::hybrid(MASK, five, hybrid).unwrap()));
    let exponents: Vec<f64> = serde_json::from_value(inputs["exponents"].clone()).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let (kind, name) = (case["noise"].as_str().unwrap(), case["name"].as_str().unwrap());
        let prior = match kind {
            "masked" => masks.prior(),
            "words" => words.prior(),
            _ => both.prior(),
        };
        let latest = if name.starts_with("gidd") || name.starts_with("sedd") { 0.99 } else { 1.0 };
        let (noised, logits) = noised(inputs, kind, prior, latest);
        let z = logits.clone();
        let known = || forbid(logits.clone(), MASK);
        let terms = match name {
            "d3pm_absorbing" => D3pm::new(&masks, 20).unwrap().terms(z, &noised),
            "d3pm_uniform" => D3pm::new(&words, 20).unwrap().terms(z, &noised),
            "udlm" => Elbo::new(&words).terms(z, &noised),
            "sedd_absorbing" => ScoreEntropy::new(&masks).terms(LogScores(z), &noised),
            "sedd_uniform" => ScoreEntropy::new(&words).terms(LogScores(z), &noised),
            "flow" => FlowMatching::new(Linear).terms(z, &noised),
            "gen_md4" => GenMd4::new(PerToken::new(&exponents).unwrap()).terms(known(), &noised),
            "confidence" => Confidence.terms(z, &noised),
            "gidd_bound" => Elbo::new(&both).terms(known(), &noised),
            "gidd_dynamic" => Elbo::new(&both).dynamic().terms(known(), &noised),
            "gidd_clip" => Elbo::new(&both).clipped(2.0).terms(known(), &noised),
            _ => continue,
        };
        same(case, &noised, &logits, &terms);
    }
}

#[test]
fn the_multinomial_loss_of_rdm_counts_what_noise_changed() {
    let golden = golden();
    let case =
        golden["cases"].as_array().unwrap().iter().find(|case| case["name"] == "rdm_multinomial").unwrap();
    let prior = Prior::Words(Words::weighted(&[1.0; V]).unwrap());
    let (noised, logits) = noised(&golden["inputs"], "words", &prior, 1.0);
    let rdm = Rdm::linear(20).unwrap().with_reduction(Reduction::Positions);
    let values: Vec<Vec<f64>> = serde_json::from_value(case["values"].clone()).unwrap();
    let costs = numbers(&nll_per_token(logits, &noised.targets()));
    let weights = rdm.weights(&noised).target;
    for ((cost, weight), expected) in costs.iter().zip(&weights).zip(values.concat()) {
        assert!(
            (f64::from(*cost) * weight - expected).abs() < 1e-5 * (1.0 + expected),
            "{cost} {weight} {expected}"
        );
    }
    let changed = noised.clone().changed();
    assert!(changed.at().len() < noised.at().len());
    let kept: Vec<f64> = weights.into_iter().filter(|&weight| weight > 0.0).collect();
    assert_eq!(rdm.weights(&changed).target, kept, "what is not asked weighed nothing");
}

#[test]
fn context_adaptive_weights_equal_their_double_sum() {
    let golden = golden();
    let (noised, _) = noised(&golden["inputs"], "masked", &Prior::Absorbing { mask: MASK }, 1.0);
    let expected: Vec<Vec<f64>> = serde_json::from_value(golden["cart"].clone()).unwrap();
    let weights = Cart::new(0.3, Reduction::Sum).unwrap().weights(&noised).target;
    for (&at, weight) in noised.at().iter().zip(weights) {
        assert!((weight - expected.concat()[at]).abs() < 1e-12, "position {at}");
    }
}

#[test]
fn tables_of_multinomial_noise_equal_their_definition() {
    let golden = golden();
    let tables = [
        ("linear", Table::rdm_linear(20)),
        ("cosine", Table::rdm_cosine(20)),
        ("cosine_old", Table::rdm_cosine_old(20)),
        ("sqrt", Table::rdm_sqrt(20)),
    ];
    for (name, table) in tables {
        let (table, expected) = (table.unwrap(), golden["tables"][name].as_array().unwrap());
        for (k, expected) in expected.iter().enumerate() {
            let got = table.alpha(k as f64 / 20.0);
            assert!((got - expected.as_f64().unwrap()).abs() < 1e-12, "{name}, {k}: {got}");
        }
    }
}
