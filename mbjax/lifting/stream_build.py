"""The build of a stream's person, measured while the frames come in.

A network errs on people whose trunk beside their legs is of another length than of those it learnt
from (mbjax/pose/proportions.py). A clip is lifted twice; a stream has seen only what has come, and
what it has given stays. So it measures one frame of four, works the build out four times in the
first ten seconds in which trunk and legs are seen, and goes over to it little by little.

Shapes in names: J joints (17).
"""

from collections.abc import Callable

import numpy as np

from mbjax.pose import proportions

_EVERY = 4  # frames from one that is measured to the next
_LOOKS = (8, 16, 32, 64)  # frames measured, after which the build is worked out; then it stays
_EASED = 1.01  # times as long, at most, from one frame to the next


class Build:
    """learnt: trunk_per_leg of the people a network learnt from; 0: nothing is measured."""

    def __init__(self, learnt: float):
        self._learnt = learnt
        self.reset()

    def reset(self) -> None:
        """As for another person."""
        self._poses_Jx3, self._points_Jx3 = [], []
        self._measured_at = self._told_at = -_EVERY
        self._target = self._factor = 1.0

    def wants(self, frame: int) -> bool:
        """Whether this frame, counted from 0, is to be measured."""
        more = self._learnt > 0 and len(self._poses_Jx3) < _LOOKS[-1]
        return more and frame - self._measured_at >= _EVERY

    def measure(self, frame: int, pose: Callable[[], np.ndarray], points_Jx3: np.ndarray) -> None:
        """pose: () -> (17, 3) as lifted without regard to the build, asked for where trunk and legs
        are seen. points: what it is lifted from, x, y and confidence. Both in one unit, which is
        the same for all frames."""
        self._measured_at = frame
        if not proportions.measurable(points_Jx3):
            return  # somebody at a desk may stand up later
        self._poses_Jx3.append(pose())
        self._points_Jx3.append(points_Jx3)
        if len(self._poses_Jx3) in _LOOKS:
            seen = np.stack(self._poses_Jx3), np.stack(self._points_Jx3)
            self._target = proportions.factor(*seen, self._learnt)

    def factor(self, frame: int) -> float:
        """How many times as long as the learnt ones trunk and head count at this frame."""
        most = _EASED ** (frame - self._told_at)
        self._told_at = frame
        self._factor *= float(np.clip(self._target / self._factor, 1 / most, most))
        return self._factor


def constants(learnt: float) -> dict:
    """What live/in_browser/build.js, which does the same, takes from here."""
    return {
        "learnt": learnt, "every": _EVERY, "looks": list(_LOOKS), "eased": _EASED,
        **proportions.constants(),
    }  # fmt: skip
