"""Checks that what this project saves, Python's transformers loads, with the same logits.

tests/golden_encoder.rs and tests/golden_backbones.rs write tiny networks back as folders. This script loads each
with AutoModelForMaskedLM or AutoModelForCausalLM and compares its logits with the golden ones. tests/trimming.rs of
dlm-models writes one with all its words and with few of them, both with tokenizers: those words must have the same logits.

    pip install -r tools/golden/requirements.txt
    cargo test --workspace --test golden_encoder --test golden_backbones --test trimming
    python3 tools/golden/check_saved.py target/tmp tests/fixtures
"""

import json
import pathlib
import sys

import safetensors.torch
import torch
import transformers

TOLERANCE = 1e-4


def loaded(auto, folder):
    model, info = auto.from_pretrained(folder, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not info[kind], (folder, kind, info[kind])
    return model.eval()


def check(family, auto, saved, fixture, case, mask):
    model, original = loaded(auto, saved), auto.from_pretrained(fixture).eval()
    assert type(model) is type(original), (type(model), type(original))
    golden = safetensors.torch.load_file(fixture / "golden.safetensors")
    ids = golden[f"{case}input_ids"]
    seen = golden.get(f"{case}attention_mask", torch.ones_like(ids))
    with torch.no_grad():
        logits, theirs = (m(input_ids=ids, attention_mask=seen if mask else None).logits for m in (model, original))
    assert torch.equal(logits, theirs), f"{family}: not the weights that were loaded"
    gap = (logits - golden[f"{case}logits"])[seen.bool()].abs().max().item()
    assert gap <= TOLERANCE, (family, gap)
    print(f"{family}: the original's logits bit for bit; largest difference from the golden ones {gap:.1e}")


def check_trimmed(folder):
    (full, trimmed), kept = (folder / "full", folder / "trimmed"), json.loads((folder / "trimmed/id_map.json").read_text())["kept"]
    models = [loaded(transformers.AutoModelForCausalLM, part) for part in (full, trimmed)]
    tokenizers = [transformers.PreTrainedTokenizerFast(tokenizer_file=str(part / "tokenizer.json")) for part in (full, trimmed)]
    lines = pathlib.Path("assets/cmudict/valid.tsv").read_text().splitlines()[:20]
    gap = 0.0
    for line in lines:
        long, short = (tokenizer(line, return_tensors="pt").input_ids for tokenizer in tokenizers)
        assert [kept[id] for id in short[0]] == long[0].tolist(), line
        with torch.no_grad():
            long, short = models[0](long).logits[..., kept], models[1](short).logits
        gap = max(gap, (long - short).abs().max().item())
    assert gap <= TOLERANCE, gap
    sizes = [model.config.vocab_size for model in models]
    print(f"trimmed {folder.name}, {sizes[0]} words to {sizes[1]}: largest difference {gap:.1e}, eos {models[1].config.eos_token_id}")


def main(saved, fixtures):
    check_trimmed(saved / "trimmed/qwen2")
    for family in ("bert", "roberta", "xlmr"):
        auto = transformers.AutoModelForMaskedLM
        check(family, auto, saved / family, fixtures / "encoder" / family, "", mask=True)
    for family in ("distilbert", "xlmr_xl", "albert", "modernbert", "esm", "esm_normed"):
        folder, auto = f"backbones/{family}", transformers.AutoModelForMaskedLM
        # Without padding, of which upstream makes something in ESM.
        check(family, auto, saved / "backbones" / folder, fixtures / folder, "full.", mask=True)
    for family in ("llama", "llama-biased", "mistral", "qwen2", "qwen3", "qwen3-moe", "gpt2"):
        folder, auto = f"backbones/{family}", transformers.AutoModelForCausalLM
        # Upstream's classes look back only, as in the golden case of this name.
        check(family, auto, saved / "backbones" / folder, fixtures / folder, "causal.", mask=False)


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
