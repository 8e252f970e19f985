//! The laws of `Schedule`, over every implementation.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::float_cmp, reason = "these numbers are exact")]

use dlm_core::Schedule;
use dlm_core::schedule::{Cosine, Geometric, Linear, Polynomial};
use proptest::prelude::*;

fn all() -> Vec<(&'static str, Box<dyn Schedule>)> {
    vec![
        ("linear", Box::new(Linear)),
        ("cosine", Box::new(Cosine)),
        ("square root", Box::new(Polynomial::new(0.5).unwrap())),
        ("quadratic", Box::new(Polynomial::new(2.0).unwrap())),
        ("cubic", Box::new(Polynomial::new(3.0).unwrap())),
        ("geometric", Box::new(Geometric::new(1e-3, 20.0).unwrap())),
    ]
}

#[test]
fn the_ends_are_exact() {
    for (name, schedule) in all() {
        assert_eq!(schedule.alpha(0.0), 1.0, "{name}");
        assert_eq!(schedule.alpha(1.0), 0.0, "{name}");
        assert_eq!(schedule.denoise_prob(0.7, 0.0), 1.0, "{name}: nothing stays noise at s = 0");
    }
}

proptest! {
    #[test]
    fn alpha_falls_and_its_derivative_is_its_derivative(t in 0.01..0.99_f64) {
        for (name, schedule) in all() {
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
        for (name, schedule) in all() {
            let direct = schedule.denoise_prob(t, r);
            prop_assert!((0.0..=1.0).contains(&direct), "{name}: {direct}");
            // Still noise at r: still noise at s, then still noise from s to r.
            let stays = (1.0 - schedule.denoise_prob(t, s)) * (1.0 - schedule.denoise_prob(s, r));
            prop_assert!((1.0 - direct - stays).abs() < 1e-9, "{name}: {direct} against {stays}");
        }
    }

    #[test]
    fn the_loss_weight_is_the_rate_at_which_noise_is_undone(t in 0.05..0.95_f64) {
        for (name, schedule) in all() {
            let h = 1e-6;
            let rate = schedule.denoise_prob(t, t - h) / h;
            let weight = schedule.loss_weight(t);
            prop_assert!((rate - weight).abs() <= 1e-4 * (1.0 + weight), "{name} at {t}: {rate} {weight}");
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
}
