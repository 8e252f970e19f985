"""Makes tests/fixtures/backbones/dit_{mdlm,udlm,sedd,sedd_uniform,duo}: tiny random diffusion transformers and what they must compute.

The published networks are research code behind flash-attention kernels, so the reference is written here, from the
formulas (Peebles and Xie 2022, arXiv:2212.09748; Lou et al. 2023, arXiv:2310.16834; Sahoo et al. 2024, arXiv:2406.07524)
under the published names of weights:

    c = silu(W2 silu(W1 [cos(sigma f), sin(sigma f)])),  f_i = 10000^(-i/128)
    x += gate1 * Wo attention(rotary(Wqkv (norm(x) * (1 + scale1) + shift1)))
    x += gate2 * mlp(norm(x) * (1 + scale2) + shift2)
    logits = W (norm(x) * (1 + scale) + shift) + b

where the shifts, scales and gates of a layer are linear in c, or 0, 0 and 1 without conditioning. dit_mdlm has sigma = 0,
dit_udlm and dit_sedd sigma(t) = -ln(1 - (1 - 1e-3) t), dit_duo is causal and unconditioned. The extra terms of SEDD's
output (-ln expm1 sigma - ln(V - 1)) are equal for all words and left out. dit_sedd_uniform has none, and its "logits" are
log-scores: 0 for the word that stands there.

    python3 tools/golden/dit.py tests/fixtures/backbones
"""

import json
import math
import pathlib
import sys

import safetensors.torch
import torch
from torch import nn

from backbone import block_mask, make

WIDTH, CONDITION, BLOCKS, HEADS, WORDS, LENGTH = 12, 5, 2, 2, 37, 20


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return nn.functional.layer_norm(x, [WIDTH]) * self.weight


class Sigma(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, CONDITION), nn.SiLU(), nn.Linear(CONDITION, CONDITION))

    def forward(self, sigma):
        frequencies = 10000 ** (-torch.arange(128, dtype=sigma.dtype) / 128)
        angles = sigma[:, None] * frequencies
        return nn.functional.silu(self.mlp(torch.cat([angles.cos(), angles.sin()], -1)))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(WORDS, WIDTH))


class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        half = WIDTH // HEADS // 2
        self.register_buffer("inv_freq", 10000 ** (-torch.arange(half) / half))

    def forward(self, x):
        angles = torch.arange(x.shape[2], dtype=x.dtype)[:, None] * 10000 ** (-torch.arange(x.shape[3] // 2, dtype=x.dtype) / (x.shape[3] // 2))
        first, second = x.chunk(2, -1)
        return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], -1)


def modulated(layer, c, parts):
    """Shifts, scales (and gates) of each row, [B, 1, D]."""
    return [0.0] * parts if c is None else layer.adaLN_modulation(c)[:, None].chunk(parts, -1)


class Block(nn.Module):
    def __init__(self, conditioned):
        super().__init__()
        self.norm1, self.norm2 = Norm(), Norm()
        self.attn_qkv, self.attn_out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU("tanh"), nn.Linear(4 * WIDTH, WIDTH))
        if conditioned:
            self.adaLN_modulation = nn.Linear(CONDITION, 6 * WIDTH)

    def forward(self, x, c, seen, rotary):
        shift1, scale1, gate1, shift2, scale2, gate2 = modulated(self, c, 6)
        if c is None:
            gate1 = gate2 = 1.0
        b, n, _ = x.shape
        q, k, v = self.attn_qkv(self.norm1(x) * (1 + scale1) + shift1).view(b, n, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(rotary(q), rotary(k), v, seen)
        x = x + gate1 * self.attn_out(mixed.transpose(1, 2).reshape(b, n, WIDTH))
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class Output(nn.Module):
    def __init__(self, conditioned):
        super().__init__()
        self.norm_final, self.linear = Norm(), nn.Linear(WIDTH, WORDS)
        if conditioned:
            self.adaLN_modulation = nn.Linear(CONDITION, 2 * WIDTH)

    def forward(self, x, c):
        shift, scale = modulated(self, c, 2)
        return self.linear(self.norm_final(x) * (1 + scale) + shift)


class Dit(nn.Module):
    def __init__(self, conditioned=True):
        super().__init__()
        self.vocab_embed, self.rotary_emb = Words(), Rotary()
        if conditioned:
            self.sigma_map = Sigma()
        self.blocks = nn.ModuleList(Block(conditioned) for _ in range(BLOCKS))
        self.output_layer = Output(conditioned)

    def forward(self, ids, mask, sigma, causal):
        c = None if sigma is None else self.sigma_map(sigma)
        seen = mask[:, None, None, :].bool().expand(-1, 1, ids.shape[1], -1)
        if causal:
            seen = seen & block_mask(ids.shape[1], 1)
        x = self.vocab_embed.embedding[ids]
        for block in self.blocks:
            x = block(x, c, seen, self.rotary_emb)
        return self.output_layer(x, c)


class Backbone(nn.Module):
    """Hugging Face's classes hold the network under this name."""

    def __init__(self, **arguments):
        super().__init__()
        self.backbone = Dit(**arguments)

    def forward(self, *arguments):
        return self.backbone(*arguments)


FLAT = dict(vocab_size=WORDS, model_length=LENGTH, hidden_dim=WIDTH, cond_dim=CONDITION, n_blocks=BLOCKS, n_heads=HEADS, dropout=0.0)
TIMES = [0.2, 0.55, 0.9]
CASES = {
    "mdlm": dict(model=Backbone(), seed=21, config={"architectures": ["MDLM"], "model_type": "mdlm", **FLAT, "time_conditioning": False}),
    "udlm": dict(model=Backbone(), seed=22, times=TIMES,
                 config={"architectures": ["UDLM"], "model_type": "udlm", **FLAT, "time_conditioning": True, "cfg": False, "cfg_num_classes": -1}),
    "sedd": dict(model=Dit(), seed=23, times=TIMES, config={
        "tokens": WORDS - 1, "graph": {"type": "absorb"}, "noise": {"type": "loglinear", "sigma_min": 1e-4, "sigma_max": 20},
        "model": {"type": "ddit", "hidden_size": WIDTH, "cond_dim": CONDITION, "length": LENGTH, "n_blocks": BLOCKS,
                  "n_heads": HEADS, "scale_by_sigma": True, "dropout": 0.0}}),
    "sedd_uniform": dict(model=Dit(), seed=25, times=TIMES, config={
        "tokens": WORDS, "graph": {"type": "uniform"}, "noise": {"type": "geometric", "sigma_min": 1e-2, "sigma_max": 4},
        "model": {"type": "ddit", "hidden_size": WIDTH, "cond_dim": CONDITION, "length": LENGTH, "n_blocks": BLOCKS,
                  "n_heads": HEADS, "scale_by_sigma": False, "dropout": 0.0}}),
    "duo": dict(model=Backbone(conditioned=False), seed=24, block=1,
                config={"architectures": ["DUO"], "model_type": "duo", **FLAT, "causal": True, "var_min": True}),
}


def main(root):
    torch.set_num_threads(1)
    for name, case in CASES.items():
        conditioned = name != "duo"

        def forward(model, ids, mask, times=None, block=None):
            times = torch.zeros(len(ids)) if times is None else torch.tensor(times, dtype=torch.float64)
            sigma = -torch.log1p(-(1 - 1e-3) * times.double()) if conditioned else None
            if name == "sedd_uniform":
                sigma = 1e-2 ** (1 - times.double()) * 4 ** times.double()
                return torch.scatter(model(ids, mask, sigma, False), -1, ids[..., None], 0.0)
            return model(ids, mask, sigma, block is not None)

        def save(model, out):
            (out / "config.json").write_text(json.dumps(case["config"], indent=2) + "\n")
            safetensors.torch.save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / "model.safetensors", metadata={"format": "pt"})

        p = "" if name.startswith("sedd") else "backbone."
        gradients = ["vocab_embed.embedding", "blocks.0.norm1.weight", "blocks.1.attn_qkv.weight", "blocks.0.mlp.2.bias", "output_layer.linear.weight"]
        gradients += ["sigma_map.mlp.2.weight", "blocks.0.adaLN_modulation.weight", "output_layer.adaLN_modulation.bias"] if conditioned else []
        base = {key: case[key] for key in ("times", "block") if key in case}
        make(pathlib.Path(root) / f"dit_{name}", case["model"], WORDS, 1, case["seed"], forward, [p + g for g in gradients],
             extra=[("", base)], save=save, source="tools/golden/dit.py")


if __name__ == "__main__":
    main(*sys.argv[1:])
