use crate::error::{Error, in_domain};

/// How many standard deviations to either side contain `level` of a normal distribution.
pub(super) fn normal(level: f64) -> Result<f64, Error> {
    in_domain(level > 0.0 && level < 1.0, "level of an interval", "in (0, 1)", level)?;
    // Below, the chance to lie within some deviations grows with them.
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if within(middle) < level { low = middle } else { high = middle }
    }
    Ok(high)
}

/// The chance that a normal number lies within `x` deviations: ∫ by Simpson's rule, whose error at this step is
/// below 1e-14.
fn within(x: f64) -> f64 {
    let x = x.min(9.0);
    let parts = 2 * (128.0 * x).ceil().max(1.0) as usize;
    let density = |i: usize| (-0.5 * (x * i as f64 / parts as f64).powi(2)).exp();
    let inner: f64 = (1..parts).map(|i| density(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    let area = (density(0) + inner + density(parts)) * x / parts as f64 / 3.0;
    area * (2.0 / std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn deviations_are_those_of_the_tables() {
        for (level, expected) in
            [(0.5, 0.674_489_750), (0.9, 1.644_853_627), (0.95, 1.959_963_985), (0.999_999, 4.891_638_475)]
        {
            let got = normal(level).unwrap();
            assert!((got - expected).abs() < 1e-8, "{level}: {got}");
        }
        for level in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(normal(level).is_err());
        }
    }
}
