"""Times one training step in PyTorch: forward, weighted cross-entropy at masked positions, backward, AdamW.

The input is timing.input_ids with every odd column masked; the head runs at masked positions only; the loss
is sum(2 CE) / (batch * length), the diffusion loss at t = 1/2. AdamW is PyTorch's fused one (1e-4, betas
0.9 and 0.98, decay 0.01). `check` is the loss before the first step. One JSON line a case.

    python3 tools/peers/train_step.py FOLDER [THREADS [CASE]] >> pytorch.jsonl
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from transformers import BertForMaskedLM

from timing import MASK, input_ids, report, wanted

SHAPES = [(1, 64), (8, 64), (1, 256), (8, 256), (64, 24)]


def main(root, threads="2", case=""):
    torch.set_num_threads(int(threads))
    for folder in sorted(pathlib.Path(root).glob("encoder-*")):
        for batch, length in SHAPES:
            if not wanted(f"train_step/{folder.name}", batch, length, case):
                continue
            model = BertForMaskedLM.from_pretrained(folder).train()
            clean = input_ids(batch, length, model.config.vocab_size)
            masked = (torch.arange(length) % 2 == 1).expand(batch, length)
            noisy = clean.masked_fill(masked, MASK)
            targets = clean[masked]
            optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=0.01, fused=True)

            def loss():
                hidden = model.bert(input_ids=noisy).last_hidden_state
                return 2 * F.cross_entropy(model.cls(hidden[masked]), targets, reduction="sum") / (batch * length)

            def step():
                optimiser.zero_grad(set_to_none=True)
                loss().backward()
                optimiser.step()

            with torch.no_grad():
                check = loss().item()
            report(f"train_step/{folder.name}", batch, length, step, check, case)


if __name__ == "__main__":
    main(*sys.argv[1:])
