"""Persons in one world: on the floor, where the picture has them, whatever the unit."""

import dataclasses

import numpy as np
import pytest

from mbjax.motion import world
from mbjax.motion.motion import stature
from mbjax.pose.skeleton import INDEX, limb_lengths
from tests.recipes.walking import ANKLE, FPS, motion_of, walker

ANKLES = [INDEX["lankle"], INDEX["rankle"]]


def slide(pose, planted):
    """mm a frame over the floor, of feet that stand."""
    both = planted[1:] & planted[:-1]
    steps = np.linalg.norm(np.diff(pose[:, ANKLES], axis=0)[..., [0, 2]], axis=-1)
    return 1000 * steps[both].mean()


@pytest.mark.parametrize("way", [(1.0, 0, 0), (0.8, 0, 0.6)])
def test_a_walk_stands_on_the_floor_and_goes_where_it_went(way):
    pose, planted = walker(90, way)
    one = world.of_motion(motion_of(pose)).persons[0]
    moved = pose - pose[0, 0] * [1, 0, 1]
    ankle = 0.039 * stature(pose)  # where a foot of this person has its ankle
    error = one.body_TxJx3 - moved - [0, ankle - ANKLE, 0]
    # Across the picture: contacts found a frame early or late. Into it: pulled to z = 0.
    assert np.abs(error[..., 0]).mean() < 0.02 and np.abs(error[..., 1]).mean() < 0.02
    assert np.abs(error[..., 2]).max() < 0.2 * np.ptp(pose[:, 0, 2]) + 0.05
    assert np.median(one.body_TxJx3[:, ANKLES, 1][planted]) == pytest.approx(ankle, abs=0.003)
    assert slide(one.body_TxJx3, planted) < 2
    assert one.planted_Tx2.shape == (90, 2) and (one.planted_Tx2 == planted).mean() > 0.8


def test_feet_slide_unless_they_are_held():
    pose, planted = walker(90)
    rng = np.random.default_rng(0)
    motion = motion_of(pose)
    noisy = motion[0].pose_TxJx3 + rng.normal(0, 0.01, pose.shape).astype(np.float32)
    motion = dataclasses.replace(
        motion, persons=(dataclasses.replace(motion[0], pose_TxJx3=noisy),)
    )
    free = world.of_motion(motion, lock_feet=False).persons[0].body_TxJx3
    locked = world.of_motion(motion).persons[0].body_TxJx3
    assert slide(locked, planted) < 0.5 * slide(free, planted)
    # And a low-pass takes tremble away.
    tremble = [
        np.linalg.norm(np.diff(world.of_motion(motion, hz).persons[0].joints_TxJx3, 2, axis=0))
        for hz in (None, 5.0)
    ]
    assert tremble[1] < 0.4 * tremble[0]


@pytest.mark.parametrize("unit", ["m", "normalised", "pixels"])
def test_any_unit_becomes_metres_of_a_known_or_assumed_height(unit):
    pose, _ = walker(40)
    motion = motion_of(pose, unit=unit)
    found = world.of_motion(motion)
    one = found.persons[0]
    expected = stature(pose) if unit == "m" else world.ASSUMED_HEIGHT
    assert one.height == pytest.approx(expected, rel=1e-5)
    assert stature(one.body_TxJx3) == pytest.approx(expected, rel=1e-5)
    assert bool(found.notes) == (unit != "m") and all("1.70 m assumed" in n for n in found.notes)
    np.testing.assert_allclose(np.ptp(limb_lengths(one.body_TxJx3), axis=0), 0, atol=1e-6)


def test_two_persons_keep_their_distance_in_one_space():
    first, _ = walker(60)
    second = first + [1.5, 0, 0]
    persons = world.of_motion(motion_of(first, second)).persons
    apart = persons[1].body_TxJx3[:, 0] - persons[0].body_TxJx3[:, 0]
    np.testing.assert_allclose(apart[:, [0, 2]], np.tile([1.5, 0], (60, 1)), atol=0.01)
    np.testing.assert_allclose(persons[0].body_TxJx3[0, 0, [0, 2]], 0, atol=1e-9)


def test_frames_left_out_are_interpolated():
    pose, _ = walker(60)
    motion = motion_of(pose)
    rows = np.r_[0:20, 30:60]
    one = motion[0]
    gap = dataclasses.replace(
        one, frames_T=one.frames_T[rows] + 5, pose_TxJx3=one.pose_TxJx3[rows],
        keypoints_TxJx3=one.keypoints_TxJx3[rows], confidence_TxJ=one.confidence_TxJ[rows],
        interpolated_T=one.interpolated_T[rows],
    )  # fmt: skip
    found = world.of_motion(dataclasses.replace(motion, persons=(gap,))).persons[0]
    assert list(found.frames_T) == list(range(5, 65))
    assert np.isfinite(found.body_TxJx3).all()
    whole = world.of_motion(motion).persons[0]
    np.testing.assert_allclose(found.joints_TxJx3[:, 0], whole.joints_TxJx3[:, 0], atol=0.05)


def test_a_tilted_camera_that_placed_somebody_is_levelled():
    pose, planted = walker(150, (0.6, 0, 0.8))
    angle = np.radians(6)
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    motion = motion_of(pose @ turn.T)
    placed = ((pose @ turn.T - [0, 0, 5]) * [1, -1, -1]).astype(np.float32)
    motion = dataclasses.replace(
        motion, placed=True, root_relative=False,
        persons=(dataclasses.replace(motion[0], pose_TxJx3=placed),),
    )  # fmt: skip
    one = world.of_motion(motion, lock_feet=False).persons[0]
    heights = one.body_TxJx3[:, ANKLES, 1][planted]
    tilted = placed[:, ANKLES, 1][planted]
    assert np.ptp(tilted) > 0.25 and np.ptp(heights) < 0.3 * np.ptp(tilted)


def test_one_frame_and_fps_unknown():
    pose, _ = walker(1)
    found = world.of_motion(dataclasses.replace(motion_of(pose), fps=None))
    assert found.fps == world.DEFAULT_FPS and np.isfinite(found.persons[0].body_TxJx3).all()
    assert FPS == 30


def test_somebody_of_whom_too_little_is_seen_stays_where_they_are():
    """Three joints in every frame, which lift takes: no path, and still a person on the floor."""
    pose, _ = walker(30)
    motion = motion_of(pose)
    motion[0].keypoints_TxJx3[:, 3:, 2] = 0
    one = world.of_motion(motion).persons[0]
    assert np.isfinite(one.body_TxJx3).all() and np.abs(one.body_TxJx3[:, 0, 0]).max() < 0.5
    assert np.quantile(one.body_TxJx3[..., 1], 0.01) > -0.1
