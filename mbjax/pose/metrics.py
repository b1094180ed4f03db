"""Errors of 3D pose, for evaluation: numpy, float64, never inside a gradient.

Shapes in names: T frames (any leading axes), J joints. Units are those of the input.
"""

from collections.abc import Sequence

import numpy as np

from mbjax.pose.rotations import similarity_align
from mbjax.pose.skeleton import JOINTS


def mpjpe(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """Mean per-joint position error of each frame, (...,)."""
    _same_shape(pose_TxJx3, target_TxJx3)
    return np.linalg.norm(np.subtract(pose_TxJx3, target_TxJx3, dtype=np.float64), axis=-1).mean(-1)


def p_mpjpe(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """MPJPE of each frame (..., J, 3) moved, turned and scaled onto its target (Procrustes)."""
    _same_shape(pose_TxJx3, target_TxJx3)
    target = np.asarray(target_TxJx3, np.float64)
    return mpjpe(similarity_align(np.asarray(pose_TxJx3, np.float64), target), target)


def n_mpjpe(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """MPJPE of each frame (..., J, 3) scaled, not turned, to fit its target in the least squares.

    Give both relative to the root. An all-zero pose has no scale and stays as it is.
    """
    _same_shape(pose_TxJx3, target_TxJx3)
    pose, target = np.asarray(pose_TxJx3, np.float64), np.asarray(target_TxJx3, np.float64)
    return mpjpe(fitting_scale(pose, target)[..., None, None] * pose, target)


def fitting_scale(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """The factor for each frame, (...,), that brings a pose nearest to its target; 0 for zeros."""
    pose, target = np.asarray(pose_TxJx3, np.float64), np.asarray(target_TxJx3, np.float64)
    size = np.square(pose).sum(axis=(-2, -1))
    return (pose * target).sum(axis=(-2, -1)) / np.where(size == 0, 1.0, size)


def mpjve(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """Mean per-joint velocity error from each frame to the next, (..., T-1), per frame."""
    _same_shape(pose_TxJx3, target_TxJx3)
    pose, target = np.asarray(pose_TxJx3, np.float64), np.asarray(target_TxJx3, np.float64)
    return mpjpe(np.diff(pose, axis=-3), np.diff(target, axis=-3))


PCK_MM = 150.0
# As MPI-INF-3DHP has it: the mean of PCK from 0 to 150 mm in steps of 5.
_AUC_MM = np.linspace(0, PCK_MM, 31)
# The joints whose PCK and AUC count in its script: not root, belly and nose.
DHP_JOINTS = tuple(i for i, name in enumerate(JOINTS) if name not in ("root", "belly", "nose"))


def pck_auc(
    pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray, joints: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """(PCK, AUC) of each frame in millimetres: shares in [0, 1] of `joints`, or of all of them.

    PCK: joints less than 150 mm from the truth; AUC: the mean of such shares at 0, 5, ... 150 mm
    (Mehta et al., 3DV 2017, and the script that comes with its test set).
    """
    _same_shape(pose_TxJx3, target_TxJx3)
    distance = np.linalg.norm(np.subtract(pose_TxJx3, target_TxJx3, dtype=np.float64), axis=-1)
    chosen = distance[..., list(joints)] if len(joints) else distance
    within = chosen[..., None] < _AUC_MM
    return within[..., -1].mean(-1), within.mean((-2, -1))


def _same_shape(pose, target):
    if pose.shape != target.shape or pose.shape[-1] != 3:
        raise ValueError(
            f"pose and target must have one shape (..., joints, 3), got {pose.shape} and "
            f"{target.shape}"
        )
