"""Makes tests/golden/metrics.json: scores of small invented texts by the reference implementations.

BLEU (tokenisers zh and char, several references) and chrF by sacrebleu, in [0, 100]; ROUGE by rouge-score and
by rouge; exact match and token F1 by the official SQuAD v1.1 script, whose file is the argument; self-BLEU by
NLTK as Texygen calls it (arXiv 1802.01886); distinct-n from its formula (arXiv 1510.03055). The numbers in
answers are found with the patterns of their sources: Ye et al. 2023 (arXiv 2308.12219), Cobbe et al. 2021
(arXiv 2110.14168), and lm-evaluation-harness, task gsm8k version 3.

    pip install -r tools/golden/requirements.txt
    python3 tools/golden/metrics.py evaluate-v1.1.py > tests/golden/metrics.json
"""

import importlib.metadata
import importlib.util
import json
import re
import sys

import nltk
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge import Rouge
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

DATE = "2026-11-23"

CORPORA = {  # name: (hypothesis, references) cases
    "equal": [("The lamp hums above an empty desk.", ["The lamp hums above an empty desk."])],
    "nothing shared": [("qq ww", ["The lamp hums."])],
    "empty hypothesis": [("", ["The lamp hums above the desk."])],
    "empty reference": [("The lamp hums.", [""])],
    "one empty among two": [("", ["A kite falls."]), ("A red kite falls on the roof.", ["A red kite fell on the roof."])],
    "both empty": [("", [""])],
    "one letter": [("a", ["a"])],
    "short word": [("kite", ["kites"])],
    "long and short": [("A kite", ["A red kite falls slowly on the tin roof of the barn"]),
                       ("A red kite falls slowly on the tin roof of the barn", ["A kite"])],
    "case": [("ÉCOLE de la Rue du PORT, près du lac", ["École de la rue du Port, Près du LAC"])],
    "punctuation": [("(Well), \"yes\" -- he said; ok? ...no!", ["Well, (yes) - he said: \"ok\"? No..."])],
    "marks alone": [("! ? . , ;", ["! . ? ; ,"])],
    "numbers": [("It took 1,250.5 m and 3-4 days, i.e. 12% more.", ["It took 1250.5 m and 3 - 4 days, i.e. 12 % more."])],
    "repeats": [("la la la la la la la", ["la la land"])],
    "spaces": [("  two\u00a0 wide\tgaps\u3000here ", ["two wide gaps here"])],
    "line break": [("an open-\nended line\nends here", ["an openended line ends here"])],
    "accents": [("Zażółć gęślą jaźń w cafe\u0301.", ["Zażółć gęślą jaźń w café."])],
    "Chinese": [("我昨天在湖边看见了三只白鹤。", ["昨天我在湖边看到三只白鹤。"]), ("她说:“好,2.5公里!”", ["她说:“好的,2.5公里。”"])],
    "Chinese and English": [("他用Python写了3个程序，花了1,200元…", ["他用 Python 写了三个程序——花了1,200元。"])],
    "rare characters": [("𠀋𠮷野家→①★♪", ["𠮷野家 → ① ★ ♪"]), ("ﾊﾛｰ豈更㐀鿋ㄅ", ["ﾊﾛｰ 豈更 㐀鿋 ㄆ"])],
    "symbols as Chinese": [("a…b—c “d” ∑x ☃ ⼀ ⾁ 5€", ["a … b — c „d“ ∑ x ☃ ⼀ ⾁ 5 €"])],
    "Japanese and Korean": [("きのう、湖で鳥を見ました。", ["昨日、湖で鳥を見た。"]), ("어제 호수에서 새를 보았다.", ["어제 호수에서 새 를 봤다."])],
    "two references": [("A girl feeds two grey ducks by the pond.", ["A girl is feeding ducks by the pond.", "Two grey ducks are fed by a girl."]),
                       ("Nobody came.", ["No one came.", "Nobody came to the pond that day."])],
    "three references": [("the boat the boat drifts", ["the boat drifts away", "drifts the the boat", "a"]),
                         ("wind over water", ["wind", "wind over the water tonight", "water over wind"])],
    "references of equal distance": [("one two three four", ["one two three four five", "one two three", "four three two one five"])],
    "references whose chrF differs by rounding alone": [("kite", ["ewk", "ty"]), ("A red kite", ["A red kit", "The kite"])],
    "an empty reference of two": [("one two three four", ["", "one two three five"])],
}

ROUGE_PAIRS = [  # hypothesis, reference
    ("the ferry left the harbour at dawn", "the ferry left the harbour at dawn"),
    ("the ferry left at dawn", "at dawn the ferry had left the harbour"),
    ("nothing here agrees", "every word differs"),
    ("", "a reference"), ("a hypothesis", ""), ("", ""), ("...", "a b"), ("a", "a"), ("a", "A!"), ("one", "two"),
    ("the the the the cat", "the cat the cat"),
    ("We sold 1,200 tickets; 3.5% more.", "we sold 1200 tickets - 3.5 % more"),
    ("It's the well-known \"north\" door.", "Its the well known north door"),
    ("Die Fähre fuhr über den See.", "die Faehre fuhr über den See"),
    ("船在清晨离开了港口。", "清晨船离开港口。"), ("café 船 open", "cafe open 船"), ("İstanbul KELVIN K", "i̇stanbul kelvin k"),
    ("The ferry left. Rain fell on the pier.", "Rain fell. The ferry left the pier in the rain."),
    ("The ferry left.\nRain fell on the pier.\nGulls cried.", "Gulls cried at dawn.\nThe ferry left the pier.\nRain, rain fell."),
    ("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5"),
    ("a b c a b\nb a c", "c a b b a\na a b c"),
    ("x y x y x\ny y x", "y x y\nx x y y"),
    ("a b c d e f g", "g f e d c b a"), ("b d c a b a", "a b c b d a b"),
    ("\n\n a line \n", "a\n\nline"), ("end with a space. ", "end with a space . "), ("one..two. . three", "one. two three"),
    ("  spaced\tout\u00a0words ", "spaced out words"), ("no stop", "no stop at all"), ("!!!", "???"),
    ("She sold shells and she sold sand; she sold sea shells.", "She sells sea shells. The shells she sells are sea shells."),
    ("to be or not to be", "to be. or not. to be"),
]

SQUAD = [  # answer, references
    ("the Old Harbour", ["Old Harbour"]), ("old harbor", ["the Old Harbour", "harbor, old"]), ("Oslo", ["Bergen", "Oslo."]),
    ("", ["x"]), ("x", [""]), ("", [""]), ("the", ["a"]), ("...", ["an"]), ("a b a", ["b a b"]), ("U.S.A.", ["USA", "U S A"]),
    ("1,200 people", ["1200 people", "about 1,200"]), ("theatre anthem a", ["the atre an them"]), ("re-entry", ["reentry"]),
    ("“quoted”", ["quoted", "“quoted”"]), ("\u00a0wide\u3000gap ", ["wide gap"]), ("ÉCOLE", ["école"]), ("ΟΔΟΣ", ["οδος", "οδός"]),
    ("a\u0301 b", ["\u0301 b", "b"]), ("the_end", ["theend", "end"]), ("été-a-été", ["été été", "étéaété"]), ("a—the—b", ["— — b", "b"]),
    ("三只白鹤", ["三只白鹤", "白鹤"]), ("five five six", ["five six six", "five five"]), ("an A the", [""]), ("$5 the", ["5"]),
    ("a1 1a a", ["a1 1a"]), ("½a a½", ["½ ½"]), ("in the year of the flood", ["year of flood", "the year of a flood in"]),
]

NUMBERS = [
    "", "none", "18", "the answer is 18.", "3 boxes of 12 make 36 eggs", "1,234,567", "1,2,3", "2.50", "-7", "7-", "$1,200.00", "$18", "5%",
    "007", "0", "000", "1, 2", ",5,", "5,", "so 3+4=7.", "2 * 9 = <<2*9=18>>18\n#### 18", "#### 1,200", "#### -3.5", "####7", "#### abc",
    "#### 5 and then #### 6", "#### 42.", "total: 3...", "wait...", "a.b", "答案是１８。", "共有12个苹果", "٣٩", "उत्तर १२३ है", "x² + 5³",
    "between 10-20", "10\u00a0000", "1.000,50", "v1.2.3", "12345678901234567890123", "Ⅷ", "#### $5", "-$4", "it costs $", "9 – 3",
]

CHOICES = [("A", "A"), ("a", "A"), (" b\n", "B"), ("C", "D"), ("(A)", "A"), ("A.", "A"), ("", "A"), ("", " "), ("Yes", "yes"), ("\u3000D\x1f", "d")]

TEXTS = {  # name: texts
    "varied": ["the lamp hums", "a red kite falls on the roof", "wind over cold water"],
    "equal": ["we walk home now", "we walk home now", "we walk home now"],
    "overlapping": ["the boat drifts over the lake", "the boat drifts away", "over the lake the boat drifts", "a boat"],
    "repeats": ["la la la la la", "la la land", "la"],
    "with an empty one": ["one two three four five", "", "one two three"],
    "tie of lengths": ["a b c d", "a b c", "a b c d e", "c b a"],
    "single words": ["yes", "no", "yes"],
    "characters": ["三 只 白 鹤", "三 只 猫", "一 只 白 鹤 飞 走 了"],
    "two long": ["she sells sea shells by the sea shore every day", "he sells sea shells by the lake shore every other day"],
}


def script(path):
    spec = importlib.util.spec_from_file_location("squad", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def corpora(bleu, chrf):
    rows = []
    for name, cases in CORPORA.items():
        hypotheses = [hypothesis for hypothesis, _ in cases]
        streams = list(zip(*(references for _, references in cases)))
        scores = {key: metric.corpus_score(hypotheses, streams) for key, metric in bleu.items()}
        sentences = {key: [metric.sentence_score(h, r).score for h, r in cases] for key, metric in chrf.items()}
        rows.append({"name": name, "cases": cases, "bleu": {key: score.score for key, score in scores.items()},
                     "counts": {key: [score.ref_len, *score.counts, *score.totals] for key, score in scores.items()},
                     "chrf": {key: metric.corpus_score(hypotheses, streams).score for key, metric in chrf.items()}, "chrf_sentences": sentences})
    return rows


def rouge():
    kinds = ("rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum")
    google, sets, rows = RougeScorer(kinds), Rouge(metrics=["rouge-1", "rouge-2", "rouge-3", "rouge-l"]), []
    for hypothesis, reference in ROUGE_PAIRS:
        scores = google.score(reference, hypothesis)
        row = {"hypothesis": hypothesis, "reference": reference, "google": {kind[5:]: list(scores[kind]) for kind in kinds}, "sets": None}
        try:
            row["sets"] = {kind[6:]: [s["p"], s["r"], s["f"]] for kind, s in sets.get_scores(hypothesis, reference)[0].items()}
        except ValueError:  # a text without a sentence
            pass
        rows.append(row)
    taken = [(row["hypothesis"], row["reference"]) for row in rows if row["sets"]]
    mean = sets.get_scores(*map(list, zip(*taken)), avg=True)
    return rows, {kind[6:]: [s["p"], s["r"], s["f"]] for kind, s in mean.items()}


def squad(official):
    rows = []
    for answer, references in SQUAD:
        best = [official.metric_max_over_ground_truths(f, answer, references) for f in (official.exact_match_score, official.f1_score)]
        rows.append({"answer": answer, "references": references, "normalised": official.normalize_answer(answer), "exact": float(best[0]), "f1": float(best[1])})
    return rows


def number(text):
    integers = re.findall(r"\d+(?:,\d+)*", text)
    marked = re.search(r"#### (\-?[0-9\.\,]+)", text)
    flexible = [first or second for first, second in re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", text)]
    for ignored in (",", r"\$", r"(?s).*#### ", r"\.$") if flexible else ():
        flexible[-1] = re.sub(ignored, "", flexible[-1])
    return {"text": text, "last_integer": str(int(integers[-1].replace(",", ""))) if integers else None,
            "marked": marked.group(1).replace(",", "") if marked else None, "flexible": flexible[-1] if flexible else None}


def diversity():
    rows = []
    for name, texts in TEXTS.items():
        cut = [text.split() for text in texts]
        row = {"name": name, "texts": texts, "distinct": {}, "self_bleu": {}}
        for n in range(1, 6):
            grams = [gram for text in cut for gram in nltk.ngrams(text, n)]
            row["distinct"][n] = len(set(grams)) / len(grams) if grams else None
            scores = [sentence_bleu(cut[:i] + cut[i + 1:], text, (1 / n,) * n, SmoothingFunction().method1) for i, text in enumerate(cut)]
            row["self_bleu"][n] = sum(scores) / len(scores)
        rows.append(row)
    return rows


def main():
    bleu = {f"{tok}{'_lower' if low else ''}": BLEU(tokenize=tok, lowercase=low) for tok in ("13a", "intl", "zh", "char") for low in (False, True)}
    chrf = {"chrf": CHRF(), "chrf++": CHRF(word_order=2), "lower": CHRF(lowercase=True), "space": CHRF(whitespace=True),
            "chrf++_lower_space": CHRF(word_order=2, lowercase=True, whitespace=True), "short": CHRF(char_order=3, word_order=1, beta=1)}
    rows = corpora(bleu, chrf)
    for metric in (bleu | chrf).values():  # a signature counts the references of the last corpus
        metric.corpus_score(["a"], [["a"]])
    (rouge_rows, rouge_mean), texts = rouge(), {"bleu": bleu, "chrf": chrf}
    meta = {"generator": "tools/golden/metrics.py", "date": DATE, "versions": {p: importlib.metadata.version(p) for p in ("sacrebleu", "rouge-score", "rouge", "nltk")},
            "signatures": {k: {n: str(m.get_signature()) for n, m in v.items()} for k, v in texts.items()},
            "rouge_sets_mean": rouge_mean}
    parts = {"corpora": rows, "rouge": rouge_rows, "squad": squad(script(sys.argv[1])), "numbers": [number(text) for text in NUMBERS],
             "choices": [{"said": s, "right": r, "same": s.strip().lower() == r.strip().lower()} for s, r in CHOICES], "diversity": diversity()}
    lines = [f'"{name}": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in part) + "\n]" for name, part in parts.items()]
    print('{\n"meta": ' + json.dumps(meta) + ",\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
