"""Persons of a keypoint file side by side."""

import numpy as np
import pytest

from mbjax.data.action import persons
from mbjax.keypoints import read as keypoint_files
from mbjax.keypoints.layouts import from_layout
from mbjax.pose.skeleton import INDEX
from tests.recipes.keypoints import keypoints as body_points


def test_missed_frames_and_absent_persons():
    keypoints = np.stack([body_points("coco17", frames=10, x=x) for x in (300, 500)])
    keypoints[0, 4] = 0  # missed once
    keypoints[1, 6:] = 0  # leaves
    found = keypoint_files.read(np.moveaxis(keypoints, 0, 1), "coco17")
    side = persons.side_by_side(found)
    assert side.keypoints_MxTxJx3.shape == (2, 10, 17, 3)
    first, second = side.keypoints_MxTxJx3
    own = from_layout(keypoints[0, [3, 5]], "coco17")
    np.testing.assert_allclose(first[4, :, :2], own[..., :2].mean(axis=0), rtol=1e-5)
    assert not first[4, :, 2].any() and not second[6:].any() and (second[:6, :, 2] > 0).all()


def test_scores_in_coco_s_order_by_name():
    keypoints = body_points("coco17", frames=5)
    keypoints[..., 2] = np.random.default_rng(0).uniform(0.7, 1, (5, 17))
    # Ears, which this body has not, where they can be.
    keypoints[:, 3:5, :2] = keypoints[:, 1:3, :2]
    found = keypoint_files.read(keypoints, "coco17")
    plain, coco = (persons.side_by_side(found, None, order) for order in ("joints", "coco"))
    np.testing.assert_array_equal(plain.keypoints_MxTxJx3[..., :2], coco.keypoints_MxTxJx3[..., :2])
    np.testing.assert_allclose(coco.keypoints_MxTxJx3[0, ..., 2], keypoints[..., 2], rtol=1e-6)
    whole = keypoint_files.read(np.concatenate([keypoints, keypoints[:, :6]], axis=1))
    assert whole.layout == "coco23"  # COCO's 17 and the feet
    named = persons.side_by_side(whole, None, "coco").keypoints_MxTxJx3[0, ..., 2]
    np.testing.assert_allclose(named, keypoints[..., 2], rtol=1e-6)
    other = keypoint_files.read(keypoints, "h36m17")
    with pytest.raises(ValueError, match="score order 'coco' is for keypoints of layout coco17"):
        persons.side_by_side(other, None, "coco")


def test_a_wild_keypoint_is_not_seen_and_reported():
    """It would make the square round the person many times too large, and a window of poses."""
    keypoints = body_points("coco23", frames=30)
    wild = keypoints.copy()
    wild[12, 9, :2] = 5000  # px: the left wrist
    clean, side = (
        persons.side_by_side(keypoint_files.read(points)) for points in (keypoints, wild)
    )
    wrist = INDEX["lwrist"]
    assert side.keypoints_MxTxJx3[0, 12, wrist, 2] == 0 and side.size == clean.size
    # The body sways by 3 px: between the frames around it the wrist is bent by as much at most.
    np.testing.assert_allclose(
        side.keypoints_MxTxJx3[..., :2], clean.keypoints_MxTxJx3[..., :2], atol=3
    )
    assert any("frame 12: lwrist" in note and "not seen" in note for note in side.notes)
    assert not clean.notes or "not seen" not in " ".join(clean.notes)
