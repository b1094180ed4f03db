"""2D keypoints as arrays: numpy's files, and what rtmlib and Detectron2 return.

Shapes in names: T frames, M persons, K keypoints of the file's layout; 2 is x, y, 3 is x, y,
confidence. What is read is told in mbjax.keypoints.read.
"""

import dataclasses
import io
import zipfile

import numpy as np

from mbjax.keypoints.tracking import Observation
from mbjax.pose.skeleton import LAYOUTS


@dataclasses.dataclass
class Found:
    """What a file holds, before layout and tracks are settled. image_size: (width, height)."""

    observations: list[Observation]
    layout: str | None = None  # where the format itself says it
    fps: float | None = None
    unit_square: bool = False  # x, y are shares of the image
    image_size: tuple[float, float] | None = None


def numbers(value, what: str) -> np.ndarray:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what}: not a list of numbers") from None


def rate(value) -> float | None:
    if value is None:
        return None
    fps = numbers(value, "fps")
    if fps.size != 1 or not np.isfinite(fps).all() or not 0 < fps.item() < 1e5:
        raise ValueError(f"fps {value} makes no sense")
    return float(fps.item())


def with_rate(found: Found, fps: float | None) -> Found:
    return dataclasses.replace(found, fps=fps)


def from_array(array: np.ndarray) -> Found:
    """(T, K, 3), (T, M, K, 3), or without confidence (..., 2); all 0 is a person not there."""
    shape = array.shape
    if array.dtype.kind not in "fiu" or array.ndim not in (3, 4) or shape[-1] not in (2, 3):
        raise ValueError(
            f"an array {shape} of {array.dtype}; expected (frames, K, 2 or 3) or (frames, persons, "
            "K, 2 or 3)"
        )
    array = np.asarray(array, np.float64)
    if shape[-1] == 2:
        there = (array != 0).any(axis=(-2, -1), keepdims=True)
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


def by_frame(keypoints, scores, key: str, frames: list[int] | None = None) -> Found:
    """A detector's return values frame by frame, with as many persons as each frame has.

    keypoints: of each frame (M, K, 2 or 3) or, of one person, (K, 2 or 3), or nothing. scores: of
    each frame (M, K) or (K,), or None where keypoints have three channels. key: what the file calls
    the keypoints. Both detectors are trained on COCO: 17 keypoints are COCO's.
    """
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


# --- files ----------------------------------------------------------------------------------------


def from_numpy_file(path) -> Found:
    try:
        arrays = _read(path)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"cannot be read ({' '.join(str(error).split())})") from None
    except Exception as error:  # zipfile and zlib have their own; each means a broken file
        raise ValueError(f"a broken file ({error})") from None
    fps, layout = rate(arrays.pop("fps", None)), arrays.pop("layout", None)
    if layout is not None and (layout := str(layout)) not in LAYOUTS:
        raise ValueError(f"its layout {layout!r} is not known; known: {', '.join(LAYOUTS)}")
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
        found = by_frame(frames, None, "keypoints")
    elif array.ndim == 1:
        scores = None if scores is None else list(scores)
        found = by_frame(list(array), scores, "keypoints")
    else:
        raise ValueError(f"keypoints are an array {array.shape} of objects, one per frame expected")
    try:
        size = metadata.item()
        found.image_size = (float(size["w"]), float(size["h"]))
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


def _read(path):
    if path.suffix == ".npy":
        return {"keypoints": _member(path.read_bytes())}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return {name.removesuffix(".npy"): _member(archive.read(name)) for name in names}


def _member(content):
    """One array; of objects, only plain numbers and lists are taken, and nothing is executed."""
    stream = io.BytesIO(content)
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
    from mbjax import safe_pickle

    array = safe_pickle.load_stream(stream)
    if not isinstance(array, np.ndarray):
        raise ValueError("objects, not arrays of numbers")
    return array
