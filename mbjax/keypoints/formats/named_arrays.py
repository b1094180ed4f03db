"""Arrays by name, as an .npz file holds them: plain, of rtmlib, of Detectron2.

`keypoints` (T, K, 3), (T, M, K, 3) or (T, K, 2); with `scores` beside it rtmlib's; `pred_keypoints`
is Detectron2's; an object array with an entry per frame is what a changing number of persons needs.
"""

import dataclasses

import numpy as np

from mbjax.keypoints import layouts
from mbjax.keypoints.arrays import from_array
from mbjax.keypoints.formats import frame_arrays
from mbjax.keypoints.formats.json_values import image_size, numbers, rate
from mbjax.keypoints.found import Found


def read(arrays: dict[str, np.ndarray]) -> Found | None:
    arrays = dict(arrays)
    fps, layout = rate(arrays.pop("fps", None)), arrays.pop("layout", None)
    if layout is not None:
        layout = layouts.named(str(layout))
    found = _from_arrays(arrays)
    return dataclasses.replace(found, layout=layout or found.layout, fps=fps)


def _from_arrays(arrays):
    scores = arrays.pop("scores", arrays.pop("keypoint_scores", None))
    metadata = arrays.pop("metadata", None)
    # Of one frame and the whole, and those that say something else about the same persons.
    for other in ("boxes", "segments", "pred_boxes", "bboxes", "track_ids", "frame_ids"):
        if len(arrays) > 1:
            arrays.pop(other, None)
    key = next((key for key in ("keypoints", "pred_keypoints") if key in arrays), None)
    if key is None and len(arrays) != 1:
        raise ValueError(f"arrays {sorted(arrays)}; call the one with the keypoints 'keypoints'")
    array = arrays[key] if key else next(iter(arrays.values()))
    if array.dtype == object:
        return _ragged(array, scores, metadata)
    if array.ndim < 2 or (scores is not None and scores.ndim < 1):
        raise ValueError(f"keypoints are an array {array.shape}; (frames, K, 2 or 3) expected")
    pairs = scores is not None and array.shape[-1] == 2
    if pairs:
        if scores.shape != array.shape[:-1]:
            raise ValueError(f"keypoints {array.shape} and scores {scores.shape} do not fit")
        array = np.concatenate([array, scores[..., None]], axis=-1)
    found = from_array(array)
    if array.shape[-2] == 17 and (pairs or key == "pred_keypoints"):
        found.layout = "coco17"
    if array.ndim == 4 and (pairs or key == "pred_keypoints"):
        # A detector's order of persons is no tracking.
        for observation in found.observations:
            observation.person = None
    return found


def _ragged(array, scores, metadata):
    """An object array with an entry per frame, as a changing number of persons needs it.

    (T,) of (M, K, 2 or 3); or Detectron's form, as VideoPose3D's scripts write it, (T, 2) of
    nothing and (M, 4, K): x, y, a logit, a probability.
    """
    if array.ndim == 2 and array.shape[1] == 2:
        frames = [_detectron(t, entry) for t, entry in enumerate(array[:, 1])]
        found = frame_arrays.by_frame(frames, None, "keypoints")
    elif array.ndim == 1:
        scores = None if scores is None else list(np.atleast_1d(scores))
        found = frame_arrays.by_frame(list(array), scores, "keypoints")
    else:
        raise ValueError(f"keypoints are an array {array.shape} of objects, one per frame expected")
    try:
        size = metadata.item()
        found.image_size = image_size([size["w"], size["h"]])
    except (AttributeError, ValueError, KeyError, TypeError):
        pass  # it says nothing of the image
    return found


def _detectron(frame, entry):
    points_Mx4xK = numbers(entry, f"frame {frame}: keypoints")
    if points_Mx4xK.size == 0:
        return []
    if points_Mx4xK.ndim != 3 or points_Mx4xK.shape[1] != 4:
        raise ValueError(f"frame {frame}: keypoints {points_Mx4xK.shape}, expected (persons, 4, K)")
    return points_Mx4xK[:, [0, 1, 3]].swapaxes(1, 2)
