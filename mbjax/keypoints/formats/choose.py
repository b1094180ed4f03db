"""The forms in which detectors write 2D keypoints as JSON, each read into observations.

Shapes in names: K keypoints of the file's layout, 3 is x, y, confidence. What each form looks like
is told in mbjax.keypoints.read, which is also what makes tracks of the observations. A reader gets
parsed JSON and returns None where it is not of its form; ValueError where it is, but broken.
"""

import json
import pathlib
import re

import numpy as np

from mbjax.keypoints import arrays as keypoint_arrays
from mbjax.keypoints.arrays import Found, numbers, rate
from mbjax.keypoints.tracking import Observation

_IMAGE_ENDING = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|mp4|avi|mov)$", re.IGNORECASE)
# Numbers of frames and persons past this are hashes or times, not counts.
_LARGEST = 2**53


def open_source(source) -> Found:
    """A file or a folder, in whichever form it is."""
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file or folder of 2D keypoints: {path}")
    if path.suffix in (".npy", ".npz"):
        return keypoint_arrays.from_numpy_file(path)
    data = _json(path)
    for form in (_results, _mmpose, _openpose, _alphapose_by_image, _mediapipe, _arrays):
        found = form(data)
        if found is not None:
            return found
    raise ValueError(
        "JSON, but no 2D keypoints that are known here; AlphaPose, COCO results, MMPose, OpenPose, "
        "MediaPipe, rtmlib and Detectron2 are"
    )


def _json(path):
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"no JSON, .npy or .npz ({error}); cut off?") from None
    if data in ([], {}, None):
        raise ValueError("empty: no keypoints in it; did the detector find anybody?")
    return data


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
    if all("scores" in e for e in data):
        return None  # rtmlib's arrays, see _arrays
    frame_of = _frame_numbers([e["image_id"] for e in data])
    observations = []
    for entry in data:
        frame = frame_of[str(entry["image_id"])]
        flat = numbers(entry["keypoints"], f"frame {frame}: keypoints")
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
        found = re.findall(r"\d+", _IMAGE_ENDING.sub("", name))
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
    points = numbers(person["keypoints"], f"frame {frame}: keypoints")
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ValueError(f"frame {frame}: keypoints of shape {points.shape}, expected (K, 2 or 3)")
    if points.shape[1] == 2:
        scores = person.get("keypoint_scores", np.ones(len(points)))
        scores = numbers(scores, f"frame {frame}: keypoint_scores")
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


def _folder(path):
    """A file a frame: OpenPose's own names, or others' (Pose2Sim, AlphaPose) in the same form."""
    files = sorted(path.glob("*_keypoints.json")) or sorted(path.glob("*.json"))
    if not files:
        raise ValueError("a folder without *_keypoints.json files, which OpenPose writes")
    frame_of = _frame_numbers([_frame_name(file) for file in files])
    observations, layout = [], None
    for file in files:
        try:
            found = _openpose(_json(file), frame_of[_frame_name(file)])
            if found is None:
                raise ValueError("no list 'people' in it: not written by OpenPose")
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
        observations += found.observations
        layout = layout or found.layout
    return Found(observations, layout)


def _frame_name(file):
    return file.name.removesuffix(".json").removesuffix("_keypoints")


def _openpose(data, frame=0):
    """One frame: {'people': [{'pose_keypoints_2d': flat}]}, AlphaPose's 'bodies' and 'joints'."""
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("people"), list):
        persons, key = data["people"], "pose_keypoints_2d"
    elif isinstance(data.get("bodies"), list):
        persons, key = data["bodies"], "joints"
    else:
        return None
    observations = []
    for person in persons:
        if not isinstance(person, dict) or key not in person:
            raise ValueError(f"a person without {key}")
        flat = numbers(person[key], key)
        if flat.ndim != 1 or flat.size % 3:
            raise ValueError(f"{flat.size} numbers, not triples (x, y, confidence)")
        if flat.size:
            points = flat.reshape(-1, 3)
            identity = _integer(person.get("person_id"))
            observations.append(Observation(frame, identity, points, float(points[:, 2].mean())))
    # Elsewhere 18 keypoints are anybody's; in this form they are those of OpenPose's COCO model.
    eighteen = bool(observations) and len(observations[0].keypoints_Kx3) == 18
    return Found(observations, layout="coco18" if eighteen else None)


def _alphapose_by_image(data):
    """AlphaPose's formats 'open' and 'cmu': {image name: what one frame of _openpose is}."""
    if not (isinstance(data, dict) and all(isinstance(e, dict) for e in data.values())):
        return None
    frame_of = _frame_numbers(list(data))
    found = [_openpose(entry, frame_of[name]) for name, entry in data.items()]
    if any(one is None for one in found):
        return None
    layout = next((one.layout for one in found if one.layout), None)
    return Found([o for one in found for o in one.observations], layout)


# --- MediaPipe ------------------------------------------------------------------------------------


def _mediapipe(data):
    fps = size = None
    if isinstance(data, dict):
        if not isinstance(data.get("frames"), list):
            return None
        fps = rate(data.get("fps"))
        if data.get("width") and data.get("height"):
            size = tuple(numbers([data["width"], data["height"]], "width, height"))
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
                points = numbers(points, f"frame {frame}: landmarks")
                observations.append(Observation(frame, None, points))
    return Found(observations, fps=fps, unit_square=True, image_size=size)


# --- rtmlib and Detectron2 ------------------------------------------------------------------------

_FRAME_KEYS = ("frame", "frame_id", "frame_idx", "frame_index", "image_id")


def _arrays(data):
    """What rtmlib (keypoints, scores) or Detectron2 (pred_keypoints) return, written as lists.

    A list with an entry per frame, also inside {'frames': list, 'fps'}; or one dict of the whole.
    """
    fps = None
    if isinstance(data, dict) and isinstance(data.get("frames"), list):
        fps, data = rate(data.get("fps")), data["frames"]
    elif isinstance(data, dict):
        for key in ("pred_keypoints", "keypoints"):
            if isinstance(data.get(key), list) and (key != "keypoints" or "scores" in data):
                scores = data.get("scores") if key == "keypoints" else None
                found = keypoint_arrays.by_frame(data[key], scores, key)
                return keypoint_arrays.with_rate(found, rate(data.get("fps")))
        return None
    if not (isinstance(data, list) and data and all(isinstance(e, dict) for e in data)):
        return None
    key = "pred_keypoints" if all("pred_keypoints" in e for e in data) else "keypoints"
    if not all(key in e and (key == "pred_keypoints" or "scores" in e) for e in data):
        return None
    name = next((name for name in _FRAME_KEYS if all(name in e for e in data)), None)
    frames = None
    if name:
        frame_of = _frame_numbers([e[name] for e in data])
        frames = [frame_of[str(e[name])] for e in data]
    scores = [e["scores"] for e in data] if key == "keypoints" else None
    found = keypoint_arrays.by_frame([e[key] for e in data], scores, key, frames)
    return keypoint_arrays.with_rate(found, fps)
