"""All persons of a motion in one space and on one time line, as they are drawn.

Shapes in names: F frames of the video, M persons, J joints, T frames of one person.
"""

import dataclasses

import numpy as np

from mbjax.motion.motion import Motion, PersonMotion
from mbjax.pose.skeleton import ROOT, root_relative


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Camera axes: x right, y down, z away. NaN where a person is not there.

    frames: numbers in the video, one after the other.
    pose: in heights of a person, about. keypoints: x, y in pixels, confidence; guessed: frames in
    which a person was missed and is interpolated. floor: y of the lowest joint of all.
    """

    frames_F: np.ndarray
    persons: tuple[int, ...]
    pose_FxMxJx3: np.ndarray
    keypoints_FxMxJx3: np.ndarray
    guessed_FxM: np.ndarray

    @property
    def floor(self) -> float:
        return float(np.nanmax(self.pose_FxMxJx3[..., 1]))

    def bounds(self) -> tuple[np.ndarray, float]:
        """Middle (3,) of all that is ever there, and the radius of a ball round it."""
        points = self.pose_FxMxJx3[np.isfinite(self.pose_FxMxJx3[..., 0])]
        centre_3 = (points.min(0) + points.max(0)) / 2
        return centre_3, float(max(np.linalg.norm(points - centre_3, axis=-1).max(), 1e-6))


def of_motion(motion: Motion, frames: int | None = None) -> Scene:
    """The scene of a motion in any unit, from the first person's first frame to the last's last.

    frames: of the video, all of which the scene then has.

    Persons that a camera has placed keep their places. Else each stands where the image has them,
    as large as there, at the depth that the network gives the path of the root, which begins at 0.
    """
    first = 0 if frames else min(one.frames_T[0] for one in motion)
    last = max(one.frames_T[-1] for one in motion)
    frames_F = np.arange(first, max(last, (frames or 0) - 1) + 1)
    shape = (len(frames_F), len(motion), *motion.persons[0].pose_TxJx3.shape[1:])
    pose, keypoints = np.full(shape, np.nan), np.full(shape, np.nan)
    guessed_FxM = np.zeros(shape[:2], bool)
    heights = []
    for m, one in enumerate(motion):
        rows = one.frames_T - frames_F[0]
        pose_TxJx3 = one.pose_TxJx3.astype(float) if motion.placed else _in_the_image(one, motion)
        pose[rows, m], keypoints[rows, m] = pose_TxJx3, one.keypoints_TxJx3
        guessed_FxM[rows, m] = one.interpolated_T
        heights.append(np.median(np.ptp(pose_TxJx3[..., 1], axis=1)))
    persons = tuple(one.person for one in motion)
    pose /= max(np.median(heights), 1e-9)
    return Scene(frames_F, persons, pose, keypoints, guessed_FxM)


def _in_the_image(one: PersonMotion, motion: Motion):
    """The pose (T, J, 3) in pixels, x and y where the keypoints are."""
    seen_TxJx1 = one.keypoints_TxJx3[..., 2:] > 0
    image_TxJx2 = np.where(seen_TxJx1, one.keypoints_TxJx3[..., :2], 0)
    root_Tx1x2 = _root_path(one)[:, None]
    relative_TxJx3 = root_relative(one.pose_TxJx3.astype(float))
    xy = relative_TxJx3[..., :2]
    # Least squares: pixels per unit such that the pose covers the keypoints.
    onto = (xy * (image_TxJx2 - root_Tx1x2) * seen_TxJx1).sum()
    scale = onto / max((xy**2 * seen_TxJx1).sum(), 1e-12)
    if scale <= 0:  # a pose that has nothing to do with its input, of a net without training
        scale = 1 / one.units_per_pixel
    z_Tx1 = np.zeros((len(xy), 1))
    if not motion.root_relative:
        z_Tx1 = scale * one.pose_TxJx3[:, ROOT, 2:]
    path_Tx1x3 = np.concatenate([root_Tx1x2[:, 0], z_Tx1], axis=-1)[:, None]
    return scale * relative_TxJx3 + path_Tx1x3


def _root_path(one):
    """(T, 2) in pixels: the root's keypoint; of one who has none, the middle of what is seen."""
    path_Tx2 = one.keypoints_TxJx3[:, ROOT, :2]
    if np.isnan(path_Tx2).any():
        return np.tile(one.centre_2, (len(path_Tx2), 1))
    return path_Tx2
