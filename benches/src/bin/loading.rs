//! Time and peak memory of reading a Hugging Face folder, beside the size of its weights. Tiny networks are read
//! before, so that the program's own pages do not count.
//!
//! ```sh
//! cargo run --release -p dlm-benches --bin loading -- FOLDER [f32 | kept] [FAMILY]
//! ```

use std::error::Error;
use std::time::Instant;

use burn::tensor::Device;
use dlm::models::{AutoDenoiser, Checkpoint, Missing, Stored, size};
use dlm::train::Memory;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder")?;
    let dtype = if arguments.next().as_deref() == Some("kept") { Stored::Kept } else { Stored::F32 };
    let device = Device::default();
    for tiny in ["bert", "bert_bin", "bert_bin_legacy"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/encoder/").to_owned() + tiny;
        drop(Checkpoint::open(folder)?.load::<AutoDenoiser>(&device)?);
    }
    let before = Memory::now(&device).resident.unwrap_or(0);
    let began = Instant::now();
    let mut checkpoint = Checkpoint::open(&folder)?.with_missing(Missing::Initialise).with_dtype(dtype);
    if let Some(family) = arguments.next() {
        checkpoint = checkpoint.with_family(family.parse()?);
    }
    let (model, _) = checkpoint.load::<AutoDenoiser>(&device)?;
    let seconds = began.elapsed().as_secs_f64();
    let now = Memory::now(&device);
    let [peak, left] = [now.peak, now.resident].map(|bytes| bytes.unwrap_or(0).saturating_sub(before));
    let bytes = size(&model).bytes as u64;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let line = serde_json::json!({
        "folder": folder, "seconds": seconds, "weights_mib": mib(bytes), "peak_mib": mib(peak),
        "left_mib": mib(left), "ratio": peak as f64 / bytes as f64,
    });
    println!("{line}");
    Ok(())
}
