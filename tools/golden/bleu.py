"""Makes tests/golden/bleu.json: corpus BLEU as sacreBLEU computes it (Post 2018, arXiv 1804.08771).

Each corpus is scored with the tokenisers 13a and intl, as written and lower-cased, smoothing exp. Scores are
in [0, 100]; for 13a as written the n-gram matches, totals, lengths and brevity penalty are given too.

    pip install -r tools/golden/requirements.txt
    python3 tools/golden/bleu.py > tests/golden/bleu.json
"""

import json

import sacrebleu
from sacrebleu.metrics import BLEU

DATE = "2026-11-23"

CORPORA = {  # name: (hypothesis, reference) pairs
    "equal": [("A man is riding a brown horse.", "A man is riding a brown horse.")],
    "one word changed": [("A man is riding a white horse.", "A man is riding a brown horse.")],
    "no overlap": [("Zwei Hunde spielen.", "A man is riding a brown horse.")],
    "empty hypothesis": [("", "A man is riding a brown horse.")],
    "empty reference": [("A man is riding.", "")],
    "one empty among three": [("Two dogs play in the snow.", "Two dogs are playing in the snow."), ("", "A girl sings."),
                              ("The old man reads a newspaper.", "An old man reads the newspaper.")],
    "short, no 4-gram": [("the cat", "the cat")],
    "single word": [("Yes", "Yes")],
    "single word with stop": [("Yes.", "Yes.")],
    "missing 4-gram matches": [("the cat sat down on mat", "on the mat the cat sat")],
    "missing 2- to 4-gram matches": [("cat the on sat mat", "the cat sat on the mat")],
    "brevity penalty": [("A woman is cooking", "A woman in a red apron is cooking dinner in the kitchen")],
    "longer than the reference": [("A woman in a red apron is cooking dinner in the kitchen", "A woman is cooking")],
    "clipped repeats": [("the the the the the the the", "the cat is on the mat")],
    "punctuation": [("Hello, world! (It's me; really: yes?)", "Hello world! (It is me, really: yes?)")],
    "numbers": [("It costs 1,234.56 euros, or 3.5% of 2,000 - about 10.", "It costs 1,234.56 euro or 3.5 % of 2000, about 10.")],
    "number ranges and dashes": [("Pages 10-20, e-mail and 5-year-old boys.", "Pages 10 - 20, email and 5 year old boys.")],
    "quotes": [("He said \"no\" and 'maybe'.", "He said “no” and 'maybe' .")],
    "entities": [("Tom &amp; Jerry said &quot;a &lt; b&quot; &gt; c", "Tom & Jerry said \"a < b\" > c")],
    "umlauts": [("Die größten Vögel mögen süße Äpfel.", "Die größten Vögel lieben süße Äpfel.")],
    "umlauts in the case": [("ÜBER DEN STRASSEN ÖFFNEN SICH TÜREN", "über den Straßen öffnen sich Türen")],
    "case mix": [("THE Cat sat on the Mat today", "the cat sat on the mat today"), ("A Dog barks at the moon", "a dog barks at the Moon")],
    "hyphens and slashes": [("a well-known black/white photo - really", "a well-known black / white photo -- really")],
    "symbols": [("Price: $5 + 10€ = ~15 units @home #1 {a} [b] ^c_d`e|f\\g", "Price: $5 + 10 € = ~ 15 units @home #1 {a} [b] ^c_d`e|f\\g")],
    "unicode punctuation": [("Wait… what – no! «Oui», 50°C, 日本語。", "Wait ... what - no! « Oui », 50 °C, 日本語 。")],
    "spaces": [("  two   spaces\there \n", "two spaces here")],
    "skipped tag and end hyphen": [("a <skipped>b c d e", "a b c d e"), ("an inter-\nnational word here", "an international word here")],
    "German captions": [("Ein Mann fährt auf einem braunen Pferd.", "Ein Mann reitet auf einem braunen Pferd."),
                        ("Zwei Kinder spielen im Schnee.", "Zwei kleine Kinder spielen draußen im Schnee."),
                        ("Eine Frau kocht in der Küche das Abendessen.", "Eine Frau kocht Abendessen in der Küche.")],
    "English captions": [("a group of people standing in front of an igloo .", "A group of people are standing in front of an igloo."),
                         ("a boy in a red uniform trying to avoid getting out at home plate", "A boy wearing a red uniform is attempting to avoid getting out at home plate."),
                         ("a guy works on a building .", "A guy works on a building."), ("people fixing the roof of a house.", "People are fixing the roof of a house."),
                         ("a man with an orange hat starring at something .", "A man in an orange hat starring at something."),
                         ("five people in winter jackets and helmets stand in the snow, with snowmobiles in the background.",
                          "Five people wearing winter jackets and helmets stand in the snow, with snowmobiles in the background.")],
}


def main():
    metrics = {f"{tok}{'_lower' if low else ''}": BLEU(tokenize=tok, lowercase=low, smooth_method="exp") for tok in ("13a", "intl") for low in (False, True)}
    rows = []
    for name, pairs in CORPORA.items():
        hypotheses, references = [h for h, _ in pairs], [r for _, r in pairs]
        got = {k: m.corpus_score(hypotheses, [references]) for k, m in metrics.items()}
        full = got["13a"]
        rows.append({"name": name, "pairs": pairs, "scores": {k: v.score for k, v in got.items()}, "matches": full.counts, "totals": full.totals,
                     "hypothesis_length": full.sys_len, "reference_length": full.ref_len, "brevity_penalty": full.bp})
    meta = {"generator": "tools/golden/bleu.py", "date": DATE, "sacrebleu": sacrebleu.__version__, "signatures": {k: str(m.get_signature()) for k, m in metrics.items()}}
    print('{\n"meta": ' + json.dumps(meta) + ',\n"corpora": [\n' + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n}")


if __name__ == "__main__":
    main()
