"""What the scripts for backbones share: a tiny random network of an upstream class, saved as upstream saves it,
beside golden.safetensors with inputs, logits and gradients, computed in f64 and stored as f32.

Cases have prefixes ("" is the one with padding whose gradients are stored, "full." has none). A case may hold
`block`, the size of the blocks of its block-causal attention, and `times`, one a row.
"""

import copy
import json

import safetensors.torch
import torch

DATE = "2026-11-23"
LENGTHS = (9, 6, 4)
# Where the loss is taken: row and position.
POSITIONS = [[0, 1], [0, 4], [0, 7], [1, 2], [1, 3], [2, 2]]
IS_NORM = ("norm", "ln_", "layernorm")


def redraw(model, rng, scale=0.2):
    """Every parameter anew, so that none can be left out unnoticed."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            stem = name.lower()
            if p.dim() == 1 and stem.endswith("weight") and any(part in stem for part in IS_NORM):
                p.copy_(torch.rand(p.shape, generator=rng) + 0.5)
            else:
                p.copy_(torch.randn(p.shape, generator=rng) * scale)


def sequence(vocab, length, rng, bos=0, eos=2, mask=None):
    """bos, random tokens with one mask, eos."""
    ids = torch.randint(5, vocab - 1, (length,), generator=rng)
    ids[0], ids[-1] = bos, eos
    ids[length // 2] = vocab - 1 if mask is None else mask
    return ids


def padded(rows, pad):
    n = max(len(r) for r in rows)
    ids = torch.full((len(rows), n), pad)
    mask = torch.zeros(len(rows), n, dtype=torch.long)
    for i, r in enumerate(rows):
        ids[i, :len(r)], mask[i, :len(r)] = r, 1
    return ids, mask


def renamed(key, pairs):
    for old, new in pairs:
        key = key.replace(old, new)
    return key


def block_mask(length, block):
    """True where a query (row) may see a key (column)."""
    at = torch.arange(length) // block
    return at[None, :] <= at[:, None]


def make(out, model, vocab, pad, seed, forward, gradients, full=14, extra=(), source="", save=None, scale=0.2,
         special=None, rename=(), row=sequence):
    """Writes the folder `out`.

    forward(model, ids, mask, **case) gives logits [B, L, V]; gradients names parameters; extra holds
    (prefix, keywords of the case); save(model, out) saves the folder, by default save_pretrained; rename holds pairs of
    parts of names, where the folder's differ from the class's; row(vocab, length, rng, **special) draws the ids of a row.
    """
    rng = torch.Generator().manual_seed(seed)
    model = model.eval()
    redraw(model, rng, scale)
    out.mkdir(parents=True, exist_ok=True)
    (save or (lambda m, o: m.save_pretrained(o)))(model, out)
    (out / "generation_config.json").unlink(missing_ok=True)
    exact = copy.deepcopy(model).double()
    special = special or {}
    rows = [row(vocab, n, rng, **special) for n in LENGTHS]
    ids, mask = padded(rows, pad)
    base = dict(extra).get("", {})
    logits = forward(exact, ids, mask, **base)
    positions = torch.tensor(POSITIONS)
    targets = torch.randint(5, vocab - 1, (len(positions),), generator=rng)
    weights = torch.tensor([1.0, 0.5, 2.0, 0.25, 1.5, 3.0])
    loss = (weights * -logits.log_softmax(-1)[positions[:, 0], positions[:, 1], targets]).sum()
    loss.backward()
    parameters = dict(exact.named_parameters())
    tensors = {"input_ids": ids, "attention_mask": mask, "logits": logits, "loss_positions": positions,
               "loss_targets": targets, "loss_weights": weights, "loss": loss.reshape(1),
               **{f"grad.{renamed(key, rename)}": parameters[key].grad for key in gradients}}
    tensors |= {key: torch.as_tensor(value).reshape(-1) for key, value in base.items()}
    with torch.no_grad():
        for prefix, case in [("full.", base), *((p, c) for p, c in extra if p)]:
            ids = row(vocab, full, rng, **special)[None]
            if "times" in case:
                case = {**case, "times": case["times"][:1]}
            tensors |= {f"{prefix}input_ids": ids, f"{prefix}logits": forward(exact, ids, torch.ones_like(ids), **case)}
            tensors |= {f"{prefix}{key}": torch.as_tensor(value).reshape(-1) for key, value in case.items()}
    meta = {"generator": "tools/golden", "date": DATE, "source": source or type(model).__name__, "torch": torch.__version__.split("+")[0]}
    tensors = {k: (v.detach().float() if v.is_floating_point() else v).contiguous() for k, v in tensors.items()}
    safetensors.torch.save_file(tensors, out / "golden.safetensors", metadata={"meta": json.dumps(meta)})
    print(out, "logits up to", float(logits.detach().abs().max()), "gradients", len(gradients))
