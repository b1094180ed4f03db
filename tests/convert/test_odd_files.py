"""Weights in odd and damaged files: one clear line, or what is odd is left aside."""

import copy
import json

import numpy as np
import pytest
import safetensors.numpy
import torch

from mbjax.convert import read as weights
from mbjax.convert import write as target
from mbjax.models.networks import Network
from tests.recipes import weights as recipes

SIZES = recipes.SHALLOW


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "x.bin"
    target.to_file(recipes.source(SIZES), path)
    return torch.load(path, weights_only=True)


def changed(content, value, *path):
    result = copy.deepcopy(content)
    place = result
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return result


@pytest.mark.parametrize(
    "value, path, message",
    [
        (torch.zeros(3), ("model_pos", 3), "a tensor is named 3, which is not text"),
        (torch.zeros(()), ("model_pos", "module.head.fc1.weight"), "1 unexpected: head.fc1.weight"),
        ([3, 4], ("optimizer", "param_groups"), "not|of torch's form"),
        ([{"params": "0123"}], ("optimizer", "param_groups"), "of torch's form"),
        ([{"lr": 0.1}], ("optimizer", "param_groups"), "of torch's form"),
        ([], ("optimizer", "param_groups"), "of torch's form"),
        (3, ("optimizer", "state", 0), "of torch's form"),
        ("now", ("optimizer", "state", 0, "step"), "a step of 'now'; --no-optimizer"),
        ({"exp_avg": torch.zeros(3)}, ("optimizer", "state", 0), "a step of None"),
    ],
)
def test_odd_state_dicts_are_named(tmp_path, content, value, path, message):
    torch.save(changed(content, value, *path), tmp_path / "odd.bin")
    with pytest.raises(ValueError, match=message) as raised:
        weights.read(tmp_path / "odd.bin", num_heads=2, optimizer=True)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [None, "x", [], {}, torch.zeros(2, 3), float("nan"), 10**400])
@pytest.mark.parametrize("name", ["epoch", "lr", "min_loss"])
def test_odd_fields_beside_the_tensors_do_not_matter(tmp_path, content, name, value):
    torch.save(changed(content, value, name), tmp_path / "odd.bin")
    read = weights.read(tmp_path / "odd.bin", num_heads=2, optimizer=True)
    assert read.meta["epoch"] >= 0
    target.to_file(read, tmp_path / "again.bin")
    weights.read(tmp_path / "again.bin")


@pytest.mark.parametrize(
    "value, path, message",
    [
        ("five", ("step",), "its record is damaged: step is 'five'"),
        (None, ("epoch",), "epoch is None"),
        ([1], ("learning_rate",), "learning_rate is .1."),
        (3, ("config",), "config is 3"),
        ("much", ("config", "weight_decay"), "weight_decay is 'much'"),
        ([3], ("torch",), "torch is .3."),
        ({"param_groups": [3]}, ("torch",), "torch is not what this package writes"),
        ("two", ("network", "dstformer", "depth"), "damaged: depth is 'two'"),
        (10**9, ("network", "dstformer", "depth"), "damaged: depth is 1000000000"),
        ([16], ("network", "dstformer", "dim_feat"), "damaged: dim_feat is .16."),
        (-1, ("network", "dstformer", "maxlen"), "damaged: maxlen is -1"),
        ("no", ("network", "dstformer", "remat"), "damaged: remat is 'no'"),
    ],
)
def test_records_of_other_types_are_named(tmp_path, value, path, message):
    made = recipes.source(SIZES)
    target.to_file(made, tmp_path / "x.safetensors")
    tensors = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    record = json.dumps({"version": 1, "meta": changed(made.meta, value, *path)})
    safetensors.numpy.save_file(tensors, tmp_path / "odd.safetensors", {"mbjax": record})
    with pytest.raises(ValueError, match=message) as raised:
        weights.read(tmp_path / "odd.safetensors")
    assert "\n" not in str(raised.value) and "odd.safetensors" in str(raised.value)


def test_a_network_of_a_newer_version_is_named_as_such():
    meta = recipes.source(SIZES).meta["network"]
    with pytest.raises(ValueError, match="of a newer version"):
        Network.from_meta(changed(meta, 3, "dstformer", "dim_more"))
    with pytest.raises(ValueError, match="no sizes in it"):
        Network.from_meta({**meta, "dstformer": [1, 2]})
    assert Network.from_meta(meta).encoder == SIZES
    assert np.isfinite(Network.from_meta(meta).encoder.mlp_ratio)
