"""Values as files of detectors hold them: numbers, frame rates, tracking ids, image names."""

import json
import pathlib
import re

import numpy as np

from mbjax.remarks import one_line

_IMAGE_ENDING = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|mp4|avi|mov)$", re.IGNORECASE)
# Numbers of frames and persons past this are hashes or times, not counts.
_LARGEST = 2**53
_LAST = 10_000_000  # frames of no video; names of pictures with larger numbers tell the time
_DIGITS = 18


def read_json(path: pathlib.Path):
    """A file's JSON; ValueError where it is none, or empty."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON, .npy or .npz ({error}); cut off?") from None
    if data in ([], {}, None):
        raise ValueError("empty: no keypoints in it; did the detector find anybody?")
    return data


def numbers(value, what: str) -> np.ndarray:
    """The value as float64; ValueError where it is not numbers, `what` being their name."""
    try:
        if np.iscomplexobj(value):
            raise TypeError
        return np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what}: not a list of numbers") from None


def rate(value) -> float | None:
    if value is None:
        return None
    fps = numbers(value, "fps")
    if fps.size != 1 or not np.isfinite(fps).all() or not 0 < fps.item() < 1e5:
        raise ValueError(f"fps {one_line(repr(value), 60)} makes no sense")
    return float(fps.item())


def image_size(value, what: str = "width, height") -> tuple[float, float]:
    """(width, height) in pixels; ValueError for what cannot be."""
    size = numbers(value, what)
    if size.shape != (2,) or not ((size > 0) & (size < 1e6)).all():
        raise ValueError(
            f"{what}: {one_line(repr(value), 60)} is not the width and height of an image in pixels"
        )
    return float(size[0]), float(size[1])


def score(value) -> float:
    """A person's score, 0 where it is not a number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if np.isfinite(number) else 0.0


def integer(value):
    """A tracking id: 3, 3.0, [3], '3'; None for anything else, and for -1, OpenPose's unknown."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    try:
        number = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < _LARGEST else None


def frame_numbers(image_ids):
    """{image id as text: frame}: the last number in its name, or its place among all in order."""
    names = list(dict.fromkeys(str(i) for i in image_ids))
    numbers = {}
    for name in names:
        found = re.findall(r"\d+", _IMAGE_ENDING.sub("", name))
        if not found or len(found[-1]) > _DIGITS:
            break
        numbers[name] = int(found[-1])
    if len(set(numbers.values())) == len(names) and max(numbers.values()) < _LAST:
        return numbers
    return {name: i for i, name in enumerate(names)}
