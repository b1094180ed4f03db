"""Errors of 3D pose, for evaluation: numpy, float64, never inside a gradient.

Shapes in names: T frames (any leading axes), J joints. Units are those of the input.
"""

import numpy as np

from mbjax.geometry import similarity_align


def mpjpe(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """Mean per-joint position error of each frame, (...,)."""
    _same_shape(pose_TxJx3, target_TxJx3)
    return np.linalg.norm(np.subtract(pose_TxJx3, target_TxJx3, dtype=np.float64), axis=-1).mean(-1)


def p_mpjpe(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """MPJPE of each frame after it is moved, turned and scaled onto its target (Procrustes)."""
    _same_shape(pose_TxJx3, target_TxJx3)
    target = np.asarray(target_TxJx3, np.float64)
    return mpjpe(similarity_align(np.asarray(pose_TxJx3, np.float64), target), target)


def _same_shape(pose, target):
    if pose.shape != target.shape or pose.shape[-1] != 3:
        raise ValueError(
            f"pose and target must have one shape (..., joints, 3), got {pose.shape} and "
            f"{target.shape}"
        )
