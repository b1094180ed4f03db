"""The table of motion steps: its truth, its measures, and the file of calibrated views."""

import numpy as np
import pytest

from mbjax.cli import main
from mbjax.experiments import motion_steps
from mbjax.motion.motion import stature
from mbjax.pose.skeleton import INDEX
from tests.recipes.lifting import make_model
from tests.recipes.walking import FPS, walker


def cameras(count=3):
    """intrinsics, rotation, translation of cameras round a walker, in a world with y up."""
    lens = np.array([[1000.0, 0, 640], [0, 1000, 360], [0, 0, 1]])
    rotation, translation = [], []
    for angle in np.linspace(0, 2, count):
        turn = motion_steps._about(1, angle)
        rotation.append(np.diag([1.0, -1, -1]) @ turn)
        translation.append([-0.5, 1.0, 6.0])
    return np.tile(lens, (count, 1, 1)), np.array(rotation), np.array(translation)


def seen_by(pose, lens, rotation, translation):
    """(C, T, J, 3): what each camera sees, exactly."""
    there = np.einsum("cij,tkj->ctki", rotation, pose) + translation[:, None, None]
    xy = (np.einsum("cij,ctkj->ctki", lens, there) / there[..., 2:])[..., :2]
    return np.concatenate([xy, np.full((*xy.shape[:3], 1), 0.9)], axis=-1)


@pytest.fixture
def views_file(tmp_path):
    pose, _ = walker(40)
    lens, rotation, translation = cameras()
    np.savez(
        tmp_path / "views.npz", keypoints=seen_by(pose, lens, rotation, translation), fps=FPS,
        layout="h36m17", intrinsics=lens, rotation=rotation, translation=translation, up=[0, 1, 0],
    )  # fmt: skip
    return tmp_path / "views.npz"


def test_triangulation_finds_the_points_and_withstands_one_bad_view():
    pose, _ = walker(10)
    lens, rotation, translation = cameras(4)
    points = seen_by(pose, lens, rotation, translation)
    projections = lens @ np.concatenate([rotation, translation[..., None]], axis=-1)
    np.testing.assert_allclose(motion_steps.triangulate(points, projections), pose, atol=1e-9)
    points[2, :, INDEX["lwrist"], 0] += 200  # pixels: 1.2 m
    off = np.linalg.norm(motion_steps.triangulate(points, projections) - pose, axis=-1)
    assert off.max() < 0.05


def test_measures_of_the_truth_itself_and_of_known_errors(views_file):
    pose, planted = walker(40)
    view = motion_steps.views_of_file(views_file)[0]
    height = stature(pose)
    own = motion_steps.measures(view.truth_TxJx3, view, height)
    # The low-pass that triangulated points go through rounds off steps by some mm.
    for name in ("mpjpe", "turned", "legs", "across", "depth"):
        assert own[name] == pytest.approx(0, abs=1e-3), name
    assert (view.planted_Tx2 == planted).mean() > 0.8
    slid = view.truth_TxJx3 + 0.01 * np.arange(40)[:, None, None] * np.array([0, 0, 1.0])
    found = motion_steps.measures(slid, view, height)
    # 10 mm a frame; about the mean of 40 frames that is 100 mm on average.
    assert found["slide"] == pytest.approx(10, abs=2) and found["depth"] == pytest.approx(100)


def test_steps_of_a_view(views_file):
    view = motion_steps.views_of_file(views_file)[1]
    table = motion_steps.steps(make_model(), view, None, 6.0)
    assert len(table) == 8
    for row in table.values():
        assert set(row) == set(motion_steps.MEASURES) and np.isfinite(list(row.values())).all()
    names = list(table)
    # Random weights; half a metre of walk is what the origin is off.
    assert table[names[0]]["across"] > 3 * table[names[4]]["across"]
    assert table[names[4]]["legs"] < 1e-3 < table[names[1]]["legs"]


def test_the_sample_before_its_cameras():
    views = motion_steps.views_of_sample()
    assert len({view.name for view in views}) == len(views) and len(views) % 3 == 0
    for view in views:
        x, y = np.moveaxis(view.keypoints_TxKx3[..., :2], -1, 0)
        assert (view.truth_TxJx3[..., 2] < -1).all()  # before the camera
        assert 0 < np.median(x) < 1920 and 0 < np.median(y) < 1080
        assert view.planted_Tx2.any(0).all()


def test_command(views_file, capsys, tmp_path):
    assert main(["motion-steps", "--checkpoint", "tiny", "--views", str(views_file)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 views, 120 frames") and "+ feet locked (the default)" in out
    np.savez(tmp_path / "bad.npz", keypoints=np.zeros((1, 2, 17, 3)), fps=30)
    arguments = ["motion-steps", "--checkpoint", "tiny", "--views", str(tmp_path / "bad.npz")]
    assert main(arguments) == 1
    assert "no intrinsics, layout, rotation, translation, up in it" in capsys.readouterr().err
