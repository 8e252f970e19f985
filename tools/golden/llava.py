"""Makes tests/fixtures/backbones/llava: a tiny masked language model that sees, and in clip/ its vision tower alone.

Source: CLIPVisionModel and XLMRobertaForMaskedLM of transformers (eager), joined as in LLaVA (Liu et al. 2023,
arXiv:2304.08485 and arXiv:2310.03744): the tower's states before its last layer, without the class token, through
linear, GELU, linear, are embeddings of tokens. Here they are the words V, V + 1, .. : picture by picture, patch by patch.

    python3 tools/golden/llava.py tests/fixtures/backbones
"""

import json
import pathlib
import sys

import safetensors.torch
import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, XLMRobertaConfig, XLMRobertaForMaskedLM

from backbone import make, sequence

WORDS, WIDTH, PATCHES, PICTURES = 29, 12, 4, 2
VISION = CLIPVisionConfig(hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, image_size=6, patch_size=3,
                          projection_dim=8, attn_implementation="eager")
TEXT = XLMRobertaConfig(vocab_size=WORDS, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                        max_position_embeddings=24, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0,
                        eos_token_id=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager")


class Projector(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(VISION.hidden_size, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.linear_2(nn.functional.gelu(self.linear_1(x)))


class Llava(nn.Module):
    def __init__(self):
        super().__init__()
        self.language_model, self.vision_tower = XLMRobertaForMaskedLM(TEXT), CLIPVisionModel(VISION)
        self.multi_modal_projector = Projector()

    def patches(self, pixels):
        """States before the last layer, without the class token, [pictures, patches, D]."""
        return self.vision_tower(pixels.to(self.multi_modal_projector.linear_1.weight.dtype), output_hidden_states=True).hidden_states[-2][:, 1:]

    def row(self, ids, pixels):
        table = torch.cat([self.language_model.get_input_embeddings().weight, self.multi_modal_projector(self.patches(pixels)).flatten(0, 1)])
        return self.language_model(inputs_embeds=table[ids][None]).logits[0]


def main(root):
    torch.set_num_threads(1)
    root = pathlib.Path(root) / "llava"
    pixels = torch.randn(PICTURES, 3, 6, 6, generator=torch.Generator().manual_seed(40))
    model = Llava()

    def row(vocab, length, rng):
        """BOS, a picture (of the shortest row: two of its patches), words, EOS."""
        ids = sequence(vocab, length, rng)
        count = min(PATCHES, length - 2)
        ids[1:1 + count] = WORDS + PATCHES * (length % PICTURES) + torch.arange(count)
        return ids

    def forward(model, ids, mask):
        rows = [model.row(r[:n], pixels) for r, n in zip(ids, mask.sum(-1).tolist())]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def save(model, out):
        config = dict(model_type="llava", architectures=["LlavaForConditionalGeneration"], text_config=TEXT.to_dict(),
                      vision_config=VISION.to_dict(), vision_feature_select_strategy="default",
                      projector_hidden_act="gelu")
        (out / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n")
        state = {k: v.contiguous() for k, v in model.state_dict().items() if "decoder" not in k and "position_ids" not in k}
        safetensors.torch.save_file(state, out / "model.safetensors", metadata={"format": "pt"})
        model.vision_tower.save_pretrained(out / "clip")

    gradients = ["language_model.roberta.embeddings.word_embeddings.weight", "multi_modal_projector.linear_1.weight",
                 "multi_modal_projector.linear_2.bias", "vision_tower.vision_model.embeddings.position_embedding.weight",
                 "vision_tower.vision_model.embeddings.class_embedding", "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
                 "vision_tower.vision_model.pre_layrnorm.weight"]
    make(root, model, WORDS, 1, 41, forward, gradients, row=row, save=save, source="tools/golden/llava.py", full=16)
    golden = safetensors.torch.load_file(root / "golden.safetensors")
    golden |= {"pixel_values": pixels, "patches": model.double().patches(pixels.double()).float().detach().contiguous()}
    safetensors.torch.save_file(golden, root / "golden.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
