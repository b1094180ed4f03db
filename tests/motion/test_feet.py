"""Feet: when they are planted, where the floor is, which way they point."""

import numpy as np
import pytest

from mbjax.motion import feet
from mbjax.motion.motion import stature
from mbjax.pose.skeleton import INDEX
from tests.recipes.walking import ANKLE, FPS, walker

ANKLES = [INDEX["lankle"], INDEX["rankle"]]


def test_contacts_of_a_walk_are_found():
    pose, truth = walker(150)
    noise = np.random.default_rng(0).normal(0, 0.004, (150, 2, 3))
    found = feet.planted(pose[:, ANKLES] + noise, FPS, stature(pose))
    # A foot that is set down or lifted is slow at first: three frames at either end may differ.
    assert (found == truth).mean() > 0.8 and (found & truth).sum() / truth.sum() > 0.95


def test_nobody_stands_who_flies():
    pose, _ = walker(60)
    flying = pose + np.linspace(0, 3, 60)[:, None, None] * np.array([1.0, 0, 0])
    assert not feet.planted(flying[:, ANKLES], FPS, 1.7).all(1).any()
    assert feet.planted(pose[:2, ANKLES], FPS, 1.7).all()  # too short to tell


def test_the_floor_is_the_lowest_that_is_stood_on():
    pose, planted = walker(150)
    heights = pose[:, ANKLES, 1].copy()
    heights[:60] += 3.0  # from a roof
    heights[70, 0] -= 0.4  # one wild frame
    assert feet.floor_height(heights, planted) == pytest.approx(ANKLE, abs=1e-6)
    # Of somebody who never stands, what is lowest but for a twentieth.
    none = np.zeros_like(planted)
    assert feet.floor_height(pose[:, ANKLES, 1], none) == pytest.approx(ANKLE, abs=1e-3)


@pytest.mark.parametrize("way", [(1.0, 0, 0), (0, 0, 1.0), (-0.6, 0, 0.8)])
def test_derived_feet_point_where_the_pelvis_faces(way):
    pose, _ = walker(30, way)
    turns = feet.directions(pose)
    np.testing.assert_allclose(turns @ turns.swapaxes(-1, -2), np.tile(np.eye(3), (30, 2, 1, 1)),
                               atol=1e-9)  # fmt: skip
    assert np.linalg.det(turns) == pytest.approx(1)
    shin = pose[:, INDEX["lknee"]] - pose[:, INDEX["lankle"]]
    shin /= np.linalg.norm(shin, axis=-1, keepdims=True)
    np.testing.assert_allclose(turns[:, 0, :, 1], shin, atol=1e-9)  # a right angle to the shin
    assert (turns[..., 2] @ np.array(way)).min() > 0.5


def test_seen_feet_point_as_in_the_picture():
    """A foot turned out by a known angle, seen with its own length: into the picture too."""
    pose, _ = walker(30, (0, 0, 1.0))
    derived = feet.directions(pose)
    length = feet.FOOT_LENGTH * 1.7
    angle = np.radians(30)
    seen = np.zeros((30, 4, 3))
    seen[..., 2] = 0.9
    seen[:, 0, 0] = 100 + length * np.sin(angle) / 0.005  # left toe to the person's left
    seen[:, 1, 0] = 100
    seen[:, 2, 2] = 0.0  # the right toe is not seen
    turns = feet.seen_directions(derived, seen, np.full(30, 0.005), 1.7)
    expected = [np.sin(angle), 0, np.cos(angle)]
    np.testing.assert_allclose(turns[:, 0, :, 2], np.tile(expected, (30, 1)), atol=1e-9)
    np.testing.assert_allclose(turns[:, 1], derived[:, 1], atol=1e-9)


def test_planted_feet_lie_on_the_floor():
    pose, planted = walker(90)
    turns = feet.settled(feet.directions(pose), pose[:, ANKLES], planted, FPS, stature(pose))
    soles = feet.points(pose, turns, stature(pose))
    inner = planted.copy()
    inner[1:] &= planted[:-1]
    inner[:-1] &= planted[1:]
    for _ in range(2):  # two frames from where it is lifted
        inner[1:] &= inner[:-1].copy()
        inner[:-1] &= inner[1:].copy()
    both = soles.reshape(len(pose), 2, 2, 3)[inner]
    assert np.ptp(both[:, :, 1], axis=1).max() < 0.02  # toe as high as heel
    assert soles[..., 1].min() > -0.03


def test_a_floor_that_climbs_is_found_and_another_level_is_not():
    pose, planted = walker(150)
    climb = 0.4 * np.arange(150) / FPS  # 40 cm/s, as of a walk away from a camera that looks down
    heights = pose[:, ANKLES, 1] + climb[:, None]
    drift = feet.floor_drift(heights, planted, FPS)
    flat = (heights - drift[:, None])[planted]
    assert (
        np.ptp(heights[planted]) > 1.5 and np.quantile(np.abs(flat - np.median(flat)), 0.9) < 0.15
    )
    heights = pose[:, ANKLES, 1].copy()
    heights[:60] += 2.0  # from a roof
    planted[55:65] = False
    np.testing.assert_allclose(feet.floor_drift(heights, planted, FPS), 0, atol=0.01)
    np.testing.assert_array_equal(feet.floor_drift(heights, planted & False, FPS), np.zeros(150))
