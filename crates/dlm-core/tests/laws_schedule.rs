//! The laws of `Schedule`, over every implementation.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use dlm_core::Schedule;
use dlm_core::schedule::{
    Clipped, Cosine, CosineAlpha, CosineSquared, Geometric, Hybrid, Linear, LinearSigma, PerToken,
    Polynomial, Table, Truncated,
};
use proptest::prelude::*;

fn all() -> Vec<(&'static str, Box<dyn Schedule>)> {
    vec![
        ("linear", Box::new(Linear)),
        ("cosine", Box::new(Cosine)),
        ("cosine of alpha", Box::new(CosineAlpha)),
        ("cosine squared", Box::new(CosineSquared)),
        ("square root", Box::new(Polynomial::square_root())),
        ("quadratic", Box::new(Polynomial::new(2.0).unwrap())),
        ("cubic", Box::new(Polynomial::new(3.0).unwrap())),
        ("geometric", Box::new(Geometric::new(1e-3, 20.0).unwrap())),
        ("linear sigma", Box::new(LinearSigma::new(10.0).unwrap())),
        ("hybrid", Box::new(Hybrid::new(0.2).unwrap())),
        ("steep hybrid", Box::new(Hybrid::with_gamma(0.4, 2.5).unwrap())),
        ("a word's own", Box::new(PerToken::new(&[1.0, 0.7]).unwrap().of(1))),
        ("whole band", Box::new(Clipped::new(Cosine, 0.0, 1.0).unwrap())),
        ("not truncated", Box::new(Truncated::end(Cosine, 0.0).unwrap())),
    ]
}

/// Those that miss an end, and the ends they have.
fn short() -> Vec<(&'static str, Box<dyn Schedule>, [f64; 2])> {
    let band = Clipped::new(Cosine, 0.3, 0.8).unwrap();
    vec![
        ("loglinear", Box::new(Truncated::end(Linear, 1e-3).unwrap()), [1.0, 1e-3]),
        (
            "MD4's",
            Box::new(Truncated::both(Polynomial::new(2.0).unwrap(), 1e-4).unwrap()),
            [1.0 - 1e-4, 1e-4],
        ),
        ("band", Box::new(band), [Cosine.alpha(0.3), Cosine.alpha(0.8)]),
    ]
}

fn both() -> Vec<(&'static str, Box<dyn Schedule>)> {
    all().into_iter().chain(short().into_iter().map(|(name, schedule, _)| (name, schedule))).collect()
}

fn tables() -> [(&'static str, Table); 4] {
    [
        ("linear", Table::rdm_linear(50).unwrap()),
        ("cosine", Table::rdm_cosine(50).unwrap()),
        ("cosine_old", Table::rdm_cosine_old(50).unwrap()),
        ("sqrt", Table::rdm_sqrt(50).unwrap()),
    ]
}

#[test]
fn the_ends_are_exact() {
    for (name, schedule) in all() {
        assert_eq!(schedule.alpha(0.0), 1.0, "{name}");
        assert_eq!(schedule.alpha(1.0), 0.0, "{name}");
        assert_eq!(schedule.denoise_prob(0.7, 0.0), 1.0, "{name}: nothing stays noise at s = 0");
    }
    for (name, schedule, ends) in short() {
        let got = [schedule.alpha(0.0), schedule.alpha(1.0)];
        assert!(got.iter().zip(ends).all(|(got, end)| (got - end).abs() < 1e-15), "{name}: {got:?}");
    }
}

#[test]
fn named_curves_have_their_published_values() {
    let half = |schedule: &dyn Schedule| schedule.alpha(0.5);
    assert!((half(&CosineAlpha) - 0.5_f64.sqrt()).abs() < 1e-15);
    assert!((half(&CosineSquared) - 0.5).abs() < 1e-15);
    assert!((half(&Polynomial::square_root()) - (1.0 - 0.5_f64.sqrt())).abs() < 1e-15);
    // e^−5 on a scale from 1 to e^−10.
    let rescaled = ((-5.0_f64).exp() - (-10.0_f64).exp()) / (1.0 - (-10.0_f64).exp());
    assert!((half(&LinearSigma::new(10.0).unwrap()) - rescaled).abs() < 1e-15);
    // MDLM's weight dσ/expm1(σ) with σ = −ln(1 − (1 − ε)t) is 1/t for any ε.
    let loglinear = Truncated::end(Linear, 1e-3).unwrap();
    assert!((loglinear.loss_weight(0.2) - 5.0).abs() < 1e-12);
    // A band's weight is the density of its time times that of the curve: 1/0.55 over half the time.
    assert!((Clipped::new(Linear, 0.3, 0.8).unwrap().loss_weight(0.5) - 0.5 / 0.55).abs() < 1e-12);
}

#[test]
fn tables_follow_their_curves_and_never_keep_less_than_a_thousandth() {
    for (name, table) in tables() {
        assert_eq!((table.steps(), table.alpha(0.0)), (50, 1.0), "{name}");
        let alphas: Vec<f64> = (0..=50).map(|k| table.alpha(f64::from(k) / 50.0)).collect();
        let rates: Vec<f64> = alphas.windows(2).map(|pair| pair[1] / pair[0]).collect();
        assert!(rates.iter().all(|rate| (1e-3 - 1e-12..=1.0).contains(rate)), "{name}: {rates:?}");
        for t in [0.013, 0.37, 0.991] {
            let h = 1e-7;
            let difference = (table.alpha(t + h) - table.alpha(t - h)) / (2.0 * h);
            assert!((difference - table.alpha_prime(t)).abs() < 1e-6, "{name} at {t}");
        }
    }
    let [(_, linear), (_, cosine), (_, old), (_, sqrt)] = tables();
    let at = |table: &Table, k: u32| table.alpha(f64::from(k) / 50.0);
    assert!((at(&linear, 20) - 0.6).abs() < 1e-12 && (at(&linear, 50) - 0.02e-3).abs() < 1e-12);
    let curve = |u: f64| ((u + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    assert!((at(&cosine, 20) - curve(0.4) / curve(0.0)).abs() < 1e-12);
    assert!((at(&old, 20) - at(&cosine, 20).sqrt()).abs() < 1e-12);
    assert!((at(&sqrt, 20) - (1.0 - 0.4001_f64.sqrt()) / 0.99).abs() < 1e-12);
}

proptest! {
    #[test]
    fn alpha_falls_and_its_derivative_is_its_derivative(t in 0.01..0.99_f64) {
        for (name, schedule) in both() {
            let h = 1e-6;
            let difference = (schedule.alpha(t + h) - schedule.alpha(t - h)) / (2.0 * h);
            let error = (difference - schedule.alpha_prime(t)).abs();
            prop_assert!(error <= 1e-5 * (1.0 + difference.abs()), "{name} at {t}: {difference}");
            prop_assert!(schedule.alpha_prime(t) <= 0.0, "{name} at {t}");
        }
    }

    #[test]
    fn the_chance_to_denoise_is_a_probability_and_composes(a in 0.001..1.0_f64, b in 0.001..1.0_f64, c in 0.001..1.0_f64) {
        let mut times = [a, b, c];
        times.sort_by(f64::total_cmp);
        let [r, s, t] = times;
        prop_assume!(r < s && s < t);
        for (name, schedule) in both() {
            let direct = schedule.denoise_prob(t, r);
            prop_assert!((0.0..=1.0).contains(&direct), "{name}: {direct}");
            // Still noise at r: still noise at s, then still noise from s to r.
            let stays = (1.0 - schedule.denoise_prob(t, s)) * (1.0 - schedule.denoise_prob(s, r));
            prop_assert!((1.0 - direct - stays).abs() < 1e-9, "{name}: {direct} against {stays}");
        }
    }

    #[test]
    fn the_loss_weight_is_the_rate_at_which_noise_is_undone(t in 0.05..0.95_f64) {
        for (name, schedule) in both() {
            let h = 1e-6;
            let rate = schedule.denoise_prob(t, t - h) / h;
            let weight = schedule.loss_weight(t);
            prop_assert!((rate - weight).abs() <= 1e-4 * (1.0 + weight), "{name} at {t}: {rate} {weight}");
        }
    }

    #[test]
    fn the_time_of_an_alpha_is_where_it_is(t in 0.001..0.999_f64) {
        for (name, schedule) in both() {
            let found = schedule.time_at(schedule.alpha(t));
            prop_assert!((schedule.alpha(found) - schedule.alpha(t)).abs() < 1e-12, "{name} at {t}: {found}");
        }
    }
}

#[test]
fn a_pointer_keeps_what_its_schedule_overrides() {
    /// Answers with constants, as a numerically safe form would with better numbers.
    struct Own;
    impl Schedule for Own {
        fn alpha(&self, t: f64) -> f64 {
            1.0 - t
        }
        fn alpha_prime(&self, _: f64) -> f64 {
            -1.0
        }
        fn loss_weight(&self, _: f64) -> f64 {
            7.0
        }
        fn denoise_prob(&self, _: f64, _: f64) -> f64 {
            0.125
        }
    }
    fn numbers(schedule: impl Schedule) -> [f64; 2] {
        [schedule.loss_weight(0.5), schedule.denoise_prob(0.5, 0.25)]
    }
    assert_eq!(numbers(&Own), [7.0, 0.125]);
    assert_eq!(numbers(Box::new(Own) as Box<dyn Schedule>), [7.0, 0.125]);
}

#[test]
fn a_schedule_that_cannot_be_is_refused() {
    for exponent in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = Polynomial::new(exponent).unwrap_err().to_string();
        assert!(error.starts_with("exponent must be finite and positive, got"), "{error}");
    }
    assert!(Geometric::new(0.0, 1.0).is_err());
    assert!(Geometric::new(2.0, 1.0).is_err());
    assert!(PerToken::new(&[]).is_err() && PerToken::new(&[1.0, f64::NAN]).is_err());
    assert!(LinearSigma::new(0.0).is_err() && LinearSigma::new(f64::INFINITY).is_err());
    for eps in [-1e-3, 0.5, f64::NAN] {
        let error = Truncated::end(Linear, eps).unwrap_err().to_string();
        assert!(error.starts_with("eps must be in [0, 0.5), got"), "{error}");
        assert!(Truncated::both(Linear, eps).is_err());
    }
    assert!(Clipped::new(Linear, 0.5, 0.5).is_err() && Clipped::new(Linear, -0.1, 0.5).is_err());
    assert!(Clipped::new(Linear, 0.5, 1.1).is_err() && Clipped::new(Linear, f64::NAN, 1.0).is_err());
    assert!(Hybrid::new(1.0).is_err() && Hybrid::with_gamma(0.1, 0.0).is_err());
    assert!(Table::rdm_cosine(0).is_err() && Table::from_keep_rates(&[]).is_err());
    assert!(Table::from_keep_rates(&[0.5, 1.5]).is_err());
}
