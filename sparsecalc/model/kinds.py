"""All kinds of parts that a layer can have."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Norm, Product, Projection
from sparsecalc.model.block_residual import BlockResidual, MessageGates
from sparsecalc.model.block_sparse import BlockSparseAttention
from sparsecalc.model.derived_parts import DerivedAttention, DerivedExperts, DerivedMlp, DerivedRecurrent, Weights
from sparsecalc.model.expert_attention import ExpertAttention
from sparsecalc.model.expert_values import ExpertValues
from sparsecalc.model.feed_forward import DenseMlp, IdleExperts, Moe, RwkvChannelMix
from sparsecalc.model.latent import CompressedAttention, Mla
from sparsecalc.model.linear_attention import GatedLinearAttention, Rwkv7TimeMix
from sparsecalc.model.localized_filter import LocalizedFilter
from sparsecalc.model.looped import LoopedAttention
from sparsecalc.model.matrix_lstm import MatrixLstm
from sparsecalc.model.ngram_embedding import NgramEmbedding
from sparsecalc.model.query_key_conv import QueryKeyConv
from sparsecalc.model.recurrent import (
    DepthwiseConv,
    GatedDeltaNet,
    LightningAttention,
    Mamba,
    Mamba2,
    RgLru,
    RwkvTimeMix,
    ShortConv,
)
from sparsecalc.model.region_sparse import RegionSparseAttention
from sparsecalc.model.shared_compressed import SharedCompressedAttention
from sparsecalc.model.shared_transformer import SharedTransformer

Mixer = (
    Gqa
    | Mla
    | CompressedAttention
    | SharedCompressedAttention
    | BlockSparseAttention
    | Mamba
    | Mamba2
    | GatedDeltaNet
    | LightningAttention
    | ShortConv
    | RwkvTimeMix
    | RgLru
    | MatrixLstm
    | ExpertAttention
    | ExpertValues
    | RegionSparseAttention
    | SharedTransformer
    | GatedLinearAttention
    | Rwkv7TimeMix
    | LoopedAttention
    | DerivedAttention
    | DerivedRecurrent
)
FeedForward = DenseMlp | Moe | RwkvChannelMix | DerivedMlp | DerivedExperts
Extra = (
    Norm
    | Projection
    | Product
    | Constants
    | Weights
    | IdleExperts
    | NgramEmbedding
    | DepthwiseConv
    | BlockResidual
    | MessageGates
    | LocalizedFilter
    | QueryKeyConv
)
