//! Muon against an independent computation (`tools/golden/optim.py`).

use burn::module::{Module, Param};
use burn::nn::{Embedding, Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use dlm::train::{AdamW, Muon};
use serde_json::Value;

#[derive(Module, Debug)]
struct Network {
    words: Embedding,
    layer: Linear,
    decoder: Linear,
}

fn numbers(value: &Value) -> Vec<f32> {
    value
        .as_array()
        .expect("numbers")
        .iter()
        .map(|number| number.as_f64().expect("a number") as f32)
        .collect()
}

#[test]
fn two_steps_of_muon_equal_the_papers_formula_and_others_keep_adamw() {
    let golden: Value = serde_json::from_str(include_str!("golden/muon.json")).expect("JSON");
    let device = Device::default().autodiff();
    let matrix = |value: &Value| Tensor::<2>::from_data(TensorData::new(numbers(value), [8, 12]), &device);
    let start = || Param::from_tensor(matrix(&golden["start"]));
    let linear = || Linear { weight: start(), ..LinearConfig::new(8, 12).with_bias(false).init(&device) };
    let words = Embedding { weight: start() };
    let network = Network { words, layer: linear(), decoder: linear() };
    let muon = Muon {
        momentum: golden["momentum"].as_f64().expect("a number"),
        weight_decay: golden["weight_decay"].as_f64().expect("a number"),
        ..Muon::default()
    };
    let adamw = AdamW::default();
    let lr = golden["lr"].as_f64().expect("a number");
    let run = |network: Network, mut optim: burn::optim::ModuleOptimizer| {
        golden["gradients"].as_array().expect("two").iter().fold(network, |network, gradient| {
            let mut grads = GradientsParams::new();
            for id in [network.words.weight.id, network.layer.weight.id, network.decoder.weight.id] {
                grads.register::<2>(id, matrix(gradient).inner());
            }
            optim.step(lr, network, grads)
        })
    };
    let plain = run(network.clone(), adamw.init(&network).expect("numbers in range"));
    let optim = muon.join(adamw.init(&network).expect("numbers in range"), &network).expect("in range");
    let mixed = run(network, optim);
    let close = |left: &Linear, right: Tensor<2>| {
        let right = right.into_data();
        left.weight.val().into_data().assert_approx_eq::<f32>(&right, Tolerance::absolute(2e-5));
    };
    close(&mixed.layer, matrix(&golden["after"]));
    close(&mixed.decoder, plain.decoder.weight.val());
    let (words, expected) = (mixed.words.weight.val().into_data(), plain.words.weight.val().into_data());
    words.assert_eq(&expected, true);
}
