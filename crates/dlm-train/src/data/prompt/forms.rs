//! The paper's tasks in words, and the fields that each one needs.
//!
//! # Source
//! Ye et al. 2023, arXiv:2308.12219, and its evaluation files. Where they leave a string open, the form says
//! where its words come from.

use super::FormText;

/// All forms here with their names, for command lines and task files.
pub const NAMED: [(&str, FormText<'static>); 8] = [
    ("translate-de-en", TRANSLATE_DE_EN),
    ("translate-de-en-bare", TRANSLATE_DE_EN_BARE),
    ("summarise", SUMMARISE),
    ("flan", FLAN),
    ("chain-of-thought", CHAIN_OF_THOUGHT),
    ("mmlu", MMLU),
    ("tydiqa", TYDIQA),
    ("mgsm", MGSM),
];

/// `source`, `target`: German to English.
///
/// The instruction and the names of the languages are the paper's; that each stands on a line of its own is
/// a choice.
pub const TRANSLATE_DE_EN: FormText<'_> = FormText {
    head: "Translate the sentences into English.\n",
    query: "German: {source}\nEnglish:",
    gap: " ",
    answer: "{target}",
    between: "\n",
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
    between: "\n\n",
};

/// `inputs`, `targets`: any task of Flan, whose `inputs` are prompts already; demonstrations stand before
/// them as in Flan 2022.
pub const FLAN: FormText<'_> =
    FormText { head: "", query: "{inputs}", gap: "\n\n", answer: "{targets}", between: "\n\n\n" };

/// `question`, `answer`: the answer with its reasons before it.
///
/// The paper does not print a form for single questions; these are the words of Kojima et al. 2022,
/// arXiv:2205.11916.
pub const CHAIN_OF_THOUGHT: FormText<'_> = FormText {
    head: "",
    query: "Q: {question}\nA: Let's think step by step.",
    gap: " ",
    answer: "{answer}",
    between: "\n\n",
};

/// `subject`, `question`, `A`, `B`, `C`, `D`, `answer`: MMLU. The answer is `(A)` to `(D)`.
///
/// The opening, the brackets, `A:` and the bar are the paper's; the line ends are Flan's, Chung et al. 2022,
/// arXiv:2210.11416.
pub const MMLU: FormText<'_> = FormText {
    head: "The following are multiple choice questions (with answers) about {subject}.\n\n",
    query: "{question}\n(A) {A} (B) {B} (C) {C} (D) {D}\nA:",
    gap: " ",
    answer: "{answer}",
    between: " | ",
};

/// `language`, `context`, `question`, `answer`: `TyDi` QA, gold passage.
///
/// Context, `Q:`, `A:` and a line that says in which language to answer are the paper's; the wording of that
/// line and its place are a choice.
pub const TYDIQA: FormText<'_> = FormText {
    head: "Answer the question in {language}.\n",
    query: "{context}\nQ: {question}\nA:",
    gap: " ",
    answer: "{answer}",
    between: "\n\n",
};

/// `question`, `answer`: MGSM and GSM8K.
///
/// `Step-by-Step Answer` is the paper's, as in Shi et al. 2022, arXiv:2210.03057, whose `Question` and line
/// ends these are.
pub const MGSM: FormText<'_> = FormText {
    head: "",
    query: "Question: {question}\nStep-by-Step Answer:",
    gap: " ",
    answer: "{answer}",
    between: "\n\n",
};
