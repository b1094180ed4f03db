"""The first net: where persons are in a picture.

Shapes in names: A anchors (2,254), P persons found, 2 is x, y.
"""

import dataclasses
import functools
import pathlib

import numpy as np

from mbjax.detect.blazepose import region
from mbjax.detect.blazepose.interpreter import Net

_FILE = pathlib.Path(__file__).with_name("pose_detection.tflite")
# Of each grid of the net: cells across, and anchors a cell (the last stands for three layers).
_GRIDS = ((28, 2), (14, 2), (7, 6))
_SURE, _OVERLAP = 0.5, 0.3
_BOX = slice(0, 4)


@dataclasses.dataclass(frozen=True)
class Person:
    """One person found: how sure, the box (left, top, right, bottom) of face and chest, the circle.

    hips: the middle of the hips; rim: a point of the circle round the whole person. Pixels.
    """

    score: float
    box_4: np.ndarray
    hips_2: np.ndarray
    rim_2: np.ndarray

    @property
    def region(self) -> region.Region:
        return region.Region.round_person(self.hips_2, self.rim_2)


class PersonFinder:
    def __init__(self, threads: int = 2):
        self._net = Net(_FILE, threads)

    def __call__(self, picture_HxWx3: np.ndarray) -> list[Person]:
        """The persons in an RGB picture (uint8), the surest first."""
        square = region.whole(picture_HxWx3)
        cut = square.cut(picture_HxWx3, self._net.width, black_outside=True)
        out = self._net(cut / 127.5 - 1)
        return persons_of(out["Identity"], out["Identity_1"][:, 0], self._net.width, square)


@functools.cache
def _anchors():
    """The middle of each anchor's cell, (A, 2), as a share of the square."""
    middles = []
    for cells, anchors in _GRIDS:
        at = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
        middles.append(np.repeat(grid, anchors, axis=0))
    return np.concatenate(middles)


def persons_of(
    raw_Ax12: np.ndarray, logits_A: np.ndarray, size: int, square: region.Region
) -> list[Person]:
    """The net's output in pixels of the picture, one for each group of boxes that overlap."""
    scores_A = 1 / (1 + np.exp(-np.clip(logits_A, -100, 100).astype(np.float64)))
    sure = scores_A >= _SURE
    if not sure.any():
        return []
    scores, raw = scores_A[sure], raw_Ax12[sure].astype(np.float64) / size
    middle = _anchors()[sure]
    points = raw.reshape(len(raw), 6, 2)
    points[:, 0] += middle
    points[:, 2:] += middle[:, None]
    half = points[:, 1] / 2
    boxes = np.concatenate([points[:, 0] - half, points[:, 0] + half], axis=-1)
    values = np.concatenate([boxes, points[:, 2], points[:, 3]], axis=-1)
    found = []
    for score, one in _merged(scores, values):
        corners = square.to_picture(one.reshape(4, 2))
        found.append(Person(score, corners[:2].reshape(4), corners[2], corners[3]))
    return found


def _merged(scores, values):
    """(score, mean) of each group that overlaps its surest, weighted by how sure each is."""
    left = np.argsort(-scores, kind="stable")
    while len(left):
        overlap = _overlap(values[left[0], _BOX], values[left, _BOX])
        near = overlap > _OVERLAP
        near[0] = True
        group = left[near]
        weights = scores[group] / scores[group].sum()
        yield float(scores[left[0]]), weights @ values[group]
        left = left[~near]


def _overlap(box_4, boxes_Nx4):
    """Intersection over union."""
    low = np.maximum(box_4[:2], boxes_Nx4[:, :2])
    high = np.minimum(box_4[2:], boxes_Nx4[:, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area = np.clip(box_4[2:] - box_4[:2], 0, None).prod()
    areas = np.clip(boxes_Nx4[:, 2:] - boxes_Nx4[:, :2], 0, None).prod(-1)
    return shared / np.maximum(area + areas - shared, 1e-12)
