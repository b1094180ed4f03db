"""Persons of a keypoint file side by side."""

import numpy as np
import pytest

from mbjax.data.action import persons
from mbjax.keypoints import read as keypoint_files
from mbjax.keypoints.layouts import from_layout


def test_missed_frames_and_absent_persons():
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, 500, (2, 10, 17, 3))
    keypoints[..., 2] = 0.8
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
    keypoints = np.random.default_rng(0).uniform(0.1, 1, (5, 17, 3))
    found = keypoint_files.read(keypoints, "coco17")
    plain, coco = (persons.side_by_side(found, None, order) for order in ("joints", "coco"))
    np.testing.assert_array_equal(plain.keypoints_MxTxJx3[..., :2], coco.keypoints_MxTxJx3[..., :2])
    np.testing.assert_allclose(coco.keypoints_MxTxJx3[0, ..., 2], keypoints[..., 2], rtol=1e-6)
    other = keypoint_files.read(keypoints, "h36m17")
    with pytest.raises(ValueError, match="score order 'coco' is for keypoints of layout coco17"):
        persons.side_by_side(other, None, "coco")
