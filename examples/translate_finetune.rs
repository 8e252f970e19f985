//! What you learn: the paper's task finetuning on real text. A pretrained multilingual encoder becomes a
//! diffusion LM that translates German to English: trim the vocabulary, adapt, train the length head,
//! measure BLEU. A run that was stopped goes on from its last checkpoint when started again.
//!
//! ```sh
//! cargo run --release --example translate_finetune -- FOLDER \
//!     --train train.tsv --valid valid.tsv --test test.tsv --steps 4000 --out out/translate
//! ```
//!
//! FOLDER is a Hugging Face folder of a BERT, RoBERTa or XLM-R encoder with `tokenizer.json`; TSV files
//! hold `German<TAB>English` lines.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use clap::Parser;
use dlm::core::{TokenId, Vocabulary};
use dlm::length::{length_trainer, predict_lengths};
use dlm::models::{Checkpoint, Encoder, IdMap, LengthHead, LengthHeadConfig, Missing, vocabulary};
use dlm::sampling::wrap::Threads;
use dlm::sampling::{Route, length, reverse, uniform};
use dlm::train::data::{Example, Limit, Record, read_tsv, sequences, tokenise};
use dlm::train::metrics::Bleu;
use dlm::train::{BatchSize, Batches, Better, Diffusion, Foreign, Hooks, TrainConfig, Trainer};
use tokenizers::Tokenizer;

/// Training on a CPU allocates and frees a tensor an operation; the system allocator would return each to
/// the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Finetunes a multilingual encoder into a diffusion LM that translates.
#[derive(Parser)]
struct Options {
    /// Hugging Face folder of the encoder.
    folder: PathBuf,
    /// Training pairs, German<TAB>English; may be given several times.
    #[arg(long, required = true)]
    train: Vec<PathBuf>,
    /// Validation pairs.
    #[arg(long)]
    valid: PathBuf,
    /// Test pairs.
    #[arg(long)]
    test: PathBuf,
    /// Where checkpoints, logs, the network and the translations go.
    #[arg(long, default_value = "out/translate")]
    out: PathBuf,
    /// Steps of adaptation.
    #[arg(long, default_value_t = 4000)]
    steps: u64,
    /// Steps of the length stage.
    #[arg(long, default_value_t = 400)]
    length_steps: u64,
    /// Tokens of a batch, prompt, response and padding.
    #[arg(long, default_value_t = 512)]
    tokens: usize,
    /// Batches of a step, computed at once as far as there are processors.
    #[arg(long, default_value_t = 2)]
    accumulation: usize,
    /// Dropout; with any, threads make runs differ.
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// Highest learning rate.
    #[arg(long, default_value_t = 3e-4)]
    lr: f64,
    /// Steps of decoding.
    #[arg(long, default_value_t = 10)]
    decoding_steps: usize,
    /// Candidate lengths of each sentence.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    beam: u16,
    /// Validate every so many steps.
    #[arg(long, default_value_t = 250)]
    validate_every: u64,
    /// On so many sentences.
    #[arg(long, default_value_t = 100)]
    validate_on: usize,
}

/// What turns German text into English text.
struct Translator<'a> {
    tokenizer: &'a Tokenizer,
    map: &'a IdMap,
    vocabulary: Vocabulary,
    decoding_steps: usize,
    /// Tokens that a prompt or an answer may have: together, and with two special tokens, they fit the network.
    half: usize,
}

const DIFFUSION_TIMES: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let options = Options::parse();
    fs::create_dir_all(&options.out)?;
    let device = Device::default();
    let checkpoint = Checkpoint::open(&options.folder)?.with_missing(Missing::Initialise);
    let tokenizer = checkpoint.tokenizer()?.ok_or("the folder has no tokenizer.json")?;
    let (model, report) = checkpoint.load(&device)?;
    println!("1. load      {}: {report}", options.folder.display());

    let mut records = Vec::new();
    for path in &options.train {
        records.extend(read_tsv(path)?);
    }
    let (valid, test) = (read_tsv(&options.valid)?, read_tsv(&options.test)?);
    let full = vocabulary(&tokenizer, model.config().vocab_size)?;
    let examples = encode(&records, &tokenizer)?;
    let words = examples.iter().flat_map(|example| example.prompt.iter().chain(&example.response).copied());
    let unknown = tokenizer.token_to_id("<unk>").or_else(|| tokenizer.token_to_id("[UNK]"));
    let map = IdMap::new(words, &full, unknown.ok_or("the tokenizer has no unknown word")?)?;
    map.save(options.out.join("id_map.json"))?;
    let model = model.trimmed(&map)?.with_dropout(options.dropout)?;
    let parameters = model.config().param_counts().total();
    println!("2. trim      {} of {} words are used; {parameters} parameters", map.len(), full.size);

    let translator = Translator {
        tokenizer: &tokenizer,
        map: &map,
        vocabulary: map.vocabulary(),
        decoding_steps: options.decoding_steps,
        half: model.config().max_len() / 2 - 1,
    };
    let examples: Vec<Example> = examples.iter().map(|example| translator.fit(example)).collect();
    println!("3. adapt     {} pairs, {} steps of {} tokens", examples.len(), options.steps, options.tokens);
    let model = adapt(&options, &translator, model, &examples, &valid)?;
    Checkpoint::write(&model, options.out.join("model"), None)?;

    println!("4. lengths   {} steps of the length head on the frozen network", options.length_steps);
    let head = learn_lengths(&options, &translator, &model, &examples)?;
    head.write(options.out.join("model"))?;

    println!("5. measure   {} test sentences, {} decoding steps", test.len(), options.decoding_steps);
    let oracle = translator.translate(&model, &test, |example, _| Ok(vec![example.response.len()]))?;
    let predicted = translator.translate(&model, &test, |example, _| {
        let prompts = [example.prompt.clone()];
        Ok(predict_lengths(&model, &head, &prompts, &translator.vocabulary, options.beam.into())?
            .swap_remove(0))
    })?;
    write(&options.out.join("test.oracle.txt"), &oracle)?;
    write(&options.out.join("test.predicted.txt"), &predicted)?;
    for (record, english) in test.iter().zip(&predicted).take(5) {
        println!("   {}\n     -> {english}\n     == {}", record.prompt, record.response);
    }
    let (oracle, predicted) = (bleu(&oracle, &test), bleu(&predicted, &test));
    println!(
        "   BLEU, 13a, lower-cased: {oracle:.2} with the reference's length, {predicted:.2} with predicted ones"
    );
    println!(
        "{{\"task\":\"German to English\",\"metric\":\"BLEU (13a, lower-cased)\",\"value\":{predicted:.2},\
         \"oracle_length\":{oracle:.2},\"steps\":{},\"seconds\":{:.0}}}",
        options.steps,
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

fn encode(records: &[Record], tokenizer: &Tokenizer) -> Result<Vec<Example>, dlm::train::Error> {
    tokenise(records, |text| -> Result<Vec<TokenId>, Foreign> {
        Ok(tokenizer.encode_fast(text, false)?.get_ids().to_vec())
    })
}

fn adapt(
    options: &Options,
    translator: &Translator<'_>,
    model: Encoder,
    examples: &[Example],
    valid: &[Record],
) -> Result<Encoder, Box<dyn Error>> {
    let vocabulary = translator.vocabulary;
    let limit = Limit { tokens: model.config().max_len(), ..Limit::default() };
    let rows = sequences(examples, &vocabulary, limit)?;
    let batches = Batches::new(rows, vocabulary, BatchSize::Tokens(options.tokens), 1)?;
    let objective = Diffusion::paper(vocabulary.mask, DIFFUSION_TIMES)?.chunked(512)?;
    let run = run(options.steps, options);
    let mut trainer = Trainer::new(model.train(), objective, batches, run)?.with_threads(threads());
    let checkpoints = options.out.join("checkpoints");
    if checkpoints.is_dir() {
        trainer.resume(&checkpoints)?;
        println!("   goes on after step {}", trainer.steps_done());
    }
    let valid = &valid[..options.validate_on.min(valid.len())];
    let validate = |model: &Encoder, _| -> Result<_, Foreign> {
        let english = translator
            .translate(model, valid, |example, _| Ok(vec![example.response.len()]))
            .map_err(|error| error.to_string())?;
        Ok(vec![("bleu_oracle_length", bleu(&english, valid))])
    };
    let hooks = Hooks::new()
        .progress()
        .metrics(options.out.join("log.jsonl"))
        .validate(options.validate_every, Better::Higher, validate)
        .checkpoints(&checkpoints, options.validate_every, 2);
    trainer.run(hooks)?;
    Ok(trainer.evaluated())
}

fn learn_lengths(
    options: &Options,
    translator: &Translator<'_>,
    model: &Encoder,
    examples: &[Example],
) -> Result<LengthHead, Box<dyn Error>> {
    let examples: Vec<_> = examples.iter().map(|e| (e.prompt.clone(), e.response.len())).collect();
    let config = LengthHeadConfig::of(model.config()).with_classes(128).with_dropout(options.dropout);
    let size = BatchSize::Tokens(options.tokens);
    let run = run(options.length_steps, options);
    let trainer = length_trainer(model, &config, &examples, &translator.vocabulary, size, run)?;
    let mut trainer = trainer.with_threads(threads());
    trainer.run(Hooks::new().progress())?;
    Ok(trainer.evaluated())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn run(steps: u64, options: &Options) -> TrainConfig {
    TrainConfig { seed: 1, accumulation: options.accumulation, ..TrainConfig::cosine(options.lr, steps) }
}

impl Translator<'_> {
    /// An example in the trimmed vocabulary: of a long prompt its end, of a long answer its beginning.
    fn fit(&self, Example { prompt, response }: &Example) -> Example {
        let prompt = &prompt[prompt.len().saturating_sub(self.half)..];
        let response = &response[..response.len().min(self.half)];
        Example { prompt: self.map.trim(prompt), response: self.map.trim(response) }
    }

    /// The English of some German sentences, the surest among the lengths that `lengths` names.
    fn translate(
        &self,
        model: &Encoder,
        records: &[Record],
        lengths: impl Fn(&Example, usize) -> Result<Vec<usize>, Box<dyn Error>>,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let mut english = Vec::with_capacity(records.len());
        for records in records.chunks(50) {
            let examples: Vec<Example> =
                encode(records, self.tokenizer)?.iter().map(|example| self.fit(example)).collect();
            let lengths: Vec<Vec<usize>> =
                examples.iter().enumerate().map(|(i, e)| lengths(e, i)).collect::<Result<_, _>>()?;
            let prompts: Vec<&[TokenId]> = examples.iter().map(|e| e.prompt.as_slice()).collect();
            let (canvas, candidates) = length::expand(&prompts, &lengths, &self.vocabulary)?;
            let canvas = reverse(
                &Threads::new(model, threads()),
                &Route::paper(),
                canvas,
                uniform(self.decoding_steps),
                0,
            )
            .finish()?;
            for row in candidates.best(&canvas)? {
                english.push(self.decode(&canvas.response(row))?);
            }
        }
        Ok(english)
    }

    fn decode(&self, ids: &[TokenId]) -> Result<String, Box<dyn Error>> {
        let ids: Vec<TokenId> = ids.iter().copied().filter(|&id| !self.vocabulary.is_special(id)).collect();
        Ok(self.tokenizer.decode(&self.map.restore(&ids)?, true).map_err(|error| error.to_string())?)
    }
}

fn bleu(hypotheses: &[String], records: &[Record]) -> f64 {
    let pairs =
        hypotheses.iter().zip(records).map(|(english, record)| (english.as_str(), record.response.as_str()));
    Bleu { lowercase: true, ..Bleu::default() }.corpus(pairs).score
}

fn write(path: &Path, lines: &[String]) -> Result<(), Box<dyn Error>> {
    fs::write(path, lines.join("\n") + "\n")?;
    println!("   written: {}", path.display());
    Ok(())
}
