"""Stacks of encoder-decoder models as T5 builds them, and what a token of each uses."""

from collections.abc import Sequence

from sparsecalc.core.ops import ledger
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields


def t5_body(config: Fields, *, bias_in_each_layer: bool = False) -> Body:
    """T5: an encoder and a decoder of d_model, relative position biases, MLPs gated where feed_forward_proj says so."""
    hidden, heads = config.size("d_model", required=True), config.size("num_heads", required=True)
    config.ignore("relative_attention_max_distance", "n_positions", "output_past", "is_encoder_decoder", "dense_act_fn")
    config.ignore("is_gated_act", "is_decoder", "tokenizer_class")
    width = config.size("d_ff", required=True)
    mixer = Gqa(
        hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=config.size("d_kv")
    )
    dense = mlp(hidden, width, gated=config.text("feed_forward_proj").startswith("gated"))
    encoder_layers = config.layers("num_layers")
    config.need_own_name("num_layers")
    same = config.raw("num_decoder_layers") is None
    decoder_layers = encoder_layers if same else config.layers("num_decoder_layers")
    buckets = config.size("relative_attention_num_buckets")
    encoder = stack(mixer, [dense] * encoder_layers, buckets, True, each=bias_in_each_layer)
    decoder = stack(mixer, [dense] * decoder_layers, buckets, False, each=bias_in_each_layer)
    final = (Norm(name="encoder.final_layer_norm", size=hidden), Norm(name="decoder.final_layer_norm", size=hidden))
    tied = config.flag("tie_word_embeddings", default=True)
    found = body(config, [*encoder, *decoder], hidden=hidden, final=final, tied=tied)
    note_tokens(config, found, encoder, decoder)
    return found


def stack(
    mixer: Gqa, feed_forwards: Sequence[DenseMlp | Moe], buckets: int, encoder: bool, *, each: bool = False
) -> list[Layer]:
    """One layer per feed-forward; the first of a stack, or `each`, holds relative position biases."""
    own = mixer.but(causal=not encoder)
    first = own.but(relative_attention_num_buckets=buckets)
    cross = () if encoder else (mixer.but(name="cross_attn", key_value="cross"),)
    return [
        Layer(
            mixers=(first if each or not index else own, *cross),
            feed_forwards=(feed_forward,),
            norms=norms(mixer.hidden_size, 2 if encoder else 3),
            stack="encoder" if encoder else "decoder",
        )
        for index, feed_forward in enumerate(feed_forwards)
    ]


def note_tokens(config: Fields, found: Body, encoder: list[Layer], decoder: list[Layer], chosen: str = "") -> None:
    """No token passes both stacks: say what a token of each uses."""
    frame = found.vocab_size * found.hidden_size + found.hidden_size
    source, target = (
        frame + ledger(*(layer.ops(Workload()) for layer in stack)).total("active_params")
        for stack in (encoder, decoder)
    )
    head = "" if found.tie_word_embeddings else " and LM head"
    target += 0 if found.tie_word_embeddings else found.vocab_size * found.hidden_size
    config.note(
        "encoder-decoder",
        f"a source token uses {source:,} parameters (input table, encoder{chosen}), "
        f"a target token {target:,} (input table{head}, decoder with cross-attention{chosen})",
    )
