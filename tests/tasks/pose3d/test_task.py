import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mbjax import configuration
from mbjax.cli import main
from mbjax.data.plan import row_keys
from mbjax.pose import skeleton
from mbjax.tasks.pose3d import evaluation
from mbjax.tasks.pose3d import task as pose3d
from mbjax.training import loop
from tests.recipes.pose3d import TINY, Reader, records
from tests.recipes.settings import ROOT

SAMPLE = ["--config", "configs/pose3d.py:sample_scratch"]


class Recorder(nnx.Module):
    def __init__(self):
        self.seen = []

    def __call__(self, x):
        self.seen.append(x)
        return jnp.concatenate([x[..., :2], jnp.zeros_like(x[..., :1])], axis=-1)


def scratch(*settings):
    return configuration.load("configs/pose3d.py:scratch", list(settings))


def pairs(rows=6):
    pose = jax.random.normal(jax.random.key(1), (rows, 5, 17, 3))
    keypoints = pose.at[..., 2].set(0.7) + jnp.array([0.1, 0.0, 0.0])
    return {"pose": pose, "keypoints": keypoints}, row_keys(jax.random.key(0), 0, rows)


def test_2d_and_3d_are_mirrored_together():
    batch, keys = pairs()
    model = Recorder()
    pose3d.loss(scratch(), model, batch, keys, 0.5)
    seen = np.asarray(model.seen[0])
    plain = np.isclose(seen, batch["keypoints"]).all((1, 2, 3))
    flipped = np.isclose(seen, skeleton.mirror(batch["keypoints"])).all((1, 2, 3))
    assert plain.any() and flipped.any() and (plain ^ flipped).all()
    # The output is the input's x, y: its distance from the target is depth and the constant 0.1.
    config = scratch("--config.root_relative=False", "--config.loss.velocity=0.0")
    flat = {**batch, "pose": batch["pose"].at[..., 2].set(0)}
    _, terms = pose3d.loss(config, Recorder(), flat, keys, 0.5)
    assert float(terms["joint"]) == pytest.approx(0.1, rel=1e-5)


def test_release_loss_on_true_2d_without_confidence():
    batch, keys = pairs()
    config = scratch("--config.gt_2d=True", "--config.mirror=False", "--config.model.dim_in=2")
    model = Recorder()
    total, terms = pose3d.loss(config, model, batch, keys, 0.5)
    np.testing.assert_array_equal(model.seen[0], batch["pose"][..., :2])
    expected = terms["joint"] + 0.5 * terms["scale"] + 20 * terms["velocity"]
    assert float(total) == pytest.approx(float(expected), rel=1e-6)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A short run from scratch, whose network the others start from."""
    folder = tmp_path_factory.mktemp("pose3d") / "scratch"
    settings = [*TINY, "--config.evaluate_every=1 epoch"]
    assert main(["finetune", "pose3d", *SAMPLE, "--workdir", str(folder), *settings]) == 0
    return folder


@pytest.mark.slow
def test_a_run_evaluates_and_keeps_its_best(pretrained):
    rows = [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    found = [row for row in rows if row["kind"] == "evaluate"]
    assert [row["step"] for row in found] == [2, 4]
    assert {"mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm", "pck_150mm"} <= found[0].keys()


@pytest.mark.slow
def test_with_a_frozen_backbone_only_the_head_moves(pretrained, tmp_path):
    config = configuration.load(
        "configs/pose3d.py:sample",
        [*TINY, f"--config.init={pretrained}", "--config.partial_train=('head',)",
         "--config.evaluation.dir="],
    )  # fmt: skip
    from mbjax.training import checkpoint

    params = loop.run(config, pose3d.make_task, tmp_path, say=lambda _: None).state["params"]
    before = checkpoint.read(pretrained)[1]["params"]
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), before, dict(params))
    assert all(jax.tree.leaves(moved.pop("head")))
    assert not any(jax.tree.leaves(moved)), "all else is as pretrained, to the bit"


def test_evaluate_prints_the_table_and_writes_errors_by_frame(pretrained, tmp_path, capsys):
    arguments = ["evaluate", "pose3d", *SAMPLE, "--checkpoint", str(pretrained), *TINY]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "P1  MPJPE" in out and "P2  P-MPJPE" in out and "protocol: detected 2D" in out
    with np.load(tmp_path / "errors.npz") as file:
        errors = dict(file)
    assert errors["mpjpe_mm"].shape == errors["frame"].shape == (2752,)
    assert len(errors["sources"]) == 4 and errors["recording"].max() == 3
    printed = [line.split() for line in out.splitlines() if line.startswith("P1")][0][-1]
    assert float(printed) == pytest.approx(errors["mpjpe_mm"].mean(), abs=0.06)
    head, p1 = (tmp_path / "table.csv").read_text().splitlines()[:2]
    assert head == ",01_01,Avg,All frames" and p1.endswith(printed)
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] == 2752 and "protocol" in found and "01_01" in found["actions"]


@pytest.mark.parametrize(
    "config, settings, message",
    [
        ("sample", [], "starts from a pretrained encoder: give --init CHECKPOINT"),
        ("scratch", [], "no source has a folder; give one, such as --config.sources.h36m.dir"),
        ("sample_scratch", ["--config.partial_train=('tail',)"],
         "names 'tail', which the network does not have; it has: blocks_st"),
        ("sample_scratch", ["--config.model.dim_in=4"], "dim_in is 4; it must be 3, or 2"),
        ("sample_scratch", ["--config.sources.sample.dir=sample:motion3d"],
         "has no keypoints in its records"),
        ("sample_scratch", ["--config.evaluation.dir=sample:motion3d"], "has no keypoints"),
        ("sample_scratch", ["--config.evaluation.frames=27"],
         "evaluation has clips of 27 frames, the model takes 9"),
        ("sample", ["--config.init=tiny"],
         "is an encoder of other sizes: dim_feat 96 (config: 16)"),
        ("sample", ["--config.init=no/such.bin"], "no such file"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(tmp_path, capsys, config, settings, message):
    arguments = ["finetune", "pose3d", "--config", f"configs/pose3d.py:{config}"]
    assert main([*arguments, "--workdir", str(tmp_path), *TINY, *settings]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


def test_an_evaluation_without_data_or_with_other_joints_is_refused(tmp_path, capsys):
    arguments = ["evaluate", "pose3d", "--config", "configs/pose3d.py:finetune"]
    assert main([*arguments, "--checkpoint", "tiny"]) == 1
    assert "give --config.evaluation.dir=DATASET" in capsys.readouterr().err
    task = configuration.load("configs/pose3d.py:sample_scratch", [*TINY])
    assert set(pose3d.make_task(task).data_index()["evaluation"]) == {"test"}
    task.model.num_joints = 15
    with pytest.raises(ValueError, match="num_joints is 15; the corpora have 17"):
        pose3d.make_task(task)


def test_the_reader_of_tests_is_like_a_prepared_one():
    made = Reader(records(3))
    sample = evaluation.open_pairs("sample:pairs", "test")
    assert set(made[0]) <= set(sample[0])


@pytest.mark.slow
def test_two_processes_give_the_errors_of_one(pretrained, tmp_path):
    """Real processes over loopback, each reading the 2D of its own rows."""
    arguments = ["evaluate", "pose3d", *SAMPLE, "--checkpoint", str(pretrained), *TINY]
    assert main([*arguments, "--out", str(tmp_path / "one")]) == 0
    launch = ROOT / "launch/local.py"
    command = [sys.executable, str(launch), "--processes", "2", "--", *arguments]
    result = subprocess.run(
        [*command, "--out", str(tmp_path / "two")], capture_output=True, text=True, check=True,
        cwd=launch.parents[1],
    )  # fmt: skip
    assert result.stdout.count("P1  MPJPE") == 1, "one process speaks"
    with np.load(tmp_path / "one/errors.npz") as one, np.load(tmp_path / "two/errors.npz") as two:
        for name in one.files:
            if one[name].dtype.kind == "f":
                # float32 sums in the network, in blocks of another size
                np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-3)
            else:
                np.testing.assert_array_equal(one[name], two[name])
