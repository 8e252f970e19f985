//! The quickstart's picture: loss curves, and the generation order of one word.

use std::error::Error;
use std::path::Path;

use dlm::sampling::Change;
use dlm::sampling::trace::Trace;
use plotters::coord::Shift;
use plotters::prelude::*;

/// A named loss curve: (step, loss).
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws both panels into an SVG file.
pub(crate) fn draw(
    path: &Path,
    curves: &[Curve],
    trace: &Trace,
    words: &[String],
    response: std::ops::Range<usize>,
) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (1000, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(520);
    losses(&left, curves)?;
    order(&right, trace, words, response)?;
    root.present()?;
    Ok(())
}

fn losses(area: &DrawingArea<SVGBackend, Shift>, curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    let points = || curves.iter().flat_map(|curve| curve.points.iter());
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("training loss (nats, weighted)", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..last, 0.0..top * 1.05)?;
    let whole = |step: &f64| format!("{step:.0}");
    chart.configure_mesh().x_desc("step").light_line_style(WHITE).x_label_formatter(&whole).draw()?;
    for (index, curve) in curves.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2));
        chart.draw_series(line)?.label(curve.name).legend(legend);
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}

/// One column a position of the response, one row a decoding step; darker is surer, white is noise.
fn order(
    area: &DrawingArea<SVGBackend, Shift>,
    trace: &Trace,
    words: &[String],
    response: std::ops::Range<usize>,
) -> Result<(), Box<dyn Error>> {
    let (steps, width) = (trace.len() as i32, response.len() as i32);
    let mut chart = ChartBuilder::on(area)
        .caption("generation order (step by position)", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(34)
        .build_cartesian_2d(0..width, steps..0)?;
    let label = |position: &i32| words.get(*position as usize).cloned().unwrap_or_default();
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(words.len())
        .x_label_formatter(&label)
        .y_desc("step")
        .draw()?;
    let mut sure = vec![None; response.len()];
    let events: Vec<_> = trace.events(0).collect();
    for step in 0..trace.len() {
        for (_, event) in events.iter().filter(|(at, _)| *at == step + 1) {
            sure[event.position - response.start] = match event.change {
                Change::Committed { score, .. } => Some(f64::from(score).exp()),
                _ => None,
            };
        }
        let cells = sure.iter().enumerate().map(|(position, sure)| {
            let (x, y) = (position as i32, step as i32);
            let colour = sure.map_or(WHITE.mix(1.0), |p| BLUE.mix(0.15 + 0.75 * p));
            Rectangle::new([(x, y), (x + 1, y + 1)], colour.filled())
        });
        chart.draw_series(cells)?;
    }
    Ok(())
}
