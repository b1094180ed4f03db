"""Persons of known size before a camera of known intrinsics."""

import numpy as np
import pytest

import mbjax
from mbjax.lifting import lift as infer
from mbjax.lifting.camera import place
from mbjax.motion.motion import stature
from tests.recipes.lifting import REST, Follows, make_model, smooth_keypoints

INTRINSICS = (1000.0, 1100.0, 640.0, 360.0)
FRAMES = 90


def walk(frames=FRAMES):
    """(T, 17, 3) metres in the camera's space: somebody who passes and walks away, 4 to 6 m off."""
    rng = np.random.default_rng(0)
    pose = np.concatenate([REST / 100, 0.1 * rng.normal(size=(17, 1))], axis=1)
    t = np.linspace(0, 1, frames)
    path = np.stack([2 * t - 1, 0.1 * np.sin(6 * t), 4 + 2 * t], axis=-1)
    return (pose - pose[0]) + path[:, None]


def project(world, noise=0.0):
    xy = world[..., :2] / world[..., 2:] * INTRINSICS[:2] + INTRINSICS[2:]
    xy = xy + np.random.default_rng(1).normal(0, 1, xy.shape) * noise
    return np.concatenate([xy, np.full((*xy.shape[:2], 1), 0.9)], axis=-1)


@pytest.mark.parametrize("frames", [1, 2, 3, FRAMES])
def test_a_true_pose_is_placed_where_it_was(frames):
    world = walk()[:frames]
    found = place(world - world[:, :1] + 7, project(world), INTRINSICS, 30)
    # What is left is the path's own bend, which smoothing flattens a little.
    np.testing.assert_allclose(found, world, atol=1e-3)


def test_missed_frames_and_noise():
    world = walk()
    points = project(world, noise=3)
    points[40:50] = 0
    points[:, 5, :2], points[:, 5, 2] = np.nan, 0  # a joint that no frame has
    found = place(world, points, INTRINSICS, 30)
    error = np.abs(found - world)
    # 3 pixels over 17 joints place somebody 180 pixels tall to about 1 % of 5 m; neighbours help.
    assert error[..., :2].mean() < 0.01 and error[..., 2].mean() < 0.03
    assert np.linalg.norm(np.diff(found[:, 0], n=2, axis=0), axis=-1).max() * 30**2 < 5  # m/s^2


def test_a_person_twice_as_tall_is_twice_as_far():
    world = walk()
    near = place(world, project(world), INTRINSICS, 30)
    far = place(2 * world, project(world), INTRINSICS, 30)
    np.testing.assert_allclose(far, 2 * near, atol=2e-3)  # smoothing is in metres


def test_nothing_to_place_by():
    world, points = walk(3), project(walk(3))
    points[..., 2] = 0
    with pytest.raises(ValueError, match="under 4 visible joints"):
        place(world, points, INTRINSICS, 30)
    points[:, 0, 2] = points[0, 1, 2] = 0.5
    points[0, 1, 2] = 0
    points = np.concatenate([points, points])
    with pytest.raises(ValueError, match="no frame with two visible"):
        place(np.concatenate([world, world]), points, INTRINSICS, 30)


def test_lift_with_intrinsics_is_in_metres_before_the_camera():
    model = make_model()
    motion = mbjax.lift(model, smooth_keypoints(20), layout="h36m17", intrinsics=INTRINSICS, fps=30)
    (one,) = motion
    assert motion.unit == "m" and motion.placed and not motion.root_relative
    assert stature(one.pose_TxJx3) == pytest.approx(infer.ASSUMED_HEIGHT, rel=1e-5)  # float32
    assert "1.70 m assumed" in motion.notes[0] and (one.pose_TxJx3[:, 0, 2] > 1).all()
    tall = mbjax.lift(
        model, smooth_keypoints(20), layout="h36m17", intrinsics=INTRINSICS, fps=30, height=1.9
    )
    assert not tall.notes
    for more, message in (
        ({"intrinsics": (0, 1, 1, 1)}, "intrinsics are .*fx, fy, cx, cy in pixels"),
        ({"intrinsics": INTRINSICS, "pixel": (640, 480)}, "do not go with them"),
        ({"intrinsics": INTRINSICS, "reference_compat": True}, "do not go with them"),
    ):
        with pytest.raises(ValueError, match=message):
            mbjax.lift(model, smooth_keypoints(5), layout="h36m17", **more)


def test_somebody_who_comes_nearer_grows_in_the_picture_and_not_in_the_room():
    rest = smooth_keypoints(60)[:1, :, :2]
    away = np.linspace(6, 3, 60)
    points = smooth_keypoints(60)
    points[..., :2] = (rest - rest[:, :1]) * (4 / away)[:, None, None] + INTRINSICS[2:]
    motion = mbjax.lift(
        Follows(False), points, layout="h36m17", intrinsics=INTRINSICS, fps=30, window=9
    )
    pose = motion[0].pose_TxJx3
    sizes = np.ptp(pose[..., 1], axis=1)
    # Halves that half a second of smoothing has one side of alone are left out.
    assert np.ptp(sizes[15:45]) / sizes.mean() < 0.03  # of 25 % in the picture
    depth = pose[15:45, 0, 2]
    np.testing.assert_allclose(depth / depth[0], away[15:45] / away[15], rtol=0.03)
