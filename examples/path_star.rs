//! What you learn: how an autoregressive network and a diffusion model of the same shape are trained, decoded
//! and compared, on a task that asks for a plan.
//!
//! ```sh
//! cargo run --release --example path_star                             # under a minute; both find their way
//! cargo run --release --example path_star -- --length 3 --steps 800  # where an autoregressive network guesses
//! ```
//!
//! A path-star graph has arms of equal length around a centre. Given its edges in random order, the centre
//! and the end of one arm, the answer is the path between the two. Whoever writes it from the left must
//! pick an arm before anything tells which, unless it looked ahead; from the right each node follows from
//! the one before. Two networks of one shape and size learn it from the same graphs, one autoregressive and
//! one by diffusion; each graph is drawn anew, so the ones they are measured on are unseen. By default arms
//! have two edges, so that the first node is the one before the goal, which both learn to look up. With three,
//! the autoregressive network picks an arm by chance; `docs/results.md` says what the diffusion model did.
//!
//! Source of the task: Bachmann & Nagarajan 2024, arXiv:2403.06963; of the comparison: Ye et al. 2023,
//! arXiv:2308.12219, version 3.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use clap::Parser;
use dlm::core::loss::Mlm;
use dlm::core::schedule::Linear;
use dlm::core::view::next_token;
use dlm::core::{Batch, CounterRng, Denoiser, Forward, Prior, Purpose, Sequence, Times, TokenId, Vocabulary};
use dlm::models::{Llama, LlamaConfig, LlamaFamily};
use dlm::sampling::strategy::LeftToRight;
use dlm::sampling::{Candidate, Canvas, ReverseStep, Route, reverse, uniform};
use dlm::train::{
    Better, Diffusion, Foreign, Hooks, Muon, Objective, TrainConfig, Trainer, autoregressive, init_seeded,
};
use serde_json::json;

/// Learns to find paths, autoregressively and by diffusion.
#[derive(Parser, Clone)]
struct Options {
    /// Arms of a star.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..))]
    degree: u32,
    /// Edges of an arm.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    length: u32,
    /// Names of nodes to choose from; as many as a graph has nodes unless said.
    #[arg(long)]
    names: Option<u32>,
    /// Training steps of each network.
    #[arg(long, default_value_t = 500)]
    steps: u64,
    /// Graphs a step.
    #[arg(long, default_value_t = 128)]
    rows: u32,
    /// Width of the networks.
    #[arg(long, default_value_t = 64)]
    width: usize,
    /// Layers of the networks.
    #[arg(long, default_value_t = 2)]
    layers: usize,
    /// Highest learning rate, of Muon for matrices.
    #[arg(long, default_value_t = 1e-2)]
    lr: f64,
    /// Unseen graphs to measure on.
    #[arg(long, default_value_t = 200)]
    test: u32,
    /// Steps of decoding by diffusion.
    #[arg(long, default_value_t = 4)]
    decoding: u32,
    /// Folder for results.
    #[arg(long, default_value = "out/path_star")]
    out: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let nodes = options.degree * options.length + 1;
    if options.names.is_some_and(|names| names < nodes) {
        return Err(format!("--names must be at least {nodes}, which a graph has nodes").into());
    }
    fs::create_dir_all(&options.out)?;
    let task = Task::new(options.clone())?;
    let (edges, path) = task.draw(0, 0);
    println!("a graph and the path through it: {}", Task::show(&edges, &path));
    // Noise of every level, and each masked token counts alike.
    let forward = Forward::new(Linear, Prior::Absorbing { mask: task.vocabulary.mask });
    let diffusion = Diffusion::new(forward, Times::grid(50)?, Mlm);
    let strategy = Route::paper();
    let diffusion =
        learn(&task, "diffusion", diffusion, |model| task.accuracy(model, &strategy, options.decoding))?;
    let strategy = LeftToRight::new(Candidate::ARGMAX);
    let next = learn(&task, "autoregressive", autoregressive(0.0)?, |model| {
        task.accuracy(&next_token(model), &strategy, options.length)
    })?;
    let chance = 1.0 / f64::from(options.degree);
    println!(
        "\nexact paths on {} unseen graphs of {} arms of {} edges",
        options.test, options.degree, options.length
    );
    println!("   diffusion, {} steps      {diffusion:.3}", options.decoding);
    println!("   autoregressive          {next:.3}");
    println!("   a walk along any arm    {chance:.3}");
    let results = json!({
        "task": "path-star", "metric": "exact paths", "degree": options.degree, "length": options.length,
        "steps": options.steps, "diffusion": diffusion, "autoregressive": next, "chance": chance,
    });
    let path = options.out.join("results.json");
    fs::write(&path, format!("{results}\n"))?;
    println!("written: {} and the logs beside it\n{results}", path.display());
    Ok(())
}

/// Trains a network and measures it.
fn learn(
    task: &Task,
    name: &str,
    objective: impl Objective<Llama>,
    accuracy: impl Fn(&Llama) -> Result<f64, dlm::sampling::Error>,
) -> Result<f64, Box<dyn Error>> {
    let options = &task.options;
    let device = Device::default().autodiff();
    let model = task.network().init(&device)?;
    let model = init_seeded(model, &device, 1);
    println!(
        "\n{name}: {} parameters, {} steps of {} graphs",
        model.num_params(),
        options.steps,
        options.rows
    );
    let source = {
        let task = task.clone();
        move |index| task.batch(index)
    };
    let config = TrainConfig {
        seed: 1,
        accumulation: 2,
        muon: Some(Muon::default()),
        ..TrainConfig::cosine(options.lr, options.steps)
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut trainer = Trainer::new(model, objective, source, config)?.with_threads(threads);
    let log = options.out.join(format!("{name}.jsonl"));
    let _ = fs::remove_file(&log);
    let began = Instant::now();
    let hooks = Hooks::new().progress().metrics(&log).validate(
        options.steps.div_ceil(5),
        Better::Higher,
        |model: &Llama, _| -> Result<_, Foreign> { Ok(vec![("exact", accuracy(model)?)]) },
    );
    trainer.run(hooks)?;
    println!("   {:.0} s", began.elapsed().as_secs_f64());
    Ok(accuracy(&trainer.evaluated())?)
}

/// Path-star graphs as sequences: `BOS edges centre goal path EOS`, two tokens an edge, the path maskable.
#[derive(Clone)]
struct Task {
    options: Options,
    vocabulary: Vocabulary,
}

/// A node's token is its name and the number of special words.
const SPECIAL: TokenId = 4;

impl Task {
    fn new(options: Options) -> Result<Self, dlm::core::Error> {
        let names = options.names.unwrap_or(options.degree * options.length + 1);
        let vocabulary = Vocabulary::new((SPECIAL + names) as usize, 0, 1, 2, 3)?;
        Ok(Self { options, vocabulary })
    }

    /// Both networks' shape: rotary positions, because what matters is who stands beside whom, and small
    /// initial weights, which learn to look up sooner here.
    fn network(&self) -> LlamaConfig {
        let Options { width, layers, .. } = self.options;
        let mut config = LlamaConfig::new(LlamaFamily::Llama, self.vocabulary.size, width, layers, 4);
        config.intermediate_size = 2 * width;
        config.rope_theta = 100.0;
        config.initializer_range = 0.5 * (width as f64).sqrt().recip();
        config
    }

    /// A graph with its question, and the answer: the nodes after the centre.
    fn draw(&self, split: u64, index: u64) -> (Vec<TokenId>, Vec<TokenId>) {
        let (degree, length) = (self.options.degree as usize, self.options.length as usize);
        let mut draws = CounterRng::new(split).at_step(index).row(Purpose::Order, 0);
        let mut names: Vec<TokenId> = (SPECIAL..self.vocabulary.size as TokenId).collect();
        shuffle(&mut names, |place, n| draws.below(place, n));
        let (centre, arms) = (names[0], &names[1..=degree * length]);
        let arms: Vec<&[TokenId]> = arms.chunks(length).collect();
        let ends = |arm: &&[TokenId]| {
            std::iter::once(centre).chain(arm.iter().copied()).zip(arm.to_vec()).collect::<Vec<_>>()
        };
        let mut edges: Vec<(TokenId, TokenId)> = arms.iter().flat_map(ends).collect();
        let offset = names.len();
        shuffle(&mut edges, |place, n| draws.below(offset + place, n));
        // Arms are drawn, so that any of them may be the one that is asked for.
        let path = arms[0].to_vec();
        let mut question: Vec<TokenId> = edges.into_iter().flat_map(|(from, to)| [from, to]).collect();
        question.extend([centre, path[length - 1]]);
        (question, path)
    }

    fn batch(&self, index: u64) -> Result<Batch, dlm::train::Error> {
        let rows = u64::from(self.options.rows / 2).max(1);
        let rows: Vec<Sequence> = (index * rows..(index + 1) * rows)
            .map(|row| {
                let (question, path) = self.draw(1, row);
                Sequence::prompt_response(&question, &path, &self.vocabulary).with_key(row)
            })
            .collect();
        Ok(Batch::new(&rows, &self.vocabulary)?)
    }

    /// The share of unseen graphs whose whole path is right.
    fn accuracy(
        &self,
        model: &impl Denoiser,
        strategy: &dyn ReverseStep,
        steps: u32,
    ) -> Result<f64, dlm::sampling::Error> {
        let (questions, paths): (Vec<_>, Vec<_>) =
            (0..u64::from(self.options.test)).map(|index| self.draw(2, index)).unzip();
        let lengths: Vec<usize> = paths.iter().map(Vec::len).collect();
        let canvas = Canvas::prompted(&questions, &lengths, &self.vocabulary)?;
        let canvas = reverse(model, strategy, canvas, uniform(steps as usize), 0).finish()?;
        let right = paths.iter().enumerate().filter(|(row, path)| canvas.response(*row) == **path).count();
        Ok(right as f64 / paths.len() as f64)
    }

    fn show(question: &[TokenId], path: &[TokenId]) -> String {
        let name = |id: &TokenId| (id - SPECIAL).to_string();
        let (edges, asked) = question.split_at(question.len() - 2);
        let edges: Vec<String> =
            edges.chunks(2).map(|edge| format!("{}-{}", name(&edge[0]), name(&edge[1]))).collect();
        let path: Vec<String> = path.iter().map(name).collect();
        format!("{} | {} to {}: {}", edges.join(" "), name(&asked[0]), name(&asked[1]), path.join(" "))
    }
}

/// Fisher and Yates's shuffle; `below(place, n)` draws a number below `n`.
fn shuffle<T>(items: &mut [T], mut below: impl FnMut(usize, usize) -> usize) {
    for place in 0..items.len() {
        let other = place + below(place, items.len() - place);
        items.swap(place, other);
    }
}
