"""A spec of two layers made by hand: its ledger is the sum of its parts, layers count, a tied head stores nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Head, Norm, Table
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.model.recurrent import LightningAttention
from sparsecalc.model.spec import Layer, LayerGroup, ModelSpec, group_layers
from sparsecalc.model.spec_json import spec_from_data, to_data

WORK = Workload(batch_size=2, new_tokens=3, context_len=5)
TOKENS, PAIRS = 2 * 3, 2 * (3 + 4 + 5)

GQA = Gqa(hidden_size=6, num_attention_heads=2, num_key_value_heads=1, head_dim=3)
MLP = DenseMlp(hidden_size=6, intermediate_size=8)
MOE = Moe(hidden_size=6, num_experts=4, num_experts_per_tok=1, moe_intermediate_size=5)
LINEAR = LightningAttention(hidden_size=6, num_attention_heads=2, head_dim=3)
NORMS = (Norm(name="input_norm", size=6), Norm(name="post_norm", size=6))

DENSE = Layer(mixers=(GQA,), feed_forwards=(MLP,), norms=NORMS)
SPARSE = Layer(mixers=(GQA.but(sliding_window=2),), feed_forwards=(MOE,), norms=NORMS)
SPEC = ModelSpec(
    id="two-layers",
    model_type="made-up",
    hidden_size=6,
    vocab_size=10,
    tie_word_embeddings=False,
    tables=(Table(rows=10, size=6, is_input=True),),
    layer_groups=group_layers([DENSE, SPARSE]),
    final=(Norm(size=6),),
    head=Head(in_features=6, out_features=10, tied=False),
)

ATTENTION = 6 * 6 + 6 * 3 + 6 * 3 + 6 * 6
MLP_PARAMS, ROUTER, EXPERTS = 3 * 6 * 8, 6 * 4, 4 * 3 * 6 * 5


def params(spec: ModelSpec) -> dict[str, int]:
    return {name: size for name, size in spec.ops(WORK).by_component("params").items() if size}


# --- a model --------------------------------------------------------------------------------------------------------


def test_parameters_by_component() -> None:
    assert params(SPEC) == {
        "embedding": 10 * 6,
        "attention": 2 * ATTENTION,
        "dense_ffn": MLP_PARAMS,
        "routed_experts": EXPERTS,
        "router": ROUTER,
        "norm": 2 * 2 * 6 + 6,
        "lm_head": 6 * 10,
    }


def test_active_parameters() -> None:
    total = SPEC.ops(WORK).total("params")
    assert SPEC.ops(WORK).total("active_params") == total - EXPERTS + EXPERTS // 4


def test_a_tied_head_is_stored_once() -> None:
    tied = SPEC.but(tie_word_embeddings=True, head=SPEC.head.but(tied=True) if SPEC.head else None)
    assert params(tied).get("lm_head", 0) == 0
    assert tied.ops(WORK).total("params") == SPEC.ops(WORK).total("params") - 6 * 10
    assert tied.ops(WORK).total("flops") == SPEC.ops(WORK).total("flops")


def test_a_model_without_a_head() -> None:
    assert params(SPEC.but(head=None)) == {name: size for name, size in params(SPEC).items() if name != "lm_head"}


def test_flops_by_component() -> None:
    flops = SPEC.ops(WORK).by_component("flops")
    window_pairs = 2 * (2 + 2 + 2)
    assert flops["attention"] == 2 * 2 * TOKENS * ATTENTION + 2 * (PAIRS + window_pairs) * 2 * (3 + 3)
    assert flops["dense_ffn"] == 2 * TOKENS * MLP_PARAMS
    assert flops["router"] == 2 * TOKENS * ROUTER
    assert flops["routed_experts"] == 2 * TOKENS * EXPERTS // 4
    assert flops["lm_head"] == 2 * TOKENS * 6 * 10
    assert flops["norm"] == flops["embedding"] == 0


def test_cache() -> None:
    rows = SPEC.ops(WORK)
    assert rows.total("kv_elements_per_token") == 2 * (3 + 3)
    assert rows.total("kv_elements") == 2 * (5 + 2) * (3 + 3)  # the second layer keeps two tokens


def test_layers_of_a_kind_are_counted() -> None:
    spec = SPEC.but(layer_groups=group_layers([DENSE, SPARSE, DENSE, DENSE]))
    assert spec.num_hidden_layers == 4
    assert params(spec)["dense_ffn"] == 3 * MLP_PARAMS
    assert params(spec)["attention"] == 4 * ATTENTION
    assert spec.ops(WORK).total("kv_elements") == 2 * (3 * 5 + 2) * (3 + 3)


def test_equal_layers_become_one_group_in_order_of_appearance() -> None:
    assert group_layers([SPARSE, DENSE, SPARSE.but(norms=NORMS), DENSE]) == (
        LayerGroup(layer=SPARSE, positions=(0, 2)),
        LayerGroup(layer=DENSE, positions=(1, 3)),
    )


def test_rows_name_their_group() -> None:
    groups = {op.group: op.layers for op in SPEC.but(layer_groups=group_layers([DENSE] * 3)).ops(WORK)}
    assert groups == {"": 1, "gqa+dense": 3}


def test_a_layer_runs_its_parts() -> None:
    layer = DENSE.but(extras=(Constants(name="scale", elements=9),))
    assert [op.name for op in layer.ops(WORK)] == [
        *("input_norm", "post_norm"),
        *("q_proj", "k_proj", "v_proj", "scores_and_values", "o_proj"),
        *("gate_up_proj", "down_proj", "scale"),
    ]


@pytest.mark.parametrize(
    ("layer", "label"),
    [
        (DENSE, "gqa+dense"),
        (SPARSE, "gqa(window 2)+moe"),
        (DENSE.but(mixers=(GQA.but(attention_chunk_size=8), LINEAR)), "gqa(window 8)+lightning+dense"),
        (Layer(norms=NORMS), "extras"),
        (DENSE.but(stack="encoder"), "encoder: gqa+dense"),
    ],
)
def test_labels_of_layers(layer: Layer, label: str) -> None:
    assert layer.label == label


@pytest.mark.parametrize(
    ("layers", "kind"),
    [
        ([DENSE], "dense"),
        ([DENSE, SPARSE], "moe"),
        ([Layer(mixers=(LINEAR,), feed_forwards=(MLP,))], "ssm"),
        ([DENSE, Layer(mixers=(LINEAR,))], "hybrid"),
        ([DENSE, Layer(mixers=(LINEAR,), feed_forwards=(MOE,))], "hybrid moe"),
        ([Layer(feed_forwards=(MLP,))], "dense"),
    ],
)
def test_kinds_of_models(layers: list[Layer], kind: str) -> None:
    assert SPEC.but(layer_groups=group_layers(layers)).kind == kind


def test_mixtures_with_their_layers() -> None:
    spec = SPEC.but(layer_groups=group_layers([DENSE, SPARSE, SPARSE]))
    assert spec.mixtures == [(2, MOE)]
    assert spec.mixers == [GQA, GQA.but(sliding_window=2)]


def test_an_encoder_is_stored_and_runs_with_the_prompt_only() -> None:
    encoder = DENSE.but(stack="encoder", mixers=(GQA.but(causal=False),))
    spec = SPEC.but(layer_groups=group_layers([encoder, DENSE]))
    alone = SPEC.but(layer_groups=group_layers([DENSE]))
    assert spec.encoder_decoder
    assert not alone.encoder_decoder
    more = spec.ops(WORK).total("flops") - alone.ops(WORK).total("flops")
    assert more == 2 * TOKENS * (ATTENTION + MLP_PARAMS) + 2 * (2 * 3 * 5) * 2 * (3 + 3)
    decode = Workload.decode(5, 2)
    assert spec.ops(decode).total("flops") == alone.ops(decode).total("flops")
    assert params(spec)["attention"] == 2 * ATTENTION


class FirstOnly:
    def rewrite(self, rows: Ledger, work: Workload) -> Ledger:
        return Ledger(rows[:1])


class Twice:
    def rewrite(self, rows: Ledger, work: Workload) -> Ledger:
        return Ledger([*rows, *rows])


def test_techniques_rewrite_the_ledger_in_order() -> None:
    embedding = SPEC.ops(WORK)[0]
    assert SPEC.but(techniques=(FirstOnly(), Twice())).ops(WORK) == (embedding, embedding)
    assert SPEC.but(techniques=(Twice(), FirstOnly())).ops(WORK) == (embedding,)


# --- model/ledgers --------------------------------------------------------------------------------------------------


def test_ledgers_are_built_once() -> None:
    kept = Ledgers(SPEC)
    assert kept.ops(WORK) is kept.ops(Workload(batch_size=2, new_tokens=3, context_len=5))
    assert kept.ops(WORK) == SPEC.ops(WORK)
    assert kept.ops(WORK.but(context_len=6)) == SPEC.ops(WORK.but(context_len=6)) != kept.ops(WORK)


def test_ledgers_of_what_keeps_them_already() -> None:
    kept = Ledgers.of(SPEC)
    assert kept.spec is SPEC
    assert Ledgers.of(kept) is kept


def test_ledgers_of_arrays_are_told_by_their_numbers() -> None:
    kept, work = Ledgers(SPEC), Workload.decode(np.array([5.0, 9.0]), 2)
    assert kept.ops(work) is kept.ops(Workload.decode(np.array([5.0, 9.0]), 2))
    assert kept.ops(work) is not kept.ops(Workload.decode(np.array([5.0, 8.0]), 2))
    # the cache of both layers: K (h + h) elements for all tokens, and for two
    assert kept.ops(work).sum("kv_elements").tolist() == [2 * (5 + 2) * 6, 2 * (9 + 2) * 6]  # type: ignore[attr-defined]


# --- model/spec_json ------------------------------------------------------------------------------------------------


def test_a_spec_as_data_and_back() -> None:
    spec = SPEC.but(vocab_size=2**62 - 1, notes=(Note(code="a", text="b"),))
    data = to_data(spec)
    assert spec_from_data(data) == spec
    assert data["layer_groups"][1]["layer"]["mixers"][0] == {
        "kind": "gqa",
        "hidden_size": 6,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 3,
        "sliding_window": 2,
    }


def changed(change: Callable[[dict], object]) -> dict:
    data = to_data(SPEC)
    change(data)
    return data


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ([], r"derived is \[\]"),
        (changed(lambda data: data.update(x=1)), "derived has no field 'x'"),
        (changed(lambda data: data.pop("vocab_size")), "derived: ModelSpec needs vocab_size"),
        (changed(lambda data: data.update(vocab_size=2.0)), r"derived\.vocab_size is 2\.0"),
        (changed(lambda data: data.update(vocab_size=-1)), r"derived\.vocab_size is -1"),
        (changed(lambda data: data.update(vocab_size=2**62)), r"derived\.vocab_size is 46\d+"),
        (changed(lambda data: data.update(vocab_size=True)), r"derived\.vocab_size is True"),
        (changed(lambda data: data["final"][0].update(kind="gqa")), r"derived\.final\[0\]\.kind is 'gqa'"),
        (changed(lambda data: data["final"].append(3)), r"derived\.final\[1\] is 3"),
        (
            changed(lambda data: data["layer_groups"][1]["layer"]["feed_forwards"][0].update(num_experts_per_tok=9)),
            r"feed_forwards\[0\]: num_experts_per_tok is 9, more than num_experts \(4\)",
        ),
    ],
)
def test_what_is_no_spec(data: object, line: str) -> None:
    with pytest.raises(InputError, match=line):
        spec_from_data(data)
