"""The 3D motion of the persons in a video, as `mbjax.lift` gives it.

Shapes in names: T frames of one person, J joints (17, mbjax.pose.skeleton.JOINTS). Axes are the
camera's: x right, y down, z away from it.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mbjax.pose.skeleton import INDEX

# From the ankle to the top of the head, in heights of a standing person: the ankle's own height is
# left out (Drillis and Contini, 1966; table in Winter, Biomechanics and Motor Control, 2009).
_ANKLE_SHARE = 0.039
_TRUNK = ("root", "belly", "neck", "head")
_LEGS = (("rhip", "rknee", "rankle"), ("lhip", "lknee", "lankle"))


@dataclasses.dataclass(frozen=True, eq=False)
class PersonMotion:
    """One person, every frame from the first to the last (in reference_compat, those detected).

    frames: numbers in the video. pose: x, y, z in the motion's unit. keypoints: the 2D input as the
    17 joints, in pixels, NaN where a joint was in no frame. confidence: of the 2D input, 0 where it
    was interpolated. interpolated: frames in which the person was missed.
    centre, units_per_pixel: place and size of the person in the image: a normalised x, y is
    (pixel - centre) * units_per_pixel. feet: 2D of left toe, left heel, right toe, right heel
    (pixels and confidence), where the detector has them.
    """

    person: int
    frames_T: np.ndarray
    pose_TxJx3: np.ndarray
    keypoints_TxJx3: np.ndarray
    confidence_TxJ: np.ndarray
    interpolated_T: np.ndarray
    centre_2: np.ndarray
    units_per_pixel: float
    feet_TxPx3: np.ndarray | None = None

    def __repr__(self) -> str:
        return (
            f"PersonMotion(person {self.person}, frames {self.frames_T[0]} to {self.frames_T[-1]}, "
            f"pose {self.pose_TxJx3.shape})"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """All persons, in a sequence: `motion[0]` is the first; `motion.person(2)` is number 2.

    unit: 'normalised' (2 is the side of the square round the person's whole track), 'pixels' or
    'm'. fps: None if neither the file nor the user says it. notes: what a user should know.
    root_relative: every pose has its root at the origin; else the root moves, its depth counted
    from the first frame's, or, where `placed`, from the camera. head_height: of the head point, as
    a share of stature; less than 1 where it is at the eyes.
    """

    persons: tuple[PersonMotion, ...]
    unit: str
    fps: float | None
    layout: str
    source: str
    root_relative: bool
    placed: bool = False
    notes: tuple[str, ...] = ()
    head_height: float = 1.0

    def __len__(self) -> int:
        return len(self.persons)

    def __iter__(self) -> Iterator[PersonMotion]:
        return iter(self.persons)

    def __getitem__(self, place: int) -> PersonMotion:
        return self.persons[place]

    def person(self, number: int) -> PersonMotion:
        """The person of this number; KeyError if there is none."""
        for one in self.persons:
            if one.person == number:
                return one
        raise KeyError(f"no person {number}; there are {[one.person for one in self.persons]}")

    def __repr__(self) -> str:
        first = min(one.frames_T[0] for one in self)
        last = max(one.frames_T[-1] for one in self)
        people = "1 person" if len(self) == 1 else f"{len(self)} persons"
        rate = f"{self.fps:g} fps" if self.fps else "frame rate not known"
        return f"Motion({people}, frames {first} to {last}, unit {self.unit}, {rate})"

    def save(self, folder: str | os.PathLike, **options) -> list[pathlib.Path]:
        """Writes npz, CSV, TRC, BVH, GLB and angles into a folder: the paths.

        options: those of mbjax.motion.files.write_all, as rig_names="mixamo", smooth_hz=6.
        """
        from mbjax.motion import files

        return files.write_all(self, folder, **options)

    def times(self, one: PersonMotion) -> np.ndarray | None:
        """Seconds (T,) since frame 0 of the video, or None where the frame rate is not known."""
        return None if self.fps is None else one.frames_T / self.fps


def stature(pose_TxJx3: np.ndarray, head_height: float = 1.0) -> float:
    """How tall the person is who takes these poses, in the poses' unit.

    head_height: of the head point, as a share of stature; less than 1 where it is at the eyes
    (mbjax.keypoints.layouts).

    The length along ankle, knee, hip and root, belly, neck, head (mean of both legs), made up by
    what is below the ankle; the median over frames, so that a few bad ones do not count.
    """

    def along(names):
        points = pose_TxJx3[:, [INDEX[name] for name in names]]
        return np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(-1)

    legs = sum(along(leg) for leg in _LEGS) / len(_LEGS)
    return float(np.median(legs + along(_TRUNK))) / (head_height - _ANKLE_SHARE)
