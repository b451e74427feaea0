"""Conformer encoders of speech: Gemma 3n and 4, Granite Speech, Phi-4-multimodal (transformers 5.24.0)."""

from sparsecalc.data_files import read_data
from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces


def _pair(config: Fields, key: str) -> list[int]:
    """Two sizes."""
    found = config.integers(key)
    if len(found) != 2:
        config.refuse(f"{key} is not a pair of numbers")
    return found


def _convolutions(pieces: Pieces, channels: list[int], kernels: tuple[int, int]) -> None:
    """Two convolutions without bias, of one channel and of the first's, each with a norm of its channels."""
    pieces.linear("subsample.conv_0", kernels[0], channels[0], bias=False)
    pieces.linear("subsample.conv_1", kernels[1] * channels[0], channels[1], bias=False)
    pieces.vector("subsample.norms", sum(channels))


def _gemma_layers(pieces: Pieces, hidden: int, count: int, heads: int, kernel: int) -> None:
    """Two MLPs of 4 H, attention with a map of relative positions, a convolution gated 2 H -> H, nine norms or so.

    Norms: two of each MLP, two of the attention, two of the convolution, one behind: 9 H, and a scale of a head.
    """
    pieces.linear("layers.ffw.up", hidden, 4 * hidden, count=2 * count, bias=False)
    pieces.linear("layers.ffw.down", 4 * hidden, hidden, count=2 * count, bias=False)
    pieces.linear("layers.attention", hidden, hidden, count=5 * count, bias=False)
    pieces.linear("layers.lconv1d.start", hidden, 2 * hidden, count=count, bias=False)
    pieces.linear("layers.lconv1d.end", hidden, hidden, count=count, bias=False)
    pieces.vector("layers.norms", count * (9 * hidden + kernel * hidden + hidden // heads))


def gemma3n(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Gemma 3n's encoder; its own table of soft tokens, two norms and a map to the text's width."""
    pieces, hidden, bands = Pieces(), config.size("hidden_size"), config.size("input_feat_size")
    kernels, strides = config.raw("sscp_conv_kernel_size"), config.raw("sscp_conv_stride_size")
    if not all(isinstance(each, list) and len(each) == 2 for pair in (kernels, strides) for each in pair):
        config.refuse("sscp_conv_kernel_size or sscp_conv_stride_size is not two pairs of numbers")
    for kernel, stride in zip(kernels, strides, strict=True):
        bands = (bands + 2 - kernel[1]) // stride[1] + 1
    channels = _pair(config, "sscp_conv_channel_size")
    _convolutions(pieces, channels, (kernels[0][0] * kernels[0][1], kernels[1][0] * kernels[1][1]))
    pieces.linear("subsample.input_proj", channels[1] * bands, hidden, bias=False)
    layers, heads = config.layers("conf_num_hidden_layers"), config.size("conf_num_attention_heads")
    _gemma_layers(pieces, hidden, layers, heads, config.size("conf_conv_kernel_size"))
    pieces.add("embedder.embedding", 1, config.size("vocab_size"), hidden, vectors=2 * hidden)
    pieces.linear("embedder.projection", hidden, text_hidden, bias=False)
    return pieces


def gemma4(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Gemma 4's encoder, a map with bias to output_proj_dims and one without to the text's width."""
    pieces, hidden, out = Pieces(), config.size("hidden_size"), config.size("output_proj_dims")
    channels = _pair(config, "subsampling_conv_channels")
    _convolutions(pieces, channels, (3 * 3, 3 * 3))
    pieces.linear("subsample.input_proj", channels[0] // 4 * channels[1], hidden, bias=False)
    heads, kernel = config.size("num_attention_heads"), config.size("conv_kernel_size")
    _gemma_layers(pieces, hidden, config.layers(), heads, kernel)
    pieces.linear("output_proj", hidden, out)
    pieces.linear("projector", out, text_hidden, bias=False)
    return pieces


def granite_speech(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Granite Speech's encoder, with its map to characters and back, and a Q-Former to the text's width."""
    pieces, hidden, inner = Pieces(), config.size("hidden_dim"), config.size("num_heads") * config.size("dim_head")
    count, out, mult = config.layers("num_layers"), config.size("output_dim"), config.size("feedforward_mult")
    conv, kernel = hidden * config.size("conv_expansion_factor"), config.size("conv_kernel_size")
    pieces.linear("input_linear", config.size("input_dim"), hidden)
    pieces.linear("layers.ff.up", hidden, hidden * mult, count=2 * count)
    pieces.linear("layers.ff.down", hidden * mult, hidden, count=2 * count)
    pieces.linear("layers.attn.to_qkv", hidden, inner, count=3 * count, bias=False)
    pieces.linear("layers.attn.to_out", inner, hidden, count=count)
    pieces.add("layers.attn.rel_pos_emb", count, 2 * config.size("max_pos_emb") + 1, config.size("dim_head"))
    pieces.linear("layers.conv.up_conv", hidden, 2 * conv, count=count)
    pieces.linear("layers.conv.down_conv", conv, hidden, count=count)
    pieces.vector("layers.norms", count * (10 * hidden + (kernel + 2) * conv))
    pieces.linear("out", hidden, out)
    pieces.linear("out_mid", out, hidden)
    _qformer(pieces, config, outer, text_hidden)
    return pieces


def _qformer(pieces: Pieces, config: Fields, outer: Fields, text_hidden: int) -> None:
    """BLIP-2's Q-Former: queries, layers with biases, attention to the encoder in every n-th, and one map."""
    given = outer.raw("projector_config")
    former = Fields(given if isinstance(given, dict) else {}, "blip_2_qformer", where=config.where, nested=True)
    former.defaults = read_data("tower_defaults.json")["towers"]["blip_2_qformer"]["defaults"]
    hidden, width, count = former.size("hidden_size"), former.size("intermediate_size"), former.layers()
    crossed, encoder = -(-count // former.size("cross_attention_frequency")), former.size("encoder_hidden_size")
    queries = outer.size("window_size") // outer.size("downsample_rate")
    pieces.vector("projector.query", queries * hidden + 2 * hidden)
    pieces.linear("projector.attention", hidden, hidden, count=4 * count + 2 * crossed)
    pieces.linear("projector.crossattention", encoder, hidden, count=2 * crossed)
    pieces.linear("projector.up", hidden, width, count=count)
    pieces.linear("projector.down", width, hidden, count=count)
    pieces.vector("projector.norms", 2 * hidden * (2 * count + crossed))
    pieces.linear("projector.linear", hidden, text_hidden)


def phi4(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Phi-4-multimodal's encoder, and two pairs of maps to the text's width: for speech, and for speech with images."""
    pieces, hidden, width = Pieces(), config.size("hidden_size"), config.size("intermediate_size")
    _subsampling(pieces, config, hidden)
    heads, buckets = config.size("num_attention_heads"), config.size("bias_max_distance")
    pieces.add("relative_attention_bias", 1, buckets * (2 - config.flag("bias_symmetric")), heads)
    count, inner = config.layers("num_blocks"), hidden * config.size("depthwise_multiplier")
    pointwise, separable = config.size("ext_pw_out_channel"), config.size("depthwise_separable_out_channel")
    pieces.linear("layers.ff.gate_up", hidden, 2 * width, count=2 * count)
    pieces.linear("layers.ff.down", width, hidden, count=2 * count)
    pieces.linear("layers.attention", hidden, hidden, count=4 * count)
    pieces.linear("layers.conv.glu", hidden, 2 * pointwise, count=count)
    pieces.linear("layers.conv.pw_conv", inner, separable, count=count)
    pieces.linear("layers.conv.ext_pw_conv", hidden, pointwise, count=count)
    depthwise = inner * (config.size("kernel_size") + 1)
    pieces.vector("layers.norms", count * (10 * hidden + 2 * pointwise + depthwise))
    scale = config.size("downsample_rate")
    pieces.linear("up_proj", hidden * scale, text_hidden, count=2)
    pieces.linear("down_proj", text_hidden, text_hidden, count=2)
    return pieces


def _subsampling(pieces: Pieces, config: Fields, hidden: int) -> None:
    """One convolution of 3 x 3, then pairs of depthwise and pointwise ones, each halving the bands; a map."""
    channels, bands = config.size("nemo_conv_channels"), config.size("input_size")
    steps = config.size("time_reduction").bit_length() - 1
    for _ in range(steps):
        bands = (bands - 1) // 2 + 1
    pieces.linear("embed.conv", 3 * 3, channels, count=steps)
    pieces.linear("embed.pointwise", channels, channels, count=steps - 1)
    pieces.linear("embed.out", channels * bands, hidden)
