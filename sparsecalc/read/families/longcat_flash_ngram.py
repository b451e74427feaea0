"""LongCat-Flash-Lite and LongCat-2.0: LongCat-Flash with tables of n-grams; sparse attention where index_topk is given.

Not part of transformers: the architecture is that of Meituan's published model code, as vLLM 0.33.0 and SGLang 0.5.23
serve it (longcat_flash_ngram.py, longcat_flash.py; arXiv:2601.21204, arXiv:2608.01662). emb_split_num *
(emb_neighbor_num - 1) tables of hidden_size / that many features, each with ngram_vocab_size_ratio * vocab_size + 2 i
+ 1 rows and a map back to hidden_size; a token looks up one row of each. The biases of the routers, buffers in
LongCat-Flash, are not counted.
"""

from sparsecalc.model.basic_parts import Norm, Projection, Table
from sparsecalc.read.build import Body, body, fixed
from sparsecalc.read.fields import Fields
from sparsecalc.read.longcat import longcat_layers


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    sparse = config.flag("use_longcat_dsa", default=config.has("index_topk")) and config.has("index_topk")
    layers = longcat_layers(config, hidden, sparse=sparse)
    if sparse:
        config.ignore("attention_method")
    else:
        fixed(config, attention_method="MLA")
    config.ignore(
        "index_n_heads", "index_head_dim", "index_topk", "index_k_norm_type", "cli_factor", "use_oe_embedding"
    )
    if not config.has("ngram_vocab_size_ratio"):
        return body(config, layers, hidden=hidden)
    ratio, vocab = config.number("ngram_vocab_size_ratio"), config.size("vocab_size", required=True)
    count = config.size("emb_split_num") * (config.size("emb_neighbor_num") - 1)
    if not 0 < count <= hidden or ratio <= 0:
        config.refuse("ngram_vocab_size_ratio, emb_split_num or emb_neighbor_num leaves no table of n-grams")
    width = hidden // count
    tables = tuple(
        Table(name=f"ngram_embeddings.{index}", rows=int(ratio * vocab) + 2 * index + 1, size=width, lookups=1)
        for index in range(count)
    )
    maps = Projection(
        name="ngram_embeddings.post_projs",
        component="embedding",
        in_features=width,
        out_features=hidden,
        matrices=count,
    )
    return body(config, layers, hidden=hidden, tables=tables, final=(maps, Norm(size=hidden)))
