"""Whisper's encoder in Qwen2-Audio, Qwen's Omni models and Voxtral, with their projectors (transformers 5.24.0)."""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces


def _layers(pieces: Pieces, count: int, hidden: int, width: int, *, key_bias: bool = False) -> None:
    """`count` layers with biases (keys have none but in Qwen3-Omni) and two LayerNorms, and a norm behind them."""
    pieces.linear("layers.attention", hidden, hidden, count=4 * count, bias=False)
    pieces.vector("layers.attention.bias", (3 + key_bias) * hidden * count)
    pieces.linear("layers.fc1", hidden, width, count=count)
    pieces.linear("layers.fc2", width, hidden, count=count)
    pieces.vector("norms", 4 * hidden * count + 2 * hidden)


def _whisper(config: Fields, hidden: str, width: str, layers: str) -> Pieces:
    """Two convolutions of three frames, and the layers."""
    pieces, wide = Pieces(), config.size(hidden)
    pieces.linear("conv1", 3 * config.size("num_mel_bins"), wide)
    pieces.linear("conv2", 3 * wide, wide)
    _layers(pieces, config.layers(layers), wide, config.size(width))
    return pieces


def qwen2_audio(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Whisper's encoder with its table of positions, and one map to the text's width."""
    pieces, hidden = _whisper(config, "d_model", "encoder_ffn_dim", "encoder_layers"), config.size("d_model")
    pieces.add("embed_positions", 1, config.size("max_source_positions"), hidden)
    pieces.linear("projector", hidden, text_hidden)
    return pieces


def voxtral(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Whisper's encoder with its table of positions; two maps without biases, the first of intermediate_size inputs."""
    width = config.size("intermediate_size")
    pieces = _whisper(config, "hidden_size", "intermediate_size", "num_hidden_layers")
    pieces.add("embed_positions", 1, config.size("max_source_positions"), config.size("hidden_size"))
    pieces.linear("projector.linear_1", width, text_hidden, bias=False)
    pieces.linear("projector.linear_2", text_hidden, text_hidden, bias=False)
    return pieces


def qwen2_5_omni(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Whisper's encoder without a table; two tokens of begin and end, and one map, to output_dim."""
    pieces, out = _whisper(config, "d_model", "encoder_ffn_dim", "encoder_layers"), config.size("output_dim")
    pieces.add("audio_bos_eos_token", 1, 2, out)
    pieces.linear("proj", config.size("d_model"), out)
    return pieces


def qwen3_omni(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Three convolutions of 3 x 3, each halving the bands, a map without bias, the layers, and two maps."""
    pieces, hidden, mid = Pieces(), config.size("d_model"), config.size("downsample_hidden_size")
    bands = config.size("num_mel_bins")
    for _ in range(3):
        bands = (bands + 1) // 2
    pieces.linear("conv2d1", 3 * 3, mid)
    pieces.linear("conv2d", 3 * 3 * mid, mid, count=2)
    pieces.linear("conv_out", mid * bands, hidden, bias=False)
    _layers(pieces, config.layers("encoder_layers"), hidden, config.size("encoder_ffn_dim"), key_bias=True)
    pieces.linear("proj1", hidden, hidden)
    pieces.linear("proj2", hidden, config.size("output_dim"))
    return pieces
