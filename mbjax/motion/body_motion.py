"""The body of one person over time.

Shapes in names: T frames of a person, K = 24 rotations, S = 10 shape coefficients, V vertices. Axes
are the camera's: x right, y down, z away; metres, radians.
"""

import dataclasses

import numpy as np

from mbjax.body.smpl import Smpl


@dataclasses.dataclass(frozen=True, eq=False)
class BodyMotion:
    """One person. frames: numbers in the video; pose: axis-angles; betas: of the person.

    trans: moves the body so that its joints lie over the keypoints, in x and y; how far away it is
    no net says, so z is 0 throughout.
    """

    person: int
    frames_T: np.ndarray
    pose_Tx72: np.ndarray
    betas_S: np.ndarray
    trans_Tx3: np.ndarray

    def verts(self, body: Smpl, rows=slice(None)) -> np.ndarray:
        """Vertices (T, V, 3) in metres, of these rows; a frame of SMPL is 80 KB."""
        return body.body(self.pose_Tx72[rows], self.betas_S, trans=self.trans_Tx3[rows])[0]
