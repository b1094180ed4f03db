"""Errors of 3D pose, for evaluation: numpy, float64, never inside a gradient.

Shapes in names: T frames (any leading axes), J joints. Units are those of the input.
"""

import numpy as np


def mpjpe(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """Mean per-joint position error of each frame, (...,)."""
    _same_shape(pose_TxJx3, target_TxJx3)
    return np.linalg.norm(np.subtract(pose_TxJx3, target_TxJx3, dtype=np.float64), axis=-1).mean(-1)


def aligned(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """Each frame's pose moved, turned and scaled onto its target (Procrustes, no mirroring).

    A pose or a target that is a single point keeps no rotation and goes to the target's mean.
    """
    _same_shape(pose_TxJx3, target_TxJx3)
    pose, target = (np.asarray(a, np.float64) for a in (pose_TxJx3, target_TxJx3))
    pose_mean, target_mean = pose.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    pose, target = pose - pose_mean, target - target_mean
    pose_size = np.sqrt(np.square(pose).sum((-2, -1), keepdims=True))
    target_size = np.sqrt(np.square(target).sum((-2, -1), keepdims=True))
    pose = pose / np.where(pose_size > 0, pose_size, 1)
    covariance = np.swapaxes(target / np.where(target_size > 0, target_size, 1), -1, -2) @ pose
    u, singular, vt = np.linalg.svd(covariance)
    # A reflection would fit better still where this is negative; the last axis is turned back.
    sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    vt[..., -1, :] *= sign[..., None]
    singular[..., -1] *= sign
    rotation = u @ vt
    scale = singular.sum(-1)[..., None, None] * target_size
    return scale * (pose @ np.swapaxes(rotation, -1, -2)) + target_mean


def p_mpjpe(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """MPJPE of each frame after Procrustes alignment, (...,)."""
    return mpjpe(aligned(pose_TxJx3, target_TxJx3), target_TxJx3)


def velocity_mpjpe(pose_TxJx3: np.ndarray, target_TxJx3: np.ndarray) -> np.ndarray:
    """MPJVE: error of the frame-to-frame difference, (T - 1,)."""
    return mpjpe(np.diff(pose_TxJx3, axis=-3), np.diff(target_TxJx3, axis=-3))


def _same_shape(pose, target):
    if pose.shape != target.shape or pose.shape[-1] != 3:
        raise ValueError(
            f"pose and target must have one shape (..., joints, 3), got {pose.shape} and "
            f"{target.shape}"
        )
