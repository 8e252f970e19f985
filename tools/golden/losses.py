"""Makes tests/golden/losses.json: loss values of the diffusion and masked-language-model objectives, in f64.

Sources, written from the equations (standard library only):
  dllm   Ye et al. 2023 (arXiv 2308.12219) eq. 4 with the normalisation of its code: mean over rows of
         sum_masked w(t) f / N_i * CE, w linear 1-(t-1)/T | constant 1 | reciprocal 1/t, f = T (code) or 1 (paper);
         smoothing: (1-eps) CE + eps S, S = mean over rows of sum_masked f / N_i * mean_v(-log p_v)
  rdm    Zheng et al. 2023 (arXiv 2302.05737), its code: the same with the padded length L in place of N_i
  mdlm   Sahoo et al. 2024 (arXiv 2406.07524) / Shi et al. 2024 (arXiv 2406.04329): sum_masked -alpha'/(1-alpha) CE,
         the mask's probability set to zero
  llada  Nie et al. 2025 (arXiv 2502.09992): CE / p, p = (1-eps) t + eps, over B L (pre-training), or per row over
         its answer length and then over B (fine-tuning)
  mlm    mean cross-entropy over masked positions

Numbers in `inputs` are multiples of 1/64, exact in f32. `mask_logit`: "kept" = softmax over all V tokens,
"suppressed" = softmax without the mask (and smoothing over the V-1 others). Gradients are with respect to
the logits. Checked here by central differences.

    python3 tools/golden/losses.py > tests/golden/losses.json
"""

import json
import math
import random

DATE = "2026-11-23"
V, L, B, T = 7, 6, 3, 50
PAD, MASK = 5, 6
EPS = 1e-3

rng = random.Random(7)
sixty_fourth = lambda x: round(x * 64) / 64
logits = [[[sixty_fourth(rng.gauss(0, 1.5)) for _ in range(V)] for _ in range(L)] for _ in range(2 * B)]
lengths, prompts = [6, 5, 4], [2, 1, 2]
x0 = [[rng.randrange(5) if j < n else PAD for j in range(L)] for n in lengths]
maskable = [[p <= j < n for j in range(L)] for n, p in zip(lengths, prompts)]
steps = [40, 23, 50, 10, 23, 1]  # the earlier and the later level of each pair: rows 0..B, then B..2B
noised = [[1, 0, 1, 1], [1, 0, 1, 0], [1, 1], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0]]  # over maskable positions
xt = []
for r, flags in enumerate(noised):
    flags, i = iter(flags), r % B
    xt.append([MASK if maskable[i][j] and next(flags) else x0[i][j] for j in range(L)])
t = [sixty_fourth(v) for v in (0.8, 0.45, 0.97)]
x0_whole = [[rng.randrange(5) for _ in range(L)] for _ in range(B)]
xt_whole = [[MASK if rng.random() < t[i] else x0_whole[i][j] for j in range(L)] for i in range(B)]


def log_softmax(z, keep_mask):
    z = [v if keep_mask or k != MASK else -math.inf for k, v in enumerate(z)]
    top = max(z)
    total = top + math.log(math.fsum(math.exp(v - top) for v in z))
    return [v - total for v in z]


def evaluate(z, clean, noisy, weight, smooth, keep_mask):
    """sum over masked (row, j) of weight[row] CE + smooth[row] mean_v(-log p_v), and its gradient."""
    value, grad = [], [[[0.0] * V for _ in range(L)] for _ in noisy]
    for r, row in enumerate(noisy):
        for j, token in enumerate(row):
            if token != MASK:
                continue
            target, lp = clean[r % len(clean)][j], log_softmax(z[r][j], keep_mask)
            known = [k for k in range(V) if keep_mask or k != MASK]
            value.append(-weight[r] * lp[target] - smooth[r] * math.fsum(lp[k] for k in known) / len(known))
            for k in known:
                p = math.exp(lp[k])
                grad[r][j][k] = weight[r] * (p - (k == target)) + smooth[r] * (p - 1 / len(known))
    return math.fsum(value), grad


def check_gradient(z, grad, *args):
    h = 1e-6
    for r, j, k in ((0, 2, 1), (1, 3, 0), (0, 4, 5), (0, 0, 0)):
        both = []
        for sign in (1, -1):
            moved = json.loads(json.dumps(z))
            moved[r][j][k] += sign * h
            both.append(evaluate(moved, *args)[0])
        assert abs((both[0] - both[1]) / (2 * h) - grad[r][j][k]) < 1e-6


cases = []


def add(name, clean, noisy, coefficients, smooth=None, keep_mask=True, gradient=False, **facts):
    smooth = smooth or [0.0] * len(noisy)
    rest = (clean, noisy, coefficients, smooth, keep_mask)
    value, grad = evaluate(logits, *rest)
    check_gradient(logits, grad, *rest)
    cases.append({"name": name, **facts, "mask_logit": "kept" if keep_mask else "suppressed", "value": value} | ({"gradient": grad} if gradient else {}))


WEIGHTS = {"linear": lambda s: 1 - (s - 1) / T, "constant": lambda s: 1.0, "reciprocal": lambda s: 1 / s}
editable = [sum(row) for row in maskable]
for kind, w in WEIGHTS.items():
    for factor in (T, 1):
        for eps in (0.0, 0.1):
            for keep in (True, False):
                for norm, count in (("maskable", editable), ("padded", [L] * B)):
                    scale = [factor / count[r % B] / (2 * B) for r in range(2 * B)]
                    add("dllm" if norm == "maskable" else "rdm", x0, xt, [(1 - eps) * w(s) * c for s, c in zip(steps, scale)],
                        [eps * c for c in scale], keep, gradient=(kind, factor, eps, norm) == ("linear", T, 0.1, "maskable"),
                        inputs="coupled", weight=kind, factor=factor, label_smoothing=eps, normaliser=norm)

half = math.pi / 2
RATES = {  # -alpha'(t) / (1 - alpha(t))
    "linear": ("1 - t", lambda u: 1 / u),
    "cosine": ("1 - cos(pi/2 (1 - t))", lambda u: half * math.tan(half * (1 - u))),
    "cosine_of_t": ("cos(pi/2 t)", lambda u: half * math.sin(half * u) / (1 - math.cos(half * u))),
    "polynomial_2": ("1 - t^2", lambda u: 2 / u),
}
for kind, (alpha, rate) in RATES.items():
    for inputs, clean, noisy, count in (("whole", x0_whole, xt_whole, B * L), ("partial", x0, xt[:B], sum(editable))):
        row = [rate(u) for u in t]
        for norm, scale in (("mean over rows", 1 / B), ("per maskable token", 1 / count)):
            add("mdlm", clean, noisy, [c * scale for c in row], keep_mask=False, gradient=(kind, inputs, norm) == ("cosine", "whole", "mean over rows"),
                inputs=inputs, schedule=kind, alpha=alpha, rates=row, normaliser=norm)

p = [(1 - EPS) * u + EPS for u in t]
for keep in (True, False):
    add("llada", x0_whole, xt_whole, [1 / q / (B * L) for q in p], keep_mask=keep, inputs="whole", eps=EPS, stage="pre-training", normaliser="B L")
    add("llada", x0, xt[:B], [1 / q / n / B for q, n in zip(p, editable)], keep_mask=keep, inputs="partial", eps=EPS, stage="fine-tuning",
        normaliser="answer length, then B")
    for inputs, clean, noisy in (("coupled", x0, xt), ("whole", x0_whole, xt_whole), ("partial", x0, xt[:B])):
        masked = sum(row.count(MASK) for row in noisy)
        add("mlm", clean, noisy, [1 / masked] * len(noisy), keep_mask=keep, inputs=inputs, normaliser="masked positions", count=masked)

nll = {}
for name, clean, rows in (("coupled", x0, 2 * B), ("whole", x0_whole, B)):
    for keep in (True, False):
        nll[f"{name}, mask {'kept' if keep else 'suppressed'}"] = [[-log_softmax(logits[r][j], keep)[clean[r % B][j]] for j in range(L)] for r in range(rows)]

meta = {
    "generator": "tools/golden/losses.py", "date": DATE, "precision": "f64, Python standard library",
    "inputs": {"coupled": "logits[0..2B], x0[row % B], xt, steps, maskable[row % B]", "partial": "logits[0..B], x0, xt[0..B], t, maskable",
               "whole": "logits[0..B], x0_whole, xt_whole, t; every position maskable"},
    "nll": "-log p(x0) at every position, masked or not, by inputs and mask_logit",
}
document = {"meta": meta, "inputs": {"V": V, "L": L, "B": B, "T": T, "pad": PAD, "mask": MASK, "x0": x0, "maskable": maskable, "xt": xt, "steps": steps,
                                     "t": t, "x0_whole": x0_whole, "xt_whole": xt_whole, "logits": logits}, "nll": nll}
head = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in document.items())
print("{\n" + head + ',\n"cases": [\n' + ",\n".join(map(json.dumps, cases)) + "\n]\n}")
