"""Times the encoder's forward pass in PyTorch: logits at all positions, f32, CPU, no padding.

`check` is the mean of |logits|, so that the other side can show that it computes the same thing. The input
is timing.input_ids. One JSON line a case.

    python3 tools/peers/encoder.py FOLDER [THREADS [CASE]] > pytorch.jsonl
"""

import pathlib
import sys

import torch
from transformers import BertForMaskedLM

from timing import input_ids, report, wanted

SHAPES = [(1, 64), (8, 64), (1, 256), (8, 256)]


@torch.inference_mode()
def main(root, threads="2", case=""):
    torch.set_num_threads(int(threads))
    for folder in sorted(pathlib.Path(root).glob("encoder-*")):
        for batch, length in SHAPES:
            if not wanted(f"forward/{folder.name}", batch, length, case):
                continue
            model = BertForMaskedLM.from_pretrained(folder).eval()
            ids = input_ids(batch, length, model.config.vocab_size)
            check = model(input_ids=ids).logits.abs().mean().item()
            report(f"forward/{folder.name}", batch, length, lambda: model(input_ids=ids).logits, check, case)


if __name__ == "__main__":
    main(*sys.argv[1:])
