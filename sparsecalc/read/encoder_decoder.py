"""Stacks of encoder-decoder models as T5 builds them, and what a token of each uses."""

from collections.abc import Sequence

from sparsecalc.core.ops import ledger
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Norm, Table
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
    mixer = Gqa(hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=config.size("d_kv"))
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


def untied_tables(config: Fields, hidden: int) -> tuple[Table, ...]:
    """Without tying, each stack has an input table of its own beside the shared one."""
    if config.flag("tie_word_embeddings"):
        return ()
    rows = config.size("vocab_size", required=True)
    return tuple(
        Table(name=f"{stack}.embed_tokens", rows=rows, size=hidden, is_input=True) for stack in ("encoder", "decoder")
    )


def bart_body(config: Fields, *, final_norms: bool) -> Body:
    """BART: learned positions and a norm over the embeddings of each stack, biases everywhere, plain MLPs."""
    hidden = config.size("d_model", required=True)
    config.ignore(
        *(key for key in config.config if key.startswith(("num_beams", "task_specific", "forced_", "extra_")))
    )
    config.ignore("classifier_dropout", "encoder_layerdrop", "decoder_layerdrop", "scale_embedding", "init_std")
    config.ignore("activation_dropout", "normalize_before", "normalize_embedding", "add_final_layer_norm", "dropout")
    config.ignore("is_encoder_decoder", "num_hidden_layers", "add_bias_logits", "classif_dropout", "length_penalty")
    config.ignore("early_stopping", "no_repeat_ngram_size", "gradient_checkpointing", "max_length", "min_length")
    positions = config.size("max_position_embeddings") + 2  # the first two places are of padding
    stacks = {name: _bart_stack(config, hidden, name) for name in ("encoder", "decoder")}
    tables = tuple(Table(name=f"{name}.embed_positions", rows=positions, size=hidden) for name in stacks)
    final = [Norm(name=f"{name}.layernorm_embedding", size=hidden, bias=True) for name in stacks]
    if final_norms:
        final += [Norm(name=f"{name}.layer_norm", size=hidden, bias=True) for name in stacks]
    layers = [*stacks["encoder"], *stacks["decoder"]]
    tables += untied_tables(config, hidden)
    found = body(config, layers, hidden=hidden, final=tuple(final), tables=tables)
    note_tokens(config, found, stacks["encoder"], stacks["decoder"])
    return found


def _bart_stack(config: Fields, hidden: int, name: str) -> list[Layer]:
    """The layers of one stack, by keys that its name begins."""
    heads = config.size(f"{name}_attention_heads", required=True)
    if hidden % heads:
        config.refuse(f"d_model ({hidden}) is not a multiple of {name}_attention_heads ({heads})")
    mixer = Gqa(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden // heads,
        qkv_bias=True,
        o_bias=True,
    )
    encoder = name == "encoder"
    cross = () if encoder else (mixer.but(name="encoder_attn", key_value="cross"),)
    layer = Layer(
        mixers=(mixer.but(causal=not encoder), *cross),
        feed_forwards=(mlp(hidden, config.size(f"{name}_ffn_dim", required=True), gated=False, bias=True),),
        norms=norms(hidden, 2 if encoder else 3, bias=True),
        stack="encoder" if encoder else "decoder",
    )
    return [layer] * config.layers(f"{name}_layers")
