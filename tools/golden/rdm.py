"""Makes tests/fixtures/backbones/rdm: a tiny random encoder-decoder of the reparameterised discrete diffusion model.

The published network is a plugin of an old fairseq, so the reference is written here, from its description (Zheng et al.
2023, arXiv:2302.05737) under its names of weights: post-LN layers with ReLU; word (times sqrt D) and learned position
side by side through one linear map, with one in the encoder and one in the decoder; the step k = t T - 1 as
linear([sin(k f), cos(k f)]), f_i = 10000^(-i / (D/2 - 1)), added to the decoder's; full self-attention and attention to
the encoder in the decoder; words tied three times, no bias. length_logits is the mean of the encoder's output times a table
of lengths. A row is the source with its EOS, then the target; there are no answers (NaN) at the source.

    python3 tools/golden/rdm.py tests/fixtures/backbones
"""

import json
import math
import pathlib
import sys

import safetensors.torch
import torch
from torch import nn

import backbone
from backbone import block_mask, make

WIDTH, INNER, HEADS, LAYERS, WORDS, POSITIONS, STEPS, PAD, EOS = 8, 12, 2, 2, 37, 16, 50, 1, 2
TIMES = [0.2, 0.56, 1.0]


def sides(length):
    """Tokens of the source."""
    return max(2, int(0.45 * length))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x, memory, seen=None):
        def split(y):
            return y.view(len(y), -1, HEADS, WIDTH // HEADS).transpose(1, 2)

        q, k, v = split(self.q_proj(x)), split(self.k_proj(memory)), split(self.v_proj(memory))
        return self.out_proj(nn.functional.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).reshape(x.shape))


class Layer(nn.Module):
    def __init__(self, crossing):
        super().__init__()
        self.self_attn, self.self_attn_layer_norm = Attention(), nn.LayerNorm(WIDTH)
        self.fc1, self.fc2, self.final_layer_norm = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH), nn.LayerNorm(WIDTH)
        if crossing:
            self.encoder_attn, self.encoder_attn_layer_norm = Attention(), nn.LayerNorm(WIDTH)

    def forward(self, x, memory=None, seen=None):
        x = self.self_attn_layer_norm(x + self.self_attn(x, x, seen))
        if memory is not None:
            x = self.encoder_attn_layer_norm(x + self.encoder_attn(x, memory))
        return self.final_layer_norm(x + self.fc2(self.fc1(x).relu()))


class Time(nn.Module):
    def __init__(self):
        super().__init__()
        self.output_mlp = nn.Linear(WIDTH, WIDTH)

    def forward(self, step):
        half = WIDTH // 2
        angles = step * torch.exp(-math.log(10000) / (half - 1) * torch.arange(half, dtype=torch.float64))
        return self.output_mlp(torch.cat([angles.sin(), angles.cos()]))


class Side(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        self.embed_positions = nn.Embedding(POSITIONS + PAD + 1, WIDTH)
        self.pe_fusion_ffn = nn.Linear(2 * WIDTH, WIDTH)
        self.layers = nn.ModuleList(Layer(decoder) for _ in range(LAYERS))
        if decoder:
            self.time_pos_emb, self.embed_length = Time(), nn.Embedding(256, WIDTH)
        else:
            self.embed_tokens = nn.Embedding(WORDS, WIDTH)

    def embed(self, words, ids):
        positions = self.embed_positions(torch.arange(len(ids)) + PAD + 1)[None]
        return self.pe_fusion_ffn(torch.cat([math.sqrt(WIDTH) * words(ids)[None], positions], -1))


class Rdm(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Side(False), Side(True)

    def encode(self, source):
        memory = self.encoder.embed(self.encoder.embed_tokens, source)
        for layer in self.encoder.layers:
            memory = layer(memory)
        return memory

    def row(self, ids, time, causal):
        source, target = ids[:sides(len(ids))], ids[sides(len(ids)):]
        memory = self.encode(source)
        x = self.decoder.embed(self.encoder.embed_tokens, target) + self.decoder.time_pos_emb(time * STEPS - 1)
        for layer in self.decoder.layers:
            x = layer(x, memory, block_mask(len(target), 1) if causal else None)
        logits = x[0] @ self.encoder.embed_tokens.weight.T
        return torch.cat([torch.full((len(source), WORDS), torch.nan, dtype=logits.dtype), logits])

    def lengths(self, ids):
        return self.encode(ids[:sides(len(ids))])[0].mean(0) @ self.decoder.embed_length.weight.T


def sequence(vocab, length, rng):
    """Words and EOS, then BOS, words with one mask, EOS."""
    ids = backbone.sequence(vocab, length, rng, eos=EOS, mask=3)
    source = sides(length)
    ids[0] = 7
    ids[source - 1], ids[source] = EOS, 0 if source + 1 < length else ids[source]
    return ids


def forward(model, ids, mask, times, block=None):
    rows = [model.row(row[:n], time, block is not None) for row, n, time in zip(ids, mask.sum(-1).tolist(), times)]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def save(model, out):
    config = dict(model_type="diffusion_transformer", vocab_size=WORDS, pad_token_id=PAD, eos_token_id=EOS, encoder_embed_dim=WIDTH,
                  encoder_ffn_embed_dim=INNER, encoder_layers=LAYERS, encoder_attention_heads=HEADS, decoder_embed_dim=WIDTH,
                  decoder_ffn_embed_dim=INNER, decoder_layers=LAYERS, decoder_attention_heads=HEADS, activation_fn="relu",
                  dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, max_source_positions=POSITIONS,
                  max_target_positions=POSITIONS, num_diffusion_timesteps=STEPS, share_all_embeddings=True,
                  encoder_learned_pos=True, decoder_learned_pos=True)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    state["encoder.version"] = state["decoder.version"] = torch.tensor([3.0])
    state = {k: v.clone() for k, v in state.items()}
    safetensors.torch.save_file(state, out / "model.safetensors", metadata={"format": "pt"})


def main(root):
    torch.set_num_threads(1)
    backbone.POSITIONS = [[0, 4], [0, 6], [0, 7], [1, 2], [1, 3], [2, 2]]
    gradients = ["encoder.embed_tokens.weight", "encoder.pe_fusion_ffn.weight", "encoder.layers.0.fc1.weight",
                 "decoder.embed_positions.weight", "decoder.time_pos_emb.output_mlp.weight",
                 "decoder.layers.1.encoder_attn.k_proj.weight", "decoder.layers.0.encoder_attn_layer_norm.weight",
                 "decoder.layers.1.self_attn.q_proj.weight", "decoder.layers.1.final_layer_norm.bias"]
    out, model = pathlib.Path(root) / "rdm", Rdm()
    make(out, model, WORDS, PAD, 31, forward, gradients, save=save, source="tools/golden/rdm.py", row=sequence,
         extra=[("", dict(times=TIMES)), ("causal.", dict(times=TIMES, block=1))])
    golden = safetensors.torch.load_file(out / "golden.safetensors")
    golden["length_logits"] = torch.stack([model.double().lengths(row[:n]) for row, n in zip(golden["input_ids"], golden["attention_mask"].sum(-1).tolist())]).float().detach()
    safetensors.torch.save_file(golden, out / "golden.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
