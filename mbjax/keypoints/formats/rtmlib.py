"""rtmlib's keypoints (M, K, 2) and scores (M, K): {keypoints, scores} per frame or of the whole."""

from mbjax.keypoints.formats import frame_arrays
from mbjax.keypoints.found import Found


def read(data) -> Found | None:
    return frame_arrays.read_lists(data, "keypoints", with_scores=True)
