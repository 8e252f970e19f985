"""Makes tests/golden/rdm_traces.json: what reparameterised decoding does with scripted predictions.

Source: Zheng et al. 2023 (arXiv 2302.05737), the routing mechanism with top-k selection, as its released code
applies it (standard library only, own words). After step s of S the k editable positions of lowest score
stay or become masked, k = trunc(f32(n) * f32(rate)), rate = 1 - s/S (linear) or cos(pi s / 2S) (cosine).
  uncond  a decoded token is masked again if it is among the k lowest
  cond    ... and the prediction repeats it with a lower score than it has
A score of null is minus infinity. Scores are multiples of 1/4096, distinct within a case, so nothing ties.
The four cases `table ...` have fixed predictions on a frame of 8, traced by hand in the first place.

    python3 tools/golden/rdm_trace.py > tests/golden/rdm_traces.json
"""

import json
import math
import random
import struct

DATE = "2026-11-23"
PAD, BOS, EOS, MASK, FIRST, LAST = 0, 1, 2, 3, 4, 15


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def masked_after(n, s, steps, schedule):
    rate = 1 - s / steps if schedule == "linear" else math.cos(math.pi * s / (2 * steps))
    return int(f32(f32(n) * f32(rate)))


def decode(tokens, editable, steps, mode, schedule, predict):
    """The trace: one entry a step. `predict(s, tokens)` gives tokens and scores for all positions."""
    tokens, scores, noisy, trace = list(tokens), [0.0] * len(tokens), list(editable), []
    places = [i for i, e in enumerate(editable) if e]
    for s in range(1, steps + 1):
        predicted, confidence = predict(s, list(tokens))
        k = masked_after(len(places), s, steps, schedule)
        low = set(sorted(places, key=lambda i: confidence[i])[:k])
        for i in places:
            weak = i in low
            doubt = weak and (mode == "uncond" or (predicted[i] == tokens[i] and confidence[i] < scores[i]))
            if noisy[i] and not weak:
                tokens[i], scores[i], noisy[i] = predicted[i], confidence[i], False
            elif weak and (noisy[i] or doubt):
                tokens[i], scores[i], noisy[i] = MASK, None, True
        trace.append({"k": k, "predicted": predicted, "predicted_scores": confidence, "tokens": list(tokens), "noisy": list(noisy), "scores": list(scores)})
    return trace


def scripted(rng, n):
    """Random predictions that often repeat what is there, with scores never used twice."""
    pool = rng.sample(range(1, 4096 * 4), n * 25)

    def predict(s, tokens):
        guess = [t if t not in (MASK, PAD) and rng.random() < 0.7 else rng.randint(FIRST, LAST) for t in tokens]
        return guess, [-pool.pop() / 4096 for _ in tokens]
    return predict


def random_case(seed, n, prompt, padding, steps, mode, schedule):
    rng = random.Random(seed)
    response = n - prompt - padding - 2
    tokens = [BOS] + [rng.randint(FIRST, LAST) for _ in range(prompt)] + [MASK] * response + [EOS] + [PAD] * padding
    editable = [prompt < i <= prompt + response for i in range(n)]
    return case(f"{mode} {schedule} n={n} editable={response} S={steps}", tokens, editable, steps, mode, schedule, scripted(rng, n))


def case(name, tokens, editable, steps, mode, schedule, predict):
    trace = decode(tokens, editable, steps, mode, schedule, predict)
    final = [v for v, e in zip(trace[-1]["scores"], editable) if e]
    return {"name": name, "mode": mode, "schedule": schedule, "steps": steps, "tokens": tokens, "editable": editable,
            "mean_score": math.fsum(final) / len(final), "trace": trace}


LETTERS = {c: FIRST + i for i, c in enumerate("abcdefxy")}
SCRIPT = [("abcdef", [-1.2, -0.1, -2.0, -0.5, -3.0, -0.9]), ("abcxef", [-0.8, -1.5, -0.4, -0.3, -2.5, -0.2]),
          ("aycdef", [-0.1, -0.2, -0.3, -0.6, -0.9, -0.05]), ("abcdef", [-0.1, -0.1, -0.1, -0.1, -0.4, -0.1])]
TABLES = {("uncond", "cosine"): ("MbMMMM MMMxMf aycMMf aycdef", -0.2167), ("uncond", "linear"): ("MbMdMM MMcdMf aycdMf aycdef", -0.3),
          ("cond", "cosine"): ("MbMMMM MMMxMf aycxMf aycxef", -0.25), ("cond", "linear"): ("MbMdMM MMcdMf aycdMf aycdef", -0.3)}


def table(mode, schedule):
    def predict(s, tokens):
        word, scores = SCRIPT[s - 1]
        return [BOS, *(LETTERS[c] for c in word), EOS], [0.0, *scores, 0.0]
    made = case(f"table {mode} {schedule}", [BOS] + [MASK] * 6 + [EOS], [False] + [True] * 6 + [False], 4, mode, schedule, predict)
    back = {v: k for k, v in LETTERS.items()} | {MASK: "M"}
    canvases, mean = TABLES[mode, schedule]
    assert " ".join("".join(back[t] for t in step["tokens"][1:-1]) for step in made["trace"]) == canvases
    assert abs(made["mean_score"] - mean) < 5e-5
    return {**made, "canvases": canvases.split()}


def main():
    assert [masked_after(20, s, 10, "linear") for s in range(1, 11)] == [18, 16, 14, 12, 10, 8, 6, 4, 2, 0]
    assert [masked_after(20, s, 10, "cosine") for s in range(1, 11)] == [19, 19, 17, 16, 14, 11, 9, 6, 3, 0]
    shapes = [(5, 0, 0, 1), (20, 2, 1, 4), (12, 3, 0, 5), (8, 1, 2, 10), (20, 0, 0, 10), (9, 1, 0, 25),
              (7, 1, 1, 5), (16, 2, 0, 25), (14, 0, 3, 4), (6, 0, 0, 10), (18, 4, 0, 5), (11, 2, 2, 1)]
    modes = list(TABLES)
    cases = [table(*key) for key in modes]
    cases += [random_case(i, *shape, *modes[i % 4]) for i, shape in enumerate(shapes)]
    meta = {"generator": "tools/golden/rdm_trace.py", "date": DATE, "source": "arXiv 2302.05737, routing with top-k selection", "pad": PAD, "bos": BOS,
            "eos": EOS, "mask": MASK, "letters": LETTERS, "k": "positions masked after the step", "null": "minus infinity"}
    print('{\n"meta": ' + json.dumps(meta) + ',\n"cases": [\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n}")


if __name__ == "__main__":
    main()
