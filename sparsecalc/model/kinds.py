"""All kinds of parts that a layer can have."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Norm, Product, Projection
from sparsecalc.model.derived_parts import DerivedAttention, DerivedExperts, DerivedMlp, DerivedRecurrent, Weights
from sparsecalc.model.expert_attention import ExpertAttention
from sparsecalc.model.feed_forward import DenseMlp, IdleExperts, Moe, RwkvChannelMix
from sparsecalc.model.latent import CompressedAttention, Mla
from sparsecalc.model.recurrent import GatedDeltaNet, LightningAttention, Mamba, Mamba2, RgLru, RwkvTimeMix, ShortConv
from sparsecalc.model.shared_transformer import SharedTransformer
from sparsecalc.model.stored import Stored

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
    | DerivedAttention
    | DerivedRecurrent
)
FeedForward = DenseMlp | Moe | RwkvChannelMix | DerivedMlp | DerivedExperts
Extra = Norm | Projection | Product | Constants | Weights | IdleExperts | Stored
