"""Write docs/model_types.md: how far each model_type that transformers registers for causal LM is counted.

Run with the `measure` extra installed: python tools/list_model_types.py [MODEL_TYPE...] (named: print them only).
Each type is tried with its first config of tests/small_configs, or its class's default config made small.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.documents.verify import VerifyResult
from sparsecalc.library.models import LoadedModel
from sparsecalc.measure.counts.verification import verify_model
from sparsecalc.measure.derive.derived_spec import derive_spec
from sparsecalc.read.config import read_config

ROOT = Path(__file__).resolve().parent.parent
SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "emb_dim", "embed_dim", "dim", "embedding_size"), 64),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_inner", "n_inner", "d_ff", "feed_forward_size"), 96),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "dim_ff", "ffn_hidden_size"), 96),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 40),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks"), 4),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_query_groups"), 2),
    **dict.fromkeys(("head_dim", "dim_head", "v_head_dim", "qk_nope_head_dim"), 16),
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 8),
    **dict.fromkeys(("num_experts_per_tok", "moe_top_k", "moe_topk", "top_k_experts"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts"), 1),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), 128),
    "vocab_size": 320,
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attention_type": "original_full",
    "is_decoder": True,
    "is_encoder_decoder": False,
}
"""Sizes for keys that a config class has."""
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
EXTRA: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {"layer_group_size": 2, "linear_num_heads": 4, "linear_head_dim": 16},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "inkling_text": {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 16},
    "qwen4_exp_text": {"rope_parameters": _ROPE, "linear_num_key_heads": 2, "linear_num_value_heads": 4},
    "reformer": {"axial_pos_embds_dim": [16, 48], "axial_pos_shape": [8, 16]},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 8, "mamba_d_state": 8, "mamba_dt_rank": 8, "n_mamba_heads": 2},
}
"""Further keys that a small config of one type needs."""
TEXT_KEYS = ("text_config", "decoder", "llm_config", "language_config")


@dataclass
class Row:
    """What is known about one model_type."""

    model_type: str
    reader: str = "no reader"
    derived: str = ""
    config: str = ""

    @property
    def verdict(self) -> str:
        """The best of the two ways."""
        if self.reader == "exact":
            return "exact by a reader"
        if self.derived == "exact":
            return "exact by --from-architecture"
        return "refused" if self.derived.startswith("refused") else "in part"


def fields(config_class: Any) -> set[str]:
    """Keys of a config class, other names included."""
    return set(getattr(config_class, "__dataclass_fields__", {})) | set(getattr(config_class, "attribute_map", {}))


def shrunk(model_type: str) -> dict[str, Any]:
    """The class's default config with the sizes of SMALL where it has them, in its text part where it has one."""
    config_class: Any = CONFIG_MAPPING[model_type]
    known = fields(config_class)
    found = {key: value for key, value in SMALL.items() if key in known} | EXTRA.get(model_type, {})
    inner = next((key for key in TEXT_KEYS if key in getattr(config_class, "sub_configs", {})), None)
    if inner:
        part = config_class.sub_configs[inner]
        text_type = getattr(part, "model_type", "") or getattr(getattr(config_class(), inner), "model_type", "")
        found = (
            {} if text_type not in CONFIG_MAPPING else {inner: {"model_type": text_type, **shrunk_fields(text_type)}}
        )
    return {"model_type": model_type, **found}


def shrunk_fields(model_type: str) -> dict[str, Any]:
    """The small sizes of a text part: its own small config where there is one."""
    path = ROOT / "tests" / "small_configs" / f"{model_type}.json"
    if path.is_file():
        return dict(json.loads(path.read_text())[0])
    known = fields(CONFIG_MAPPING[model_type])
    return {key: value for key, value in SMALL.items() if key in known} | EXTRA.get(model_type, {})


def configs(model_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Configs to try in turn, the best first, each with its name."""
    path = ROOT / "tests" / "small_configs" / f"{model_type}.json"
    if path.is_file():
        yield "small", json.loads(path.read_text())[0]
    with suppress(Exception):  # a class whose own defaults are refused by its checks
        yield "default, made small", shrunk(model_type)
    yield "default", {"model_type": model_type}


def outcome(result: VerifyResult) -> str:
    """`exact`, or what differs, was not measured or is refused."""
    if result.status == "unsupported":
        return f"refused: {result.reason}"
    if result.status == "differs":
        wrong = [f"{v.figure} {v.predicted:,} instead of {v.actual:,}" for v in result.verdicts if not v.exact]
        return "differs: " + "; ".join(wrong)
    missing = [text for text in result.named if "does not run" in text]
    return f"parameters exact; {missing[0]}" if missing else "exact"


def by_architecture(model_type: str, config: dict[str, Any]) -> str:
    """The derived spec held against the architecture."""
    try:
        spec = derive_spec(config, model_type)
    except InputError as error:
        return f"refused: {error.text}"
    result = outcome(verify_model(LoadedModel(spec=spec, config=config)))
    note = next(note.text for note in spec.notes if note.code == "from-architecture")
    missing = note.partition("; not measured: ")[2]
    return f"parameters exact; not measured: {missing}" if result == "exact" and missing else result


def by_reader(model_type: str, config: dict[str, Any]) -> str:
    """The reader's spec held against the architecture."""
    try:
        spec = read_config(config, model_id=model_type)
    except InputError as error:
        return "no reader" if "unknown model_type" in str(error) else f"refused: {error.text}"
    return outcome(verify_model(LoadedModel(spec=spec, config=config)))


def row(model_type: str) -> Row:
    """Try the type's configs until one gives a result."""
    best = Row(model_type, derived="refused: no config could be built")
    for name, config in configs(model_type):
        try:
            found = Row(model_type, by_reader(model_type, config), by_architecture(model_type, config), name)
        except Exception as error:  # one type's failure must not hide the others
            found = Row(
                model_type, derived=f"refused: {type(error).__name__}: {printable(str(error), 160)}", config=name
            )
        rank = ("exact by a reader", "exact by --from-architecture", "in part", "refused").index
        if not best.config or rank(found.verdict) < rank(best.verdict):
            best = found
        if best.verdict.startswith("exact"):
            break
    return best


def document(rows: list[Row]) -> str:
    """The page: totals, then every type."""
    verdicts = ("exact by a reader", "exact by --from-architecture", "in part", "refused")
    versions = f"torch {torch.__version__.partition('+')[0]}, transformers {transformers.__version__}"
    head = [
        "# Model types",
        "",
        f"Every model_type that transformers registers for causal language models ({len(rows)}), each with a small",
        f"config, held against the architecture that transformers builds ({versions}). Written by",
        "`python tools/list_model_types.py`.",
        "",
        "Exact: parameters by component and active, KV cache and state to the element, FLOPs of two prompts and a",
        "decode step within 0.1 %. In part: the parameters are exact; the table says what was not measured or differs.",
        "Refused: transformers does not build it from the config that was tried.",
        "",
        "| verdict | types |",
        "|---|--:|",
        *(f"| {verdict} | {sum(each.verdict == verdict for each in rows)} |" for verdict in verdicts),
        "",
        "| model_type | by a reader | by --from-architecture | config |",
        "|---|---|---|---|",
    ]
    cells = ((each.model_type, each.reader, each.derived, each.config) for each in rows)
    table = ["| " + " | ".join(cell.replace("|", "/")[:300] for cell in line) + " |" for line in cells]
    return "\n".join([*head, *table]) + "\n"


def main() -> int:
    """Try every type, or the named ones."""
    transformers.logging.set_verbosity_error()
    names = sys.argv[1:] or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    rows = []
    for name in names:
        rows.append(row(name))
        print(f"{rows[-1].verdict}: {name}: {rows[-1].reader} / {rows[-1].derived[:600]}", file=sys.stderr, flush=True)
    if not sys.argv[1:]:
        (ROOT / "docs" / "model_types.md").write_text(document(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
