"""BlazePose on a video: persons are found now and then, and followed by their landmarks between.

Shapes in names: K landmarks, 3 is x, y, visibility.
"""

import math

import numpy as np

from mbjax.detect.blazepose.landmarks import LandmarkFinder
from mbjax.detect.blazepose.persons import PersonFinder
from mbjax.detect.blazepose.region import Region

# The first net runs each so many pictures while somebody is followed, and on each while nobody is.
_LOOK_EVERY = 2
_SURE = 0.5  # that the square has a person in it
# Two squares are of one person where their middles are nearer than this share of the larger side,
# and one is not more than twice the other.
_NEAR, _LIKE = 0.25, 2.0


class BlazePose:
    """Several persons of a video, picture after picture.

    `detector(rgb_HxWx3)` is the keypoints (33, 3), in pixels, of each person seen. threads: of the
    nets. most: so many persons are followed at once, the surest first.
    """

    layout = "mediapipe33"

    def __init__(self, threads: int = 2, most: int = 6):
        self._find_persons, self._find_landmarks = PersonFinder(threads), LandmarkFinder(threads)
        self._most = most
        self._followed: list[Region] = []
        self._pictures = 0

    def __call__(self, picture_HxWx3: np.ndarray) -> list[np.ndarray]:
        if not self._followed or self._pictures % _LOOK_EVERY == 0:
            self._look(picture_HxWx3)
        self._pictures += 1
        seen, regions = [], []
        for region in self._followed:
            found = self._find_landmarks(picture_HxWx3, region)
            if found.score < _SURE or not _sound(found.next_region):
                continue
            # Two squares may end up on one person: the one followed for longer stays.
            if any(_same(found.next_region, other) for other in regions):
                continue
            regions.append(found.next_region)
            seen.append(found.keypoints_Kx3)
        self._followed = regions
        return seen

    def _look(self, picture):
        for person in self._find_persons(picture):
            region = person.region
            known = any(_same(region, one) for one in self._followed)
            if not known and _sound(region) and len(self._followed) < self._most:
                self._followed.append(region)


def _sound(region):
    return math.isfinite(region.x + region.y + region.side) and region.side > 1


def _same(a, b):
    larger, smaller = max(a.side, b.side), min(a.side, b.side)
    return math.hypot(a.x - b.x, a.y - b.y) < _NEAR * larger and larger < _LIKE * smaller
