"""Makes tests/fixtures/backbones/{distilbert,xlmr_xl,albert,modernbert,esm,esm_normed}: tiny random encoders and what they must
compute. Source: the Hugging Face classes named below, saved with save_pretrained; see backbone.py.

    pip install -r tools/golden/requirements.txt
    python3 tools/golden/encoders.py tests/fixtures/backbones [names]
"""

import pathlib
import sys

import torch
import transformers
from transformers import (AlbertConfig, AlbertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM, EsmConfig, EsmForMaskedLM,
                          ModernBertConfig, ModernBertForMaskedLM, XLMRobertaXLConfig, XLMRobertaXLForMaskedLM)

from backbone import make

FAMILIES = {
    "distilbert": dict(
        model=DistilBertForMaskedLM, pad=0, seed=11, special=dict(bos=2, eos=3),
        config=DistilBertConfig(vocab_size=43, dim=18, n_layers=2, n_heads=3, hidden_dim=28, max_position_embeddings=18,
                                dropout=0.0, attention_dropout=0.0),
        gradients=["distilbert.embeddings.word_embeddings.weight", "distilbert.embeddings.position_embeddings.weight",
                   "distilbert.transformer.layer.1.attention.k_lin.weight", "distilbert.transformer.layer.0.sa_layer_norm.weight",
                   "distilbert.transformer.layer.0.ffn.lin2.weight", "vocab_transform.weight", "vocab_projector.bias"]),
    "xlmr_xl": dict(
        model=XLMRobertaXLForMaskedLM, pad=1, seed=12, special={},
        config=XLMRobertaXLConfig(vocab_size=45, hidden_size=20, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                                  max_position_embeddings=20, layer_norm_eps=1e-3, hidden_dropout_prob=0.0,
                                  attention_probs_dropout_prob=0.0),
        gradients=["roberta.embeddings.word_embeddings.weight", "roberta.embeddings.token_type_embeddings.weight",
                   "roberta.encoder.layer.0.attention.self_attn_layer_norm.weight",
                   "roberta.encoder.layer.1.attention.self.query.weight", "roberta.encoder.layer.0.LayerNorm.bias",
                   "roberta.encoder.layer.1.output.dense.weight", "roberta.encoder.LayerNorm.weight", "lm_head.dense.weight",
                   "lm_head.bias"]),
    "albert": dict(
        model=AlbertForMaskedLM, pad=0, seed=13, special=dict(bos=2, eos=3),
        config=AlbertConfig(vocab_size=47, embedding_size=12, hidden_size=18, num_hidden_layers=4, num_hidden_groups=2,
                            num_attention_heads=3, intermediate_size=28, max_position_embeddings=18),
        gradients=["albert.embeddings.word_embeddings.weight", "albert.encoder.embedding_hidden_mapping_in.weight",
                   "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.query.weight",
                   "albert.encoder.albert_layer_groups.1.albert_layers.0.ffn.weight",
                   "albert.encoder.albert_layer_groups.1.albert_layers.0.full_layer_layer_norm.weight", "predictions.dense.weight",
                   "predictions.bias"]),
    "modernbert": dict(
        model=ModernBertForMaskedLM, pad=1, seed=14, special={},
        config=ModernBertConfig(vocab_size=49, hidden_size=16, intermediate_size=14, num_hidden_layers=4, num_attention_heads=2,
                                max_position_embeddings=24, pad_token_id=1, bos_token_id=0, eos_token_id=2, cls_token_id=0,
                                sep_token_id=2, local_attention=6, local_rope_theta=100.0, global_rope_theta=1000.0,
                                reference_compile=False),
        gradients=["model.embeddings.tok_embeddings.weight", "model.embeddings.norm.weight", "model.layers.1.attn.Wqkv.weight",
                   "model.layers.3.attn_norm.weight", "model.layers.0.mlp.Wi.weight", "model.layers.2.mlp.Wo.weight",
                   "model.final_norm.weight", "head.dense.weight", "decoder.bias"]),
    "esm": dict(
        model=EsmForMaskedLM, pad=1, seed=15, special=dict(mask=32),
        config=EsmConfig(vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=18, num_hidden_layers=2,
                         num_attention_heads=3, intermediate_size=28, max_position_embeddings=26, hidden_dropout_prob=0.0,
                         attention_probs_dropout_prob=0.0, position_embedding_type="rotary", layer_norm_eps=1e-5,
                         emb_layer_norm_before=False, token_dropout=True),
        gradients=["esm.embeddings.word_embeddings.weight",
                   "esm.encoder.layer.1.attention.self.key.weight", "esm.encoder.layer.0.attention.LayerNorm.weight",
                   "esm.encoder.layer.0.LayerNorm.bias", "esm.encoder.layer.1.output.dense.weight",
                   "esm.encoder.emb_layer_norm_after.weight", "lm_head.dense.weight", "lm_head.bias"]),
    "esm_normed": dict(
        model=EsmForMaskedLM, pad=1, seed=16, special=dict(mask=32),
        config=EsmConfig(vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=8, num_hidden_layers=1,
                         num_attention_heads=2, intermediate_size=12, max_position_embeddings=26, hidden_dropout_prob=0.0,
                         attention_probs_dropout_prob=0.0, position_embedding_type="rotary", layer_norm_eps=1e-5,
                         emb_layer_norm_before=True, token_dropout=False),
        gradients=["esm.embeddings.word_embeddings.weight", "esm.embeddings.layer_norm.weight"]),
}


def answers(model, ids, mask):
    """Row by row without padding where upstream's padding is not without effect: in f64 ModernBERT's local windows of
    padding are NaN, and ESM of transformers 4.57 counts padding among the tokens of which so many are masked."""
    if not isinstance(model, (ModernBertForMaskedLM, EsmForMaskedLM)):
        return model(input_ids=ids, attention_mask=mask).logits
    lengths = mask.sum(-1).tolist()
    rows = [model(input_ids=row[None, :n]).logits[0] for row, n in zip(ids, lengths)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def main(root, *names):
    torch.set_num_threads(1)
    for name in names or FAMILIES:
        family = FAMILIES[name]
        config = family["config"]
        config._attn_implementation = "sdpa" if name == "modernbert" else "eager"
        model = family["model"](config)
        make(pathlib.Path(root) / name, model, config.vocab_size, family["pad"], family["seed"],
             answers, family["gradients"], special=family["special"], source=f"transformers {transformers.__version__} {type(model).__name__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
