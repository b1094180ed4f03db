"""The forms in which detectors write 2D keypoints, each read into observations.

Shapes in names: K keypoints of the file's layout, 3 is x, y, confidence. What each form looks like
is told in mbjax.keypoint_files, which is also what makes tracks of the observations. A reader gets
parsed JSON and returns None where it is not of its form; ValueError where it is, but broken.
"""

import dataclasses
import json
import pathlib
import re

import numpy as np

from mbjax.skeleton import LAYOUTS
from mbjax.tracking import Observation

# Numbers of frames and persons past this are hashes or times, not counts.
_LARGEST = 2**53


@dataclasses.dataclass
class Found:
    """What a file holds, before layout and tracks are settled. image_size: (width, height)."""

    observations: list[Observation]
    layout: str | None = None  # where the format itself says it
    fps: float | None = None
    unit_square: bool = False  # x, y are shares of the image
    image_size: tuple[float, float] | None = None


def open_source(source) -> Found:
    """A file or a folder, in whichever form it is."""
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        return _openpose_folder(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file or folder of 2D keypoints: {path}")
    if path.suffix in (".npy", ".npz"):
        return _from_numpy(path)
    data = _json(path)
    for form in (_results, _mmpose, _openpose, _mediapipe):
        found = form(data)
        if found is not None:
            return found
    raise ValueError(
        "JSON, but no 2D keypoints that are known here; AlphaPose, COCO results, MMPose, OpenPose "
        "and MediaPipe are"
    )


def _json(path):
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"no JSON, .npy or .npz ({error}); cut off?") from None
    if data in ([], {}, None):
        raise ValueError("empty: no keypoints in it; did the detector find anybody?")
    return data


def _numbers(value, what):
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what}: not a list of numbers") from None
    return array


def _integer(value):
    """A tracking id: 3, 3.0, [3], '3'; None for anything else, and for -1, OpenPose's unknown."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    try:
        number = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < _LARGEST else None


# --- AlphaPose and COCO results -----------------------------------------------------------------


def _results(data):
    if not (isinstance(data, list) and all(isinstance(e, dict) for e in data)):
        return None
    if not all("keypoints" in e and "image_id" in e for e in data):
        return None
    frame_of = _frame_numbers([e["image_id"] for e in data])
    observations = []
    for entry in data:
        frame = frame_of[str(entry["image_id"])]
        flat = _numbers(entry["keypoints"], f"frame {frame}: keypoints")
        if flat.ndim != 1 or flat.size == 0 or flat.size % 3:
            raise ValueError(f"frame {frame}: {flat.size} numbers, not triples (x, y, confidence)")
        score = entry.get("score", 0.0)
        score = float(score) if isinstance(score, int | float) else 0.0
        person = _integer(entry.get("idx", entry.get("track_id")))
        observations.append(Observation(frame, person, flat.reshape(-1, 3), score))
    seventeen = len(observations[0].keypoints_Kx3) == 17
    return Found(observations, layout="coco17" if seventeen else None)


def _frame_numbers(image_ids):
    """{image id as text: frame}: the last number in its name, or its place among all in order."""
    names = list(dict.fromkeys(str(i) for i in image_ids))
    numbers = {}
    for name in names:
        found = re.findall(r"\d+", re.sub(r"\.[A-Za-z]\w*$", "", name))
        if not found:
            break
        numbers[name] = int(found[-1])
    if len(set(numbers.values())) == len(names) and max(numbers.values()) < _LARGEST:
        return numbers
    return {name: i for i, name in enumerate(names)}


# --- MMPose ---------------------------------------------------------------------------------------


def _mmpose(data):
    meta = {}
    if isinstance(data, dict) and isinstance(data.get("instance_info"), list):
        meta, data = data.get("meta_info") or {}, data["instance_info"]
    if not isinstance(data, list):
        return None
    if data and all(isinstance(e, dict) and "keypoint_scores" in e for e in data):
        data = [data]  # of a single image the persons are written without a frame
    frames = []
    for i, entry in enumerate(data):
        if isinstance(entry, dict) and isinstance(entry.get("instances"), list):
            number = _integer(entry.get("frame_id"))
            frames.append((i if number is None else number, entry["instances"]))
        elif isinstance(entry, list):
            frames.append((i, entry))
        else:
            return None
    people = [person for _, persons in frames for person in persons]
    if not all(isinstance(p, dict) and "keypoints" in p for p in people):
        return None
    if not people and not meta and all(isinstance(e, list) for e in data):
        return None
    observations = []
    for frame, persons in frames:
        for person in persons:
            observations.append(_mmpose_person(frame, person))
    seventeen = bool(observations) and len(observations[0].keypoints_Kx3) == 17
    return Found(observations, layout=_mmpose_layout(meta, seventeen))


def _mmpose_person(frame, person):
    points = _numbers(person["keypoints"], f"frame {frame}: keypoints")
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ValueError(f"frame {frame}: keypoints of shape {points.shape}, expected (K, 2 or 3)")
    if points.shape[1] == 2:
        scores = person.get("keypoint_scores", np.ones(len(points)))
        scores = _numbers(scores, f"frame {frame}: keypoint_scores")
        if scores.shape != (len(points),):
            raise ValueError(f"frame {frame}: {scores.size} scores of {len(points)} keypoints")
        points = np.concatenate([points, scores[:, None]], axis=1)
    return Observation(frame, _integer(person.get("track_id")), points, float(points[:, 2].mean()))


def _mmpose_layout(meta, seventeen):
    """By the name of the dataset the detector was trained on, else by those of the keypoints."""
    if not isinstance(meta, dict):
        return None
    name = str(meta.get("dataset_name", "")).lower()
    for part, layout in (
        ("wholebody", "coco17"), ("posetrack", "posetrack17"), ("halpe", "halpe26"),
        ("h36m", "h36m17"), ("coco", "coco17"),
    ):  # fmt: skip
        if part in name:
            return layout
    of_number = meta.get("keypoint_id2name")
    if seventeen and isinstance(of_number, dict):
        second = str(of_number.get("1", ""))
        return {"left_eye": "coco17", "head_bottom": "posetrack17"}.get(second)
    return None


# --- OpenPose -------------------------------------------------------------------------------------


def _openpose_folder(path):
    files = sorted(path.glob("*_keypoints.json"))
    if not files:
        raise ValueError("a folder without *_keypoints.json files, which OpenPose writes")
    frame_of = _frame_numbers([file.name.removesuffix("_keypoints.json") for file in files])
    observations = []
    for file in files:
        try:
            found = _openpose(_json(file), frame_of[file.name.removesuffix("_keypoints.json")])
            if found is None:
                raise ValueError("no list 'people' in it: not written by OpenPose")
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
        observations += found.observations
    return Found(observations)


def _openpose(data, frame=0):
    if not (isinstance(data, dict) and isinstance(data.get("people"), list)):
        return None
    observations = []
    for person in data["people"]:
        if not isinstance(person, dict) or "pose_keypoints_2d" not in person:
            raise ValueError("a person without pose_keypoints_2d")
        flat = _numbers(person["pose_keypoints_2d"], "pose_keypoints_2d")
        if flat.ndim != 1 or flat.size % 3:
            raise ValueError(f"{flat.size} numbers, not triples (x, y, confidence)")
        if flat.size:
            points = flat.reshape(-1, 3)
            identity = _integer(person.get("person_id"))
            observations.append(Observation(frame, identity, points, float(points[:, 2].mean())))
    return Found(observations)


# --- MediaPipe ------------------------------------------------------------------------------------


def _mediapipe(data):
    fps = size = None
    if isinstance(data, dict):
        if not isinstance(data.get("frames"), list):
            return None
        fps = _rate(data.get("fps"))
        if data.get("width") and data.get("height"):
            size = tuple(_numbers([data["width"], data["height"]], "width, height"))
        data = data["frames"]
    if not isinstance(data, list):
        return None
    observations = []
    for frame, entry in enumerate(data):
        if isinstance(entry, dict):
            if not {"pose_landmarks", "landmarks"} & entry.keys():
                return None
            entry = entry.get("pose_landmarks", entry.get("landmarks"))
        persons = entry or []
        if not isinstance(persons, list):
            return None
        persons = persons if not persons or isinstance(persons[0], list) else [persons]
        for person in persons:
            if not all(isinstance(p, dict) and {"x", "y"} <= p.keys() for p in person):
                return None
            points = [(p["x"], p["y"], p.get("visibility", 1.0)) for p in person]
            if points:
                points = _numbers(points, f"frame {frame}: landmarks")
                observations.append(Observation(frame, None, points))
    return Found(observations, fps=fps, unit_square=True, image_size=size)


def _rate(value):
    if value is None:
        return None
    rate = _numbers(value, "fps")
    if rate.size != 1 or not np.isfinite(rate).all() or not 0 < rate.item() < 1e5:
        raise ValueError(f"fps {value} makes no sense")
    return float(rate.item())


# --- numpy ----------------------------------------------------------------------------------------


def _from_numpy(path):
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if path.suffix == ".npz" else {"keypoints": loaded}
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"cannot be read ({' '.join(str(error).split())})") from None
    except Exception as error:  # zipfile and zlib have their own; each means a broken file
        raise ValueError(f"a broken file ({error})") from None
    fps, layout = _rate(arrays.pop("fps", None)), arrays.pop("layout", None)
    if layout is not None and (layout := str(layout)) not in LAYOUTS:
        raise ValueError(f"its layout {layout!r} is not known; known: {', '.join(LAYOUTS)}")
    array = arrays.get("keypoints", next(iter(arrays.values())) if len(arrays) == 1 else None)
    if array is None:
        raise ValueError(f"arrays {sorted(arrays)}; call the one with the keypoints 'keypoints'")
    return dataclasses.replace(from_array(array), layout=layout, fps=fps)


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
