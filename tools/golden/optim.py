"""Two steps of Muon on one matrix, computed in f64 from the papers' formulas.

    m = mu m + g;  u = NS(g + mu m);  W = W (1 - lr decay) - lr 0.2 sqrt(max(rows, columns)) u

Newton-Schulz: X = M / |M|_F, transposed where that makes it wide, then five times
X = a X + (b A + c A A) X with A = X X^T and (a, b, c) = (3.4445, -4.775, 2.0315).

Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Liu et al. 2025, arXiv:2502.16982.
As a check, torch.optim.Muon (which orthogonalises in bf16) must agree to its precision.

    python tools/golden/optim.py > tests/golden/muon.json
"""
import json
import math

import torch

ROWS, COLUMNS, LR, MU, DECAY = 8, 12, 0.02, 0.95, 0.1


def matrix(phase, scale):
    values = [scale * math.sin(0.7 * i * i + 0.3 * i + phase) for i in range(ROWS * COLUMNS)]
    return torch.tensor(values, dtype=torch.float32).double().reshape(ROWS, COLUMNS)


def orthogonalise(m):
    x = m.T if m.shape[0] > m.shape[1] else m
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return x.T if m.shape[0] > m.shape[1] else x


weight, momentum = matrix(0.0, 0.5), torch.zeros(ROWS, COLUMNS, dtype=torch.float64)
peer = torch.nn.Parameter(weight.clone().float())
optim = torch.optim.Muon([peer], lr=LR, momentum=MU, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw")
for phase in (1.0, 2.0):
    gradient = matrix(phase, 0.1)
    momentum = MU * momentum + gradient
    update = orthogonalise(gradient + MU * momentum)
    weight = weight * (1 - LR * DECAY) - LR * 0.2 * math.sqrt(max(ROWS, COLUMNS)) * update
    peer.grad = gradient.float()
    optim.step()
gap = (peer.double() - weight).abs().max().item()
# torch mixes momentum as (1 - mu) g + mu m, which scales the update before it is normalised: no difference.
assert gap < 2e-3, gap
print(json.dumps({
    "generator": "tools/golden/optim.py", "date": "2026-11-23", "torch_gap": round(gap, 6),
    "shape": [ROWS, COLUMNS], "lr": LR, "momentum": MU, "weight_decay": DECAY,
    "start": [round(v, 8) for v in matrix(0.0, 0.5).flatten().tolist()],
    "gradients": [[round(v, 8) for v in matrix(p, 0.1).flatten().tolist()] for p in (1.0, 2.0)],
    "after": [round(v, 8) for v in weight.flatten().tolist()],
}))
