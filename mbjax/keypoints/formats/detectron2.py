"""Detectron2's pred_keypoints (M, K, 3): {pred_keypoints} per frame, or of the whole."""

from mbjax.keypoints.formats import frame_arrays
from mbjax.keypoints.found import Found


def read(data) -> Found | None:
    return frame_arrays.read_lists(data, "pred_keypoints", with_scores=False)
