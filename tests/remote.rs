//! Data-parallel training over burn's remote devices: two servers on this machine, reached over loopback.
//!
//! ```sh
//! cargo test --features remote --test remote
//! ```
#![cfg(feature = "remote")]

use std::net::TcpListener;

use burn::module::Module;
use burn::remote::RemoteHost;
use burn::server::{RemoteServer, WebSocketTransport};
use burn::tensor::Device;
use dlm::core::{Sequence, Vocabulary};
use dlm::models::{Encoder, EncoderConfig};
use dlm::train::{BatchSize, Batches, Diffusion, TrainConfig, Trainer, init_seeded};

/// A device on a server of its own.
fn served() -> Device {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        RemoteServer::new([Device::flex()]).serve(WebSocketTransport::from_listener(listener))
    });
    Device::remote_options(&RemoteHost::websocket(&url)).init().expect("a connection")
}

/// Losses of a few steps of four batches each.
fn curve(others: Vec<Device>) -> Vec<f64> {
    let vocabulary = Vocabulary::new(40, 0, 1, 2, 39).expect("ids below the size");
    let device = Device::flex().autodiff();
    let config = EncoderConfig::new(40, 16, 2, 4).with_dropout(0.0);
    let model: Encoder = config.init(&device).expect("sizes are valid");
    let model = init_seeded(model, &device, 5).train();
    let rows: Vec<_> =
        (0..32).map(|i| Sequence::prompt_response(&[3 + i], &[4 + i, 5], &vocabulary)).collect();
    let batches = Batches::new(rows, vocabulary, BatchSize::Sequences(4), 1).expect("rows");
    let objective = Diffusion::paper(vocabulary.mask, 50).expect("50 steps");
    let config = TrainConfig { accumulation: 4, ..TrainConfig::cosine(1e-3, 6) };
    let mut trainer = Trainer::new(model, objective, batches, config)
        .expect("a trainer")
        .with_devices(others)
        .expect("f32 is everywhere");
    (0..6).map(|_| trainer.step().expect("a step").loss().expect("finite")).collect()
}

#[test]
fn two_remote_devices_give_the_loss_curve_of_one() {
    let one = curve(Vec::new());
    let three = curve(vec![served(), served()]);
    for (alone, together) in one.iter().zip(&three) {
        assert!((alone - together).abs() < 1e-5 * alone.abs(), "{one:?} and {three:?}");
    }
    assert!(one[5] < one[0], "{one:?}");
}
