//! Draws against the laws that they are said to have.

mod common;

use common::follows;
use dlm_core::{CounterRng, Purpose};

#[test]
fn gumbel_draws_follow_the_softmax() {
    let logits = [1.0, 0.0, -0.5, -3.0];
    let mut rng = CounterRng::new(3).row(Purpose::Token, 0);
    for temperature in [0.25, 0.5, 1.0, 2.0] {
        let mut counts = [0; 4];
        for draw in 0..1_000_000 {
            let noisy: Vec<f64> =
                (0..4).map(|i| logits[i] / temperature + rng.gumbel(4 * draw + i)).collect();
            let best = (1..4).fold(0, |best, i| if noisy[i] > noisy[best] { i } else { best });
            counts[best] += 1;
        }
        let exp = logits.map(|z: f64| (z / temperature).exp());
        let law = exp.map(|e| e / exp.iter().sum::<f64>());
        assert!(follows(&counts, &law), "{temperature}: {counts:?} {law:?}");
    }
}

#[test]
fn gumbel_draws_of_single_precision_do_not() {
    // The largest of many: the highest of K uniform numbers is one of them to the power 1/K, cut to its bits.
    let words = 65_536.0;
    let mut rng = CounterRng::new(5).row(Purpose::Token, 0);
    let counts = |bits: f64, rng: &mut dyn FnMut(usize) -> f64| {
        let mut counts = [0_usize; 4];
        for draw in 0..200_000 {
            let highest = (rng(draw).powf(1.0 / words) * bits.exp2()).floor() / bits.exp2();
            let gumbel = -(-highest.ln()).ln();
            counts[[10.0, 12.0, 16.7].iter().filter(|&&edge| gumbel > edge).count()] += 1;
        }
        counts
    };
    let below = |edge: f64| (-words * (-edge).exp()).exp();
    let law = [below(10.0), below(12.0) - below(10.0), below(16.7) - below(12.0), 1.0 - below(16.7)];
    assert!(follows(&counts(53.0, &mut |draw| rng.uniform(draw)), &law));
    let single = counts(24.0, &mut |draw| rng.uniform(draw));
    assert!(!follows(&single, &law) && single[3] == 0, "the upper tail is cut off: {single:?} {law:?}");
}

#[test]
fn uniform_draws_are_even() {
    let mut rng = CounterRng::new(11).row(Purpose::Noise, 4);
    let (mut tenths, mut sevenths) = ([0; 10], [0; 7]);
    for draw in 0..200_000 {
        tenths[(rng.uniform(2 * draw) * 10.0) as usize] += 1;
        sevenths[rng.below(2 * draw + 1, 7)] += 1;
    }
    assert!(follows(&tenths, &[0.1; 10]), "{tenths:?}");
    assert!(follows(&sevenths, &[1.0 / 7.0; 7]), "{sevenths:?}");
}
