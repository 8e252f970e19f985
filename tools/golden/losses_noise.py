"""Makes tests/golden/losses_noise.json: losses of noise that is masks, words or both, per position, in f64.

Sources, written from the published equations and not from the one formula that the library uses for all of them
(standard library only); alpha is the chance of a token to be clean, M the mask, V words:
  d3pm_absorbing  Austin et al. 2021 (arXiv 2107.03006): T KL(q(x_s | x_t, x_0) || p(x_s | x_t)), in the closed form
                  of MDLM's code for alpha = 1 - t, p(M) > 0 allowed
  d3pm_uniform    the same for uniform noise, from the posterior in matrix form: x_t Q^T . x_0 Q / (x_0 Q x_t^T)
  udlm            Schiff et al. 2024 (arXiv 2412.10193) / Sahoo et al. 2025 (arXiv 2506.10892): the closed form
  gidd            von Ruette et al. 2025 (arXiv 2503.04482): w (KL + r - ln r - 1), w of the bound, "dynamic", "clip"
  sedd_absorbing  Lou et al. 2023 (arXiv 2310.16834): dsigma (sum_y s_y - r ln s_x0 + r (ln r - 1)), r = 1/expm1(sigma)
  sedd_uniform    the same for the uniform rate matrix: dsigma/V sum_{y != x_t} (s_y - a ln s_y + a (ln a - 1))
  flow            Shaul et al. 2024 (arXiv 2412.03487): generalised KL of the mixture path
  gen_md4         Shi et al. 2024 (arXiv 2406.04329), GenMD4 with fixed exponents
  confidence      Bie et al. 2025 (arXiv 2512.15745): entropy where the best guess is right
  cart            Ye et al. 2025 (arXiv 2508.15487): sum over clean j of p (1-p)^(|i-j|-1) / 2, times CE
  rdm_multinomial Zheng et al. 2023 (arXiv 2302.05737): T (1 - (k-1)/T) CE where x_t != x_0, over B L
  tables          RDM's alphas of multinomial noise: clipped per-step ratios, multiplied up

Logits and scores are multiples of 1/64, exact in f32. Gradients are central differences of the sum over positions.

    python3 tools/golden/losses_noise.py > tests/golden/losses_noise.json
"""

import json
import math
import random

DATE = "2026-11-23"
V, L, B, T, MASK = 6, 4, 3, 20, 5
WORDS = range(MASK)
GAMMA, P_UNIFORM = 1.0, 0.2

rng = random.Random(11)
sixty_fourth = lambda x: round(x * 64) / 64
logits = [[[sixty_fourth(rng.gauss(0, 1.5)) for _ in range(V)] for _ in range(L)] for _ in range(B)]
steps = [3, 11, 20]
t = [k / T for k in steps]
x0 = [[rng.choice(WORDS) for _ in range(L)] for _ in range(B)]
other = lambda x: rng.choice([w for w in WORDS if w != x])
masked = [[MASK if (i + j) % 3 else x for j, x in enumerate(row)] for i, row in enumerate(x0)]
words = [[other(x) if (i + j) % 3 else x for j, x in enumerate(row)] for i, row in enumerate(x0)]
both = [[MASK if (i + j) % 3 == 1 else other(x) if (i + j) % 3 else x for j, x in enumerate(row)] for i, row in enumerate(x0)]
exponents = [0.5, 1.0, 2.0, 1.5, 0.75, 1.0]


def softmax(z, known=range(V)):
    top = max(z[k] for k in known)
    e = [math.exp(z[k] - top) if k in known else 0.0 for k in range(V)]
    return [x / math.fsum(e) for x in e]


def kl(p, q):
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q) if a > 0)


def d3pm_absorbing(z, x, xt, k):
    if xt != MASK:
        return 0.0
    p, t, dt = softmax(z), k / T, 1 / T
    a, b, m = 1 - t, 1 - t + dt, p[MASK]
    last = math.log(b * m / (t - dt) + 1) if k > 1 else 0.0
    return T * (dt / t * (math.log(a * m / t + 1) - math.log(p[x])) + (1 - dt / t) * (math.log(a * m / t + 1) - last))


def d3pm_uniform(z, x, xt, k):
    matrix = lambda keep: [[keep * (i == j) + (1 - keep) / V for j in range(V)] for i in range(V)]
    early, late = 1 - (k - 1) / T, 1 - k / T
    to_s, step = matrix(early), matrix(late / early)

    def posterior(given):
        row = [math.fsum(given[i] * to_s[i][j] for i in range(V)) * step[j][xt] for j in range(V)]
        return [r / math.fsum(row) for r in row]

    return T * kl(posterior([float(i == x) for i in range(V)]), posterior(softmax(z)))


def udlm(z, x, xt, k):
    p, a, da = softmax(z), 1 - k / T, -1.0
    if a == 0:
        return 0.0
    xb = [V * a * q + 1 - a for q in p]
    same = float(x == xt)
    no, kappa = 1 - same, (1 - a) / (V * a + 1 - a)
    term1 = V * (1 / (1 - a + V * a * same) - 1 / xb[xt])
    off = ((V - 1) * kappa * same - no / kappa) * math.log(kappa)
    term2 = -(same * kappa + no) * (math.fsum(map(math.log, xb)) - V * math.log(xb[xt]))
    term2 += -V * a / (1 - a) * (math.log(xb[x]) - math.log(xb[xt])) * no + off
    return da / (V * a) * (term1 - term2)


def gidd(kind):
    def loss(z, x, xt, k):
        t, n, p = min(k / T, 0.99), len(WORDS), softmax(z, WORDS)
        peak = 2**GAMMA * P_UNIFORM / (1 - P_UNIFORM)
        c = peak * t ** (GAMMA / 2) * (1 - t) ** (GAMMA / 2)
        change = GAMMA / 2 * (1 - 2 * t) / (t * (1 - t)) * c
        law = lambda given: [((1 - t) * given[i] + (c / n if i in WORDS else t)) / (1 + c) for i in range(V)]
        truth, said = law([float(i == x) for i in range(V)]), law(p)
        if xt == MASK:
            w, dynamic = 1 / (t * (1 - t)), 2.0
        elif xt == x:
            w = (c + (1 - t) * change) / n / ((1 - t) * (1 - t + c / n))
            dynamic = peak / n * (t / (1 - t)) ** (GAMMA / 2)
        else:
            w, dynamic = (c + (1 - t) * change) / ((1 - t) * c), 1.0
        w = {"bound": w, "dynamic": dynamic, "clip": min(w, 2.0)}[kind]
        r = truth[xt] / said[xt]
        return w * (kl(truth, said) + r - math.log(r) - 1)

    return loss


def sigma(k):
    t = min(k / T, 0.99)
    return -math.log(1 - t), 1 / (1 - t)


def sedd_absorbing(log_s, x, xt, k):
    if xt != MASK:
        return 0.0
    s, ds = sigma(k)
    r = 1 / math.expm1(s)
    return ds * (math.fsum(math.exp(log_s[y]) for y in WORDS) - r * log_s[x] + r * (math.log(r) - 1))


def sedd_uniform(log_s, x, xt, k):
    s, ds = sigma(k)
    ratio = 1 - V / (math.expm1(s) + V)
    a = lambda y: ratio if x == xt else 1 / ratio if y == x else 1.0
    return ds / V * math.fsum(math.exp(log_s[y]) - a(y) * log_s[y] + a(y) * (math.log(a(y)) - 1) for y in range(V) if y != xt)


def flow(z, x, xt, k):
    p, d = softmax(z), float(x == xt)
    return -T / k * (p[xt] - d + (1 - d) * math.log(p[x]))


def gen_md4(z, x, xt, k):
    if xt != MASK:
        return 0.0
    p, w = softmax(z, WORDS), [e * T / k for e in exponents]
    return -w[x] * math.log(p[x]) + math.fsum(w[v] * p[v] for v in WORDS) - w[x]


def confidence(z, x, xt, k):
    if xt != MASK:
        return 0.0
    p = softmax(z)
    return -math.fsum(q * math.log(q) for q in p) if max(range(V), key=lambda v: z[v]) == x else 0.0


def rdm_multinomial(z, x, xt, k):
    return 0.0 if x == xt else -math.log(softmax(z)[x]) * T * (1 - (k - 1) / T) / (B * L)


def gradient(loss, z, *rest):
    h = 1e-6
    moved = lambda v, sign: loss([a + sign * h * (u == v) for u, a in enumerate(z)], *rest)
    return [(moved(v, 1) - moved(v, -1)) / (2 * h) for v in range(V)]


cases = []


def add(name, loss, noise, xt):
    rows = [[(logits[i][j], x0[i][j], xt[i][j], steps[i]) for j in range(L)] for i in range(B)]
    cases.append({"name": name, "noise": noise, "values": [[loss(*at) for at in row] for row in rows],
                  "gradients": [[gradient(loss, *at) for at in row] for row in rows]})


for name, loss in (("d3pm_absorbing", d3pm_absorbing), ("sedd_absorbing", sedd_absorbing), ("gen_md4", gen_md4), ("confidence", confidence)):
    add(name, loss, "masked", masked)
for name, loss in (("d3pm_uniform", d3pm_uniform), ("udlm", udlm), ("sedd_uniform", sedd_uniform), ("flow", flow), ("rdm_multinomial", rdm_multinomial)):
    add(name, loss, "words", words)
for kind in ("bound", "dynamic", "clip"):
    add(f"gidd_{kind}", gidd(kind), "both", both)

cart = [[math.fsum(0.5 * 0.3 * 0.7 ** (abs(i - j) - 1) for j in range(L) if row[j] != MASK) if row[i] == MASK else 0.0 for i in range(L)] for row in masked]


def table(curve, root=lambda r: r):
    values, alphas = [curve(k / T) for k in range(T + 1)], [1.0]
    for before, after in zip(values, values[1:]):
        alphas.append(alphas[-1] * root(min(max(after / before, 0.001), 1.0)))
    return alphas


cosine = lambda u: math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
tables = {"linear": table(lambda u: 1 - u), "cosine": table(cosine), "cosine_old": table(cosine, math.sqrt), "sqrt": table(lambda u: 1 - math.sqrt(u + 0.0001))}

meta = {"generator": "tools/golden/losses_noise.py", "date": DATE, "precision": "f64, Python standard library",
        "inputs": "alpha = 1 - t save for gidd, t = k/T; gidd and sedd at t = 0.99 where k = T; `noise` names x_t; sedd reads the logits as log scores"}
document = {"meta": meta, "inputs": {"V": V, "L": L, "B": B, "T": T, "mask": MASK, "x0": x0, "masked": masked, "words": words, "both": both, "steps": steps,
                                     "exponents": exponents, "p_uniform": P_UNIFORM, "logits": logits}, "cart": cart, "tables": tables}
head = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in document.items())
print("{\n" + head + ',\n"cases": [\n' + ",\n".join(map(json.dumps, cases)) + "\n]\n}")
