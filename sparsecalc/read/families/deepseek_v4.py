"""DeepSeek-V4 (Flash, Pro): one key-value head, compressed far context in two forms by layer, hyper-connections."""

from sparsecalc.core.text import brief
from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import CompressedAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import SLIDING, Body, body, fixed, norms
from sparsecalc.read.connections import hyper_connection, hyper_head
from sparsecalc.read.fields import Fields
from sparsecalc.read.prediction_layers import count_mtp, mtp_steps
from sparsecalc.read.vendor_keys import note_mtp

SPARSE, HEAVY = "compressed_sparse_attention", "heavily_compressed_attention"
OLDER_RATES = {SPARSE: "compress_rate_csa", HEAVY: "compress_rate_hca"}


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    streams = config.size("hc_mult")
    fixed(config, num_key_value_heads=1, n_shared_experts=1, attention_bias=False)
    config.ignore("mlp_layer_types", "num_hash_layers", "qk_rope_head_dim", "expert_dtype")
    moe, mixers = _experts(config, hidden), _mixers(config, hidden)
    connections = (*hyper_connection("attn_hc", hidden, streams), *hyper_connection("ffn_hc", hidden, streams))
    built = {
        kind: Layer(mixers=(mixer,), feed_forwards=(moe,), norms=norms(hidden), extras=connections)
        for kind, mixer in mixers.items()
    }
    layers = [built[kind] for kind in _kinds(config, count)]
    _prediction(config, built[SLIDING], count, hidden, streams)
    return body(config, layers, hidden=hidden, final=(*hyper_head(hidden, streams), Norm(size=hidden)))


def _prediction(config: Fields, layer: Layer, count: int, hidden: int, streams: int) -> None:
    """Layers for prediction: of the window alone (compress_ratio 0), two H x H maps, three norms, a head of streams.

    vLLM 0.33.0, deepseek_v4/nvidia/mtp.py. Where compress_ratios says another form of them, their size is not known.
    """
    steps, ratios = mtp_steps(config), config.integers("compress_ratios")
    if steps and len(ratios) >= count + steps and not any(ratios[count : count + steps]):
        count_mtp(config, [[layer]] * steps, hidden, extras=hyper_head(hidden, streams))
    else:
        note_mtp(config, as_deepseek=False)


def _experts(config: Fields, hidden: int) -> Moe:
    """Routed experts beside one shared of their width; the first layers route by token id, at the same cost."""
    width = config.size("moe_intermediate_size", required=True)
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("n_routed_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=width,
        shared_bias=config.flag("mlp_bias"),
    )


def _mixers(config: Fields, hidden: int) -> dict[str, CompressedAttention]:
    """The three forms: the window alone, heavily compressed, and compressed with an indexer."""
    heads, dim = config.size("num_attention_heads", required=True), config.size("head_dim")
    groups = config.size("o_groups")
    if heads * dim % groups:
        config.refuse(f"o_groups ({groups}) does not divide {heads} heads of {dim}")
    plain = CompressedAttention(
        hidden_size=hidden,
        num_attention_heads=heads,
        head_dim=dim,
        q_lora_rank=config.size("q_lora_rank"),
        o_groups=groups,
        o_lora_rank=config.size("o_lora_rank"),
        sliding_window=config.size("sliding_window"),
    )
    rates = _rates(config)
    indexer = {key: config.size(key) for key in ("index_n_heads", "index_head_dim", "index_topk")}
    sparse = plain.but(compress_rate=rates[SPARSE], overlap=True, **indexer)
    return {SLIDING: plain, HEAVY: plain.but(compress_rate=rates[HEAVY]), SPARSE: sparse}


def _rates(config: Fields) -> dict[str, int]:
    """Tokens per compressed entry, by kind of layer."""
    given = config.part("compress_rates")
    return {
        kind: config.size(older) if config.has(older) else given.size(kind, default=config.defaults[older])
        for kind, older in OLDER_RATES.items()
    }


def _kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or compress_ratios of released configs (0, 4 or 128 per layer), or the class's default."""
    given = config.per_layer("layer_types", count, (SLIDING, SPARSE, HEAVY))
    ratios = config.integers("compress_ratios")
    if given is None and ratios:
        names = {0: SLIDING} | {config.defaults[older]: kind for kind, older in OLDER_RATES.items()}
        if len(ratios) < count or not set(ratios) <= set(names):
            known = ", ".join(map(str, names))
            config.refuse(f"compress_ratios is {brief(ratios)}", f"Each of the {count} layers needs one of {known}")
        given = [names[ratio] for ratio in ratios[:count]]
    return given or [SPARSE if index > 2 and index % 2 else HEAVY for index in range(count)]
