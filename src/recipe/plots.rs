//! Curves of a run, as SVG.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fs;
use std::path::Path;

use plotters::prelude::*;

use super::Error;
use super::folder::replace;
use crate::train::Metrics;

/// Draws loss, learning rate, gradient norm and each validation score into a folder. A curve of fewer than
/// two points is not drawn.
pub(super) fn draw(folder: &Path, log: &[Metrics]) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    // Steps that were passed over have no point.
    let curve = |value: fn(&Metrics) -> Option<f64>| {
        log.iter().filter_map(|line| Some((line.step as f64, value(line)?))).collect()
    };
    one(folder, "loss", curve(|line| line.loss))?;
    one(folder, "learning_rate", curve(|line| Some(line.lr)))?;
    one(folder, "gradient_norm", curve(|line| line.grad_norm))?;
    let names: BTreeSet<&String> = log.iter().flat_map(|line| line.validation.keys()).collect();
    for name in names {
        let points = log.iter().filter_map(|line| Some((line.step as f64, *line.validation.get(name)?)));
        one(folder, &format!("validation_{name}"), points.collect())?;
    }
    Ok(())
}

fn one(folder: &Path, name: &str, points: Vec<(f64, f64)>) -> Result<(), Error> {
    if points.len() < 2 {
        return Ok(());
    }
    let path = folder.join(format!("{name}.svg"));
    let svg =
        svg(name, points).map_err(|error| Error::Plot { path: path.clone(), reason: error.to_string() })?;
    replace(&path, svg.as_bytes())
}

fn svg(name: &str, points: Vec<(f64, f64)>) -> Result<String, Box<dyn StdError>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (640, 360)).into_drawing_area();
        root.fill(&WHITE)?;
        let last = points.last().map_or(1.0, |point| point.0);
        let values = || points.iter().map(|point| point.1);
        let (low, high) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
        let room = if high > low { 0.05 * (high - low) } else { 1.0 };
        let bottom = if low < 0.0 { low - room } else { 0.0 };
        let mut chart = ChartBuilder::on(&root)
            .caption(name.replace('_', " "), ("sans-serif", 18))
            .margin(12)
            .margin_right(28)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..last, bottom..high + room)?;
        chart
            .configure_mesh()
            .x_desc("step")
            .light_line_style(WHITE)
            .x_label_formatter(&|step| format!("{step:.0}"))
            .y_label_formatter(&|value| number(*value))
            .draw()?;
        chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
        root.present()?;
    }
    Ok(svg)
}

/// A number beside an axis, without the digits that its spacing leaves behind: `0.12`, `1.5`, `2.0e-4`.
fn number(value: f64) -> String {
    if value.abs() < 0.01 && value.abs() > 1e-12 {
        return format!("{value:.1e}");
    }
    // Adding 0 makes a plain zero of a negative one.
    format!("{}", (value * 1e6).round() / 1e6 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_and_hold_what_is_negative() {
        let spaced: Vec<String> = (0..4).map(|n| number(f64::from(n) * 0.06)).collect();
        assert_eq!(spaced, ["0", "0.06", "0.12", "0.18"]);
        assert_eq!([2e-4, 1500.0, -1e-17, -0.5].map(number), ["2.0e-4", "1500", "0", "-0.5"]);
        let svg = svg("a_score", vec![(10.0, -1.0), (20.0, 1.0)]).unwrap();
        assert!(["a score", "-0.8", "20\n"].iter().all(|text| svg.contains(text)), "{svg}");
    }
}
