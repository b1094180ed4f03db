"""Trunks of another length beside the legs: measured, scaled and scaled back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.pose import proportions, skeleton

_TRUNK = [skeleton.INDEX[name] for name in ("belly", "neck", "nose", "head")]
# Bones that change, by the place in LIMBS of the joint that they end at.
_CHANGED = [limb for limb, (_, joint) in enumerate(skeleton.LIMBS) if joint in _TRUNK]
_KEPT = [limb for limb in range(16) if limb not in _CHANGED]


def _motion(seed=0, frames=7):
    return np.random.default_rng(seed).normal(size=(frames, 17, 3))


def _standing():
    """One frame, metres: a trunk of 0.5, neck and head of 0.2, legs of 0.8."""
    pose_Jx3 = np.zeros((17, 3))
    for names, x, y in (
        ("belly", 0, 0.25), ("neck", 0, 0.5), ("nose", 0, 0.6), ("head", 0, 0.7),
        ("lhip", 0.1, 0), ("lknee", 0.1, -0.4), ("lankle", 0.1, -0.8),
        ("rhip", -0.1, 0), ("rknee", -0.1, -0.4), ("rankle", -0.1, -0.8),
        ("lshoulder", 0.2, 0.5), ("lelbow", 0.2, 0.2), ("lwrist", 0.2, 0),
        ("rshoulder", -0.2, 0.5), ("relbow", -0.2, 0.2), ("rwrist", -0.2, 0),
    ):  # fmt: skip
        pose_Jx3[skeleton.INDEX[names], :2] = x, y
    return np.tile(pose_Jx3, (6, 1, 1))


def test_proportions_are_of_lengths_by_hand_whatever_the_size_and_the_view():
    standing = _standing()
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    for pose_TxJx3 in (standing, 170 * standing, standing @ turn):
        # (0.5 + 0.2) / 0.8, in float64.
        assert proportions.trunk_per_leg(pose_TxJx3) == pytest.approx(0.875, rel=1e-9)
    standing[0, skeleton.INDEX["head"]] += 5  # one frame in which the detector was wrong
    assert proportions.trunk_per_leg(standing) == pytest.approx(0.875, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.4, 2.5))
def test_trunk_and_head_are_scaled_and_nothing_else_and_back_again(seed, by):
    motion = _motion(seed)
    scaled = proportions.scale_trunk(motion, by)
    before, after = skeleton.limb_lengths(motion), skeleton.limb_lengths(scaled)
    # float64 of order 1.
    np.testing.assert_allclose(after[:, _CHANGED], by * before[:, _CHANGED], rtol=1e-9)
    np.testing.assert_allclose(after[:, _KEPT], before[:, _KEPT], rtol=1e-9)
    np.testing.assert_allclose(proportions.scale_trunk(scaled, 1 / by), motion, atol=1e-12)
    # What a far camera sees of the scaled motion is what it saw, scaled.
    np.testing.assert_allclose(
        proportions.scale_trunk(motion[..., :2], by), scaled[..., :2], atol=1e-12
    )


def test_what_was_in_no_frame_stays_masked():
    x_TxJx3 = _motion().astype(np.float32)
    x_TxJx3[:, skeleton.INDEX["lwrist"]] = 0
    scaled = proportions.scale_trunk_seen(x_TxJx3, 1.5)
    assert not scaled[:, skeleton.INDEX["lwrist"]].any() and scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled[..., 2], x_TxJx3[..., 2])
    assert np.abs(scaled - x_TxJx3)[:, skeleton.INDEX["rwrist"], :2].min() > 0


def _seen(pose_TxJx3):
    """What a camera in front sees: x, y and confidence 1."""
    return np.concatenate([pose_TxJx3[..., :2], np.ones((*pose_TxJx3.shape[:2], 1))], axis=-1)


def test_a_factor_is_told_beyond_a_tenth_alone_and_where_trunk_and_legs_are_seen():
    standing = _standing()
    for by, expected in ((1.5, 1.5), (0.7, 0.7), (1.08, 1.0), (0.93, 1.0), (1.0, 1.0), (3.0, 1.0)):
        scaled = proportions.scale_trunk(standing, by)
        found = proportions.factor(scaled, _seen(scaled), 0.875)
        assert found == pytest.approx(expected, rel=1e-9)
    long = proportions.scale_trunk(standing, 1.5)
    for joint, changes in (("lankle", False), ("head", False), ("lwrist", True)):
        x_TxJx3 = _seen(long)
        x_TxJx3[1:, skeleton.INDEX[joint], 2] = 0.1  # in one frame it is seen
        assert (proportions.factor(long, x_TxJx3, 0.875) != 1) == changes
    assert proportions.factor(np.zeros((6, 17, 3)), _seen(standing), 0.875) == 1  # no legs at all


def test_picture_and_poses_have_to_agree_and_their_mean_counts():
    """Somebody who sits: thighs towards the camera look short, and are lifted as long as they are.
    A trunk that is lifted longer than it looks: between both."""
    sits = _standing()
    for side in "lr":
        knee, ankle = (skeleton.INDEX[side + name] for name in ("knee", "ankle"))
        sits[:, knee, 1:] = 0, -0.4
        sits[:, ankle, 1:] = -0.4, -0.4
    assert proportions.trunk_per_leg(sits) == pytest.approx(0.875, rel=1e-9)
    assert proportions.trunk_per_leg_seen(sits[..., :2]) == pytest.approx(1.75, rel=1e-9)
    assert proportions.factor(sits, _seen(sits), 0.875) == 1
    standing = _standing()
    lifted, looks = (proportions.scale_trunk(standing, by) for by in (0.8, 0.5))
    assert proportions.factor(lifted, _seen(looks), 0.875) == pytest.approx(0.4**0.5, rel=1e-9)
    looks = proportions.scale_trunk(standing, 1.5)
    assert proportions.factor(lifted, _seen(looks), 0.875) == 1
