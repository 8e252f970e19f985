//! What you learn: how a diffusion language model gets better with its size, under one recipe.
//!
//! ```sh
//! cargo run --release --example scaling                          # under a minute
//! cargo run --release --example scaling -- --widths 32,64,128,192 --steps 2000
//! ```
//!
//! Networks of several widths learn the same task from random weights: the same batches, steps, schedule
//! and seed. Each is measured by the paper's loss on held-out words, at the same noise for all, and a power
//! law is fitted through them. With few steps the largest is not the best: that, too, is a result.
//!
//! ```text
//! loss ≈ a · N^(−b),      N = parameters of the layers, embeddings aside
//! ```
//!
//! Source: Ye et al. 2023, arXiv:2308.12219, section 4.2 and Fig. 3, which plots such curves and fits none.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

#[allow(dead_code, reason = "an example uses a part of it")]
mod g2p;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use clap::Parser;
use dlm::core::Vocabulary;
use dlm::models::EncoderConfig;
use dlm::train::{BatchSize, Batches, Diffusion, Hooks, TrainConfig, Trainer, init_seeded, validation_loss};
use plotters::prelude::*;
use serde_json::json;

/// Trains one recipe at several sizes and fits a power law.
#[derive(Parser)]
struct Options {
    /// Widths of the networks; each has one layer for 32 of them, at least one, and heads of 16.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 32, 64, 96])]
    widths: Vec<usize>,
    /// Training steps of each.
    #[arg(long, default_value_t = 150)]
    steps: u64,
    /// Tokens of a step.
    #[arg(long, default_value_t = 1024)]
    tokens: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 2e-3)]
    lr: f64,
    /// Folder for results.
    #[arg(long, default_value = "out/scaling")]
    out: PathBuf,
}

/// A network that was trained.
struct Point {
    width: usize,
    /// Parameters of the layers.
    size: usize,
    loss: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    fs::create_dir_all(&options.out)?;
    let vocabulary = g2p::vocabulary()?;
    let points: Vec<Point> =
        options.widths.iter().map(|&width| train(&options, width, vocabulary)).collect::<Result<_, _>>()?;
    println!("\nwidth  layers' parameters  held-out loss");
    for Point { width, size, loss } in &points {
        println!("{width:5}  {size:18}  {loss:13.4}");
    }
    let law = power_law(&points);
    if let Some((a, b)) = law {
        println!("loss = {a:.2} N^-{b:.3}, least squares of the logarithms");
    }
    let picture = options.out.join("scaling.svg");
    draw(&picture, &points, law)?;
    let results = json!({
        "task": "cmudict spelling to phonemes", "metric": "paper's loss, held out", "steps": options.steps,
        "points": points.iter().map(|p| json!({"width": p.width, "layers": p.size, "loss": p.loss})).collect::<Vec<_>>(),
        "law": law.map(|(a, b)| json!({"a": a, "b": b})),
    });
    fs::write(options.out.join("results.json"), format!("{results}\n"))?;
    println!("written: {} and results.json beside it\n{results}", picture.display());
    Ok(())
}

fn train(options: &Options, width: usize, vocabulary: Vocabulary) -> Result<Point, Box<dyn Error>> {
    let device = Device::default().autodiff();
    let config = EncoderConfig::new(vocabulary.size, width, width.div_ceil(32), width.div_ceil(16))
        .with_max_position_embeddings(64)
        .with_dropout(0.0);
    let size = config.param_counts().layers;
    println!("width {width}: {} parameters, {size} of them in layers", config.param_counts().total());
    let model = config.init(&device)?;
    let model = init_seeded(model, &device, 1);
    let batches = |split| -> Result<Batches, Box<dyn Error>> {
        let rows = g2p::task(&g2p::pairs(split)?, &vocabulary);
        Ok(Batches::new(rows, vocabulary, BatchSize::Tokens(options.tokens), 1)?)
    };
    let objective = Diffusion::paper(vocabulary.mask, 50)?;
    let config = TrainConfig { seed: 1, accumulation: 2, ..TrainConfig::cosine(options.lr, options.steps) };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut trainer =
        Trainer::new(model, objective.clone(), batches("train")?, config)?.with_threads(threads);
    let began = Instant::now();
    trainer.run(Hooks::new().progress())?;
    let valid = batches("valid")?;
    let loss = validation_loss(&trainer.evaluated(), &objective, valid.epoch(0).take(8), 1)?;
    println!("   held-out loss {loss:.4}, {:.0} s", began.elapsed().as_secs_f64());
    Ok(Point { width, size, loss })
}

/// a and b of loss = a · N^(−b) by least squares of the logarithms; `None` for fewer than two sizes.
fn power_law(points: &[Point]) -> Option<(f64, f64)> {
    let logs: Vec<(f64, f64)> = points.iter().map(|p| ((p.size as f64).ln(), p.loss.ln())).collect();
    let n = logs.len() as f64;
    let (x, y) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let spread: f64 = logs.iter().map(|p| (p.0 - x).powi(2)).sum();
    let slope = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread;
    (spread > 0.0).then(|| ((y - slope * x).exp(), -slope))
}

fn draw(path: &Path, points: &[Point], law: Option<(f64, f64)>) -> Result<(), Box<dyn Error>> {
    let ends = |value: fn(&Point) -> f64| {
        let values = || points.iter().map(value);
        (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max))
    };
    let ((small, large), (best, worst)) = (ends(|p| p.size as f64), ends(|p| p.loss));
    let (sizes, room) = (small / 2.0..large * 2.0, 0.3 * (worst - best).max(0.01 * worst));
    let root = SVGBackend::new(path, (640, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("held-out loss by size", ("sans-serif", 18))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(38)
        .y_label_area_size(52)
        .build_cartesian_2d(sizes.clone().log_scale(), best - room..worst + room)?;
    chart
        .configure_mesh()
        .x_desc("parameters of the layers, in thousands")
        .y_desc("loss")
        .x_label_formatter(&|size| format!("{}", size / 1000.0))
        .y_label_formatter(&|loss| format!("{loss:.1}"))
        .light_line_style(WHITE)
        .draw()?;
    if let Some((a, b)) = law {
        let at = |k: u32| sizes.start * (sizes.end / sizes.start).powf(f64::from(k) / 64.0);
        let curve = LineSeries::new((0..=64).map(|k| (at(k), a * at(k).powf(-b))), &RED);
        let legend = |(x, y)| PathElement::new([(x, y), (x + 16, y)], RED);
        chart.draw_series(curve)?.label(format!("{a:.2} N^-{b:.3}")).legend(legend);
    }
    let dot = |p: &Point| Circle::new((p.size as f64, p.loss), 4, BLUE.filled());
    let dots = chart.draw_series(points.iter().map(dot))?;
    dots.label("networks, by width").legend(|(x, y)| Circle::new((x + 8, y), 4, BLUE.filled()));
    let name = |p: &Point| {
        let (place, style) = ((p.size as f64, p.loss + room / 5.0), ("sans-serif", 12).into_font());
        Text::new(p.width.to_string(), place, style)
    };
    chart.draw_series(points.iter().map(name))?;
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK.mix(0.3)).draw()?;
    root.present()?;
    Ok(())
}
