"""Makes tests/fixtures/lora: adapters of the tiny BERT of tests/fixtures/encoder/bert as Python's peft saves
them, and golden.safetensors with the adapted network's logits (f64 stored as f32).

    python3 tools/golden/lora.py tests/fixtures

With a second folder, checks adapters that this library wrote there: peft must load them with the same logits.

    python3 tools/golden/lora.py tests/fixtures FOLDER
"""

import pathlib
import shutil
import sys

import safetensors.torch
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertForMaskedLM


def main(root, written=None):
    torch.set_num_threads(1)
    root = pathlib.Path(root)
    base = BertForMaskedLM.from_pretrained(root / "encoder/bert", attn_implementation="eager").eval()
    out = root / "lora"
    if written:
        golden = safetensors.torch.load_file(out / "golden.safetensors")
        model = PeftModel.from_pretrained(base, written).eval().double()
        gap = (model(input_ids=golden["input_ids"]).logits - golden["logits"]).abs().max().item()
        assert gap < 1e-4, gap
        print("peft reads", written, "largest difference", gap)
        return
    rng = torch.Generator().manual_seed(7)
    model = get_peft_model(base, LoraConfig(r=3, lora_alpha=6, target_modules=["query", "value", "intermediate.dense"], lora_dropout=0.1))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(torch.randn(p.shape, generator=rng) * 0.3)
    model = model.eval()
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    ids = torch.randint(5, 60, (2, 9), generator=rng)
    logits = model.double()(input_ids=ids).logits.detach()
    plain = BertForMaskedLM.from_pretrained(root / "encoder/bert", attn_implementation="eager").eval().double()(input_ids=ids).logits
    assert (logits - plain).abs().max() > 0.1
    safetensors.torch.save_file({"input_ids": ids, "logits": logits.float().contiguous()}, out / "golden.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
