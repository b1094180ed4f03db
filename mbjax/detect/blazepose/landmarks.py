"""The second net: 33 landmarks of one person in a turned square.

Shapes in names: K landmarks, 3 is x, y, visibility.
"""

import dataclasses
import pathlib

import numpy as np

from mbjax.detect.blazepose.interpreter import Net
from mbjax.detect.blazepose.region import Region

_FILE = pathlib.Path(__file__).with_name("pose_landmark_full.tflite")
COUNT = 33
_HIPS, _RIM = 33, 34  # after the landmarks, as the first net has them: for the next frame's square
_VALUES = 5  # x, y, z, visibility, presence
_WINDOW, _SURE = 3, 0.5  # of the heat maps: cells to each side, and what counts as a peak


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """One person: how sure that it is one, (33, 3) in pixels, the square for the next picture."""

    score: float
    keypoints_Kx3: np.ndarray
    next_region: Region


class LandmarkFinder:
    def __init__(self, threads: int = 2):
        self._net = Net(_FILE, threads)

    def __call__(self, picture_HxWx3: np.ndarray, region: Region) -> Landmarks:
        """The person in a square of an RGB picture (uint8)."""
        size = self._net.width
        out = self._net(region.cut(picture_HxWx3, size) / 255)
        values = out["Identity"].reshape(-1, _VALUES).astype(np.float64)
        at = refined(values[:, :2] / size, out["Identity_3"])
        at = region.to_picture(at)
        visible = 1 / (1 + np.exp(-values[:COUNT, 3:4]))
        keypoints = np.concatenate([at[:COUNT], visible], axis=-1)
        score = float(out["Identity_1"][0])
        return Landmarks(score, keypoints, Region.round_person(at[_HIPS], at[_RIM]))


def refined(at_Nx2: np.ndarray, heat_HxWxN: np.ndarray) -> np.ndarray:
    """Landmarks moved to the middle of the heat round them, where that has a peak.

    at: shares of the square. heat: logits, a map for each.
    """
    height, width, count = heat_HxWxN.shape
    at_Nx2 = at_Nx2.copy()
    for n in range(count):
        column, row = int(at_Nx2[n, 0] * width), int(at_Nx2[n, 1] * height)
        if not (0 <= column < width and 0 <= row < height):
            continue
        rows = np.arange(max(row - _WINDOW, 0), min(row + _WINDOW + 1, height))
        columns = np.arange(max(column - _WINDOW, 0), min(column + _WINDOW + 1, width))
        logits = heat_HxWxN[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, n]
        heat = 1 / (1 + np.exp(-logits))
        if heat.max() >= _SURE:
            total = heat.sum()
            at_Nx2[n] = (heat.sum(0) @ columns / width, heat.sum(1) @ rows / height) / total
    return at_Nx2
