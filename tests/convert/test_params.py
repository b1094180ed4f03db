import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.convert import names, params, recognise
from mbjax.models.dstformer import DSTformerConfig
from tests.recipes import weights as recipes


@pytest.fixture
def tensors():
    return params.to_torch(recipes.weights(), names.dstformer_rows(recipes.TINY))


@settings(max_examples=8, deadline=None)  # an abstract network is made each time
@given(
    dim=st.sampled_from([8, 16]), rep=st.integers(1, 9), depth=st.integers(1, 3),
    ratio=st.sampled_from([1, 2, 2.5]), joints=st.integers(1, 20), maxlen=st.integers(1, 20),
    dim_in=st.integers(2, 3), dim_out=st.integers(1, 4),
    structure=st.sampled_from(["st+ts", "st", "s+t", "st-attention"]),
    fusion=st.sampled_from(["adaptive", "average"]),
)  # fmt: skip
def test_sizes_come_from_the_tensors(
    dim, rep, depth, ratio, joints, maxlen, dim_in, dim_out, structure, fusion
):
    config = DSTformerConfig(
        dim_in=dim_in, dim_out=dim_out, dim_feat=dim, dim_rep=rep, depth=depth, num_heads=4,
        mlp_ratio=ratio, num_joints=joints, maxlen=maxlen, structure=structure, fusion=fusion,
    )  # fmt: skip
    rows = names.dstformer_rows(config)
    shapes = params.torch_shapes(rows, recipes.abstract_params(config))
    found = recognise.dstformer_config(shapes, num_heads=4)
    if len(config.streams) == 1:  # one stream has nothing to fuse
        found = dataclasses.replace(found, fusion=fusion)
    assert found == config


def test_heads_are_8_unless_given(tensors):
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert recognise.dstformer_config(shapes).num_heads == 8
    assert recognise.dstformer_config(shapes, 4).num_heads == 4
    with pytest.raises(ValueError, match="does not divide into 5 heads"):
        recognise.dstformer_config(shapes, 5)


def test_both_ways_are_exact(tensors):
    tree, notes = recipes.to_params(tensors, recipes.TINY)
    assert recipes.same(tree, recipes.weights())
    assert notes == []
    back = params.to_torch(tree, names.dstformer_rows(recipes.TINY))
    assert list(back) == list(tensors)
    assert all(np.array_equal(back[name], tensors[name]) for name in tensors)


def test_everything_missing_unexpected_or_of_another_shape_is_listed(tensors):
    del tensors["norm.weight"], tensors["blocks_ts.1.attn_t.qkv.bias"]
    tensors["extra.a"] = tensors["extra.b"] = np.zeros(3, np.float32)
    tensors["norm.bias"] = np.zeros(5, np.float32)
    with pytest.raises(ValueError) as caught:
        recipes.to_params(tensors, recipes.TINY)
    text = str(caught.value)
    for part in (
        "2 missing: blocks_ts.1.attn_t.qkv.bias, norm.weight", "2 unexpected: extra.a, extra.b",
        "1 of another shape: norm.bias (5,) instead of (16,)", "--allow",
    ):  # fmt: skip
        assert part in text
    assert "\n" not in text


@pytest.mark.slow
def test_what_is_allowed_is_said(tensors):
    del tensors["head.weight"]
    tensors["extra.a"] = np.zeros(3, np.float32)
    tree, notes = recipes.to_params(tensors, recipes.TINY, ["head.*", "extra.*"])
    assert notes == ["newly initialised: head.weight", "left out: extra.a"]
    fresh = recipes.fresh_params(recipes.TINY)
    assert np.array_equal(tree["head"]["kernel"], fresh["head"]["kernel"])
    assert np.array_equal(tree["head"]["bias"], recipes.weights()["head"]["bias"])


def test_another_shape_is_never_allowed(tensors):
    tensors["head.weight"] = tensors["head.weight"][:, :5]
    with pytest.raises(ValueError, match="1 of another shape: head.weight"):
        recipes.to_params(tensors, recipes.TINY, ["*"])


def test_what_is_no_dstformer():
    with pytest.raises(ValueError, match="this is no DSTformer .its names: conv1.weight"):
        recognise.dstformer_config({"conv1.weight": (3, 3)})
    with pytest.raises(ValueError, match="it is empty"):
        recognise.dstformer_config({})


def test_a_checkpoint_that_does_not_fit_its_network_is_not_written():
    rows = names.dstformer_rows(recipes.TINY)
    tree = recipes.weights()
    with pytest.raises(ValueError, match="has hand.kernel, which its network does not have"):
        params.to_torch({**tree, "hand": {"kernel": np.zeros(2)}}, rows)
    del tree["norm"]
    with pytest.raises(ValueError, match="lacks norm.weight, norm.bias"):
        params.to_torch(tree, rows)


def test_a_backbone_goes_into_a_bigger_net():
    net = {
        "backbone": recipes.weights(seed=3),
        "classifier": {"kernel": np.ones((24, 2), np.float32)},
    }
    backbone = recipes.weights(seed=4)
    del backbone["ts_attn"]
    backbone["old_head"] = {"bias": np.zeros(1)}
    merged, report = params.merge_backbone(net, backbone)
    expected = {**net["backbone"], **backbone, "ts_attn": net["backbone"]["ts_attn"]}
    del expected["old_head"]
    assert recipes.same(merged, {"backbone": expected, "classifier": net["classifier"]})
    assert len(report.loaded) == 106
    assert set(report.new) == {
        "classifier.kernel",
        *(f"backbone.ts_attn.{i}.{n}" for i in (0, 1) for n in ("kernel", "bias")),
    }
    assert report.unused == ("backbone.old_head.bias",)
    assert "loaded 106 of 111 parameters; newly initialised: " in str(report)


def test_a_backbone_of_another_size_or_none_at_all():
    net = {"backbone": recipes.weights()}
    other = dataclasses.replace(recipes.TINY, dim_rep=25)
    with pytest.raises(ValueError, match=r"another size: backbone.head.kernel \(25, 3\) instead"):
        params.merge_backbone(net, recipes.weights(other))
    with pytest.raises(ValueError, match="no parameter in common"):
        params.merge_backbone(net, {"conv": np.zeros(3)})
