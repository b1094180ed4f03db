"""Which form a file of 2D keypoints has.

A reader is given what the file holds and returns None where it is not of its form; ValueError where
it is, but broken. To add a form: a file in this folder with such a reader, a line in FORMS; see
mbjax/keypoints/README.md.
"""

import pathlib

from mbjax.keypoints.formats import (
    alphapose,
    coco,
    detectron2,
    mediapipe,
    mmpose,
    named_arrays,
    openpose,
    rtmlib,
    videopose3d,
)
from mbjax.keypoints.formats.json_values import read_json
from mbjax.keypoints.found import Found
from mbjax.safe_files import numpy_files

# The first that knows the file reads it. "json": of parsed JSON; "numpy": of {name: array}.
FORMS = {
    "json": (
        coco.read,
        mmpose.read,
        openpose.read,
        alphapose.read,
        mediapipe.read,
        detectron2.read,
        rtmlib.read,
    ),
    "numpy": (videopose3d.read, named_arrays.read),
}


VIDEO_ENDINGS = (
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".gif", ".ts",
)  # fmt: skip
# What people give instead of what a detector found in it.
_PICTURES = (*VIDEO_ENDINGS, ".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def open_source(source) -> Found:
    """A file or a folder, in whichever form it is; FileNotFoundError, or ValueError in one line."""
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        return openpose.read_folder(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file or folder of 2D keypoints: {path}")
    if path.suffix.lower() in _PICTURES:
        raise ValueError(
            "a video or a picture; give it as --video, to detect in it, or the 2D keypoints that "
            "a detector (MediaPipe, RTMPose, AlphaPose ...) found in it"
        )
    kind = "numpy" if path.suffix.lower() in (".npy", ".npz") else "json"
    data = _arrays(path) if kind == "numpy" else read_json(path)
    for read in FORMS[kind]:
        found = read(data)
        if found is not None:
            return found
    raise ValueError(
        "JSON, but no 2D keypoints that are known here; AlphaPose, COCO results, MMPose, OpenPose, "
        "MediaPipe, rtmlib and Detectron2 are"
    )


def _arrays(path):
    """{name: array} of an .npz file; of an .npy file, its array under the name 'keypoints'."""
    try:
        if path.suffix.lower() == ".npy":
            return {"keypoints": numpy_files.read_npy(path, objects=True)}
        return numpy_files.read_npz(path, objects=True)
    except ValueError as error:
        raise ValueError(f"cannot be read ({error})") from None
