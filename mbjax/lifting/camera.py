"""Where a person of known size stands before a camera of known intrinsics.

Shapes in names: T frames, J joints. Axes are the camera's: x right, y down, z away from it; metres.
"""

import numpy as np
from scipy.linalg import solveh_banded

from mbjax.pose.skeleton import root_relative

# What a keypoint is off by, as a share of the person's size in the image, and how much a root's
# velocity changes, m/s^2: between them they say how far a path follows the keypoints of one frame.
_KEYPOINT_ERROR = 0.02
_ACCELERATION = 4.0


def place(
    pose_TxJx3: np.ndarray,
    keypoints_TxJx3: np.ndarray,
    intrinsics: tuple[float, float, float, float],
    fps: float,
) -> np.ndarray:
    """The pose (T, J, 3) moved to where it projects onto its keypoints, in the camera's space.

    pose: metres, its own root's place means nothing. keypoints: x, y in pixels and confidence, 0
    where nothing was seen (x, y may be NaN). intrinsics: fx, fy, cx, cy in pixels, of a pinhole
    camera. fps: frames are one after another.

    Each joint gives two linear equations for the frame's translation t:
    f_x (X + t_x) / (Z + t_z) = x - c_x, multiplied out, and the like for y; those of all frames are
    solved together with one on each change of velocity, so that the path is smooth and goes on
    where nobody was seen. ValueError where too little is seen to place anybody.
    """
    pose_TxJx3 = root_relative(np.asarray(pose_TxJx3, np.float64))
    confidence_TxJ = keypoints_TxJx3[..., 2]
    xy_TxJx2 = np.where(confidence_TxJ[..., None] > 0, keypoints_TxJx3[..., :2], 0)
    focal_2, centre_2 = np.array(intrinsics[:2], float), np.array(intrinsics[2:], float)
    ray_TxJx2 = (xy_TxJx2 - centre_2) / focal_2
    if (confidence_TxJ > 0).sum() < 4:
        raise ValueError("under 4 visible joints; nothing to place a person by")
    size = _size(ray_TxJx2, confidence_TxJ)
    # A first distance, from how large the person looks; then the equations' own, once more, since
    # their errors are in metres at the joint's distance.
    depth = np.ptp(pose_TxJx3[..., 1], axis=1).mean() / size
    for _ in range(2):
        error = _KEYPOINT_ERROR * size * depth
        translation_Tx3 = _solve(pose_TxJx3, ray_TxJx2, confidence_TxJ / error**2, fps)
        depth = np.maximum(translation_Tx3[:, 2], 1e-3).mean()
    return pose_TxJx3 + translation_Tx3[:, None]


def _size(ray_TxJx2, confidence_TxJ):
    """Height of the person in the image over the focal length: the median of the frames'."""
    y = np.where(confidence_TxJ > 0, ray_TxJx2[..., 1], np.nan)[(confidence_TxJ > 0).sum(1) > 1]
    if not len(y):
        raise ValueError("no frame with two visible joints; nothing to place a person by")
    return max(np.median(np.nanmax(y, axis=1) - np.nanmin(y, axis=1)), 1e-6)


def _solve(pose_TxJx3, ray_TxJx2, weight_TxJ, fps):
    T, unknowns = len(pose_TxJx3), 3 * len(pose_TxJx3)
    # Rows (1, 0, -u) t = u Z - X and (0, 1, -v) t = v Z - Y of every joint.
    rows_TxJx2x3 = np.zeros((*ray_TxJx2.shape, 3))
    rows_TxJx2x3[..., 0, 0] = rows_TxJx2x3[..., 1, 1] = 1
    rows_TxJx2x3[..., 2] = -ray_TxJx2
    known_TxJx2 = ray_TxJx2 * pose_TxJx3[..., 2:] - pose_TxJx3[..., :2]
    matrix_Tx3x3 = np.einsum("tjri,tj,tjrk->tik", rows_TxJx2x3, weight_TxJ, rows_TxJx2x3)
    right_Tx3 = np.einsum("tjri,tj,tjr->ti", rows_TxJx2x3, weight_TxJ, known_TxJx2)
    # Upper banded form: band[6 + i - k, k] is entry (i, k); frames two apart meet in one equation.
    band = np.zeros((7, unknowns))
    for i in range(3):
        for k in range(i, 3):
            band[6 + i - k, k::3] += matrix_Tx3x3[:, i, k]
    prior = (fps**2 / _ACCELERATION) ** 2
    for a, of_a in enumerate((1, -2, 1)):
        for b, of_b in enumerate((1, -2, 1)):
            if b >= a and T > 2:
                entries = band[6 - 3 * (b - a)]
                entries[3 * b : unknowns - 3 * (2 - b)] += prior * of_a * of_b
    # Frames without a keypoint at either end of a path of two have no equation but this one.
    band[6] += 1e-9 * band[6].max()
    return solveh_banded(band, right_Tx3.ravel()).reshape(T, 3)
