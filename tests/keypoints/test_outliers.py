"""Keypoints that cannot be the person's are found; those that can be stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.keypoints import outliers
from mbjax.keypoints.layouts import LAYOUTS
from mbjax.pose.skeleton import INDEX, JOINTS
from tests.recipes.keypoints import keypoints
from tests.recipes.lifting import smooth_keypoints


@given(st.integers(0, 16), st.integers(1, 38), st.floats(0.01, 1), st.floats(0, 6.3))
@settings(max_examples=60, deadline=None)
def test_one_wild_keypoint_is_found_and_no_other(joint, frame, confidence, angle):
    points = smooth_keypoints(40)
    away = 600 * np.array([np.cos(angle), np.sin(angle)])  # three times the body
    points[frame, joint] = [*(points[frame, joint, :2] + away), confidence]
    found = outliers.find(points, JOINTS)
    assert [(one.row, one.keypoint) for one in found] == [(frame, joint)]
    assert 400 < found[0].away < 800
    cleared = outliers.without(points, found)
    assert cleared[frame, joint, 2] == 0 and points[frame, joint, 2] == confidence


def test_a_hip_need_not_be_far_to_be_wild_and_less_so_without_confidence():
    """A hip 160 px aside of a body of 180 px: no hip jumps so. A wrist does."""
    points = smooth_keypoints(40)
    for name, confidence, count in (("rhip", 0.9, 1), ("rwrist", 0.9, 0), ("rwrist", 0.01, 1)):
        moved = points.copy()
        moved[20, INDEX[name], 0] += 160
        moved[20, INDEX[name], 2] = confidence
        assert len(outliers.find(moved, JOINTS)) == count, name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_wild_in_a_plain_motion(layout):
    points = keypoints(layout)
    points[points[..., 0] == 0] = 0  # what this body lacks
    assert outliers.find(points, LAYOUTS[layout].names) == []
    fast = smooth_keypoints(60)
    fast[:, INDEX["rwrist"], 0] += 90 * np.sin(np.arange(60))  # out and back in 6 frames
    fast[..., 0] += 40 * np.arange(60)[:, None]  # running
    assert outliers.find(fast, JOINTS) == []
    assert outliers.find(fast[:1], JOINTS) == []


@pytest.mark.parametrize("layout", ["coco17", "mediapipe33", "halpe26"])
@pytest.mark.parametrize("confidence", [0.5, 1.0])
def test_hips_stay_where_legs_are_hidden(layout, confidence):
    """Somebody at a desk, of whom most keypoints are of face and hands."""
    points, names = keypoints(layout), LAYOUTS[layout].names
    points[..., 2] = np.where(points[..., 0] == 0, 0, 1)
    legs = ("knee", "ankle", "heel", "toe", "foot")
    points[:, [any(part in name for part in legs) for name in names], 2] = 0
    points[:, [name in ("lhip", "rhip") for name in names], 2] *= confidence
    assert outliers.find(points, names) == []


def test_several_at_once_and_too_few_to_tell():
    points = smooth_keypoints(40)
    points[10:12, [3, 6], :2] += 3000
    points[:, 5, 2] = 0
    found = outliers.find(points, JOINTS)
    assert {(one.row, one.keypoint) for one in found} == {(10, 3), (10, 6), (11, 3), (11, 6)}
    text = outliers.describe(found, np.arange(100, 140), JOINTS)
    assert text.startswith("frame 110: rankle ") and text.count("px from the body") == 3
    assert text.endswith(" and 1 more keypoints: taken as not seen")
    points[:, 3:, 2] = 0
    assert outliers.find(points, JOINTS) == []
