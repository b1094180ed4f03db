"""One person of each picture, lifted as it comes.

Shapes in names: H x W of the picture, K keypoints of the detector's layout, J = 17 joints.
"""

import dataclasses

import numpy as np
from flax import nnx

from mbjax.detect import detectors
from mbjax.lifting.stream import Stream
from mbjax.pose.skeleton import limb_lengths, root_relative

# The limbs of a person together, in their own height.
_LIMBS = 2.25


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What was found in one picture. everybody: keypoints (K, 3) of each person.

    person: of whom is followed, None where nobody is; pose_Jx3: in heights of that person from the
    root, x right, y down, z away; None where nobody is.
    """

    everybody: list[np.ndarray]
    person: np.ndarray | None
    pose_Jx3: np.ndarray | None


class Follower:
    """Follows the largest person who comes into view, for as long as they stay there."""

    def __init__(self, model: nnx.Module, detector: str, fps: float):
        """fps: about how many pictures a second there will be, for the filter of the poses."""
        self._find = detectors.make(detector)
        self.layout = self._find.layout
        self._stream = Stream(model, layout=self.layout, smooth_fps=fps)
        self._last = None

    def __call__(self, picture_HxWx3: np.ndarray) -> Seen:
        everybody = self._find(picture_HxWx3)
        person = self._chosen(everybody)
        if person is None and self._last is not None:
            self._stream.reset()
        self._last = person
        pose_Jx3 = None if person is None else self._stream.push(person)
        if pose_Jx3 is not None:
            size = float(limb_lengths(pose_Jx3).sum()) / _LIMBS
            pose_Jx3 = root_relative(pose_Jx3) / max(size, 1e-6)
        return Seen(everybody, person, pose_Jx3)

    def _chosen(self, everybody):
        if not everybody:
            return None
        if self._last is None:
            return max(everybody, key=lambda one: _box(one)[1])
        centre_2, size = _box(self._last)
        near = min(everybody, key=lambda one: np.linalg.norm(_box(one)[0] - centre_2))
        # Somebody else, on the other side of the picture, is a new person.
        return near if np.linalg.norm(_box(near)[0] - centre_2) < size else None


def _box(keypoints_Kx3):
    """Centre and longer side of the box round what is seen."""
    points = keypoints_Kx3[keypoints_Kx3[:, 2] > 0][:, :2]
    if not len(points):
        return np.zeros(2), 0.0
    low_2, high_2 = points.min(axis=0), points.max(axis=0)
    return (low_2 + high_2) / 2, float((high_2 - low_2).max())
