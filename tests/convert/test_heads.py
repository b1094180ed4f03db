"""Nets with a head: golden outputs, both ways, what is refused."""

import jax
import numpy as np
import pytest
import torch

import mbjax
from mbjax.convert import heads, params
from mbjax.convert import read as source
from mbjax.convert import write as target
from mbjax.models.networks import Network
from mbjax.training import optimizer
from mbjax.training.checkpoint import Checkpoints
from tests.recipes import weights as recipes
from tests.recipes.settings import GOLDEN
from tests.recipes.torch_files import load, same_content, through_a_folder

FILES = {
    "action": "action_class", "embed": "action_embed", "mesh": "mesh", "mesh_refine": "mesh_refine",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["action", "embed"])
def test_golden_outputs(kind, golden, highest_precision):
    model = mbjax.load(GOLDEN / f"{FILES[kind]}.bin", num_heads=4, verbose=False)
    arrays = golden(f"{FILES[kind]}.npz")
    here = jax.jit(lambda x: model(x))(arrays["x"])
    # What golden/README asks for: float32 through the whole net.
    np.testing.assert_allclose(here, arrays["y"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", FILES)
def test_export_of_import_has_the_same_tensors_bit_for_bit(kind, tmp_path):
    file = GOLDEN / f"{FILES[kind]}.bin"
    there = through_a_folder(file, tmp_path)
    here = load(file)
    for name in set(there) - set(here):  # which the golden file does not say
        assert there.pop(name) in ({"lr": [0.0, 0.0], "epoch": 1, "best_jpe": 9999.0}[name],)
    assert same_content(here, there)


def stepped_in_two_groups(state, steps=2):
    """torch's AdamW as the release sets it up, after steps on random gradients."""
    torch.manual_seed(1)
    named = {
        name.removeprefix("module."): torch.nn.Parameter(tensor)
        for name, tensor in state.items()
        if "running" not in name and "num_batches" not in name
    }
    # torch numbers a module's parameters in the order of its table.
    network = source.read(GOLDEN / "action_class.bin", num_heads=4).network
    rows = [row for row in heads.network_rows(network) if row.item == "params"]
    groups = [
        {"params": [named[r.torch] for r in rows if r.torch.startswith(part)], "lr": rate}
        for part, rate in (("backbone.", 1e-4), ("head.", 1e-3))
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.01)
    for _ in range(steps):
        for row in rows:
            if row.trained:
                named[row.torch].grad = torch.randn_like(named[row.torch])
        optimizer.step()
    return optimizer.state_dict()


def test_two_groups_of_an_optimizer_both_ways_bit_for_bit(tmp_path):
    file = load(GOLDEN / "action_class.bin")
    state = file["model"]
    whole = {
        "epoch": 4, "lr": [9.5e-5, 9.5e-4], "optimizer": stepped_in_two_groups(state),
        "model": state, "best_acc": 61.0,
    }  # fmt: skip
    torch.save(whole, tmp_path / "latest_epoch.bin")
    assert same_content(whole, through_a_folder(tmp_path / "latest_epoch.bin", tmp_path))


def test_an_optimizer_that_left_parts_alone_is_left_out(tmp_path):
    read = source.read(GOLDEN / "action_class.bin", num_heads=4)
    tx = optimizer.adamw_in_groups(
        {"backbone": lambda _: 1e-4, "head": lambda _: 1e-3},
        optimizer.encoder_and_head(lambda path: path[0] == "head"), 0.01,
    )  # fmt: skip
    state = {"params": read.params, "other": read.other, "opt_state": tx.init(read.params)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state, {**read.meta, "step": 3})
    checkpoints.wait()
    checkpoints.close()
    back = source.read(tmp_path, optimizer=True)
    assert back.adam is None and "did not train" in back.notes[-1]


@pytest.mark.parametrize("kind", FILES)
def test_safetensors_keep_the_statistics(kind, tmp_path):
    read = source.read(GOLDEN / f"{FILES[kind]}.bin", num_heads=4)
    target.to_file(read, tmp_path / "x.safetensors")
    back = source.read(tmp_path / "x.safetensors")
    assert back.network == read.network and back.network.kind == kind
    assert recipes.same(back.params, read.params) and recipes.same(back.other, read.other)


def test_the_encoder_alone():
    file = GOLDEN / "action_class.bin"
    read = source.read(file, num_heads=4, backbone_only=True)
    assert read.network.kind == "dstformer" and read.config.dim_feat == 32
    assert "the encoder alone, without 9 tensors of the head" in read.notes
    with pytest.raises(ValueError, match="is a network of kind 'action'; needed: dstformer"):
        mbjax.load(file, kinds=("dstformer",), verbose=False)


def test_the_table_is_the_whole_network():
    for kind in FILES:
        network = source.read(GOLDEN / f"{FILES[kind]}.bin", num_heads=4).network
        rows = heads.network_rows(network)
        abstract = params.abstract(network)
        for item in ("params", "other"):
            paths = [path for path, _ in params.leaves(abstract[item])]
            assert sorted(paths, key=str) == sorted(
                (row.path for row in rows if row.item == item), key=str
            )


def test_a_head_of_no_known_kind_is_refused(tmp_path):
    tensors = load(GOLDEN / "action_class.bin")["model"]
    tensors["module.head.conv.weight"] = torch.ones(3)
    del tensors["module.head.bn.weight"]
    torch.save({"model": tensors}, tmp_path / "x.bin")
    with pytest.raises(ValueError, match="head of no known kind .*conv.weight.*--backbone-only"):
        source.read(tmp_path / "x.bin")
    with pytest.raises(ValueError, match="of kind 'hands' is not known .*dstformer, action"):
        Network.from_meta({"kind": "hands", "dstformer": {}})
