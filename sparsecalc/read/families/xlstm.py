"""xLSTM (xLSTM-7B): mLSTM layers and gated MLPs; a state of constant size, no attention."""

from sparsecalc.model.matrix_lstm import MatrixLstm
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.optional_size("hidden_size") or config.size("embedding_dim", required=True)
    if (table := config.optional_size("embedding_dim")) not in (None, hidden):
        config.refuse(f"embedding_dim ({table}) is not hidden_size ({hidden})")
    count = config.layers() if config.raw("num_hidden_layers") is not None else config.layers("num_blocks")
    if (blocks := config.optional_size("num_blocks")) not in (None, count):
        config.refuse(f"num_blocks ({blocks}) is not num_hidden_layers ({count})")
    bias, heads = config.flag("use_bias"), config.size("num_heads", required=True)
    _ignore_kernels(config)
    multiple = config.size("ffn_round_up_to_multiple_of")
    width = int((hidden * config.number("ffn_proj_factor") + multiple - 1) // multiple * multiple)
    mixer = MatrixLstm(
        hidden_size=hidden,
        num_heads=heads,
        qk_dim=_divided(config, "qk_dim_factor", hidden, heads),
        v_dim=_divided(config, "v_dim_factor", hidden, heads),
        use_bias=bias,
        state_is_fp32=config.text("inference_state_dtype") == "float32",
    )
    layer = Layer(mixers=(mixer,), feed_forwards=(mlp(hidden, width, bias=bias),), norms=norms(hidden, bias=bias))
    return body(config, [layer] * count, hidden=hidden)


def _divided(config: Fields, key: str, hidden: int, heads: int) -> int:
    """A factor of the hidden size that the heads share."""
    width = int(hidden * config.number(key))
    if width < 1 or width % heads:
        config.refuse(f"{key} times hidden_size is {width}, not a multiple of the {heads} heads")
    return width


def _ignore_kernels(config: Fields) -> None:
    """How it is computed, not what."""
    config.ignore("chunkwise_kernel", "sequence_kernel", "step_kernel", "mode", "chunk_size", "return_last_states")
    config.ignore("autocast_kernel_dtype", "eps", "gate_soft_cap", "output_logit_soft_cap", "weight_mode")
    config.ignore("norm_reduction_force_float32", "add_out_norm", "max_inference_chunksize", "norm_eps")
