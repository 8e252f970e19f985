//! Masked and autoregressive questions, packed rows, and networks seen otherwise.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use burn::tensor::{Device, Tensor, TensorData};
use dlm_core::view::{Attending, Shifted};
use dlm_core::{
    Attention, Batch, CounterRng, Denoiser, DenoiserInput, Error, Forward, Prior, Sequence, Vocabulary,
    corrupt, schedule::Linear,
};

const MASK: u32 = 19;

fn vocabulary() -> Vocabulary {
    Vocabulary::new(20, 0, 1, 2, MASK).unwrap()
}

#[test]
fn bert_hides_replaces_and_leaves_in_its_shares() {
    let rows: Vec<_> =
        (0..20).map(|_| Sequence::prompt_response(&[7; 10], &[5; 1999], &vocabulary())).collect();
    let batch = Batch::new(&rows, &vocabulary()).unwrap();
    let noised = corrupt::bert(&batch, 0.15, &vocabulary(), &CounterRng::new(4)).unwrap();
    let asked = noised.at().len();
    // 40 000 positions: 4.5 standard deviations are 321.
    assert!((5679..6321).contains(&asked), "{asked}");
    assert!(noised.at().iter().all(|&at| at % batch.len() >= 11), "a prompt was asked");
    let mut counts = [0.0; 20];
    noised.at().iter().for_each(|&at| counts[noised.xt()[at] as usize] += 1.0);
    // Words 3..=18: a tenth of the asked spread evenly, and another tenth is the word 5 itself.
    let n = asked as f64;
    let law = |id: usize| match id {
        19 => 0.8,
        5 => 0.1 + 0.1 / 16.0,
        3..=18 => 0.1 / 16.0,
        _ => 0.0,
    };
    assert_eq!(counts[..3], [0.0; 3]);
    let chi: f64 = (3..20).map(|id| (counts[id] - n * law(id)).powi(2) / (n * law(id))).sum();
    // 16 degrees of freedom: exceeded once in a million.
    assert!(chi < 60.0, "{chi}");
    // Nothing changes where nothing is asked.
    let silent = (0..noised.xt().len()).filter(|at| noised.at().binary_search(at).is_err());
    assert!(silent.into_iter().all(|at| noised.xt()[at] == batch.ids()[at]));
}

#[test]
fn bert_refuses_what_has_no_meaning() {
    let batch = Batch::new(&[Sequence::whole(vec![3])], &vocabulary()).unwrap();
    for ratio in [0.0, -0.1, 1.1, f64::NAN] {
        let refused = corrupt::bert(&batch, ratio, &vocabulary(), &CounterRng::new(0));
        assert!(matches!(refused, Err(Error::OutOfDomain { name: "ratio", .. })));
    }
    let special = Vocabulary::new(4, 0, 1, 2, 3).unwrap();
    let batch = Batch::new(&[Sequence::whole(vec![0])], &special).unwrap();
    let refused = corrupt::bert(&batch, 0.5, &special, &CounterRng::new(0));
    assert!(matches!(refused, Err(Error::Empty { .. })));
}

#[test]
fn noise_keeps_the_documents_of_a_packed_row() {
    let document = |n: usize| Sequence::whole(vec![5; n]);
    let rows = [vec![document(2).with_key(70), document(3)], vec![document(1)], vec![]];
    let batch = Batch::packed(&rows, &vocabulary()).unwrap();
    let numbers = [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(batch.documents(), Some(numbers.as_slice()));
    assert_eq!((batch.key(0), batch.key(1), batch.rows(), batch.len()), (70, 1, 3, 5));
    assert_eq!(batch.pad().iter().filter(|&&pad| pad).count(), 9);
    let forward = Forward::new(Linear, Prior::Absorbing { mask: MASK });
    let pairs = [(0.9, 0.1); 3];
    let noised = forward.noise_coupled(&batch, &pairs, &CounterRng::new(1)).unwrap();
    assert_eq!(noised.input().documents, Some([numbers, numbers].concat().as_slice()));
    let input = noised.input();
    assert!(input.sees(0, 2, 4) && !input.sees(0, 1, 2) && !input.sees(1, 0, 1));
    let below = input.rows(3..5, &[]);
    assert_eq!(below.documents, Some(&numbers[..10]));
}

/// Says which positions it was asked, and what it sees from there.
struct Echo;

impl Denoiser for Echo {
    fn vocab_size(&self) -> usize {
        20
    }

    fn device(&self) -> Device {
        Device::default()
    }

    /// Column 0: the flat position; columns 1..: how many tokens of each id it sees.
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        let len = input.shape[1];
        let row = |&at: &usize| {
            let mut row = [0.0_f32; 20];
            row[0] = at as f32;
            for key in (0..len).filter(|&key| input.sees(at / len, at % len, key)) {
                row[input.ids[at / len * len + key] as usize] += 1.0;
            }
            row
        };
        let rows: Vec<f32> = input.at.iter().flat_map(row).collect();
        Tensor::from_data(TensorData::new(rows, [input.at.len(), 20]), &self.device())
    }
}

fn said(logits: Tensor<2>) -> Vec<Vec<f32>> {
    logits.into_data().iter::<f32>().collect::<Vec<_>>().chunks(20).map(<[f32]>::to_vec).collect()
}

#[test]
fn a_shifted_network_is_asked_one_position_earlier() {
    let asked = said(Shifted(Echo).logits(&DenoiserInput::new(&[3; 8], [2, 4], &[0, 1, 3, 4, 6])));
    assert_eq!(asked.iter().map(|row| row[0]).collect::<Vec<_>>(), [0.0, 0.0, 2.0, 4.0, 5.0]);
}

#[test]
fn an_autoregressive_network_sees_neither_its_answer_nor_what_follows() {
    let row = Sequence::prompt_response(&[5, 6], &[7, 8], &vocabulary());
    let batch = Batch::new(&[row], &vocabulary()).unwrap();
    let asked = corrupt::teacher_forced(&batch);
    assert_eq!(asked.targets(), [7, 8, 2]);
    let said = said(dlm_core::view::next_token(Echo).logits(&asked.input()));
    let seen = |row: &[f32]| (5..=8).map(|id| row[id]).collect::<Vec<_>>();
    assert_eq!(seen(&said[0]), [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(seen(&said[1]), [1.0, 1.0, 1.0, 0.0]);
    assert_eq!(seen(&said[2]), [1.0, 1.0, 1.0, 1.0]);
    let full = Attending { inner: Echo, attention: Attention::Full };
    assert_eq!(seen(&self::said(full.logits(&asked.input()))[0]), [1.0; 4]);
}
