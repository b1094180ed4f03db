"""A folder that makes any browser lift what its camera sees: `mbjax export --format web`.

The detector's nets as they are, run by LiteRT; the encoder with its pose head as ONNX, run by ONNX
Runtime; the page and the scripts of mbjax/live. Shapes in names: K keypoints, J = 17 joints.
"""

import importlib.resources
import json
import os
import pathlib

import numpy as np

from mbjax.atomic_files import folder_beside
from mbjax.convert import browser_runtimes, export
from mbjax.convert.read import Source
from mbjax.keypoints import layouts
from mbjax.lifting import stream, stream_build
from mbjax.live import page
from mbjax.models.trained_on import fill_of, trunk_per_leg_of
from mbjax.pose.skeleton import INDEX, LIMBS, NUM_JOINTS
from mbjax.storage.places import on_disk

_LAYOUT = "mediapipe33"
_NETS = ("pose_detection.tflite", "pose_landmark_full.tflite")
_SCRIPTS = ("page.js", "blazepose.js", "stream.js", "build.js", "outliers.js")
# Scripts and nets from where the page is, nothing of anybody else; the page's own style is in it.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'"
)
_CONTROLS = """
<p><button id="camera" disabled>Camera</button>
<label>or a video file <input id="file" type="file" accept="video/*" disabled></label>
<button id="stop" disabled>Stop</button></p>"""
_FIRST = "a server has to serve this folder: python -m http.server"
_TAGS = '<script src="drawing.js"></script>\n<script type="module" src="page.js"></script>'


def check(folder: str | os.PathLike) -> None:
    """FileExistsError, before any work is done, where `folder` has something in it; ValueError for
    a URL."""
    path = on_disk(folder, "--out")
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f"--out {folder} is there already; the page gets a folder of its own")


def write(
    source: Source, folder: str | os.PathLike, npm_packages: str | os.PathLike | None = None
) -> float:
    """The folder, whole or not at all: the largest difference between the ONNX and the model.

    npm_packages: where the runtimes' archives lie (`browser_runtimes.files`). ValueError for a net
    that does not give poses from 17 joints with confidence, ImportError without ONNX's libraries,
    FileExistsError where the folder is not new.
    """
    config = source.network.encoder
    if (config.num_joints, config.dim_in) != (NUM_JOINTS, 3):
        raise ValueError(
            f"{source.where} takes {config.num_joints} joints of {config.dim_in} channels; the "
            f"page gives {NUM_JOINTS} of 3 (x, y, confidence)"
        )
    check(folder)
    runtimes = browser_runtimes.files(npm_packages)
    with folder_beside(folder) as beside:
        difference = export.write(source, beside / "lifter.onnx", "onnx")
        for name, content in runtimes.items():
            (beside / name).parent.mkdir(exist_ok=True)
            # Browsers know no packages by name, and the policy allows no list of them in the page.
            own = content.replace(b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"')
            (beside / name).write_bytes(own if name.endswith("index.js") else content)
        nets = importlib.resources.files("mbjax.detect.blazepose")
        for name in _NETS:
            (beside / name).write_bytes(nets.joinpath(name).read_bytes())
        (beside / "NOTICE.txt").write_text(_notice(nets.joinpath("NOTICE.txt").read_text("utf-8")))
        trained = source.trained_on
        window = stream.window_of(trained, config.maxlen)
        write_scripts(beside, window, fill_of(trained), trunk_per_leg_of(trained))
        beside.chmod(0o755)  # so that a server of another user can read it
    return difference


def write_scripts(folder: pathlib.Path, window: int, fill: float, learnt: float = 0.0) -> None:
    """The project's own part of the folder. window: frames that the network is shown. fill: how
    much of [-1, 1] the person in them fills. learnt: trunk_per_leg of the people the network learnt
    from, 0 where it is not known."""
    scripts = importlib.resources.files("mbjax.live").joinpath("in_browser")
    texts = {name: scripts.joinpath(name).read_text("utf-8") for name in _SCRIPTS}
    texts["drawing.js"] = page.drawing()
    texts["index.html"] = page.page(_FIRST, _TAGS, _POLICY, _CONTROLS)
    texts["settings.json"] = json.dumps(settings(window, fill, learnt))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def settings(window: int, fill: float, learnt: float = 0.0) -> dict:
    """What the scripts need of the rest of the package."""
    names = layouts.LAYOUTS[_LAYOUT].names
    # A joint is a weighted mean of keypoints: what each keypoint alone gives are the weights.
    alone_KxKx2 = np.repeat(np.eye(len(names))[..., None], 2, axis=-1)
    weights_JxK = layouts.from_layout(alone_KxKx2, _LAYOUT)[..., 0].T
    return {
        "window": window,
        "fill": fill,
        "keypoints": list(names),
        "toJoints": [
            [[int(k), float(row_K[k])] for k in np.flatnonzero(row_K)] for row_K in weights_JxK
        ],
        "head": INDEX["head"],
        "limbs": [list(limb) for limb in LIMBS],
        "steady": list(stream.STEADY),
        "build": stream_build.constants(learnt),
    }


def _notice(detector):
    runtimes = "\n".join(f"{package}: {package.licence}" for package in browser_runtimes.PACKAGES)
    changed = "from npm, unchanged but for the name of one import in litert/index.js"
    return f"{detector}\nThe runtimes, {changed}:\n{runtimes}\n"
