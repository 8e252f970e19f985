"""Writes the random BERT folders that both sides of the speed comparison read.

encoder-12x384: 12 layers, 384 wide, 12 heads, 1536 inner, 1000 tokens. encoder-3x128: 3, 128, 4, 512, 100.
encoder-12x768: XLM-R BASE's layers, with 1000 tokens in the place of 250 002. No dropout, 512 positions, fixed seed.

    pip install -r tools/golden/requirements.txt
    python3 tools/peers/make_models.py FOLDER
"""

import pathlib
import sys

import torch
from transformers import BertConfig, BertForMaskedLM

SIZES = {"encoder-12x384": (12, 384, 12, 1536, 1000), "encoder-3x128": (3, 128, 4, 512, 100),
         "encoder-12x768": (12, 768, 12, 3072, 1000)}


def main(root):
    for name, (layers, hidden, heads, inner, vocab) in SIZES.items():
        torch.manual_seed(0)
        config = BertConfig(vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
                            max_position_embeddings=512, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        BertForMaskedLM(config).save_pretrained(pathlib.Path(root) / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
