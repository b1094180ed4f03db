"""One HTML page that plays and turns a motion in a browser, without a network.

Shapes in names: F frames, M persons, J joints. The page itself is pages/motion.html.
"""

import base64
import html
import importlib.resources
import json
import os
from typing import NamedTuple

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.pictures.scene import Scene
from mbjax.pose.skeleton import JOINTS, LIMBS

# Coordinates are written as 16-bit integers of the scene's radius over this; this much below zero
# is nobody there.
_STEPS = 32767
_ABSENT = -32768


class Film(NamedTuple):
    """The video of a scene: the bytes of an MP4 of its frames, and the size of its pictures, in the
    keypoints' pixels."""

    mp4: bytes
    size: tuple[int, int]


def write(
    scene: Scene, path: str | os.PathLike, fps: float, title: str, film: Film | None = None
) -> None:
    """The page with a scene in it: about 230 bytes per person and frame, and 10 KB.

    film: shown under the keypoints; it makes the page a third larger than itself.
    """
    centre_3, radius = scene.bounds()
    steps = np.round((scene.pose_FxMxJx3 - centre_3) / radius * _STEPS)
    whole = np.where(np.isfinite(steps), np.clip(steps, -_STEPS, _STEPS), _ABSENT)
    data = {
        "title": title,
        "fps": fps,
        "firstFrame": int(scene.frames_F[0]),
        "frames": len(scene.frames_F),
        "persons": list(scene.persons),
        "joints": list(JOINTS),
        "limbs": [list(limb) for limb in LIMBS],
        # Camera axes to those of the page: y up, z towards the viewer.
        "floor": (centre_3[1] - scene.floor) / radius,
        "steps": _STEPS,
        "absent": _ABSENT,
        "pose": _base64((whole * [1, -1, -1]).clip(_ABSENT, _STEPS).astype("<i2")),
        "guessed": _base64(scene.guessed_FxM.astype("u1")),
    }
    data |= _picture(scene, film.size if film else None)
    if film:
        data["film"] = base64.b64encode(film.mp4).decode("ascii")
    pages = importlib.resources.files("mbjax.pictures").joinpath("pages")
    page, canvas = (
        pages.joinpath(name).read_text(encoding="utf-8") for name in ("motion.html", "canvas.js")
    )
    page = page.replace("__CANVAS__", canvas)
    # A title must not end the script that it stands in.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page = page.replace("__TITLE__", html.escape(title)).replace("__DATA__", text)
    with written_beside(path) as beside:
        beside.write_text(page, encoding="utf-8")


def _picture(scene, size):
    """The keypoints that were seen, about the middle of all or of pictures of a size: whole numbers
    of `steps` to half the longer side.
    """
    xy, seen_FxMxJ = scene.keypoints_FxMxJx3[..., :2], scene.keypoints_FxMxJx3[..., 2] > 0
    if size:
        low_2, high_2 = np.zeros(2), np.array(size, float)
    elif not seen_FxMxJ.any():
        low_2, high_2 = np.zeros(2), np.ones(2)
    else:
        # Without the few that lie far off, which would make the rest small.
        low_2, high_2 = np.quantile(xy[seen_FxMxJ], (0.002, 0.998), axis=0)
    half = max(float((high_2 - low_2).max()) / 2, 1e-6)
    steps = np.round((xy - (low_2 + high_2) / 2) / half * _STEPS)
    inside_FxMxJ = seen_FxMxJ & (np.abs(np.nan_to_num(steps)) <= _STEPS).all(-1)
    whole = np.where(inside_FxMxJ[..., None], steps, _ABSENT)
    return {
        "picture": _base64(whole.astype("<i2")),
        # Of the whole, in halves of the longer side; the page fits it in.
        "pictureSize": [float(side) for side in np.maximum((high_2 - low_2) / half, 0.2)],
    }


def _base64(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
