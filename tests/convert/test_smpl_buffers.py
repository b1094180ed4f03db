"""Mesh checkpoints with the body in them, as the release's code loads them."""

import numpy as np
import pytest
import torch

from mbjax import cli
from mbjax.body import smpl
from mbjax.convert import heads, smpl_buffers
from mbjax.convert import read as source
from mbjax.convert import write as target
from tests.recipes import body as body_recipes
from tests.recipes import weights as recipes
from tests.recipes.settings import GOLDEN
from tests.recipes.torch_files import load


@pytest.fixture
def folder(tmp_path):
    """A folder of SMPL's files, of a small random body."""
    return body_recipes.smpl_folder(tmp_path / "smpl")


def test_names_and_shapes_are_those_of_smplx(folder):
    """What smplx 0.1.28 and the release's two regressors have, for a body of V vertices."""
    body = smpl.load(str(folder))
    V, F = body.body.num_vertices, len(body.faces_Fx3)
    wanted = {
        "betas": (64, 10), "global_orient": (64, 3), "body_pose": (64, 69),
        "shapedirs": (V, 3, 10), "faces_tensor": (F, 3), "v_template": (V, 3),
        "J_regressor": (24, V), "posedirs": (207, 3 * V), "parents": (24,),
        "lbs_weights": (V, 24), "vertex_joint_selector.extra_joints_idxs": (21,),
        "J_regressor_extra": (9, V), "J_regressor_h36m": (17, V),
    }  # fmt: skip
    found = smpl_buffers.tensors(body)
    assert {n.removeprefix("head.smpl."): a.shape for n, a in found.items()} == wanted
    assert {n for n, a in found.items() if a.dtype == np.int64} == {
        f"head.smpl.{n}" for n in wanted if n.split(".")[0] in
        ("faces_tensor", "parents", "vertex_joint_selector")
    }  # fmt: skip
    # Row k of posedirs is pose feature k, over vertices and then x, y, z.
    stored = body.arrays["posedirs"]
    np.testing.assert_array_equal(
        found["head.smpl.posedirs"][5].reshape(V, 3), stored[..., 5].astype(np.float32)
    )
    (folder / smpl_buffers.EXTRA).unlink()
    with pytest.raises(FileNotFoundError, match="J_regressor_extra.npy: no such file; the rel"):
        smpl_buffers.tensors(body)


@pytest.mark.parametrize("kind", ["mesh", "mesh_refine"])
def test_export_has_the_body_and_import_leaves_it(kind, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(smpl.VARIABLE, raising=False)
    plain, whole = tmp_path / "plain.bin", tmp_path / "whole.bin"
    given = str(GOLDEN / f"{kind}.bin")
    assert cli.main(["export", given, "--num-heads", "4", "--out", str(plain)]) == 0
    assert "note: without head.smpl.*" in capsys.readouterr().err
    export = ["export", given, "--num-heads", "4", "--out", str(whole), "--body", str(folder)]
    assert cli.main(export) == 0
    before, after = load(plain)["model"], load(whole)["model"]
    body = smpl_buffers.tensors(smpl.load(str(folder)))
    assert set(after) - set(before) == {f"module.{name}" for name in body}
    assert torch.equal(
        after["module.head.smpl.faces_tensor"], torch.tensor(body["head.smpl.faces_tensor"])
    )
    read = source.read(whole, num_heads=4)
    assert read.network.kind == kind
    assert recipes.same(read.params, source.read(given, num_heads=4).params)


def test_the_optimizer_counts_the_bodys_parameters(folder, tmp_path):
    read = source.read(GOLDEN / "mesh.bin", num_heads=4)
    rows = [r for r in heads.network_rows(read.network) if r.item == "params"]
    zeros = {"params": read.params}
    read.adam = target.optimizer_state.Adam(3, zeros["params"], zeros["params"])
    target.to_file(read, tmp_path / "x.bin", body=smpl.load(str(folder)))
    groups = load(tmp_path / "x.bin")["optimizer"]["param_groups"]
    numbers = [number for group in groups for number in group["params"]]
    assert numbers == list(range(len(rows) + 3))
