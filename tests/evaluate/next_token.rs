//! Networks that predict the next token.

use burn::tensor::{Device, Tensor, TensorData};
use dlm::core::{Attention, Denoiser, DenoiserInput, TokenId};
use dlm::evaluate::{Error, Report, Subject, Task, evaluate};
use dlm::view::View;

use crate::{Scratch, WORDS, answers, words};

/// p(next word | this word): `a` or `b` after north, `b` or EOS after a, `a` or EOS after b, c after all else.
struct Pairs;

impl Pairs {
    fn p(before: TokenId, next: TokenId) -> f64 {
        match (before, next) {
            (5, 7) | (8, 2) => 0.75,
            (5, 8) | (8, 7) => 0.25,
            (7, 8) => 0.6,
            (7, 2) => 0.4,
            (5 | 7 | 8, _) => 0.0,
            (_, 9) => 1.0,
            _ => 0.0,
        }
    }
}

impl Denoiser for Pairs {
    fn vocab_size(&self) -> usize {
        WORDS.len()
    }
    fn device(&self) -> Device {
        Device::default()
    }
    fn logits(&self, input: &DenoiserInput<'_>) -> Tensor<2> {
        assert_eq!(input.attention, Attention::Causal);
        let ids = || 0..WORDS.len() as TokenId;
        let row = |&at: &usize| ids().map(move |next| Self::p(input.ids[at], next).ln().max(-1e4) as f32);
        let logits: Vec<f32> = input.at.iter().flat_map(row).collect();
        Tensor::from_data(TensorData::new(logits, [input.at.len(), WORDS.len()]), &self.device())
    }
}

fn run(task: &Task) -> Result<Report, Error> {
    let model = View::NextToken.of(Pairs);
    evaluate(&Subject::new(&*model, &words()).with_view(View::NextToken), task, |_, _| ())
}

const CASES: &str = r#"{"place": "north", "answer": "a b"}
{"place": "of north", "answer": "b"}
"#;

const GENERATE: &str = r#"
    name = "pairs"
    form = { query = "{place}", answer = "{answer}" }
    metrics = ["accuracy", "bits-per-token", "perplexity-bound"]
    data = { files = ["cases.jsonl"] }
    generate = { length = 4, steps = 1 }
"#;

#[test]
fn likelihoods_are_exact_and_answers_are_written_from_left_to_right_up_to_the_end() {
    let folder = Scratch::new("next-token");
    folder.write("cases.jsonl", CASES);
    let report = run(&folder.task(GENERATE).unwrap()).unwrap();
    // a, b, EOS, each the likeliest after the one before; what stands after EOS is none of the answer.
    assert_eq!(answers(&report), ["a b", "a b"]);
    assert_eq!((report.forwards, report.tokens), (4, 4));
    assert_eq!(report.method, "ar, a token a step, lengths [4]");
    let bits = -(0.75_f64 * 0.6 * 0.75 * 0.25 * 0.75).log2() / 5.0;
    assert!((report.scores[1].value.unwrap() - bits).abs() < 1e-5);
    assert!((report.scores[2].value.unwrap() - bits.exp2()).abs() < 1e-5);
    assert!(report.scores[1].signature.starts_with("nrefs:1|exact:left-to-right|eos:yes|"));
    let same = run(&folder.task(&format!("rows = 1\n{GENERATE}")).unwrap()).unwrap();
    assert_eq!(same.outputs, report.outputs);
    assert!((same.scores[1].value.unwrap() - bits).abs() < 1e-5);
}

#[test]
fn options_are_compared_by_their_exact_likelihood() {
    let folder = Scratch::new("next-token-choose");
    folder.write("cases.jsonl", CASES);
    for (how, chosen) in [("sum", "a b"), ("token", "a b"), ("byte", "a b")] {
        let choose = format!("choose = {{ options = [\"b\", \"a b\", \"b a\"], normalise = \"{how}\" }}");
        let text = GENERATE.replace("generate = { length = 4, steps = 1 }", &choose);
        let report = run(&folder.task(&text).unwrap()).unwrap();
        // 0.25 · 0.75 against 0.75 · 0.6 · 0.75 and 0.25 · 0.25 · 0.4, of one forward pass.
        assert_eq!(answers(&report), [chosen; 2], "{how}");
        assert_eq!((report.forwards, report.evaluations), (1, 6));
        assert_eq!(report.method, format!("likeliest option, normalised by {how}, exact"));
    }
}

#[test]
fn another_strategy_than_left_to_right_is_refused() {
    let folder = Scratch::new("next-token-strategy");
    folder.write("cases.jsonl", CASES);
    let with = |strategy: &str| {
        let text = GENERATE.replace("steps = 1", &format!("steps = 1, strategy = \"{strategy}\""));
        run(&folder.task(&text).unwrap())
    };
    assert_eq!(answers(&with("ar").unwrap()), ["a b", "a b"]);
    let error = with("cmlm").unwrap_err();
    assert!(matches!(&error, Error::Strategy { task, got } if task == "pairs" && got == "cmlm"), "{error}");
}
