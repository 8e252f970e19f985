"""Makes tests/golden/porter.json: stems of words by NLTK, and ROUGE of stems by rouge-score.

Words are those of assets/cmudict that any suffix of the stemmer may touch, some of each kind, the examples of
Porter's paper, and made-up ones that only a rule of NLTK's touches.

    pip install -r tools/golden/requirements.txt
    python3 tools/golden/porter.py > tests/golden/porter.json
"""

import importlib.metadata
import json
import pathlib
import random

from nltk.stem import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer

DATE = "2026-11-28"
SUFFIXES = (
    "sses ies ss s eed ied ed ing y ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness "
    "fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant "
    "ement ment ent sion tion ion ou ism ate iti ous ive ize e ll ency ancy bly ally ently ely ously ality ivity bility fully "
    "logy icity ying ated bled ized"
).split()
PAPER = (
    "caresses ponies ties caress cats feed agreed plastered bled motoring sing conflated troubled sized hopping tanned falling "
    "hissing fizzed failing filing happy sky relational conditional rational valenci hesitanci digitizer conformabli radicalli "
    "differentli vileli analogousli vietnamization predication operator feudalism decisiveness hopefulness callousness formaliti "
    "sensitiviti sensibiliti triplicate formative formalize electriciti electrical hopeful goodness revival allowance inference "
    "airliner gyroscopic adjustable defensible irritant replacement adjustment dependent adoption homologou communism activate "
    "angulariti homologous effective bowdlerize probate rate cease controll roll generalizations oscillators"
).split()
NLTK = (
    "a is by skies dying lying tying news innings outing cannings howe proceed exceed succeed dies died flies spied spy enjoy "
    "enjoyment geology theology philology fully carefully rationally yyyy syzygy oed aing ion being naïve naïvely éted 1990s x1ing"
).split()
PAIRS = [  # hypothesis, reference
    ("the ferries were leaving the harbours", "a ferry leaves the harbour"),
    ("She was testing generalizations.\nThey hoped.", "They are hoping.\nHe tested a general rule."),
    ("Dying flies", "the fly dies"), ("was his", "wa hi"), ("", "leaves"), ("1990s tests", "1990 testing"),
]


def words(per_suffix=4):
    files = sorted(pathlib.Path("assets/cmudict").glob("*.tsv"))
    known = sorted({line.split("\t")[0] for file in files for line in file.read_text(encoding="utf-8").splitlines()})
    draw, picked = random.Random(7), set()
    for suffix in SUFFIXES:
        fit = [word for word in known if word.endswith(suffix)]
        picked |= set(draw.sample(fit, min(per_suffix, len(fit))))
    return sorted(picked) + PAPER + NLTK


def main():
    stem, scorer = PorterStemmer().stem, RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=True)
    meta = {"generator": "tools/golden/porter.py", "date": DATE, "versions": {p: importlib.metadata.version(p) for p in ("nltk", "rouge-score")}}
    stems = ",\n".join(json.dumps([word, stem(word)], ensure_ascii=False) for word in words())
    rows = [{"hypothesis": h, "reference": r, "f1": {kind[5:]: score.fmeasure for kind, score in scorer.score(r, h).items()}} for h, r in PAIRS]
    rouge = ",\n".join(json.dumps(row) for row in rows)
    print('{\n"meta": ' + json.dumps(meta) + ',\n"stems": [\n' + stems + '\n],\n"rouge": [\n' + rouge + "\n]\n}")


if __name__ == "__main__":
    main()
