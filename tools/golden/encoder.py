"""Makes tests/fixtures/encoder/{bert,roberta,xlmr}: tiny random encoders and what they must compute.

Source: the Hugging Face classes BertForMaskedLM, RobertaForMaskedLM and XLMRobertaForMaskedLM, saved with
save_pretrained. Every parameter is redrawn (weights N(0, 0.2), biases N(0, 0.2), norm weights U(0.5, 1.5)),
so that none can be left out unnoticed. golden.safetensors holds inputs, logits and gradients, computed in
f64 and stored as f32; golden.json says what is what. bert_bin and bert_bin_legacy hold the same BERT as
pickles, in the zip format and in the one before torch 1.6.

    pip install -r tools/golden/requirements.txt
    python3 tools/golden/encoder.py tests/fixtures/encoder
"""

import copy
import json
import pathlib
import shutil
import sys

import safetensors
import safetensors.torch
import torch
import transformers
from transformers import (BertConfig, BertForMaskedLM, RobertaConfig, RobertaForCausalLM, RobertaForMaskedLM,
                          XLMRobertaConfig, XLMRobertaForMaskedLM)

DATE = "2026-11-23"
LENGTHS = (9, 6, 4)

FAMILIES = {
    "bert": dict(
        model=BertForMaskedLM, bos=2, eos=3, mask=4, seed=1,
        config=BertConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
                          max_position_embeddings=24, type_vocab_size=2, layer_norm_eps=1e-12, hidden_act="gelu",
                          pad_token_id=0)),
    "roberta": dict(
        model=RobertaForMaskedLM, bos=0, eos=2, mask=56, seed=2,
        config=RobertaConfig(vocab_size=57, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
                             max_position_embeddings=26, type_vocab_size=1, layer_norm_eps=1e-5, hidden_act="gelu",
                             pad_token_id=1, bos_token_id=0, eos_token_id=2)),
    "xlmr": dict(
        model=XLMRobertaForMaskedLM, bos=0, eos=2, mask=62, seed=3,
        config=XLMRobertaConfig(vocab_size=63, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, intermediate_size=32,
                                max_position_embeddings=26, type_vocab_size=1, layer_norm_eps=1e-3, hidden_act="gelu",
                                pad_token_id=1, bos_token_id=0, eos_token_id=2)),
}


def redraw(model, rng):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "LayerNorm.weight" in name or "layer_norm.weight" in name:
                p.copy_(torch.rand(p.shape, generator=rng) + 0.5)
            else:
                p.copy_(torch.randn(p.shape, generator=rng) * 0.2)


def sequence(family, length, rng):
    """bos, random tokens with one mask, eos."""
    ids = torch.randint(5, family["config"].vocab_size - 1, (length,), generator=rng)
    ids[0], ids[-1], ids[length // 2] = family["bos"], family["eos"], family["mask"]
    return ids


def padded(rows, pad, left=False):
    n = max(len(r) for r in rows)
    ids = torch.full((len(rows), n), pad)
    mask = torch.zeros(len(rows), n, dtype=torch.long)
    for i, r in enumerate(rows):
        at = slice(n - len(r), n) if left else slice(0, len(r))
        ids[i, at], mask[i, at] = r, 1
    return ids, mask


def watched(name, config):
    """Our gradient names, and the Hugging Face parameters they belong to."""
    body = "bert" if name == "bert" else "roberta"
    head = dict(dense="cls.predictions.transform.dense.weight", bias="cls.predictions.bias") if name == "bert" \
        else dict(dense="lm_head.dense.weight", bias="lm_head.bias")
    return {
        "word_embeddings": f"{body}.embeddings.word_embeddings.weight",
        "position_embeddings": f"{body}.embeddings.position_embeddings.weight",
        "query_weight": f"{body}.encoder.layer.{config.num_hidden_layers - 1}.attention.self.query.weight",
        "attention_norm_weight": f"{body}.encoder.layer.0.attention.output.LayerNorm.weight",
        "head_dense_weight": head["dense"],
        "decoder_bias": head["bias"],
    }


def make(name, family, out):
    rng = torch.Generator().manual_seed(family["seed"])
    config = family["config"]
    config._attn_implementation = "eager"
    model = family["model"](config).eval()
    redraw(model, rng)
    model.save_pretrained(out)
    exact = copy.deepcopy(model).double()

    rows = [sequence(family, n, rng) for n in LENGTHS]
    ids, mask = padded(rows, config.pad_token_id)
    got = exact(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    single = model(input_ids=ids, attention_mask=mask).logits
    gap = (got.logits - single).abs().max().item()
    assert gap < 2e-4, gap

    positions = torch.tensor([[0, 1], [0, 4], [0, 7], [1, 2], [1, 3], [2, 2]])
    targets = torch.randint(5, config.vocab_size - 1, (len(positions),), generator=rng)
    weights = torch.tensor([1.0, 0.5, 2.0, 0.25, 1.5, 3.0])
    nll = -got.logits.log_softmax(-1)[positions[:, 0], positions[:, 1], targets]
    loss = (weights * nll).sum()
    loss.backward()
    names = watched(name, config)
    parameters = dict(exact.named_parameters())
    tensors = {
        "input_ids": ids, "attention_mask": mask, "logits": got.logits, "last_hidden_state": got.hidden_states[-1],
        "loss_positions": positions, "loss_targets": targets, "loss_weights": weights, "loss": loss.reshape(1),
        **{f"grad.{ours}": parameters[theirs].grad for ours, theirs in names.items()},
    }
    with torch.no_grad():
        full = sequence(family, 24, rng)[None]
        tensors |= {"full.input_ids": full, "full.logits": exact(input_ids=full).logits}
        if name == "bert":
            types = torch.zeros_like(ids)
            types[:, 3:] = mask[:, 3:]
            tensors |= {"types.token_type_ids": types, "types.logits": exact(input_ids=ids, attention_mask=mask, token_type_ids=types).logits}
        if name == "roberta":
            left, left_mask = padded(rows, config.pad_token_id, left=True)
            logits = exact(input_ids=left, attention_mask=left_mask).logits
            assert torch.allclose(logits[left_mask == 1], got.logits[mask == 1])
            causal = RobertaForCausalLM(RobertaConfig(**{**config.to_dict(), "is_decoder": True}, attn_implementation="eager"))
            causal.load_state_dict(model.state_dict())
            seen = causal.eval().double()(input_ids=ids, attention_mask=mask).logits
            assert not torch.allclose(seen, got.logits, atol=0.1)
            tensors |= {"causal.input_ids": ids.clone(), "causal.attention_mask": mask.clone(), "causal.logits": seen}
            tensors |= {"left.input_ids": left, "left.attention_mask": left_mask, "left.logits": logits}

    meta = {
        "generator": "tools/golden/encoder.py", "date": DATE, "source": f"transformers {family['model'].__name__}, eval mode, f64 stored as f32",
        "torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "safetensors": safetensors.__version__,
        "largest_f32_gap": float(f"{gap:.1e}"), "loss": "sum over loss_positions of loss_weights * cross-entropy(logits, loss_targets)",
        "compare": "logits only where attention_mask is 1", "gradients": {f"grad.{k}": v for k, v in names.items()},
    }
    tensors = {k: (v.detach().float() if v.is_floating_point() else v).contiguous() for k, v in tensors.items()}
    safetensors.torch.save_file(tensors, out / "golden.safetensors", metadata={"meta": json.dumps(meta)})
    listing = {k: [str(v.dtype).removeprefix("torch."), list(v.shape)] for k, v in tensors.items()}
    lines = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in listing.items())
    text = json.dumps({"meta": meta}, indent=2).removesuffix("\n}")
    (out / "golden.json").write_text(f'{text},\n  "tensors": {{\n{lines}\n  }}\n}}\n')
    return model


def fairseq(state):
    """The same network as fairseq's RobertaModel names it, which has no token types: their row goes to the positions."""
    names = [("attention.self.query", "self_attn.q_proj"), ("attention.self.key", "self_attn.k_proj"),
             ("attention.self.value", "self_attn.v_proj"), ("attention.output.dense", "self_attn.out_proj"),
             ("attention.output.LayerNorm", "self_attn_layer_norm"), ("intermediate.dense", "fc1"), ("output.dense", "fc2"),
             ("output.LayerNorm", "final_layer_norm"), ("roberta.encoder.layer.", "decoder.sentence_encoder.layers."),
             ("roberta.embeddings.word_embeddings", "decoder.sentence_encoder.embed_tokens"),
             ("roberta.embeddings.position_embeddings", "decoder.sentence_encoder.embed_positions"),
             ("roberta.embeddings.LayerNorm", "decoder.sentence_encoder.emb_layer_norm"),
             ("lm_head.decoder.weight", "decoder.lm_head.weight"), ("lm_head.", "decoder.lm_head.")]
    out, types = {}, state["roberta.embeddings.token_type_embeddings.weight"]
    for key, value in state.items():
        if "token_type" in key or key == "lm_head.decoder.bias" or "position_ids" in key:
            continue
        value = value + types[0] if "position_embeddings" in key else value
        for ours, theirs in names:
            if not key.startswith("decoder."):
                key = key.replace(ours, theirs)
            elif ours.startswith(("attention", "intermediate", "output")):
                key = key.replace(ours, theirs)
        out[key] = value.clone()
    return out


def main(root):
    torch.set_num_threads(1)
    root = pathlib.Path(root)
    for name, family in FAMILIES.items():
        out = root / name
        out.mkdir(parents=True, exist_ok=True)
        model = make(name, family, out)
        if name == "roberta":
            (root / "roberta_fairseq").mkdir(exist_ok=True)
            torch.save({"args": None, "model": fairseq(model.state_dict())}, root / "roberta_fairseq/model.pt")
        if name == "bert":
            for folder, zipped in (("bert_bin", True), ("bert_bin_legacy", False)):
                (root / folder).mkdir(exist_ok=True)
                shutil.copy(out / "config.json", root / folder)
                torch.save(model.state_dict(), root / folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)


if __name__ == "__main__":
    main(*sys.argv[1:])
