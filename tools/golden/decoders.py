"""Golden values for the decoder families (crates/dlm-models/src/llama.rs, gpt2.rs).

Tiny random networks, saved as upstream saves them, beside golden.safetensors: see backbone.py. Llama, Mistral,
Qwen2, Qwen3 (with experts too) and GPT-2 are transformers' own classes, made to look in both directions by a 4-D float attention mask
(whether they do is asserted). Dream, SDAR and LLaDA are code that their folders carry: the same mathematics as Qwen2,
Qwen3 and Llama under other names, so those classes answer for them, with keys and configuration renamed. LLaDA2 has
no class here: `Llada2` below is written from its formulas, every expert asked about every token, and compared with
transformers' GLM-4 MoE, which comes from other hands and has the same mathematics.

    python tools/golden/decoders.py tests/fixtures/backbones
"""

import json
import sys
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    Glm4MoeConfig, Glm4MoeForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
    Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM)

from backbone import block_mask, make, redraw, renamed

VOCAB, PAD = 40, 1
SIZES = {"vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32, "pad_token_id": PAD,
         "rms_norm_eps": 1e-3, "attn_implementation": "eager"}
CAUSAL = ("causal.", {"block": 1})


def seen(mask, block=None):
    """[B, L, L], true where a query may see a key."""
    rows, length = mask.shape
    pairs = torch.ones(length, length, dtype=torch.bool) if block is None else block_mask(length, block)
    return mask[:, None, :].bool() & pairs


def upstream(model, ids, mask, block=None):
    """Positions count on over padding, which stands behind the text and is not looked at."""
    dtype = model.get_output_embeddings().weight.dtype
    hidden = torch.zeros(len(ids), 1, *seen(mask, block).shape[1:], dtype=dtype)
    hidden.masked_fill_(~seen(mask, block)[:, None], torch.finfo(dtype).min)
    return model(input_ids=ids, attention_mask=hidden).logits


def assert_looks_ahead(model):
    ids = torch.arange(5, 11)[None]
    other = ids.clone()
    other[0, -1] = 12
    exact, mask = model.double().eval(), torch.ones_like(ids)
    with torch.no_grad():
        full = [upstream(exact, i, mask)[0, 0] for i in (ids, other)]
        causal = [upstream(exact, i, mask, block=1)[0, 0] for i in (ids, other)]
        own = exact(input_ids=ids).logits
    assert (full[0] - full[1]).abs().max() > 1e-6, "the mask does not open attention"
    assert (causal[0] - causal[1]).abs().max() == 0
    assert (own - upstream(exact, ids, mask, block=1)).abs().max() < 1e-12, "causal is not upstream's own"
    model.float()


def saved_as(keys, config):
    """Saves under other keys and with another config.json."""
    def save(model, out):
        weights = {renamed(key, keys): value.contiguous() for key, value in model.state_dict().items()}
        if model.config.tie_word_embeddings:
            weights = {key: value for key, value in weights.items() if not key.startswith("lm_head")}
        safetensors.torch.save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
        (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return save


GRADIENTS = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
             "model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.gate_proj.weight",
             "model.layers.1.self_attn.o_proj.weight", "model.layers.0.input_layernorm.weight", "model.norm.weight"]


def like_llama(out, name, model, seed, more=(), extra=(CAUSAL,), **options):
    assert_looks_ahead(model)
    make(out / name, model, VOCAB, PAD, seed, upstream, [*GRADIENTS, *more], extra=extra, **options)


def llama(out):
    scaling = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 16}
    model = LlamaForCausalLM(LlamaConfig(**SIZES, rope_scaling=scaling, rope_theta=100.0, tie_word_embeddings=True))
    like_llama(out, "llama", model, 11)
    linear = {"rope_type": "linear", "factor": 3.0}
    model = LlamaForCausalLM(LlamaConfig(**SIZES, rope_scaling=linear, attention_bias=True, mlp_bias=True, head_dim=6))
    like_llama(out, "llama-biased", model, 12,
               more=["lm_head.weight", "model.layers.0.mlp.down_proj.bias", "model.layers.1.self_attn.o_proj.bias"])


def alone(model, ids, mask, block=None):
    """Rows one by one: upstream would stretch the short rows of a batch as its longest."""
    rotary, answers = model.model.rotary_emb, []
    for row, n in zip(ids, mask.sum(1)):
        rotary.max_seq_len_cached = 0  # what it was asked before is nothing to it
        answers.append(upstream(model, row[None, :n], mask[:1, :n] * 0 + 1, block)[0])
    return nn.utils.rnn.pad_sequence(answers, batch_first=True)


def stretched(out):
    """Ways to stretch positions that depend on a text's length, and YaRN's rarer fields."""
    half = [1.0 + 0.25 * pair for pair in range(2)]
    for name, seed, more in (
        ("dynamic", 23, {"max_position_embeddings": 8, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}),
        ("longrope", 24, {"original_max_position_embeddings": 8, "rope_scaling": {
            "rope_type": "longrope", "short_factor": half, "long_factor": [4 * f for f in half]}}),
        ("yarn", 25, {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "beta_fast": 4.0,
                                       "beta_slow": 0.5, "truncate": False, "mscale": 2.0, "mscale_all_dim": 0.5}}),
    ):
        model = LlamaForCausalLM(LlamaConfig(**{**SIZES, **more}, rope_theta=50.0, tie_word_embeddings=True))
        assert_looks_ahead(model)
        make(out / f"llama-{name}", model, VOCAB, PAD, seed, alone, GRADIENTS, extra=(CAUSAL,))


def mistral(out):
    model = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=24))
    like_llama(out, "mistral", model, 13, more=["lm_head.weight"])


def qwen2(out):
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "beta_fast": 4.0, "beta_slow": 0.5}
    model = Qwen2ForCausalLM(Qwen2Config(**SIZES, rope_scaling=yarn, rope_theta=50.0))
    like_llama(out, "qwen2", model, 14, more=["lm_head.weight", "model.layers.0.self_attn.v_proj.bias"])


def dream(out):
    config = Qwen2Config(**SIZES, rope_theta=1000.0)
    sizes = {key: value for key, value in SIZES.items() if key != "attn_implementation"}
    said = {**sizes, "model_type": "Dream", "architectures": ["DreamModel"], "rope_theta": 1000.0, "hidden_act": "silu",
            "rope_scaling": None, "use_sliding_window": False, "sliding_window": None, "mask_token_id": VOCAB - 1,
            "auto_map": {"AutoModel": "modeling_dream.DreamModel"}, "torch_dtype": "float32"}
    like_llama(out, "dream", Qwen2ForCausalLM(config), 15, extra=(), save=saved_as([], said),
               more=["lm_head.weight", "model.layers.0.self_attn.k_proj.bias"], source="Qwen2ForCausalLM as Dream")


def qwen3(out):
    model = Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=6, rope_theta=1000.0, tie_word_embeddings=True))
    like_llama(out, "qwen3", model, 16, more=["model.layers.0.self_attn.q_norm.weight"])


def sdar(out):
    config = Qwen3Config(**SIZES, head_dim=6, rope_theta=1000.0)
    sizes = {key: value for key, value in SIZES.items() if key != "attn_implementation"}
    said = {**sizes, "model_type": "sdar", "architectures": ["SDARForCausalLM"], "head_dim": 6, "rope_theta": 1000.0,
            "hidden_act": "silu", "attention_bias": False, "block_size": 4, "mask_token_id": VOCAB - 1,
            "tie_word_embeddings": False}
    like_llama(out, "sdar", Qwen3ForCausalLM(config), 17, extra=(("", {"block": 4}), ("blocks-of-3.", {"block": 3})),
               save=saved_as([], said), more=["lm_head.weight", "model.layers.1.self_attn.k_norm.weight"],
               source="Qwen3ForCausalLM as SDAR, block-causal")


EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 6}
MOE_GRADIENTS = [key for key in GRADIENTS if "mlp" not in key] + ["model.layers.0.mlp.gate.weight", "lm_head.weight"]


def qwen3_moe(out):
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, **EXPERTS, head_dim=6, rope_theta=1000.0))
    assert_looks_ahead(model)
    make(out / "qwen3-moe", model, VOCAB, PAD, 21, upstream, MOE_GRADIENTS, extra=(CAUSAL,))


def sdar_moe(out):
    sizes = {key: value for key, value in SIZES.items() if key != "attn_implementation"}
    said = {**sizes, **EXPERTS, "model_type": "sdar_moe", "architectures": ["SDARMoeForCausalLM"], "head_dim": 6,
            "rope_theta": 1000.0, "hidden_act": "silu", "attention_bias": False, "norm_topk_prob": True, "block_size": 4}
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, **EXPERTS, head_dim=6, rope_theta=1000.0, norm_topk_prob=True))
    assert_looks_ahead(model)
    make(out / "sdar-moe", model, VOCAB, PAD, 22, upstream, MOE_GRADIENTS, extra=(("", {"block": 4}),),
         save=saved_as([], said), source="Qwen3MoeForCausalLM as SDAR-MoE, block-causal")


def llada_moe(out):
    """The mathematics of Qwen3 with experts: norms of each head's queries and keys, softmax over all experts."""
    said = {"model_type": "llada", "architectures": ["LLaDAMoEModelLM"], "vocab_size": VOCAB, "hidden_size": 16,
            "dense_intermediate_size": 24, "expert_intermediate_size": 6, "shared_expert_intermediate_size": None,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "hidden_act": "silu",
            "max_position_embeddings": 32, "rms_norm_eps": 1e-3, "rope_theta": 1000.0, "rope_scaling": None,
            "partial_rotary_factor": 1, "attention_bias": False, "attention_dropout": 0.0, "clip_qkv": None, "num_experts": 6,
            "num_experts_per_tok": 2, "moe_layer_freq": [1, 1], "norm_topk_prob": None, "qk_layernorm": True,
            "moe_router_score_function": "softmax", "moe_router_enable_expert_bias": False, "router_num_group": None,
            "routed_scaling_factor": 1, "tie_word_embeddings": False, "pad_token_id": PAD}
    sizes = {**SIZES, "num_key_value_heads": 4}
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, **EXPERTS, head_dim=4, rope_theta=1000.0, norm_topk_prob=False))
    assert_looks_ahead(model)
    make(out / "llada-moe", model, VOCAB, PAD, 26, upstream, [*MOE_GRADIENTS, "model.layers.0.self_attn.q_norm.weight"],
         extra=(CAUSAL,), save=saved_as([], said), source="Qwen3MoeForCausalLM as LLaDA-MoE")


LLADA_KEYS = [("model.embed_tokens", "model.transformer.wte"), ("model.layers", "model.transformer.blocks"),
              ("self_attn.o_proj", "attn_out"), ("self_attn.", ""), ("mlp.gate_proj", "ff_proj"), ("mlp.up_proj", "up_proj"),
              ("mlp.down_proj", "ff_out"), ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ff_norm"),
              ("model.norm", "model.transformer.ln_f"), ("lm_head", "model.transformer.ff_out")]


def llada(out):
    config = LlamaConfig(**{**SIZES, "num_key_value_heads": 4}, rope_theta=500.0)
    said = {"model_type": "llada", "architectures": ["LLaDAModelLM"], "vocab_size": VOCAB - 2, "embedding_size": VOCAB,
            "d_model": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 4, "mlp_ratio": 4, "mlp_hidden_size": 24,
            "activation_type": "silu", "max_sequence_length": 32, "rms_norm_eps": 1e-3, "rope_theta": 500.0,
            "include_bias": False, "include_qkv_bias": False, "weight_tying": False, "block_type": "llama",
            "block_group_size": 1, "layer_norm_type": "rms", "layer_norm_with_affine": True, "rope": True, "alibi": False,
            "rope_full_precision": True, "attention_layer_norm": False, "input_emb_norm": False, "scale_logits": False,
            "multi_query_attention": None, "bias_for_layer_norm": False, "attention_dropout": 0.0,
            "residual_dropout": 0.0, "embedding_dropout": 0.0, "init_fn": "mitchell", "init_std": 0.02,
            "mask_token_id": VOCAB - 3, "pad_token_id": PAD, "eos_token_id": 2}
    model = LlamaForCausalLM(config)
    assert_looks_ahead(model)
    theirs = [*GRADIENTS, "lm_head.weight"]
    # `make` looks gradients up by the class's names, the test by those of the folder.
    make(out / "llada", model, VOCAB, PAD, 18, upstream, theirs, extra=(CAUSAL,), save=saved_as(LLADA_KEYS, said),
         special={"mask": VOCAB - 3}, source="LlamaForCausalLM as LLaDA", rename=LLADA_KEYS)


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return self.weight * x / (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()


class Gated(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Gate(nn.Module):
    """Scores σ(W·x). Experts are picked by score + bias: the best groups by the sum of their two best, in these the
    best experts. They are weighed by score alone, made to sum up to the scaling factor."""

    def __init__(self, c):
        super().__init__()
        self.c, self.weight = c, nn.Parameter(torch.empty(c["num_experts"], c["hidden_size"]))
        self.expert_bias = nn.Parameter(torch.zeros(c["num_experts"]))

    def forward(self, x):
        """[N, E]: the weight of each expert for each token, 0 if it is not asked."""
        c = self.c
        scores = torch.sigmoid(x @ self.weight.T)
        biased = (scores + self.expert_bias).detach()
        in_groups = biased.view(len(x), c["n_group"], -1)
        best_groups = in_groups.topk(2, -1).values.sum(-1).topk(c["topk_group"], -1).indices
        open_groups = torch.zeros(len(x), c["n_group"], dtype=torch.bool).scatter(1, best_groups, True)
        hidden = ~open_groups[:, :, None].expand_as(in_groups).reshape(len(x), -1)
        picked = biased.masked_fill(hidden, -torch.inf).topk(c["num_experts_per_tok"], -1).indices
        asked = torch.zeros_like(biased).scatter(1, picked, 1.0)
        return c["routed_scaling_factor"] * asked * scores / (asked * scores).sum(-1, keepdim=True)


class Mixture(nn.Module):
    def __init__(self, c):
        super().__init__()
        inner = c["moe_intermediate_size"]
        self.gate = Gate(c)
        self.experts = nn.ModuleList(Gated(c["hidden_size"], inner) for _ in range(c["num_experts"]))
        self.shared_experts = Gated(c["hidden_size"], inner * c["num_shared_experts"])

    def forward(self, x):
        weights = self.gate(x)
        answers = torch.stack([expert(x) for expert in self.experts], 1)
        return (weights[:, :, None] * answers).sum(1) + self.shared_experts(x)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, heads = c, c["num_attention_heads"] + 2 * c["num_key_value_heads"]
        self.query_key_value = nn.Linear(c["hidden_size"], heads * c["head_dim"], bias=c["use_qkv_bias"])
        self.query_layernorm, self.key_layernorm = (Norm(c["head_dim"], c["rms_norm_eps"]) for _ in range(2))
        self.dense = nn.Linear(c["num_attention_heads"] * c["head_dim"], c["hidden_size"], bias=c["use_bias"])

    def turned(self, x):
        """The first part of each head is turned; elements i and i + r/2 make a pair."""
        width = int(self.c["head_dim"] * self.c["partial_rotary_factor"])
        half = width // 2
        angles = torch.arange(x.shape[1])[:, None] * self.c["rope_theta"] ** (-torch.arange(half) * 2.0 / width)
        cos, sin = angles.cos()[:, None].to(x), angles.sin()[:, None].to(x)
        first, second, rest = x[..., :half], x[..., half:width], x[..., width:]
        return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], -1)

    def forward(self, x, may):
        heads, groups, width = (self.c[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
        all_heads = self.query_key_value(x).view(*x.shape[:2], heads + 2 * groups, width)
        q, k, v = all_heads.split([heads, groups, groups], 2)
        q, k = self.turned(self.query_layernorm(q)), self.turned(self.key_layernorm(k))
        k, v = (t.repeat_interleave(heads // groups, 2) for t in (k, v))
        scores = torch.einsum("blhd,bmhd->bhlm", q, k) * width ** -0.5
        weights = scores.masked_fill(~may[:, None], -torch.inf).softmax(-1)
        return self.dense(torch.einsum("bhlm,bmhd->blhd", weights, v).flatten(2))


class Layer(nn.Module):
    def __init__(self, c, index):
        super().__init__()
        self.attention = Attention(c)
        dense = index < c["first_k_dense_replace"]
        self.mlp = Gated(c["hidden_size"], c["intermediate_size"]) if dense else Mixture(c)
        self.input_layernorm, self.post_attention_layernorm = (Norm(c["hidden_size"], c["rms_norm_eps"]) for _ in range(2))

    def forward(self, x, may):
        x = x + self.attention(self.input_layernorm(x), may)
        return x + self.mlp(self.post_attention_layernorm(x).flatten(0, 1)).view_as(x)


class Llada2(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.model = nn.Module()
        self.model.word_embeddings = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.model.layers = nn.ModuleList(Layer(c, i) for i in range(c["num_hidden_layers"]))
        self.model.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.lm_head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)

    def forward(self, ids, may):
        x = self.model.word_embeddings(ids)
        for layer in self.model.layers:
            x = layer(x, may)
        return self.lm_head(self.model.norm(x))


def assert_like_glm(c):
    """LLaDA2 and GLM-4 MoE, with the same weights, give the same logits."""
    glm = Glm4MoeForCausalLM(Glm4MoeConfig(
        **{key: value for key, value in c.items() if key not in ("model_type", "architectures")}, attention_bias=True,
        n_routed_experts=c["num_experts"], n_shared_experts=c["num_shared_experts"], attn_implementation="eager"))
    ours = Llada2(c)
    redraw(ours, torch.Generator().manual_seed(7))
    widths = [c[key] * c["head_dim"] for key in ("num_attention_heads", "num_key_value_heads", "num_key_value_heads")]
    pairs = [("word_embeddings", "embed_tokens"), ("attention.query_layernorm", "self_attn.q_norm"),
             ("attention.key_layernorm", "self_attn.k_norm"), ("attention.dense", "self_attn.o_proj"),
             ("gate.expert_bias", "gate.e_score_correction_bias")]
    weights = {}
    for key, value in ours.state_dict().items():
        if "query_key_value" in key:
            for name, part in zip("qkv", value.split(widths)):
                weights[key.replace("attention.query_key_value", f"self_attn.{name}_proj")] = part
        else:
            weights[renamed(key, pairs)] = value
    glm.load_state_dict(weights)
    ids = torch.randint(5, VOCAB, (3, 12), generator=torch.Generator().manual_seed(8))
    mask = torch.ones_like(ids)
    for block in (None, 1, 4):
        with torch.no_grad():
            gap = ours(ids, seen(mask, block)) - upstream(glm.eval(), ids, mask, block)
        assert gap.abs().max() < 1e-5, gap.abs().max()


def llada2(out):
    c = {"model_type": "llada2_moe", "architectures": ["LLaDA2MoeModelLM"], "vocab_size": VOCAB, "hidden_size": 16,
         "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
         "hidden_act": "silu", "max_position_embeddings": 32, "rms_norm_eps": 1e-3, "rope_theta": 600.0,
         "partial_rotary_factor": 0.5, "use_qkv_bias": True, "use_bias": False, "use_qk_norm": True,
         "num_experts": 8, "num_shared_experts": 2, "num_experts_per_tok": 3, "n_group": 4, "topk_group": 2,
         "routed_scaling_factor": 2.5, "moe_intermediate_size": 4, "first_k_dense_replace": 1, "score_function": "sigmoid",
         "norm_topk_prob": True, "attention_dropout": 0.0, "tie_word_embeddings": False, "pad_token_id": PAD}

    assert_like_glm(c)

    def save(model, folder):
        weights = {key: value.contiguous() for key, value in model.state_dict().items()}
        safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(c, indent=2) + "\n")

    gradients = ["model.word_embeddings.weight", "model.layers.0.attention.query_key_value.weight",
                 "model.layers.0.attention.query_key_value.bias", "model.layers.0.attention.query_layernorm.weight",
                 "model.layers.0.mlp.gate_proj.weight", "model.layers.1.mlp.gate.weight",
                 *(f"model.layers.1.mlp.experts.{e}.down_proj.weight" for e in (3, 4, 6)),
                 "model.layers.2.mlp.shared_experts.up_proj.weight", "lm_head.weight"]
    make(out / "llada2", Llada2(c), VOCAB, PAD, 19, lambda m, ids, mask, block=None: m(ids, seen(mask, block)), gradients,
         extra=(("", {"block": 4}), ("open.", {"block": 32})), save=save, source="from the formulas of LLaDA2MoeModelLM")


def gpt2(out):
    config = GPT2Config(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=4, n_positions=32, n_inner=24, pad_token_id=PAD,
                        layer_norm_epsilon=1e-3, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                        attn_implementation="eager")
    model = GPT2LMHeadModel(config)
    for block in model.transformer.h:
        block.attn.bias.fill_(True)  # a second causal mask, beside the one that is passed
    assert_looks_ahead(model)
    gradients = ["transformer.wte.weight", "transformer.wpe.weight", "transformer.h.0.attn.c_attn.weight",
                 "transformer.h.0.attn.c_attn.bias", "transformer.h.1.mlp.c_fc.weight", "transformer.h.1.mlp.c_proj.bias",
                 "transformer.h.0.ln_1.bias", "transformer.ln_f.weight"]
    make(out / "gpt2", model, VOCAB, PAD, 20, upstream, gradients, extra=(CAUSAL,))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for family in (llama, stretched, mistral, qwen2, dream, qwen3, sdar, qwen3_moe, sdar_moe, llada, llada_moe, llada2, gpt2):
        if len(sys.argv) < 3 or family.__name__ in sys.argv[2:]:
            family(target)
