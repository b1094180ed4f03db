import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mbjax.convert import names, params, recognise
from mbjax.models.dstformer import DSTformerConfig
from tests.recipes import weights as recipes
from tests.recipes.settings import GOLDEN


def test_the_table_has_torchs_names_order_and_shapes():
    state = torch.load(GOLDEN / "dstformer.bin", weights_only=True)["model_pos"]
    table, notes = names.normalised(state)
    shapes = {table[name]: tuple(tensor.shape) for name, tensor in state.items()}
    config = recognise.dstformer_config(shapes, num_heads=4)
    rows = names.dstformer_rows(config)
    assert notes == []
    # The order is that of the optimizer's numbers.
    assert [row.torch for row in rows] == list(shapes)
    assert params.torch_shapes(rows, recipes.abstract_params(config)) == shapes


@pytest.mark.parametrize("structure", ["st+ts", "st", "ts", "s+t", "st-attention"])
@pytest.mark.parametrize("fusion", ["adaptive", "average"])
def test_every_parameter_has_one_row(structure, fusion):
    config = DSTformerConfig(
        dim_feat=8, dim_rep=8, depth=2, num_heads=2, maxlen=3, structure=structure, fusion=fusion
    )
    paths = [path for path, _ in params.leaves(recipes.abstract_params(config))]
    rows = names.dstformer_rows(config)
    assert sorted(map(str, paths)) == sorted(str(row.path) for row in rows)
    assert len({row.torch for row in rows}) == len(rows)


@given(
    axes=st.permutations(range(3)),
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    seed=st.integers(0, 99),
)
def test_there_undoes_here_whatever_the_axes(axes, shape, seed):
    row = names.Row("x", ("x",), tuple(axes))
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    assert np.array_equal(row.there(row.here(array)), array)
    assert np.array_equal(row.here(array), array.transpose(axes))


def test_a_linear_is_transposed():
    weight, bias = names.linear("fc", "fc")
    array = np.arange(6.0).reshape(2, 3)
    assert (weight.path, bias.path) == (("fc", "kernel"), ("fc", "bias"))
    assert np.array_equal(weight.here(array), array.T)


def test_a_part_of_a_bigger_net():
    rows = names.under("backbone", names.layer_norm("norm", "norm"))
    assert [(row.torch, row.path) for row in rows] == [
        ("backbone.norm.weight", ("backbone", "norm", "scale")),
        ("backbone.norm.bias", ("backbone", "norm", "bias")),
    ]


def test_data_parallels_prefix_on_all_names_or_some():
    assert names.normalised(["module.a", "module.b"]) == ({"module.a": "a", "module.b": "b"}, [])
    table, notes = names.normalised(["module.a", "b"])
    assert list(table.values()) == ["a", "b"]
    assert "1 of 2 names begin with 'module.'" in notes[0]
    with pytest.raises(ValueError, match="module.a and a are one parameter"):
        names.normalised(["module.a", "a"])


def test_mmposes_names():
    rows = names.dstformer_rows(recipes.TINY)
    table, notes = names.normalised(map(recipes.mmpose_name, (row.torch for row in rows)))
    assert list(table.values()) == [row.torch for row in rows]
    assert notes == ["MMPose's names"]
