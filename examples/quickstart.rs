//! What you learn: the paper in two minutes. A masked language model is turned into a diffusion language
//! model by a short adaptation, and pronounces words it has never seen (CMU Pronouncing Dictionary).
//!
//! ```sh
//! cargo run --release --example quickstart                    # train, measure, draw
//! cargo run --release --example quickstart -- rust burn       # decode words, training first if need be
//! cargo run --release --example quickstart -- --steps 20      # a short run
//! cargo run --release --example quickstart -- --on valid      # measured on the words that settings were chosen by
//! cargo run --release --example quickstart -- --steps 2400 --to out/g2p   # only trains, and writes a folder
//! ```
//!
//! The last command made `assets/g2p`.
//!
//! The last line of standard output is one JSON object.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "g2p/decode.rs"]
mod decode;
mod g2p;
#[path = "g2p/picture.rs"]
mod picture;

use std::error::Error;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use decode::{Decoding, oracle, phoneme_error_rate};
use dlm::core::loss::Rdm;
use dlm::core::schedule::Linear;
use dlm::core::{Forward, Prior, Times, Vocabulary};
use dlm::length::{length_trainer, predict_lengths};
use dlm::models::{Checkpoint, Encoder, LengthHead, LengthHeadConfig};
use dlm::sampling::trace::{Style, Trace};
use dlm::sampling::{Canvas, Route, reverse, uniform};
use dlm::train::{BatchSize, Batches, Diffusion, Hooks, Metrics, TrainConfig, Trainer, init_seeded};
use g2p::Pair;
use picture::Curve;

const STEPS: u64 = 380;
const PEAK_LR: f64 = 2e-3;
/// Steps of the length stage, per [`STEPS`] of adaptation.
const LENGTH_STEPS: u64 = 450;
const LENGTH_LR: f64 = 1e-3;
/// Letters, phonemes and special tokens of a batch: about 30 words. Coupling doubles them.
const BATCH_TOKENS: usize = 512;
/// Batches of a step, and threads that work on them.
const PARTS: usize = 2;
const DIFFUSION_TIMES: usize = 50;
const DECODING_STEPS: usize = 10;
const LENGTH_BEAM: usize = 3;
const LONGEST: usize = 24;
const TEST_WORDS: usize = 500;
const SEED: u64 = 7;
/// Made by `pretrain_mlm`.
const PRETRAINED: &str = "assets/g2p-mlm";
const TASK: &str = "cmudict spelling to phonemes";
const OUT: &str = "out/quickstart";

/// What the command line may change.
struct Options {
    steps: u64,
    /// Whose words are measured: `test` or `valid`.
    split: String,
    /// Where the network goes if it is only trained.
    to: Option<PathBuf>,
}

/// What a finished run leaves behind.
struct Trained {
    model: Encoder,
    head: LengthHead,
}

fn main() -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut options = Options { steps: STEPS, split: "test".into(), to: None };
    while words.first().is_some_and(|word| word.starts_with("--")) {
        let value =
            words.get(1).cloned().ok_or("an option needs a value: --steps 20, --on valid, --to out/g2p")?;
        match words[0].as_str() {
            "--steps" => options.steps = value.parse()?,
            "--on" => options.split = value,
            "--to" => options.to = Some(value.into()),
            other => return Err(format!("no option {other}: there are --steps, --on and --to").into()),
        }
        words.drain(..2);
    }
    if let Some(folder) = &options.to {
        return train_only(&options, folder);
    }
    if words.is_empty() {
        quickstart(&options, begin)?;
        return Ok(());
    }
    let device = Device::default();
    let trained =
        if Path::new(OUT).join("model").is_dir() { load(&device)? } else { quickstart(&options, begin)? };
    pronounce(&trained, &words, begin)
}

/// Adapts, learns lengths and writes the folder.
fn train_only(options: &Options, folder: &Path) -> Result<(), Box<dyn Error>> {
    let (train, (masked, _)) =
        (g2p::pairs("train")?, Checkpoint::open(PRETRAINED)?.load::<Encoder>(&Device::default())?);
    println!("1. adapt     {} steps from {PRETRAINED}", options.steps);
    let model = adapt("adapted", masked.train(), 0.0, &train, options.steps)?;
    println!("2. lengths   {} steps of the length head on the frozen network", length_steps(options.steps));
    let head = learn_lengths(&model, &train, &g2p::vocabulary()?, length_steps(options.steps))?;
    save(&model, &head, folder)?;
    println!("written: {}", folder.display());
    Ok(())
}

fn quickstart(options: &Options, begin: Instant) -> Result<Trained, Box<dyn Error>> {
    let steps = options.steps;
    let (vocabulary, device) = (g2p::vocabulary()?, Device::default());
    let (train, test) = (g2p::pairs("train")?, g2p::pairs(&options.split)?);
    // The file is in alphabetical order.
    let every = (test.len() / TEST_WORDS).max(1);
    let test: Vec<Pair> = test.into_iter().step_by(every).take(TEST_WORDS).collect();
    println!("1. data      {} words to learn from, {} held out ({})", train.len(), test.len(), g2p::DATA);

    let (masked, report) = Checkpoint::open(PRETRAINED)?.load::<Encoder>(&device)?;
    let parameters = masked.config().param_counts().total();
    println!("2. model     masked LM of {parameters} parameters from {PRETRAINED}: {report}");
    let training = device.clone().autodiff();
    let fresh = g2p::network(vocabulary.size).init(&training)?;
    let fresh = init_seeded(fresh, &training, SEED);

    println!(
        "3. adapt     {steps} steps of {PARTS} x {BATCH_TOKENS} tokens with the RDM loss, from the masked LM ..."
    );
    let adapted = adapt("adapted", masked.train(), 0.0, &train, steps)?;
    println!("   scratch   ... and the same from random weights");
    let scratch = adapt("scratch", fresh, 0.1, &train, steps)?;

    let length_steps = length_steps(steps);
    println!("4. lengths   {length_steps} steps of the length head on the frozen network");
    let head = learn_lengths(&adapted, &train, &vocabulary, length_steps)?;
    save(&adapted, &head, &Path::new(OUT).join("model"))?;

    println!("5. measure   phoneme error rate on {} held-out words", test.len());
    let decoding = |steps| Decoding { steps, lengths: &oracle };
    let many = phoneme_error_rate(&adapted, &test, &decoding(DECODING_STEPS))?;
    let one = phoneme_error_rate(&adapted, &test, &decoding(1))?;
    let baseline = phoneme_error_rate(&scratch, &test, &decoding(DECODING_STEPS))?;
    let guess = |pairs: &[Pair]| guess_lengths(&adapted, &head, pairs);
    let guessed = Decoding { steps: DECODING_STEPS, lengths: &guess };
    let predicted = phoneme_error_rate(&adapted, &test, &guessed)?;
    println!("   adapted, {DECODING_STEPS} steps                  {many:.3}");
    println!("   adapted, 1 step                    {one:.3}");
    println!(
        "   adapted, {DECODING_STEPS} steps, lengths predicted {predicted:.3}   (the others know the length)"
    );
    println!("   scratch, {DECODING_STEPS} steps                  {baseline:.3}");

    println!("6. look      words appear surest first; a word taken back is red");
    show(&adapted, &test, &vocabulary)?;
    let short = |number: f64| (number * 1e4).round() / 1e4;
    let seconds = begin.elapsed().as_secs_f64().round();
    let summary = serde_json::json!({
        "task": TASK, "metric": "phoneme error rate", "value": short(many), "baseline": short(baseline), "one_step": short(one),
        "predicted_lengths": short(predicted), "words": test.len(), "steps": steps, "seconds": seconds,
    });
    println!("{summary}");
    Ok(Trained { model: adapted, head })
}

/// Diffusive adaptation: the paper's objective, with its label smoothing when training from scratch.
fn adapt(
    name: &str,
    model: Encoder,
    smoothing: f64,
    train: &[Pair],
    steps: u64,
) -> Result<Encoder, Box<dyn Error>> {
    let vocabulary = g2p::vocabulary()?;
    let forward = Forward::new(Linear, Prior::Absorbing { mask: vocabulary.mask });
    let loss = Rdm::linear(DIFFUSION_TIMES)?.with_label_smoothing(smoothing)?;
    let objective = Diffusion::new(forward, Times::grid(DIFFUSION_TIMES)?, loss).coupled();
    let batches =
        Batches::new(g2p::task(train, &vocabulary), vocabulary, BatchSize::Tokens(BATCH_TOKENS), SEED)?;
    let mut trainer = Trainer::new(model, objective, batches, run(steps, PEAK_LR))?.with_threads(PARTS);
    trainer.run(Hooks::new().progress().log_every(10).metrics(metrics(name)))?;
    Ok(trainer.evaluated())
}

fn run(steps: u64, lr: f64) -> TrainConfig {
    TrainConfig { seed: SEED, accumulation: PARTS, ..TrainConfig::cosine(lr, steps) }
}

fn length_steps(steps: u64) -> u64 {
    (LENGTH_STEPS * steps).div_ceil(STEPS)
}

fn learn_lengths(
    model: &Encoder,
    train: &[Pair],
    vocabulary: &Vocabulary,
    steps: u64,
) -> Result<LengthHead, Box<dyn Error>> {
    let examples: Vec<_> = train.iter().map(|pair| (pair.letters.clone(), pair.phonemes.len())).collect();
    let config = LengthHeadConfig::of(model.config()).with_classes(LONGEST).with_dropout(0.0);
    let size = BatchSize::Tokens(BATCH_TOKENS);
    let trainer = length_trainer(model, &config, &examples, vocabulary, size, run(steps, LENGTH_LR))?;
    let mut trainer = trainer.with_threads(PARTS);
    trainer.run(Hooks::new().progress())?;
    Ok(trainer.evaluated())
}

fn guess_lengths(
    model: &Encoder,
    head: &LengthHead,
    pairs: &[Pair],
) -> Result<Vec<Vec<usize>>, Box<dyn Error>> {
    let prompts: Vec<_> = pairs.iter().map(|pair| pair.letters.clone()).collect();
    Ok(predict_lengths(model, head, &prompts, &g2p::vocabulary()?, LENGTH_BEAM)?)
}

/// Prints the traces of a few words and draws the picture.
fn show(model: &Encoder, test: &[Pair], vocabulary: &Vocabulary) -> Result<(), Box<dyn Error>> {
    let style = if std::io::stdout().is_terminal() { Style::Ansi } else { Style::Plain };
    let words = g2p::words();
    let mut longest: Vec<&Pair> = test.iter().collect();
    longest.sort_by_key(|pair| std::cmp::Reverse(pair.phonemes.len()));
    let mut pictured = None;
    for pair in longest.into_iter().take(3) {
        let canvas = Canvas::prompted(&[&pair.letters], &[pair.phonemes.len()], vocabulary)?;
        let response = canvas.editable(0)[0]..canvas.editable(0)[0] + pair.phonemes.len();
        let (canvas, trace) =
            Trace::run(reverse(model, &Route::paper(), canvas, uniform(DECODING_STEPS), 0))?;
        println!("\n{}", spell(&words, &pair.letters).replace(' ', ""));
        print!("{}", trace.render(0, |id| words[id as usize].clone(), style));
        println!("   should be {}", spell(&words, &pair.phonemes));
        let spoken = canvas.response(0).iter().map(|&id| words[id as usize].clone()).collect::<Vec<_>>();
        pictured.get_or_insert((trace, spoken, response));
    }
    let (trace, spoken, response) = pictured.ok_or("no test words")?;
    let curves = [curve("adapted from the masked LM", "adapted")?, curve("from scratch", "scratch")?];
    let path = Path::new(OUT).join("quickstart.svg");
    picture::draw(&path, &curves, &trace, &spoken, response)?;
    println!(
        "\nwritten: {} (loss curves, generation order), {OUT}/model (the adapted network)",
        path.display()
    );
    Ok(())
}

fn curve(name: &'static str, file: &str) -> Result<Curve, Box<dyn Error>> {
    let lines = fs::read_to_string(metrics(file))?;
    let points = lines.lines().filter_map(|line| {
        let metrics: Result<Metrics, _> = serde_json::from_str(line);
        metrics.map(|metrics| Some((metrics.step as f64, metrics.loss?))).transpose()
    });
    Ok(Curve { name, points: points.collect::<Result<_, serde_json::Error>>()? })
}

fn metrics(name: &str) -> std::path::PathBuf {
    Path::new(OUT).join(format!("{name}.jsonl"))
}

fn save(model: &Encoder, head: &LengthHead, folder: &Path) -> Result<(), Box<dyn Error>> {
    Checkpoint::write(model, folder, Some(&Path::new(PRETRAINED).join("tokenizer.json")))?;
    Ok(head.write(folder)?)
}

fn load(device: &Device) -> Result<Trained, Box<dyn Error>> {
    let folder = Path::new(OUT).join("model");
    println!("the network of an earlier run, from {}", folder.display());
    let (model, _) = Checkpoint::open(&folder)?.load(device)?;
    let head = LengthHead::read(&folder, device)?.ok_or("the folder has no length head: train again")?;
    Ok(Trained { model, head })
}

/// Decodes words from the command line.
fn pronounce(trained: &Trained, words: &[String], begin: Instant) -> Result<(), Box<dyn Error>> {
    let pair = |word: &String| -> Result<Pair, Box<dyn Error>> {
        Ok(Pair { letters: g2p::letters(word)?, phonemes: Vec::new() })
    };
    let pairs: Vec<Pair> = words.iter().map(pair).collect::<Result<_, _>>()?;
    let guess = |pairs: &[Pair]| guess_lengths(&trained.model, &trained.head, pairs);
    let spoken =
        decode::pronounce(&trained.model, &pairs, &Decoding { steps: DECODING_STEPS, lengths: &guess })?;
    let names = g2p::words();
    let spoken: Vec<String> = spoken.iter().map(|ids| spell(&names, ids)).collect();
    for (word, spoken) in words.iter().zip(&spoken) {
        println!("{word:<20} {spoken}");
    }
    let answers: serde_json::Map<_, _> =
        words.iter().cloned().zip(spoken.into_iter().map(Into::into)).collect();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({"task": TASK, "words": answers, "seconds": seconds}));
    Ok(())
}

fn spell(words: &[String], ids: &[u32]) -> String {
    ids.iter().map(|&id| words[id as usize].as_str()).collect::<Vec<_>>().join(" ")
}
