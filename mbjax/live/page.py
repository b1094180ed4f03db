"""The page with a picture and the person of it in 3D: fed by `mbjax live`, or by itself.

Its files are pages/live.html and live_*.js of mbjax.pictures.
"""

import importlib.resources
import json

from mbjax.pose.skeleton import JOINTS, LIMBS


def drawing() -> str:
    """The script that draws, with the skeleton in it."""
    limbs = json.dumps([list(limb) for limb in LIMBS])
    return (
        _file("live_drawing.js")
        .replace("__CANVAS__", _file("canvas.js"))
        .replace("__LIMBS__", limbs)
        .replace("__JOINTS__", json.dumps(list(JOINTS)))
    )


def page(state: str, scripts: str, policy: str = "", controls: str = "") -> str:
    """state: what it says at first. scripts, controls: HTML. policy: its Content-Security-Policy,
    where the server that serves it sends none."""
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n' if policy else ""
    filled = {"STATE": state, "SCRIPTS": scripts, "POLICY": meta, "CONTROLS": controls}
    text = _file("live.html")
    for name, value in filled.items():
        text = text.replace(f"__{name}__", value)
    return text


def fed() -> str:
    """The page of `mbjax live`, whole in one file."""
    scripts = f"<script>\n{drawing()}\n{_file('live_feed.js')}</script>"
    return page("waiting for the first picture ...", scripts)


def _file(name):
    file = importlib.resources.files("mbjax.pictures").joinpath(f"pages/{name}")
    return file.read_text(encoding="utf-8")
