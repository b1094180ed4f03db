"""2D keypoints as an array in memory.

Shapes in names: T frames, M persons, K keypoints of the layout; 2 is x, y, 3 is x, y, confidence.
"""

import numpy as np

from mbjax.keypoints.found import Found
from mbjax.keypoints.tracking import Observation


def from_array(array: np.ndarray) -> Found:
    """(T, K, 3), (T, M, K, 3), or without confidence (..., 2); all 0 is a person not there.

    Without confidence a keypoint at 0, 0, the corner of the picture, is one not seen, unless there
    are coordinates below 0, as of joints about the root.
    """
    shape = array.shape
    if array.dtype.kind not in "fiu" or array.ndim not in (3, 4) or shape[-1] not in (2, 3):
        raise ValueError(
            f"an array {shape} of {array.dtype}; expected (frames, K, 2 or 3) or (frames, persons, "
            "K, 2 or 3)"
        )
    array = np.asarray(array, np.float64)
    if shape[-1] == 2:
        in_picture = not (array < 0).any()
        there = (array != 0).any(axis=-1 if in_picture else (-2, -1), keepdims=True)
        array = np.concatenate([array, np.broadcast_to(there, (*shape[:-1], 1))], axis=-1)
    one = array.ndim == 3
    persons = array[:, None] if one else array
    observations = [
        Observation(t, m, points)
        for t, row in enumerate(persons)
        for m, points in enumerate(row)
        if points.any()
    ]
    return Found(observations)
