//! How much of a data set's batches is padding, cut by token budgets or packed into rows.
//!
//! The sequences are tokenised once and kept in `out/padding`; run it again to see that.
//!
//! ```sh
//! cargo run --release --example padding -- tokenizer.json train.tsv [more.tsv ...]
//! ```
//!
//! Prints, a line a file: pairs, tokens, whether they were kept, and the share of padding at 512, 4 096 and 32 768
//! tokens a batch, at 64 random sequences a batch, and packed into rows of 512.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::Path;

use dlm::core::Vocabulary;
use dlm::train::Foreign;
use dlm::train::data::{BatchSize, Batches, Limit, Packed, Packing, Recipe, Rows, Store, cached, read_tsv};
use tokenizers::Tokenizer;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("give a tokenizer.json and files of two columns")?;
    let name = std::fs::read_to_string(&path)?;
    let mut tokenizer = Tokenizer::from_file(&path)?;
    tokenizer.with_padding(None).with_truncation(None)?;
    let vocabulary = dlm::models::vocabulary(&tokenizer, tokenizer.get_vocab_size(true))?;
    let threads = std::thread::available_parallelism()?.get();
    // The whole file names the tokeniser.
    let recipe = Recipe { tokeniser: name, vocabulary, limit: Limit::default(), threads };
    for path in arguments {
        let encode = |text: &str| Ok::<_, Foreign>(tokenizer.encode_fast(text, false)?.get_ids().to_vec());
        let data = cached("out/padding", &read_tsv(&path)?, &recipe, encode, |_| {})?;
        let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy();
        println!("{name}: {} pairs, {} tokens, {:?}", data.store.len(), data.store.tokens(), data.found);
        report(&data.store, vocabulary)?;
    }
    Ok(())
}

fn report(store: &Store, vocabulary: Vocabulary) -> Result<(), dlm::train::Error> {
    for size in
        [BatchSize::Tokens(512), BatchSize::Tokens(4096), BatchSize::Tokens(32_768), BatchSize::Sequences(64)]
    {
        let batches = Batches::over(store.clone(), vocabulary, size, 1)?;
        println!("   {size:?}: {} batches, {:.2} % padding", batches.epoch_len(), 100.0 * batches.padding());
    }
    let packed = Packed::over(store.clone(), vocabulary, Packing { len: 512, rows: 8 }, 1)?;
    println!("   rows of 512, 8 a batch: {} batches, {:.3} %", packed.epoch_len(), 100.0 * packed.padding());
    Ok(())
}
