"""Whole nets with their heads in both frameworks: they agree, with the release too; what differs is
named."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
import torch
from torch import nn

from mbjax import cli
from mbjax.body import smpl
from mbjax.convert import heads, params, parity_nets, twin_heads
from mbjax.convert import read as reading
from mbjax.models import mesh

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
NETS = ("action_class", "action_embed", "mesh", "mesh_refine")


def source(name):
    return reading.read(GOLDEN / f"{name}.bin", num_heads=4)


@pytest.fixture(scope="module")
def body():
    return smpl.load("synthetic")


def twin_of(found):
    twin = twin_heads.make(found.network)
    tensors = params.to_torch(found.params, heads.network_rows(found.network), found.other)
    twin.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in tensors.items()})
    return twin


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_net_agrees_with_its_twin(name, body):
    forward, gradients = parity_nets.compare(source(name), body, (9,))
    assert all(each.ok for each in (*forward, *gradients))
    of_head = [each.name for each in gradients if each.name.startswith("head.")]
    assert len(of_head) == sum(
        row.item == "params" and row.torch.startswith("head.")
        for row in heads.network_rows(source(name).network)
    )
    assert max(each.max_abs for each in gradients) > 0  # they were not all zero
    if name.startswith("mesh"):
        assert {"vertices", "joints"} <= {each.name for each in forward}


@pytest.mark.parametrize("name", NETS)
def test_the_twin_is_the_release_s_net(name):
    arrays = np.load(GOLDEN / f"{name}.npz")
    inputs = [torch.from_numpy(arrays["x"])]
    if "init_pose" in arrays:
        theta = np.concatenate([arrays["init_pose"], arrays["init_shape"]], axis=-1)
        inputs += [torch.from_numpy(np.array(each)) for each in mesh.from_theta(theta)]
    with torch.no_grad():
        found = twin_of(source(name))(*inputs)
    expected = arrays["y"] if "y" in arrays else mesh.from_theta(arrays["theta"])
    pairs = [(found, expected)] if "y" in arrays else zip(found, expected, strict=True)
    for ours, theirs in pairs:
        # float32, two levels deep; theta went through axis-angles.
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5)


def test_another_activation_in_a_head_is_found(monkeypatch, body):
    monkeypatch.setattr(twin_heads.functional, "relu", nn.functional.silu)
    forward, gradients = parity_nets.compare(source("mesh"), body, (1,))
    wrong = [each.name for each in forward if not each.ok]
    assert "rotations" in wrong and "vertices" in wrong
    assert not all(each.ok for each in gradients)


def test_another_epsilon_of_batch_norm_is_found(monkeypatch, body):
    usual = nn.BatchNorm1d
    monkeypatch.setattr(nn, "BatchNorm1d", lambda channels: usual(channels, eps=1e-3))
    forward, _ = parity_nets.compare(source("action_class"), body, (1,))
    assert [each.name for each in forward if not each.ok] == ["logits"]


def test_a_net_trained_in_bfloat16_is_compared_in_float32(body):
    found = source("action_embed")
    encoder = {**found.meta["network"]["dstformer"], "dtype": "bfloat16"}
    found.meta = {**found.meta, "network": {**found.meta["network"], "dstformer": encoder}}
    forward, _ = parity_nets.compare(found, body, (1,))
    assert found.network.encoder.dtype == "bfloat16" and all(each.ok for each in forward)


@pytest.mark.slow
def test_another_body_is_found(body):
    """The joints are those of the body that was given, not of one that both sides share."""
    forward, _ = parity_nets.compare(source("mesh"), body, (1,))
    shifted = dataclasses.replace(body, regressor_17xV=np.roll(body.regressor_17xV, 1, axis=0))
    other, _ = parity_nets.compare(source("mesh"), shifted, (1,))
    here, there = ({each.name: each for each in found} for found in (forward, other))
    assert here["joints"].ok and there["joints"].ok
    broken = dataclasses.replace(
        body, arrays={**body.arrays, "weights": np.roll(body.arrays["weights"], 1, axis=1)}
    )
    wrong, _ = parity_nets.compare(source("mesh"), broken, (1,))
    assert {each.name for each in wrong if not each.ok} == {"vertices", "joints"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_changed_weight_of_a_head_is_found(name, monkeypatch, body):
    """Each of the head's matrices in turn, two per cent larger."""
    found = source(name)
    usual = params.to_torch
    heads_own = [
        row.torch
        for row in heads.network_rows(found.network)
        if row.item == "params" and row.torch.startswith("head.") and row.torch.endswith("weight")
    ]
    assert heads_own
    for changed in heads_own:

        def planted(*arguments, changed=changed):
            tensors = usual(*arguments)
            return {**tensors, changed: 1.02 * np.array(tensors[changed])}

        monkeypatch.setattr(params, "to_torch", planted)
        forward, _ = parity_nets.compare(found, body, (1,))
        assert not all(each.ok for each in forward), changed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("action_class", ["logits"]), ("action_embed", ["embedding"]),
        *((mesh, ["rotations", "betas", "vertices", "joints"]) for mesh in NETS[2:]),
    ],
)  # fmt: skip
def test_the_command_compares_the_whole_net(name, outputs, capsys):
    words = ["parity", str(GOLDEN / f"{name}.bin"), "--lengths", "1", "--json"]
    assert cli.main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["net"]] == outputs and found["ok"]
    assert cli.main([*words, "--backbone-only"]) == 0
    assert json.loads(capsys.readouterr().out)["net"] == []
