"""Makes assets/sapiens-vh, a real pretrained masked language model; real.py holds what it answers.

Source: checkpoint_vh.pt and dict.txt of the Python package sapiens 1.0.5 (MIT): a RoBERTa of human antibody
heavy chains in fairseq naming, 4 layers, 128 wide, 8 heads. The weights are renamed, not changed. Checked
here against a forward pass written from the fairseq names alone, and against the scores printed in the
package's README.

    pip install -r tools/golden/requirements.txt && pip download --no-deps sapiens==1.0.5
    python3 tools/golden/sapiens_to_hf.py sapiens-1.0.5-py3-none-any.whl assets/sapiens-vh
"""

import argparse
import io
import json
import pathlib
import sys
import zipfile

import tokenizers
import torch
import torch.nn.functional as F
from transformers import RobertaConfig, RobertaForMaskedLM

LAYERS, WIDTH, HEADS, FFN, EPS = 4, 128, 8, 256, 1e-5
BOS, PAD, EOS, UNK = range(4)  # fairseq puts these first and <mask> last

# Heavy chains with one residue hidden; the first is the package's README example, completed.
SEQUENCES = [
    "QVQLVQSGVEVKKPGASVKVSCKASGYTFTNYYMY<mask>VRQAPGQGLEWMGGINPSNGGTNFNEKFKNRVTLTTDSSTTTAYMELKSLQFDDTAVYYCARRDYRFDMGFDYWGQGTTVTVSS",
    "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRYADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSRWGGDGFYAMDYWGQ<mask>TLVTVSS",
    "<mask>VQLLESGGGLVQPGGSLRLSCAASGFTFSSYAMS",
]
README_INPUT = "**QLV*SGVEVKKPGASVKVSCKASGYTFTNYYMYWVRQAPGQGLEWMGGINPSNGGTNFNEKFKNRVTLTTDSSTTTAYMELKSLQFDDTAVYYCARRDYRFDMGFDYWGQGTTVTVSS"
README_SCORES = [[0.003272, 0.004147, 0.004011, 0.004590], [0.012038, 0.003854, 0.006803, 0.008174], [0.003384, 0.003895, 0.003726, 0.004068],
                 [0.004612, 0.005325, 0.004443, 0.004641], [0.005519, 0.003664, 0.003555, 0.005269]]  # residues A C D E at positions 0..4
README_FILLED = README_INPUT.replace("**", "QV", 1).replace("*", "Q", 1)


def rename(key):
    """fairseq parameter name -> Hugging Face parameter name."""
    for old, new in (("decoder.sentence_encoder.embed_tokens.", "roberta.embeddings.word_embeddings."),
                     ("decoder.sentence_encoder.embed_positions.", "roberta.embeddings.position_embeddings."),
                     ("decoder.sentence_encoder.emb_layer_norm.", "roberta.embeddings.LayerNorm."),
                     ("decoder.sentence_encoder.layers.", "roberta.encoder.layer."),
                     (".self_attn.q_proj.", ".attention.self.query."), (".self_attn.k_proj.", ".attention.self.key."),
                     (".self_attn.v_proj.", ".attention.self.value."), (".self_attn.out_proj.", ".attention.output.dense."),
                     (".self_attn_layer_norm.", ".attention.output.LayerNorm."), (".fc1.", ".intermediate.dense."),
                     (".fc2.", ".output.dense."), (".final_layer_norm.", ".output.LayerNorm."), ("decoder.lm_head.", "lm_head.")):
        key = key.replace(old, new)
    return "lm_head.decoder.weight" if key == "lm_head.weight" else key


def plain_forward(w, ids):
    """Logits of one unpadded row, from the fairseq parameters: post-norm blocks, erf GELU, positions from 2."""
    e, body = "decoder.sentence_encoder.", lambda x, k: F.linear(x, w[k + ".weight"], w[k + ".bias"])
    norm = lambda x, k: F.layer_norm(x, (WIDTH,), w[k + ".weight"], w[k + ".bias"], EPS)
    n = len(ids)
    x = norm(w[e + "embed_tokens.weight"][ids] + w[e + "embed_positions.weight"][PAD + 1:PAD + 1 + n], e + "emb_layer_norm")
    for i in range(LAYERS):
        k = f"{e}layers.{i}."
        q, key, v = (body(x, f"{k}self_attn.{p}_proj").view(n, HEADS, -1).transpose(0, 1) for p in "qkv")
        a = (q @ key.transpose(1, 2) / (WIDTH // HEADS) ** 0.5).softmax(-1) @ v
        x = norm(x + body(a.transpose(0, 1).reshape(n, WIDTH), k + "self_attn.out_proj"), k + "self_attn_layer_norm")
        x = norm(x + body(F.gelu(body(x, k + "fc1")), k + "fc2"), k + "final_layer_norm")
    x = norm(F.gelu(body(x, "decoder.lm_head.dense")), "decoder.lm_head.layer_norm")
    return F.linear(x, w["decoder.lm_head.weight"], w["decoder.lm_head.bias"])


def tokenizer(symbols):
    """One token a letter: byte-pair encoding without merges splits into characters."""
    t = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[], unk_token="<unk>"))
    t.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    t.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B </s>",
                                                                special_tokens=[("<s>", BOS), ("</s>", EOS)])
    t.decoder = tokenizers.decoders.Fuse()
    return t


def upstream(checkpoint, symbols):
    """The network of a fairseq checkpoint as transformers' class, and its state."""
    weights, args = checkpoint["model"], checkpoint["args"]
    assert (args.encoder_layers, args.encoder_embed_dim, args.encoder_attention_heads, args.encoder_ffn_embed_dim) == (LAYERS, WIDTH, HEADS, FFN)
    assert args.activation_fn == "gelu" and torch.equal(weights["decoder.lm_head.weight"], weights["decoder.sentence_encoder.embed_tokens.weight"])
    positions = weights["decoder.sentence_encoder.embed_positions.weight"].shape[0]
    config = RobertaConfig(vocab_size=len(symbols), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=FFN,
                           max_position_embeddings=positions, type_vocab_size=1, layer_norm_eps=EPS, hidden_act="gelu",
                           pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS)
    config._attn_implementation = "eager"
    model = RobertaForMaskedLM(config).eval()
    state = {rename(k): v for k, v in weights.items()}
    state["roberta.embeddings.token_type_embeddings.weight"] = torch.zeros(1, WIDTH)  # fairseq has none
    state["lm_head.decoder.bias"] = state["lm_head.bias"]
    model.load_state_dict(state, strict=True)
    return model, state


def main(wheel, asset):
    torch.set_num_threads(1)
    asset = pathlib.Path(asset)
    asset.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as z:
        with torch.serialization.safe_globals([argparse.Namespace]):
            checkpoint = torch.load(io.BytesIO(z.read("sapiens/models/v1/checkpoint_vh.pt")), map_location="cpu", weights_only=True)
        letters = [line.split()[0] for line in z.read("sapiens/models/v1/dict.txt").decode().splitlines()]
        licence = z.read("sapiens-1.0.5.dist-info/LICENSE").decode("utf-8")
    weights, args = checkpoint["model"], checkpoint["args"]
    symbols = ["<s>", "<pad>", "</s>", "<unk>", *letters, "<mask>"]
    model, state = upstream(checkpoint, symbols)
    model.save_pretrained(asset)
    t = tokenizer(symbols)
    t.save(str(asset / "tokenizer.json"))
    (asset / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>",
         "unk_token": "<unk>", "mask_token": "<mask>", "model_max_length": args.max_positions, "clean_up_tokenization_spaces": False}, indent=2) + "\n")
    (asset / "LICENSE").write_text("The weights and the vocabulary come from the Python package sapiens 1.0.5\n"
                                   "(github.com/Merck/Sapiens), under the licence below.\n\n" + licence.rstrip() + "\n", encoding="utf-8")

    exact = RobertaForMaskedLM(model.config).eval().double()
    exact.load_state_dict(state)
    rows = [torch.tensor(t.encode(s).ids) for s in SEQUENCES]
    n = max(map(len, rows))
    ids, mask = torch.full((len(rows), n), PAD), torch.zeros(len(rows), n, dtype=torch.long)
    for i, r in enumerate(rows):
        ids[i, :len(r)], mask[i, :len(r)] = r, 1
    with torch.no_grad():
        logits = exact(input_ids=ids, attention_mask=mask).logits
        gap = (logits - model(input_ids=ids, attention_mask=mask).logits)[mask == 1].abs().max().item()
        wide = {k: v.double() for k, v in weights.items()}
        plain = max((plain_forward(wide, r) - logits[i, :len(r)]).abs().max().item() for i, r in enumerate(rows))
        probe = torch.tensor(t.encode(README_INPUT.replace("*", "<mask>")).ids)
        scores = exact(input_ids=probe[None]).logits[0, 1:-1].softmax(-1)
    printed = (scores[:5, 4:8] - torch.tensor(README_SCORES)).abs().max().item()
    filled = "".join(symbols[4 + scores[i, 4:24].argmax()] if c == "*" else c for i, c in enumerate(README_INPUT))
    print(f"f32 gap {gap:.1e}, plain forward gap {plain:.1e}, README table gap {printed:.1e}, README filling {filled == README_FILLED}")
    assert gap < 1e-4 and plain < 1e-10 and printed < 1e-6 and filled == README_FILLED


if __name__ == "__main__":
    main(*sys.argv[1:])
