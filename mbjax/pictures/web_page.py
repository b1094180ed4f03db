"""One HTML page that plays and turns a motion in a browser, without a network.

Shapes in names: F frames, M persons, J joints. The page itself is mbjax/pages/motion.html.
"""

import base64
import html
import importlib.resources
import json
import os

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.pictures.scene import Scene
from mbjax.pose.skeleton import JOINTS, LIMBS

# Coordinates are written as 16-bit integers of the scene's radius over this; this much below zero
# is nobody there.
_STEPS = 32767
_ABSENT = -32768


def write(scene: Scene, path: str | os.PathLike, fps: float, title: str) -> None:
    """The page with a scene in it: about 140 bytes per person and frame, and 10 KB."""
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
    template = importlib.resources.files("mbjax.pictures").joinpath("pages/motion.html")
    page = template.read_text(encoding="utf-8")
    # A title must not end the script that it stands in.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page = page.replace("__TITLE__", html.escape(title)).replace("__DATA__", text)
    with written_beside(path) as beside:
        beside.write_text(page, encoding="utf-8")


def _base64(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
