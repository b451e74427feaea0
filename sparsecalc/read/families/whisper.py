"""Whisper: its text decoder, which attends to the encoder's output for a window of audio; the encoder is left out.

Source: Robust Speech Recognition via Large-Scale Weak Supervision, arXiv:2212.04356, section 2.2.
"""

from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Table
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields

KERNEL = 3
"""Taps of the encoder's two convolutions."""


def read(config: Fields) -> Body:
    hidden, frames = config.size("d_model", required=True), config.size("max_source_positions")
    _ignore_training(config)
    mixer = _attention(config, hidden, "decoder").but(k_bias=False)
    dense = mlp(hidden, config.size("decoder_ffn_dim", required=True), gated=False, bias=True)
    layer = Layer(
        mixers=(mixer, mixer.but(name="encoder_attn", key_value="cross", source_len=frames)),
        feed_forwards=(dense,),
        norms=norms(hidden, 3, bias=True),
    )
    _note_encoder(config, hidden, frames)
    positions = Table(name="embed_positions", rows=config.size("max_target_positions"), size=hidden)
    layers = [layer] * config.layers("decoder_layers")
    return body(config, layers, hidden=hidden, norm_bias=True, tables=(positions,))


def _attention(config: Fields, hidden: int, stack: str) -> Gqa:
    heads = config.size(f"{stack}_attention_heads", required=True)
    if hidden % heads:
        config.refuse(f"d_model ({hidden}) is not a multiple of {stack}_attention_heads ({heads})")
    return Gqa(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden // heads,
        qkv_bias=True,
        k_bias=False,
        o_bias=True,
    )


def _note_encoder(config: Fields, hidden: int, frames: int) -> None:
    """What is left out, with its size: two convolutions, positions, layers and a norm."""
    width, mels = config.size("encoder_ffn_dim"), config.size("num_mel_bins")
    layer = Layer(
        mixers=(_attention(config, hidden, "encoder"),),
        feed_forwards=(mlp(hidden, width, gated=False, bias=True),),
        norms=norms(hidden, 2, bias=True),
    )
    layers = config.layers("encoder_layers") * Ledger(layer.ops(Workload())).total("params")
    size = KERNEL * hidden * (mels + hidden) + 2 * hidden + frames * hidden + layers + 2 * hidden
    text = f"the decoder is what counts here; left out: the audio encoder of {size:,} parameters"
    config.note("text-decoder-only", f"whisper: {text}; each request holds keys and values of {frames} audio frames")


def _ignore_training(config: Fields) -> None:
    """Keys of training, generation and other heads."""
    config.ignore("encoder_layerdrop", "decoder_layerdrop", "scale_embedding", "init_std", "activation_dropout")
    config.ignore("classifier_proj_size", "use_weighted_layer_sum", "median_filter_width", "suppress_tokens")
    config.ignore("begin_suppress_tokens", "alignment_heads", "lang_ids", "max_length", "forced_decoder_ids", "dropout")
    config.ignore(*(key for key in config.config if key.startswith(("mask_", "apply_spec"))))
    config.ignore("num_hidden_layers", "is_encoder_decoder")
