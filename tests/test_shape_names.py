"""Array names state shapes; here they are held against the arrays, in every function that runs."""

import pathlib

import jax
import numpy as np
import pytest

import mbjax
from mbjax import cli, configuration
from mbjax.devices import sharding
from mbjax.speed import one_source
from mbjax.training.step import prepared
from tests.recipes import shape_names

PACKAGE = pathlib.Path(mbjax.__file__).parent
SIZES = ("dim_feat=24", "dim_rep=28", "depth=1", "num_heads=2")


def test_names_and_what_is_found():
    assert shape_names.stated("pose_BxTxJx3") == ["B", "T", "J", "3"]
    assert shape_names.stated("steps_per_epoch") is shape_names.stated("angle_90") is None
    ones = np.ones
    right = {"a_BxTx3": ones((2, 5, 3)), "b_TxB": ones((5, 2)), "n_T": 5}
    assert shape_names.breaches_of(right) == []
    for wrong in (ones((5, 3)), ones((5, 1)), ones((2, 5, 1))):
        assert shape_names.breaches_of({**right, "b_TxB": wrong})


def test_a_planted_breach_is_found():
    def planted(pose_TxJx3):
        turned_JxTx3 = pose_TxJx3  # not turned
        return turned_JxTx3

    with shape_names.watched(pathlib.Path(__file__)) as found:
        planted(np.ones((4, 17, 3)))
    assert list(found) == ["test_shape_names.py: planted"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    ["pretrain:mb_lite", "pose3d:scratch", "action:ntu60_xsub", "oneshot:ntu120", "mesh:pw3d",
     "mesh:refine_hybrik"],
)  # fmt: skip
def test_training_steps(recipe):
    config = configuration.load(recipe, [f"--config.model.{one}" for one in SIZES])
    if "hidden" in config.get("head", {}):
        config.head.hidden = 40
    source = one_source.OneSource(config, frames=9, made_up=True)
    run = prepared(source.task(4), source.settings(), sharding.make_mesh(1, jax.devices()[:1]))
    with shape_names.watched(PACKAGE) as found:
        run.steps[source.name].lower(run.abstract, source.batch_shapes(4))
    assert found == {}


@pytest.mark.slow
def test_lifting_and_its_files(tmp_path):
    keypoints_TxJx3 = np.concatenate(
        [
            np.random.default_rng(0).uniform(200, 400, (31, 17, 2)).cumsum(0) / 40,
            np.ones((31, 17, 1)),
        ],
        axis=-1,
    )
    np.save(tmp_path / "kp.npy", keypoints_TxJx3)
    with shape_names.watched(PACKAGE) as found:
        status = cli.main(
            ["infer", "--checkpoint", "tiny", "--keypoints", str(tmp_path / "kp.npy"), "--layout",
             "coco17", "--height", "1.7", "--fps", "30", "--out", str(tmp_path / "out"),
             "--smooth", "6", "--picture", "png", "--body", "synthetic"]
        )  # fmt: skip
    assert status == 0 and found == {}


@pytest.mark.slow
def test_evaluation(tmp_path):
    with shape_names.watched(PACKAGE) as found:
        status = cli.main(
            ["evaluate", "--config", "pretrain:tiny_long", "--checkpoint", "tiny",
             "--config.evaluation.frames=9", "--config.evaluation.frame_step=48",
             "--config.evaluation.yaws=(0.0,)", "--out", str(tmp_path)]
        )  # fmt: skip
    assert status == 0 and found == {}
