//! Load a Hugging Face folder and fill in a mask: a masked language model is a denoiser.
//!
//! ```sh
//! cargo run --release --example fill_mask -- [folder] [text with <mask>]
//! ```
//! The defaults are an antibody language model and a chain of trastuzumab with one residue hidden. Prints
//! the five likeliest tokens of each mask, as Python's `pipeline("fill-mask")` does:
//! ```text
//! position 36
//!   W 0.900555
//!   C 0.006949
//!   ...
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use burn::tensor::{Device, activation::softmax};
use dlm::core::{Denoiser, DenoiserInput};
use dlm::models::{Checkpoint, Encoder, vocabulary};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/sapiens-vh");
const TEXT: &str = "QVQLVQSGVEVKKPGASVKVSCKASGYTFTNYYMY<mask>VRQAPGQGLEWMGGINPSNGGTNFNEKFKNRVTLTTDSSTTTAYMELKSLQFDDTAVYYCARRDYRFDMGFDYWGQGTTVTVSS";
const TOP: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| FOLDER.to_owned());
    let text = arguments.next().unwrap_or_else(|| TEXT.to_owned());

    let checkpoint = Checkpoint::open(&folder)?;
    let (model, report) = checkpoint.load::<Encoder>(&Device::default())?;
    println!("{report}");
    let tokenizer = checkpoint.tokenizer()?.ok_or("the folder has no tokenizer.json")?;
    let words = vocabulary(&tokenizer, model.vocab_size())?;

    let encoding = tokenizer.encode(text, true).map_err(|error| error.to_string())?;
    let ids = encoding.get_ids();
    let masks: Vec<usize> = (0..ids.len()).filter(|&i| ids[i] == words.mask).collect();
    if masks.is_empty() {
        return Err("the text has no mask".into());
    }

    let input = DenoiserInput::new(ids, [1, ids.len()], &masks);
    model.check(&input)?;
    let (probabilities, tokens) = softmax(model.logits(&input), 1).topk_with_indices(TOP.min(words.size), 1);
    let probabilities: Vec<f32> = probabilities.into_data().iter().collect();
    let tokens: Vec<u32> = tokens.into_data().iter().collect();
    let top = TOP.min(words.size);
    for (i, position) in masks.into_iter().enumerate() {
        println!("position {position}");
        for j in i * top..(i + 1) * top {
            let token = tokenizer.id_to_token(tokens[j]).unwrap_or_else(|| tokens[j].to_string());
            println!("  {token} {:.6}", probabilities[j]);
        }
    }
    Ok(())
}
