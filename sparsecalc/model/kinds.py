"""All kinds of parts that a layer can have."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import DenseMlp, Moe, RwkvChannelMix
from sparsecalc.model.latent import CompressedAttention, Mla
from sparsecalc.model.measured import MeasuredAttention, MeasuredExperts, MeasuredMlp, MeasuredRecurrent, Weights
from sparsecalc.model.recurrent import GatedDeltaNet, LightningAttention, Mamba, Mamba2, RgLru, RwkvTimeMix, ShortConv
from sparsecalc.model.small import Constants, Norm, Product, Projection
from sparsecalc.model.special import ExpertAttention, IdleExperts, SharedTransformer

Mixer = (
    Gqa
    | Mla
    | CompressedAttention
    | Mamba
    | Mamba2
    | GatedDeltaNet
    | LightningAttention
    | ShortConv
    | RwkvTimeMix
    | RgLru
    | ExpertAttention
    | SharedTransformer
    | MeasuredAttention
    | MeasuredRecurrent
)
FeedForward = DenseMlp | Moe | RwkvChannelMix | MeasuredMlp | MeasuredExperts
Extra = Norm | Projection | Product | Constants | Weights | IdleExperts
