"""Checks that what this project saves, Python's transformers loads, with the same logits.

tests/golden_encoder.rs writes the tiny encoders back as folders. This script loads each with
AutoModelForMaskedLM and compares its logits with the golden ones.

    pip install -r tools/golden/requirements.txt
    cargo test --test golden_encoder
    python3 tools/golden/check_saved.py target/tmp tests/fixtures/encoder
"""

import pathlib
import sys

import safetensors.torch
import torch
import transformers

TOLERANCE = 1e-4


def main(saved, fixtures):
    for family in ("bert", "roberta", "xlmr"):
        model, info = transformers.AutoModelForMaskedLM.from_pretrained(saved / family, output_loading_info=True)
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
            assert not info[kind], (family, kind, info[kind])
        original = transformers.AutoModelForMaskedLM.from_pretrained(fixtures / family)
        assert type(model) is type(original), (type(model), type(original))
        golden = safetensors.torch.load_file(fixtures / family / "golden.safetensors")
        inputs = dict(input_ids=golden["input_ids"], attention_mask=golden["attention_mask"])
        with torch.no_grad():
            logits, theirs = model.eval()(**inputs).logits, original.eval()(**inputs).logits
        assert torch.equal(logits, theirs), f"{family}: not the weights that were loaded"
        seen = golden["attention_mask"].bool()
        gap = (logits - golden["logits"])[seen].abs().max().item()
        assert gap <= TOLERANCE, (family, gap)
        print(f"{family}: the original's logits bit for bit; largest difference from the golden ones {gap:.1e}")


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
