"""Arrays of 17 joints: clips in camera axes, splits by name, and what is no motion of a body."""

import re

import numpy as np
import pytest

from data_prep import mocap
from data_prep.corpora import joints
from mbjax.pose.skeleton import INDEX, PARENTS, limb_lengths
from tests.recipes.corpora import run

UNITS = 0.298


def motion(frames, seed=0):
    """(frames, 17, 3) metres, y up: a body of 0.25 m bones that walks and turns its limbs."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / 60
    pose = np.zeros((frames, 17, 3))
    pose[:, 0] = [0, 1, 0] + t * [1, 0, 0]
    for joint, parent in enumerate(PARENTS):
        if joint:
            angles = rng.uniform(0, 6, 2) + 0.5 * np.sin(t + rng.uniform(0, 6, 2))
            tilt, turn = angles.T
            way = [np.sin(tilt) * np.cos(turn), np.cos(tilt), np.sin(tilt) * np.sin(turn)]
            pose[:, joint] = pose[:, parent] + 0.25 * np.stack(way, axis=-1)
    return pose


def test_one_npz_of_many_recordings(tmp_path):
    walk, kick = motion(30), motion(30, seed=1)
    np.savez(tmp_path / "all.npz", **{"train/walk_1": walk, "train/kick_1": kick, "test/run": walk})
    result = run(joints.Joints, tmp_path, frames=12, stride=9)
    assert not result.left_out
    train, test = result.records["train"], result.records["test"]
    assert [(r["source"], r["first_frame"]) for r in train] == [
        (name, frame) for name in ("train/walk_1", "train/kick_1") for frame in (0, 9, 18)
    ]
    assert [(r["source"], r["first_frame"]) for r in test] == [("test/run", f) for f in (0, 12, 18)]
    # y up becomes y down, and the other axes turn so that left stays left: a proper rotation.
    expected = walk[9:21] * [1, -1, -1] * UNITS
    expected[..., [0, 2]] -= expected[:, 0, [0, 2]].mean(axis=0)[None, None]
    np.testing.assert_allclose(train[1]["pose"], expected, atol=1e-6)  # float32 of a metre

    other = run(joints.Joints, tmp_path, frames=12, stride=9, test="kick*", train="walk*")
    assert {r["source"] for r in other.records["train"]} == {"train/walk_1"}
    assert {r["source"] for r in other.records["test"]} == {"train/kick_1"}


def test_rare_recordings_come_several_times_where_they_train(tmp_path):
    arrays = {f"train/{name}": motion(30, seed) for seed, name in enumerate(("walk", "jump_1"))}
    np.savez(tmp_path / "all.npz", **arrays, **{"test/jump_2": motion(30)})
    plain = run(joints.Joints, tmp_path, frames=12, stride=9)
    result = run(joints.Joints, tmp_path, frames=12, stride=9, repeat="jump*:3,*:1")
    train = result.records["train"]
    names = [f"train/jump_1{again}" for again in ("", "_again1", "_again2")]
    assert {r["source"] for r in train} == {"train/walk", *names}
    copies = [[r["pose"] for r in train if r["source"] == name] for name in names]
    once = [r["pose"] for r in plain.records["train"] if r["source"] == names[0]]
    for copy in copies:
        np.testing.assert_array_equal(copy, once)
    assert [r["source"] for r in result.records["test"]] == ["test/jump_2"] * 3


@pytest.mark.parametrize("wrong", ["jump*", "jump*:0", "jump*:2.5", ":3", "jump*:-1", "a:2,b:x"])
def test_a_repeat_that_is_none_is_told(tmp_path, wrong):
    np.savez(tmp_path / "all.npz", walk=motion(30))
    with pytest.raises(ValueError, match="--repeat has .*PATTERN:TIMES is wanted"):
        run(joints.Joints, tmp_path, repeat=wrong)


@pytest.mark.parametrize("up", list(mocap.UP))
def test_axes_and_units_and_rates(tmp_path, up):
    to_camera = mocap.UP[up]
    assert np.linalg.det(to_camera) == pytest.approx(1), "no mirror image"
    pose = motion(61)
    in_camera = pose * [1, -1, -1]
    np.save(tmp_path / "one.npy", in_camera @ to_camera * 1000)
    options = {"frames": 30, "fps": 30.0, "metres_per_unit": 0.001, "up": up}
    (record,) = run(joints.Joints, tmp_path, **options).records["train"]
    assert record["source"] == "one" and record["fps"] == 30
    expected = in_camera[::2][:30] * UNITS
    expected[..., [0, 2]] -= expected[:, 0, [0, 2]].mean(axis=0)[None, None]
    np.testing.assert_allclose(record["pose"], expected, atol=1e-6)


def test_what_no_body_does_is_left_out(tmp_path):
    jumps, shakes = motion(40), motion(40, seed=2)
    jumps[21:, INDEX["rwrist"]] += 0.4  # one step: led over
    shakes[20:24, INDEX["lankle"]] += np.array([[0.4], [-0.4], [0.4], [-0.4]])
    np.savez(tmp_path / "all.npz", jumps=jumps, shakes=shakes)
    result = run(joints.Joints, tmp_path, frames=10, stride=10)
    assert result.notes["single-frame jump of a joint interpolated over"] == 1
    left = {where for _, where, why, _ in result.left_out if "as no body can" in why}
    assert left and all(where.startswith("shakes") for where in left)
    sources = [r["source"] for r in result.records["train"]]
    assert sources.count("jumps") == 4 and 1 <= sources.count("shakes") <= 3


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((5, 16, 3)), r"\(frames, 17, 3\) was wanted"),
        (motion(5) * 1000, "metres-per-unit"),
        (np.where(np.arange(5)[:, None, None] == 2, np.nan, motion(5)), "not a number"),
        (motion(5).astype(str), "numbers were wanted"),
    ],
)
def test_bad_arrays_are_left_out_with_their_reason(tmp_path, array, why):
    np.savez(tmp_path / "a.npz", good=motion(12), bad=array)
    result = run(joints.Joints, tmp_path, frames=5, stride=5)
    ((_, where, reason, _),) = result.left_out
    assert where == "bad"
    assert re.search(why, reason)
    assert len(result.records["train"]) == 2


def test_a_body_is_told_by_its_bones():
    assert limb_lengths(motion(3)).sum(axis=-1) == pytest.approx(4.0)
