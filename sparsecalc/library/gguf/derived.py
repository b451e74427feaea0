"""What GGUF's keys tell only together, or only the tensors do, as config keys."""

from collections.abc import Callable
from typing import Any

from sparsecalc.library.gguf.header import Header

_RECURRENT = ("ssm_", "shortconv", "time_mix_")
_EXPERTS = "ffn_gate_inp.weight"


class Facts:
    """A header's metadata of one architecture, and its tensors by name and by layer."""

    def __init__(self, header: Header, architecture: str) -> None:
        self.meta, self.architecture = header.meta, architecture
        self.shapes = {tensor.name: tensor.shape for tensor in header.tensors}
        self.layers: dict[int, set[str]] = {}
        for name in self.shapes:
            start, _, rest = name.partition(".")
            number, _, own = rest.partition(".")
            if start == "blk" and number.isdigit() and len(number) < 6:
                self.layers.setdefault(int(number), set()).add(own)

    def get(self, key: str) -> Any:
        """The value of an architecture's key; None where there is none."""
        return self.meta.get(f"{self.architecture}.{key}")

    def number(self, key: str) -> int:
        """A whole number of the metadata, the largest of a list; 0 where there is none."""
        value = self.get(key)
        if isinstance(value, list):
            value = max((each for each in value if isinstance(each, int)), default=0)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name, in any layer where it has no `blk.`."""
        return name in self.shapes or any(name in own for own in self.layers.values())

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape; empty where there is none."""
        return self.shapes.get(name, ())

    @property
    def count(self) -> int:
        """Decoder layers, without those for multi-token prediction."""
        return min(self.number("block_count") - self.number("nextn_predict_layers"), 10_000)

    def recurrent(self) -> list[bool]:
        """Which layers keep a state in place of a cache: by their tensors, or by head_count_kv of 0."""
        heads = self.get("attention.head_count_kv")
        if not self.layers and isinstance(heads, list):
            return [not each for each in heads[: self.count]]
        return [
            any(name.startswith(_RECURRENT) for name in self.layers.get(index, ()))
            and not any(name.startswith(("attn_kv_a", "attn_q_norm")) for name in self.layers.get(index, ()))
            for index in range(self.count)
        ]

    def layer_types(self, full: str, other: str) -> list[str]:
        """One word for each layer: `full` where it attends, `other` where it keeps a state."""
        return [other if state else full for state in self.recurrent()]


def _bias(*names: str) -> Callable[[Facts], dict[str, Any]]:
    """Flags that say whether the attention's projections have a bias."""

    def found(facts: Facts) -> dict[str, Any]:
        return dict.fromkeys(names, facts.has("attn_q.bias") or facts.has("attn_qkv.bias"))

    return found


def _latent(facts: Facts) -> dict[str, Any]:
    rope = facts.number("rope.dimension_count")
    key = facts.number("attention.key_length_mla") or facts.number("attention.key_length")
    return {
        "num_key_value_heads": facts.number("attention.head_count"),
        "q_lora_rank": facts.number("attention.q_lora_rank") or None,
        "qk_rope_head_dim": rope,
        "qk_nope_head_dim": key - rope,
        "v_head_dim": facts.number("attention.value_length_mla") or facts.number("attention.value_length"),
        "head_dim": rope,
    }


def _mamba2(facts: Facts) -> dict[str, Any]:
    heads, inner = facts.number("ssm.time_step_rank"), facts.number("ssm.inner_size")
    return {
        "num_heads": heads,
        "head_dim": inner // max(heads, 1),
        "expand": inner / max(facts.number("embedding_length"), 1),
    }


def _mamba_in_hybrid(facts: Facts) -> dict[str, Any]:
    heads, inner = facts.number("ssm.time_step_rank"), facts.number("ssm.inner_size")
    return {
        "mamba_n_heads": heads,
        "mamba_d_head": inner // max(heads, 1),
        "mamba_expand": inner // max(facts.number("embedding_length"), 1),
    }


def _jamba(facts: Facts) -> dict[str, Any]:
    full = [not state for state in facts.recurrent()]
    sparse = [_EXPERTS in facts.layers.get(index, ()) for index in range(facts.count)]
    return {
        "mamba_expand": facts.number("ssm.inner_size") // max(facts.number("embedding_length"), 1),
        **_period("attn", full),
        **_period("expert", sparse),
    }


def _period(kind: str, marked: list[bool]) -> dict[str, Any]:
    places = [index for index, mark in enumerate(marked) if mark]
    if not places:
        return {}
    step = places[1] - places[0] if len(places) > 1 else len(marked)
    return {f"{kind}_layer_period": step, f"{kind}_layer_offset": places[0] % step}


def _nemotron_h(facts: Facts) -> dict[str, Any]:
    heads, inner = facts.number("ssm.time_step_rank"), facts.number("ssm.inner_size")
    return {
        "hybrid_override_pattern": "".join(_letter(facts.layers.get(index, set())) for index in range(facts.count)),
        "mamba_num_heads": heads,
        "mamba_head_dim": inner // max(heads, 1),
    }


def _letter(names: set[str]) -> str:
    if any(name.startswith("ssm_") for name in names):
        return "M"
    if _EXPERTS in names:
        return "E"
    return "*" if any(name.startswith("attn_q") for name in names) else "-"


def _delta_net(facts: Facts) -> dict[str, Any]:
    heads = facts.number("ssm.time_step_rank")
    return {
        "linear_num_key_heads": facts.number("ssm.group_count"),
        "linear_num_value_heads": heads,
        "linear_key_head_dim": facts.number("ssm.state_size"),
        "linear_value_head_dim": facts.number("ssm.inner_size") // max(heads, 1),
    }


def _kimi_linear(facts: Facts) -> dict[str, Any]:
    recurrent = facts.recurrent()
    return {
        "linear_attn_config": {
            "full_attn_layers": [index + 1 for index, state in enumerate(recurrent) if not state],
            "kda_layers": [index + 1 for index, state in enumerate(recurrent) if state],
            "head_dim": facts.number("kda.head_dim"),
            "num_heads": facts.number("attention.head_count"),
            "short_conv_kernel_size": facts.number("ssm.conv_kernel"),
        }
    }


def _windows(facts: Facts) -> dict[str, Any]:
    pattern = facts.get("attention.sliding_window_pattern")
    if not isinstance(pattern, list) or not all(isinstance(each, bool) for each in pattern):
        return {}
    return {"layer_types": ["sliding_attention" if each else "full_attention" for each in pattern[: facts.count]]}


def _gemma3n(facts: Facts) -> dict[str, Any]:
    rank, table = facts.shape("blk.0.laurel_l.weight"), facts.shape("per_layer_token_embd.weight")
    found: dict[str, Any] = {"laurel_rank": rank[1]} if len(rank) > 1 else {}
    return found | ({"vocab_size_per_layer_input": table[1]} if len(table) > 1 else {})


def _shared_width(facts: Facts) -> dict[str, Any]:
    """Shared experts from their width, where only that is told."""
    width, own = facts.number("expert_shared_feed_forward_length"), facts.number("expert_feed_forward_length")
    return {"moe_num_shared_experts": facts.number("expert_shared_count") or width // max(own, 1)}


def _falcon(facts: Facts) -> dict[str, Any]:
    heads = facts.number("attention.head_count_kv") or facts.number("attention.head_count")
    grouped = facts.has("attn_norm_2.weight")
    return {"new_decoder_architecture": grouped, "multi_query": heads == 1, "num_kv_heads": heads}


def _stablelm(facts: Facts) -> dict[str, Any]:
    return {
        "use_qkv_bias": facts.has("attn_q.bias"),
        "use_parallel_residual": not facts.has("ffn_norm.weight"),
        "qk_layernorm": facts.has("attn_q_norm.weight"),
    }


def _dbrx(facts: Facts) -> dict[str, Any]:
    return {
        "attn_config": {"kv_n_heads": facts.number("attention.head_count_kv")},
        "ffn_config": {
            "moe_num_experts": facts.number("expert_count"),
            "moe_top_k": facts.number("expert_used_count"),
            "ffn_hidden_size": facts.number("feed_forward_length"),
        },
    }


def _qk_norm(facts: Facts) -> dict[str, Any]:
    return {"use_qk_norm": facts.has("attn_q_norm.weight")}


def _gemma4(facts: Facts) -> dict[str, Any]:
    heads, pattern = facts.get("attention.head_count_kv"), facts.get("attention.sliding_window_pattern")
    found: dict[str, Any] = {"enable_moe_block": bool(facts.number("expert_count"))}
    if isinstance(heads, list) and isinstance(pattern, list) and len(heads) == len(pattern):
        windowed = [each for each, mark in zip(heads, pattern, strict=True) if mark]
        full = [each for each, mark in zip(heads, pattern, strict=True) if not mark]
        found |= {"num_key_value_heads": max(windowed, default=0), "num_global_key_value_heads": max(full, default=0)}
    shared = any("attn_k.weight" in own and "attn_v.weight" not in own for own in facts.layers.values())
    return {**found, "attention_k_eq_v": shared, **_windows(facts)}


def _deci(facts: Facts) -> dict[str, Any]:
    """DeciLM's layers of different sizes: lists of heads, key-value heads and widths, 0 where a part is left out."""
    hidden, count = max(facts.number("embedding_length"), 1), facts.count
    heads, groups, widths = (
        _per_layer(facts.get(key), count)
        for key in ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
    )
    blocks = [
        {
            "attention": {
                "no_op": not own,
                "replace_with_linear": bool(own) and not group,
                "n_heads_in_group": own // group if own and group else None,
            },
            "ffn": {"no_op": not width, "replace_with_linear": False, "ffn_mult": 1.5 * width / hidden or None},
        }
        for own, group, width in zip(heads, groups, widths, strict=True)
    ]
    return {"block_configs": blocks, "num_attention_heads": max(heads, default=0), "num_key_value_heads": None}


def _openelm(facts: Facts) -> dict[str, Any]:
    """OpenELM's layers of growing size."""
    hidden, count = max(facts.number("embedding_length"), 1), facts.count
    return {
        "num_query_heads": _per_layer(facts.get("attention.head_count"), count),
        "num_kv_heads": _per_layer(facts.get("attention.head_count_kv"), count),
        "ffn_multipliers": [width / hidden for width in _per_layer(facts.get("feed_forward_length"), count)],
        "share_input_output_layers": not facts.has("output.weight"),
    }


def _per_layer(value: Any, count: int) -> list[int]:
    """A number for each layer, whether the file tells one or a list."""
    found = value if isinstance(value, list) else [value or 0] * count
    return [each if isinstance(each, int) else 0 for each in (*found, *([0] * count))][:count]


def _falcon_mamba(facts: Facts) -> dict[str, Any]:
    """Falcon Mamba is written as Mamba with norms of dt, B and C."""
    return {"model_type": "falcon_mamba"} if facts.get("ssm.dt_b_c_rms") else {}


DERIVED: dict[str, Callable[[Facts], dict[str, Any]]] = {
    "attention_bias": _bias("attention_bias"),
    "use_bias": _bias("use_bias"),
    "add_qkv_bias": _bias("add_qkv_bias"),
    "latent": _latent,
    "mamba2": _mamba2,
    "mamba_in_hybrid": _mamba_in_hybrid,
    "jamba": _jamba,
    "nemotron_h": _nemotron_h,
    "deci": _deci,
    "openelm": _openelm,
    "falcon_mamba": _falcon_mamba,
    "delta_net": _delta_net,
    "kimi_linear": _kimi_linear,
    "windows": _windows,
    "gemma3n": _gemma3n,
    "gemma4": _gemma4,
    "shared_width": _shared_width,
    "falcon": _falcon,
    "stablelm": _stablelm,
    "dbrx": _dbrx,
    "qk_norm": _qk_norm,
}
"""By the names that data/gguf_architectures.json uses."""
