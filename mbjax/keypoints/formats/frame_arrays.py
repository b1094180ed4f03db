"""What rtmlib and Detectron2 return frame by frame, written as lists or as arrays.

Shapes in names: M persons, K keypoints; 2 is x, y, 3 is x, y, confidence.
"""

import dataclasses

import numpy as np

from mbjax.keypoints.formats.json_values import frame_numbers, numbers, rate
from mbjax.keypoints.found import Found
from mbjax.keypoints.tracking import Observation

_FRAME_KEYS = ("frame", "frame_id", "frame_idx", "frame_index", "image_id")


def read_lists(data, key: str, with_scores: bool) -> Found | None:
    """JSON: a list with an entry per frame, also inside {'frames': list, 'fps'}; or one dict.

    key: what an entry calls its keypoints. with_scores: whether `scores` stand beside them.
    """
    fps = None
    if isinstance(data, dict) and isinstance(data.get("frames"), list):
        fps, data = rate(data.get("fps")), data["frames"]
    elif isinstance(data, dict):
        if not isinstance(data.get(key), list) or (with_scores and "scores" not in data):
            return None
        found = by_frame(data[key], data["scores"] if with_scores else None, key)
        return dataclasses.replace(found, fps=rate(data.get("fps")))
    if not (isinstance(data, list) and data and all(isinstance(e, dict) for e in data)):
        return None
    if not all(key in e and ("scores" in e or not with_scores) for e in data):
        return None
    name = next((name for name in _FRAME_KEYS if all(name in e for e in data)), None)
    frames = None
    if name:
        frame_of = frame_numbers([e[name] for e in data])
        frames = [frame_of[str(e[name])] for e in data]
    scores = [e["scores"] for e in data] if with_scores else None
    found = by_frame([e[key] for e in data], scores, key, frames)
    return dataclasses.replace(found, fps=fps)


def by_frame(keypoints, scores, key: str, frames: list[int] | None = None) -> Found:
    """A detector's return values frame by frame, with as many persons as each frame has.

    keypoints: of each frame (M, K, 2 or 3) or, of one person, (K, 2 or 3), or nothing. scores: of
    each frame (M, K) or (K,), or None where keypoints have three channels. key: what the file calls
    the keypoints. Both detectors are trained on COCO: 17 keypoints are COCO's.
    """
    if scores is not None and not isinstance(scores, list | tuple | np.ndarray):
        raise ValueError(f"scores of {key} are not a list with an entry per frame")
    if scores is not None and len(scores) != len(keypoints):
        raise ValueError(f"{len(keypoints)} frames of {key}, but {len(scores)} of scores")
    observations = []
    for t, points in enumerate(keypoints):
        frame = t if frames is None else frames[t]
        own = None if scores is None else scores[t]
        observations += _persons(frame, points, own, key)
    seventeen = bool(observations) and len(observations[0].keypoints_Kx3) == 17
    return Found(observations, layout="coco17" if seventeen else None)


def _persons(frame, points, scores, key):
    points_MxKxC = numbers([] if points is None else points, f"frame {frame}: {key}")
    if points_MxKxC.size == 0:
        return []
    if points_MxKxC.ndim == 2:
        points_MxKxC = points_MxKxC[None]
    if points_MxKxC.ndim != 3 or points_MxKxC.shape[-1] not in (2, 3):
        raise ValueError(
            f"frame {frame}: {key} of shape {points_MxKxC.shape}, expected (persons, K, 2 or 3)"
        )
    if points_MxKxC.shape[-1] == 2:
        scores_MxK = numbers([] if scores is None else scores, f"frame {frame}: scores")
        if scores_MxK.size != points_MxKxC[..., 0].size:
            raise ValueError(
                f"frame {frame}: {scores_MxK.size} scores of {points_MxKxC[..., 0].size} keypoints"
            )
        scores_MxKx1 = scores_MxK.reshape(*points_MxKxC.shape[:2], 1)
        points_MxKxC = np.concatenate([points_MxKxC, scores_MxKx1], axis=-1)
    return [Observation(frame, None, p, float(p[:, 2].mean())) for p in points_MxKxC]
