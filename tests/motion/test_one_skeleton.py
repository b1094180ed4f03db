"""Bones of one length: lengths robust and symmetric, directions kept, sizes that change."""

import numpy as np
import pytest

from mbjax.motion import one_skeleton
from mbjax.motion.motion import stature
from mbjax.pose.skeleton import INDEX, LIMBS, MIRROR, limb_lengths
from tests.recipes.walking import walker


def directions(pose):
    bones = np.stack([pose[:, joint] - pose[:, parent] for parent, joint in LIMBS], axis=1)
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def test_left_is_as_long_as_right_in_every_frame_and_points_as_before():
    pose, _ = walker()
    nearer = np.array(pose)
    nearer[:, INDEX["lknee"]] += 0.1 * (pose[:, INDEX["lknee"]] - pose[:, INDEX["lhip"]])
    nearer[:, INDEX["lankle"]] += nearer[:, INDEX["lknee"]] - pose[:, INDEX["lknee"]]
    left, right = one_skeleton.leg_lengths(nearer)
    assert left - right == pytest.approx(0.042, abs=1e-6)
    body, lengths = one_skeleton.fit(nearer, 1.75)
    assert one_skeleton.leg_lengths(body)[0] == pytest.approx(one_skeleton.leg_lengths(body)[1])
    np.testing.assert_allclose(lengths, lengths[MIRROR])
    np.testing.assert_allclose(
        limb_lengths(body), lengths[1:][None].repeat(len(body), 0), atol=1e-9
    )
    np.testing.assert_allclose(directions(body), directions(nearer), atol=1e-9)
    assert stature(body) == pytest.approx(1.75)


def test_a_few_wild_frames_do_not_count():
    pose, _ = walker()
    wild = np.array(pose)
    wild[::5, INDEX["rwrist"]] += 3.0
    np.testing.assert_allclose(
        one_skeleton.bone_lengths(wild), one_skeleton.bone_lengths(pose), atol=1e-6
    )
    # Nor do frames that are said not to be usable, however many.
    wild[:60] *= 2
    usable = np.arange(len(wild)) >= 60
    np.testing.assert_allclose(
        one_skeleton.bone_lengths(wild, usable), one_skeleton.bone_lengths(pose), atol=1e-6
    )


def test_a_bone_without_length_keeps_its_direction():
    pose, _ = walker(10)
    pose[4, INDEX["lwrist"]] = pose[4, INDEX["lelbow"]]
    pose[:, INDEX["head"]] = pose[:, INDEX["nose"]]  # in no frame
    body, _ = one_skeleton.fit(pose, 1.7)
    assert np.isfinite(body).all()
    np.testing.assert_allclose(directions_of(body, "lelbow", "lwrist")[4],
                               directions_of(body, "lelbow", "lwrist")[3])  # fmt: skip


def directions_of(pose, parent, joint):
    bone = pose[:, INDEX[joint]] - pose[:, INDEX[parent]]
    return bone / np.linalg.norm(bone, axis=-1, keepdims=True)


def test_a_head_point_at_the_eyes_becomes_the_top():
    pose, _ = walker(20)
    eyes = np.array(pose)
    neck, head = pose[:, INDEX["neck"]], pose[:, INDEX["head"]]
    eyes[:, INDEX["nose"]] = (neck + head) / 2  # on the line, so that the chain loses what it does
    pose[:, INDEX["nose"]] = (neck + head) / 2
    height = stature(pose)
    eyes[:, INDEX["head"]] = head - (head - neck) / np.linalg.norm(head - neck, axis=-1)[
        :, None
    ] * (0.064 * height)
    assert stature(eyes, 0.936) == pytest.approx(height)
    body, _ = one_skeleton.fit(eyes, height, head_height=0.936)
    np.testing.assert_allclose(body, one_skeleton.fit(pose, height)[0], atol=1e-9)


def test_size_that_changes_slowly_is_taken_out():
    pose, _ = walker(120)
    growing = pose[:, :1] + (pose - pose[:, :1]) * np.linspace(0.8, 1.2, 120)[:, None, None]
    steady = one_skeleton.of_steady_size(growing, 30.0)
    np.testing.assert_array_equal(steady[:, 0], pose[:, 0])
    sizes = limb_lengths(steady).sum(1)
    # But for the ends, where the smoothing has one side alone.
    assert np.ptp(sizes[20:-20]) / sizes.mean() < 0.01
