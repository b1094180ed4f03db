"""Errors of meshes and of the joints regressed from them: numpy, float64, in mm.

Shapes in names: N frames of several recordings, T frames in a row, J = 17 joints, V vertices.
Every one is root-relative: root, the first of the 17 joints, at the origin of its own frame.
"""

import numpy as np

from mbjax.pose.metrics import mpjpe, p_mpjpe
from mbjax.pose.skeleton import FOURTEEN, root_relative


def joint_errors(joints_NxJx3: np.ndarray, target_NxJx3: np.ndarray) -> dict[str, np.ndarray]:
    """Per frame (N,): MPJPE and PA-MPJPE over 14 and over 17 joints."""
    pose, target = root_relative(joints_NxJx3), root_relative(target_NxJx3)
    some = list(FOURTEEN)
    return {
        "mpjpe": mpjpe(pose[:, some], target[:, some]),
        "pa_mpjpe": p_mpjpe(pose[:, some], target[:, some]),
        "mpjpe_17": mpjpe(pose, target),
        "pa_mpjpe_17": p_mpjpe(pose, target),
    }


def acceleration_error(joints_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """Mean over 14 joints of the difference of second differences, mm per frame^2, (T - 2,).

    Of root-relative joints (Kanazawa et al., CVPR 2019); no factor for the frame rate.
    """
    some = list(FOURTEEN)
    second = [
        np.diff(root_relative(np.asarray(a, np.float64))[:, some], n=2, axis=0)
        for a in (joints_TxJx3, target_TxJx3)
    ]
    return np.linalg.norm(second[0] - second[1], axis=-1).mean(-1)
