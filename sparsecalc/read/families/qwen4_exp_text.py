"""Qwen4-Exp (Qwen3.8-Flash-Next): three gated delta nets to each gated attention, whose indexer picks blocks of keys,
experts with a gated shared one, gated residual streams around each, n-gram embeddings in some layers."""

import math
from itertools import count as counting
from itertools import islice

from sparsecalc.model.basic_parts import Norm, Projection
from sparsecalc.model.block_sparse import BlockSparseAttention
from sparsecalc.model.ngram_embedding import NgramEmbedding
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import gated_shared_moe
from sparsecalc.read.prediction_layers import count_mtp, mtp_steps
from sparsecalc.read.recurrent import LINEAR, delta_net

INDEXED = ("indexed_attention", FULL)


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("indexer_kv_heads", "seed", "split_ngram_parts", "output_gate_type", "attn_output_gate")
    config.ignore("intermediate_size", "mtp_use_dedicated_embeddings")
    kinds, tables = _kinds(config, count), _ngram_embeddings(config, hidden, count)
    moe = gated_shared_moe(config, hidden)
    mixers: dict[bool, GatedDeltaNet | BlockSparseAttention] = {
        linear: delta_net(config, hidden) if linear else _attention(config, hidden)
        for linear in {kind == LINEAR for kind in kinds}
    }
    streams = (*_gated_residual(config, hidden, "attn"), *_gated_residual(config, hidden, "mlp"))
    layers = [
        Layer(
            mixers=(mixers[kind == LINEAR],),
            feed_forwards=(moe,),
            extras=(*streams, *((tables[index],) if index in tables else ())),
        )
        for index, kind in enumerate(kinds)
    ]
    final = _gated_residual(config, hidden, "final", injects=False)
    if steps := mtp_steps(config, "mtp_num_hidden_layers"):
        step = Layer(mixers=(_attention(config, hidden),), feed_forwards=(moe,), extras=streams)
        norms = hidden * (1 + config.size("hc_count"))
        count_mtp(config, [[step]] * steps, hidden, norms=norms, extras=final)  # vLLM 0.33.0, qwen4_exp/nvidia/mtp.py
    return body(config, layers, hidden=hidden, final=final)


def _kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or attention at the end of each full_attention_interval."""
    period = config.size("full_attention_interval", default=config.defaults["full_attention_interval"])
    kinds = config.per_layer("layer_types", count, (LINEAR, *INDEXED))
    return kinds or [LINEAR if (index + 1) % period else FULL for index in range(count)]


def _attention(config: Fields, hidden: int) -> BlockSparseAttention:
    """Gated attention; all of the indexer's sizes are needed."""
    heads, kv_heads = config.heads()
    ratio, budget = config.size("indexer_compress_ratio"), config.size("indexer_budget")
    if budget % ratio:
        config.refuse(f"indexer_budget ({budget}) is not a multiple of indexer_compress_ratio ({ratio})")
    return BlockSparseAttention(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=config.head_dim(hidden, heads),
        bias=config.flag("attention_bias"),
        output_gate="per_element",
        index_n_heads=config.size("indexer_n_heads"),
        index_head_dim=config.size("indexer_head_dim"),
        index_block_size=ratio,
        index_topk_blocks=budget // ratio,
        pooled=True,
    )


def _gated_residual(config: Fields, hidden: int, name: str, injects: bool = True) -> tuple[Norm | Projection, ...]:
    """A norm over all streams, their low-rank mixture into one, and the weights by which the result goes back."""
    streams, rank = config.size("hc_count"), config.size("hc_lowrank")
    wide = streams * hidden
    parts = (
        Norm(name=f"{name}_hyper_connection.hc_norm", size=wide),
        Projection(name=f"{name}_hyper_connection.input_mix_weight_down", in_features=wide, out_features=rank),
        Projection(name=f"{name}_hyper_connection.input_mix_weight_up", in_features=rank, out_features=wide),
    )
    back = Projection(name=f"{name}_hyper_connection.block_inject_weight", in_features=wide, out_features=streams)
    return (*parts, back) if injects else parts


def _ngram_embeddings(config: Fields, hidden: int, count: int) -> dict[int, NgramEmbedding]:
    """The n-gram embedding of each layer that ple_layer_ids names, counted from 1.

    Each of the (ngram_size - 1) * heads_per_ngram hashed heads of a layer has the next prime number of rows from
    ngram_vocab_size_base on, over all such layers; a layer's rows are padded together.
    """
    places = sorted(set(config.integers("ple_layer_ids")))
    size = config.optional_size("ple_embed_dim") or hidden
    ngram, base = config.size("ngram_size"), config.size("ngram_vocab_size_base")
    lookups, pad = (ngram - 1) * config.size("heads_per_ngram"), config.size("make_ngram_vocab_size_divisible_by")
    kernel, streams = config.size("ple_conv_kernel_size"), config.size("hc_count")
    if not places:
        _not_asked(config)
        return {}
    if places[0] < 1 or places[-1] > count:
        config.refuse(f"ple_layer_ids holds layers outside 1 to {count}")
    if not lookups or size % lookups:
        config.refuse(f"ple_embed_dim ({size}) is not a multiple of the {lookups} n-gram heads")
    primes = list(islice(filter(_is_prime, counting(base)), lookups * len(places)))
    found = {}
    for number, place in enumerate(places):
        rows = sum(primes[number * lookups : (number + 1) * lookups])
        found[place - 1] = NgramEmbedding(
            hidden_size=hidden,
            streams=streams,
            embed_size=size,
            rows=math.ceil(rows / pad) * pad,
            lookups=lookups,
            ngram_size=ngram,
            conv_kernel=kernel,
        )
    return found


def _not_asked(config: Fields) -> None:
    """Sizes of embeddings that no layer has are no defaults to be told."""
    for key in ("ngram_size", "ngram_vocab_size_base", "heads_per_ngram", "ple_conv_kernel_size"):
        config.defaulted.pop(key, None)
    config.defaulted.pop("make_ngram_vocab_size_divisible_by", None)


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
