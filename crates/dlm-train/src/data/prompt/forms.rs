//! The paper's tasks in words, and the fields that each one needs.
//!
//! A prompt and its gap are, to the space, the `inputs` of the paper's evaluation files
//! (<https://github.com/yegcjs/DiffusionLLM>, `data/instruct` at commit 51fd77b), where it has the task.
//!
//! # Source
//! Ye et al. 2023, arXiv:2308.12219, and these files. Where they leave a string open, the form says where its
//! words come from.

use super::FormText;

/// All forms here with their names, for command lines and task files.
pub const NAMED: [(&str, FormText<'static>); 10] = [
    ("translate-de-en", TRANSLATE_DE_EN),
    ("translate-de-en-bare", TRANSLATE_DE_EN_BARE),
    ("summarise", SUMMARISE),
    ("flan", FLAN),
    ("chain-of-thought", CHAIN_OF_THOUGHT),
    ("mmlu", MMLU),
    ("tydiqa", TYDIQA),
    ("mgsm", MGSM),
    ("mgsm-de", MGSM_DE),
    ("mgsm-zh", MGSM_ZH),
];

/// `source`, `target`: German to English.
pub const TRANSLATE_DE_EN: FormText<'_> = FormText {
    head: "Translate the sentences into English.  ",
    query: "German: {source} English:",
    gap: " ",
    answer: "{target}",
    shot: None,
    between: " ",
};

/// `source`, `target`: as [`TRANSLATE_DE_EN`] without the instruction, the paper's test of what a network
/// does that was never taught to follow one.
pub const TRANSLATE_DE_EN_BARE: FormText<'_> = FormText { head: "", ..TRANSLATE_DE_EN };

/// `source`, `target`: a sentence or a text, and its summary.
///
/// The paper does not print its form; this is the first of Flan's for Gigaword.
pub const SUMMARISE: FormText<'_> = FormText {
    head: "",
    query: "Write a short summary for this text: {source}\n\nSummary:",
    gap: " ",
    answer: "{target}",
    shot: None,
    between: "\n\n",
};

/// `inputs`, `targets`: any task of Flan, whose `inputs` are prompts already; demonstrations stand before
/// them as in Flan 2022.
pub const FLAN: FormText<'_> =
    FormText { head: "", query: "{inputs}", gap: "\n\n", answer: "{targets}", shot: None, between: "\n\n\n" };

/// `question`, `answer`: the answer with its reasons before it.
///
/// The paper does not print a form for single questions; these are the words of Kojima et al. 2022,
/// arXiv:2205.11916.
pub const CHAIN_OF_THOUGHT: FormText<'_> = FormText {
    head: "",
    query: "Q: {question}\nA: Let's think step by step.",
    gap: " ",
    answer: "{answer}",
    shot: None,
    between: "\n\n",
};

/// `subject`, `question`, `A`, `B`, `C`, `D`, `answer`: MMLU. The answer is the letter `A` to `D` alone, one
/// token; a subject of several words has spaces between them.
pub const MMLU: FormText<'_> = FormText {
    head: "The following are multiple choice questions (with answers) about {subject}. ",
    query: "Q: {question} (A) {A} (B) {B} (C) {C} (D) {D} A:",
    gap: " ",
    answer: "{answer}",
    shot: None,
    between: " | ",
};

/// `language` (`finnish`), `context`, `question`, `answer`: `TyDi` QA, gold passage.
///
/// The files have two spaces before the context of a question, and one before that of its demonstration; they
/// show one demonstration at most.
pub const TYDIQA: FormText<'_> = FormText {
    head: "Please answer each of the question according to the given context in {language}. ",
    query: " context: {context} Q: {question} A:",
    gap: " ",
    answer: "{answer}",
    shot: Some("context: {context} Q: {question} A: {answer}"),
    between: " | ",
};

/// `question`, `answer`: MGSM in English, and GSM8K.
///
/// The files have two spaces before a question, and one before that of a demonstration.
///
/// # Source
/// Shi et al. 2022, arXiv:2210.03057, whose words these are in each language.
pub const MGSM: FormText<'_> = FormText {
    head: " ",
    query: "Question:  {question} Step-by-Step Answer:",
    gap: " ",
    answer: "{answer}",
    shot: Some("Question: {question} Step-by-Step Answer: {answer}"),
    between: " ",
};

/// As [`MGSM`], in German.
pub const MGSM_DE: FormText<'_> = FormText {
    query: "Frage:  {question} Schritt-für-Schritt-Antwort:",
    shot: Some("Frage: {question} Schritt-für-Schritt-Antwort: {answer}"),
    ..MGSM
};

/// As [`MGSM`], in Chinese, which has no space before an answer.
pub const MGSM_ZH: FormText<'_> = FormText {
    query: "问题： {question} 逐步解答：",
    gap: "",
    shot: Some("问题：{question} 逐步解答：{answer}"),
    ..MGSM
};
