"""DeepSeek-V4.1 (Flash): V4 with a far context that layers share, and tables of n-grams (Engram) beside two layers.

Not part of transformers: the architecture is that of DeepSeek's published code, as vLLM 0.33.0 serves it
(models/deepseek_v41). An Engram layer looks up (engram_max_ngram_size - 1) * engram_n_heads rows for each token,
projects them to a key for each residual stream and one value, and gates the value by the key's match with the stream.
"""

from sparsecalc.core.text import brief
from sparsecalc.model.basic_parts import Constants, Product, Projection, Table
from sparsecalc.model.shared_compressed import SharedCompressedAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, fixed, norms
from sparsecalc.read.connections import hyper_connection
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp

CANDIDATES = ("candidate_source_layer_id", "candidate_topk_blocks", "candidate_block_size")


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    streams = config.size("hc_mult")
    fixed(config, num_key_value_heads=1, attention_bias=False)
    config.ignore("qk_rope_head_dim", "expert_dtype", *(key for key in config.config if key.startswith("dspark_")))
    note_mtp(config, as_deepseek=False)
    mixers, moe = _mixers(config, hidden, count), routed_and_shared_experts(config, hidden)
    columns, tables = _tables(config)
    gate = _engram(config, hidden, streams, columns) if tables else ()
    mixing = (*hyper_connection("attn_hc", hidden, streams), *hyper_connection("ffn_hc", hidden, streams))
    placed = config.integers("engram_layer_ids")
    layers = [
        Layer(
            mixers=(mixer,),
            feed_forwards=(moe,),
            norms=norms(hidden),
            extras=(*mixing, *gate) if index in placed else mixing,
        )
        for index, mixer in enumerate(mixers)
    ]
    return body(config, layers, hidden=hidden, tables=tables)


def _mixers(config: Fields, hidden: int, count: int) -> list[SharedCompressedAttention]:
    """One form for each layer: by its compress_ratios (0: the window alone), and by what it is a source of."""
    heads, dim = config.size("num_attention_heads", required=True), config.size("head_dim")
    groups = config.size("o_groups")
    if heads * dim % groups:
        config.refuse(f"o_groups ({groups}) does not divide {heads} heads of {dim}")
    ratios = config.integers("compress_ratios")
    if len(ratios) < count or min(ratios) < 0:
        config.refuse(
            f"compress_ratios is {brief(ratios)}", f"Each of the {count} layers needs 0 or a number of tokens"
        )
    keys, picks = config.integers("kv_source_layer_ids"), config.integers("index_source_layer_ids")
    if keys and max(keys) < count - 1:
        text = f"engines may run a prompt through layers 0 to {max(keys)} alone, which keep its cache; all are counted"
        config.note("prompt-layers", text)
    if config.has(CANDIDATES[0]):
        config.note("candidate-blocks", "every indexer scores all entries here; some may skip all but the candidates")
    config.ignore(*CANDIDATES)
    plain = SharedCompressedAttention(
        hidden_size=hidden,
        num_attention_heads=heads,
        head_dim=dim,
        q_lora_rank=config.size("q_lora_rank"),
        o_groups=groups,
        o_lora_rank=config.size("o_lora_rank"),
        sliding_window=config.size("sliding_window"),
    )
    topk = config.size("index_topk")
    indexer = {key: config.size(key) for key in ("index_n_heads", "index_head_dim")}
    found = []
    for index, ratio in enumerate(ratios[:count]):
        if ratio and not any(source <= index for source in keys):
            config.refuse(f"layer {index} reads compressed entries, but kv_source_layer_ids names no layer before it")
        far = plain.but(compress_rate=ratio, index_topk=topk, is_kv_source=index in keys) if ratio else plain
        found.append(far.but(**indexer) if ratio and index in picks else far)
    return found


def _tables(config: Fields) -> tuple[int, tuple[Table, ...]]:
    """Rows that a token looks up in each Engram table, and the tables."""
    rows, width = config.integers("engram_num_embeddings"), config.optional_size("engram_head_dim", zero=True)
    config.ignore("engram_vocab_size", "engram_pad_token_id", "engram_compressed_vocab_size")
    if len(rows) != len(config.integers("engram_layer_ids")):
        config.refuse("engram_num_embeddings does not give one size for each of engram_layer_ids")
    if not rows or not width:
        return 0, ()
    columns = (config.size("engram_max_ngram_size") - 1) * config.size("engram_n_heads")
    return columns, tuple(Table(name="engram.embed", rows=each, size=width, lookups=columns) for each in rows)


def _engram(config: Fields, hidden: int, streams: int, columns: int) -> tuple[Projection | Constants | Product, ...]:
    """Keys for each stream and one value from the rows; two gains per stream; the match of stream and key."""
    width = columns * config.size("engram_head_dim")
    return (
        Projection(name="engram.wkv", in_features=width, out_features=(streams + 1) * hidden),
        Constants(name="engram.q_weight, k_weight", elements=2 * streams * hidden),
        Product(name="engram.gate", rows=streams, in_features=hidden, out_features=1),
    )
