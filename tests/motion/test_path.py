"""The root's path from the picture, and what planted feet do to it."""

import numpy as np
import pytest

from mbjax.motion import path
from mbjax.pose.skeleton import INDEX, root_relative
from tests.recipes.walking import FPS, seen, walker

ANKLES = [INDEX["lankle"], INDEX["rankle"]]


def test_a_walk_across_the_picture_comes_back_exactly():
    pose, _ = walker(60)
    keypoints = seen(pose)
    keypoints[20:23, :, 2] = 0  # nobody seen; x, y mean nothing
    keypoints[20:23, :, :2] = np.nan
    scale = path.metres_per_pixel(root_relative(pose), keypoints, FPS)
    np.testing.assert_allclose(scale, 1 / 200, rtol=1e-9)
    root = path.in_the_picture(root_relative(pose), keypoints, scale, np.array([640.0, 360.0]))
    np.testing.assert_allclose(root, pose[:, 0], atol=1e-9)  # the walk has constant speed


def test_scale_follows_someone_who_comes_nearer():
    pose, _ = walker(240, (0, 0, 1.0))
    pixels = np.linspace(150, 300, 240)
    keypoints = seen(pose)
    keypoints[..., :2] = root_relative(pose)[..., :2] * [1, -1] * pixels[:, None, None] + 500
    scale = path.metres_per_pixel(root_relative(pose), keypoints, FPS)
    # But for the ends, where the smoothing has one side alone.
    np.testing.assert_allclose(scale[30:-30], 1 / pixels[30:-30], rtol=0.005)


def test_nothing_seen_is_said():
    pose, _ = walker(5)
    keypoints = seen(pose)
    keypoints[..., 2] = 0
    with pytest.raises(ValueError, match="4 visible joints"):
        path.metres_per_pixel(root_relative(pose), keypoints, FPS)


@pytest.mark.parametrize("way", [(1.0, 0, 0), (0.6, 0, 0.8), (0, 0, -1.0)])
def test_planted_feet_lead_the_path_into_the_picture(way):
    """z is not given at all, and comes from the feet; x and y are noisy and become less so."""
    pose, planted = walker(90, way)
    rng = np.random.default_rng(0)
    given = pose[:, 0] * [1, 1, 0] + rng.normal(0, 0.01, (90, 3)) * [1, 1, 0]
    relative = root_relative(pose)[:, ANKLES]
    held = path.held_by_feet(given, relative, planted, FPS)
    far = np.ptp(pose[:, 0, 2])
    error = held - pose[:, 0]
    error[:, 2] -= error[:, 2].mean()
    assert np.abs(error[:, 2]).max() < 0.25 * far + 0.01  # pulled to z = 0 a little
    assert error[:, :2].std() < given[:, :2].std() and error[:, :2].std() < 0.01
    both = planted[1:] & planted[:-1]

    def slide(root):
        steps = np.diff(root[:, None] + relative, axis=0)[..., [0, 2]]
        return np.linalg.norm(steps, axis=-1)[both].mean()

    assert slide(held) < 0.2 * slide(given)


def test_depth_that_is_known_is_kept():
    pose, planted = walker(90, (0, 0, 1.0))
    wrong = root_relative(pose)[:, ANKLES] * [1, 1, 0.7]  # feet that step too short
    known = path.held_by_feet(pose[:, 0], wrong, planted, FPS, depth_known=True)
    unknown = path.held_by_feet(pose[:, 0] * [1, 1, 0], wrong, planted, FPS)
    assert np.ptp(known[:, 2]) > 0.9 * np.ptp(pose[:, 0, 2]) > 1.2 * np.ptp(unknown[:, 2])


def test_one_or_two_frames():
    for frames in (1, 2):
        root = np.ones((frames, 3))
        np.testing.assert_array_equal(
            path.held_by_feet(root, np.zeros((frames, 2, 3)), np.ones((frames, 2), bool), FPS), root
        )
