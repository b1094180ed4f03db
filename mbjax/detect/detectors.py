"""The detectors by name, behind one small interface.

A detector is an object with `layout`, a name in mbjax.keypoints.layouts.LAYOUTS, that is called
with each picture (RGB, uint8, (H, W, 3)) in order and gives the persons in it, each as keypoints
(K, 3): x, y in pixels and confidence. Here is the one place that names them.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np


class Detector(Protocol):
    layout: str

    def __call__(self, picture_HxWx3: np.ndarray) -> list[np.ndarray]: ...


def _blazepose() -> Detector:
    from mbjax.detect.blazepose.tracked import BlazePose

    return BlazePose()


def _rtmlib() -> Detector:
    from mbjax.detect.rtmlib import Rtmlib

    return Rtmlib()


DETECTORS: dict[str, Callable[[], Detector]] = {"blazepose": _blazepose, "rtmlib": _rtmlib}


def make(name: str) -> Detector:
    """A fresh detector for one video; ValueError with the known names, ImportError in one line."""
    if name not in DETECTORS:
        raise ValueError(f"no detector {name!r}; there are: {', '.join(DETECTORS)}")
    return DETECTORS[name]()
