"""Planted feet do not slide, legs keep their lengths, and nothing jumps."""

import numpy as np

from mbjax.motion import foot_lock, one_skeleton
from mbjax.motion.motion import stature
from mbjax.pose.skeleton import INDEX, limb_lengths
from tests.recipes.walking import ANKLE, FPS, walker

ANKLES = [INDEX["lankle"], INDEX["rankle"]]


def sliding_walker():
    """A walker whose feet go 2 mm a frame where they should stand."""
    pose, planted = walker(90)
    slid = pose + 0.002 * np.arange(90)[:, None, None] * np.array([-1.0, 0, 0])
    return pose, slid, planted


def test_planted_feet_stand_still_on_the_floor():
    _, slid, planted = sliding_walker()
    slid[..., 1] += 0.01
    height = stature(slid)
    locked = foot_lock.lock(slid, planted, FPS, height)
    both = planted[1:] & planted[:-1]
    steps = np.linalg.norm(np.diff(locked[:, ANKLES], axis=0), axis=-1)[both]
    before = np.linalg.norm(np.diff(slid[:, ANKLES], axis=0), axis=-1)[both]
    assert before.mean() > 0.0019 and np.median(steps) < 1e-9  # where the leg is long enough
    np.testing.assert_allclose(limb_lengths(locked), limb_lengths(slid), atol=1e-6)
    np.testing.assert_allclose(np.median(locked[:, ANKLES, 1][planted]), 0.039 * height, atol=1e-6)
    others = [i for i in range(17) if i not in (*ANKLES, INDEX["lknee"], INDEX["rknee"])]
    np.testing.assert_array_equal(locked[:, others], slid[:, others])


def test_corrections_come_and_go_smoothly():
    _, slid, planted = sliding_walker()
    locked = foot_lock.lock(slid, planted, FPS, stature(slid))
    moved = np.linalg.norm(np.diff(locked - slid, axis=0), axis=-1)
    # 18 frames of contact make 36 mm, half to either side; they fade within 4 frames.
    assert moved.max() < 0.015


def test_walkers_who_do_not_slide_stay_as_they_are():
    pose, planted = walker(60)
    height = ANKLE / 0.039  # whose ankles stand as high as these
    np.testing.assert_allclose(foot_lock.lock(pose, planted, FPS, height), pose, atol=1e-6)


def test_straight_and_out_of_reach():
    pose, _ = walker(4)
    pose[:, INDEX["lknee"]] = pose[:, INDEX["lhip"]] - [0, 0.42, 0]
    pose[:, INDEX["lankle"]] = pose[:, INDEX["lhip"]] - [0, 0.83, 0]
    pose[2:] += [1.0, 0, 0]  # a jump that no leg follows
    locked = foot_lock.lock(pose, np.ones((4, 2), bool), FPS, 1.7)
    assert np.isfinite(locked).all()
    np.testing.assert_allclose(
        one_skeleton.bone_lengths(locked), one_skeleton.bone_lengths(pose), atol=1e-6
    )
