"""Where a person's root goes: from the picture, and held by the feet that are planted.

Shapes in names: T frames, S = T - 1 steps between them, J joints (17). Axes: y up, x right, z to
the camera; metres.
A picture shows how far somebody goes across it, at the metres that a pixel has where they stand;
how far they go into it, it shows only by their size, which is left alone here: into the picture the
path follows the planted feet, and stays near 0 besides.
"""

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d

# Seconds over which the size of a person in the picture is averaged.
_SIZE_SECONDS = 0.5
# What the path may be off: the picture's x and y, depth by size, a path that does not leave the
# picture's plane, a planted foot from one frame to the next (all m), and how much the velocity
# changes (m/s^2).
_PICTURE_ERROR, _DEPTH_ERROR, _DEPTH_RANGE = 0.03, 0.05, 1.0
_PLANTED_ERROR, _ACCELERATION = 0.004, 6.0


def metres_per_pixel(body_TxJx3: np.ndarray, keypoints_TxJx3: np.ndarray, fps: float) -> np.ndarray:
    """(T,): of a picture that shows this body (root-relative, y up) at these keypoints (pixels).

    By the spread of the joints in each frame, smoothed over half a second either side. ValueError
    where no frame has four visible joints.
    """
    weight_TxJx1, xy_TxJx2 = _seen(keypoints_TxJx3)
    spread_TxJx2 = (xy_TxJx2 - _mean(xy_TxJx2, weight_TxJx1)) * [1, -1]
    body_TxJx2 = body_TxJx3[..., :2] - _mean(body_TxJx3[..., :2], weight_TxJx1)
    size_T = np.sqrt((weight_TxJx1 * spread_TxJx2**2).sum((1, 2)))
    body_size_T = np.sqrt((weight_TxJx1 * body_TxJx2**2).sum((1, 2)))
    usable_T = ((weight_TxJx1[..., 0] > 0).sum(1) >= 4) & (size_T > 0) & (body_size_T > 0)
    if not usable_T.any():
        raise ValueError("no frame with 4 visible joints; nothing to tell the scale by")
    frames_T = np.arange(len(size_T))
    logs = np.log(body_size_T[usable_T] / size_T[usable_T])
    log_T = np.interp(frames_T, frames_T[usable_T], logs)
    return np.exp(gaussian_filter1d(log_T, _SIZE_SECONDS * fps, mode="nearest"))


def in_the_picture(
    body_TxJx3: np.ndarray, keypoints_TxJx3: np.ndarray, scale_T: np.ndarray, centre_2: np.ndarray
) -> np.ndarray:
    """The root (T, 3), z = 0, such that the body lies over its keypoints; the origin at `centre`.

    scale: metres per pixel. Frames without a visible joint are interpolated.
    """
    weight_TxJx1, xy_TxJx2 = _seen(keypoints_TxJx3)
    there_TxJx2 = (xy_TxJx2 - centre_2) * [1, -1] * scale_T[:, None, None]
    root_Tx2 = _mean(there_TxJx2 - body_TxJx3[..., :2], weight_TxJx1)[:, 0]
    seen_T = weight_TxJx1.sum((1, 2)) > 0
    frames_T = np.arange(len(seen_T))
    root_Tx3 = np.zeros((len(seen_T), 3))
    for axis in range(2):
        root_Tx3[:, axis] = np.interp(frames_T, frames_T[seen_T], root_Tx2[seen_T, axis])
    return root_Tx3


def held_by_feet(
    root_Tx3: np.ndarray, feet_Tx2x3: np.ndarray, planted_Tx2: np.ndarray, fps: float,
    depth_known: bool = False,
) -> np.ndarray:  # fmt: skip
    """The root's path (T, 3) that keeps planted feet where they are.

    feet: relative to the root. Least squares between the path as it came, no motion of a foot that
    is planted in two frames one after the other, and small changes of velocity. depth_known:
    whether z came from more than 0.
    """
    T = len(root_Tx3)
    if T < 3:
        return root_Tx3.copy()
    both_Sx2 = (planted_Tx2[1:] & planted_Tx2[:-1]).astype(float) / _PLANTED_ERROR**2
    steps_Sx2x3 = -np.diff(feet_Tx2x3, axis=0)  # of the root, were the foot to stay
    error_3 = (_PICTURE_ERROR, _PICTURE_ERROR, _DEPTH_ERROR if depth_known else _DEPTH_RANGE)
    held_Tx3 = np.empty((T, 3))
    for axis in range(3):
        band = np.zeros((3, T))  # upper form: band[2 + i - k, k] is entry (i, k)
        right_T = root_Tx3[:, axis] / error_3[axis] ** 2
        band[2] += 1 / error_3[axis] ** 2
        for foot in range(2):
            weight = both_Sx2[:, foot]
            band[2, 1:] += weight
            band[2, :-1] += weight
            band[1, 1:] -= weight
            pull = weight * steps_Sx2x3[:, foot, axis]
            right_T[1:] += pull
            right_T[:-1] -= pull
        bend = (fps**2 / _ACCELERATION) ** 2
        for a, of_a in enumerate((1, -2, 1)):
            for b, of_b in enumerate((1, -2, 1)):
                if b >= a:
                    band[2 - (b - a), b : T - 2 + b] += bend * of_a * of_b
        held_Tx3[:, axis] = solveh_banded(band, right_T)
    return held_Tx3


def _seen(keypoints_TxJx3):
    """Confidences (T, J, 1), 0 where there is no x, y; and x, y without NaN."""
    known_TxJ = np.isfinite(keypoints_TxJx3[..., :2]).all(-1)
    weight_TxJ = np.where(known_TxJ, np.nan_to_num(keypoints_TxJx3[..., 2]), 0)
    return weight_TxJ[..., None], np.nan_to_num(keypoints_TxJx3[..., :2])


def _mean(values_TxJxC, weight_TxJx1):
    """(T, 1, C), 0 where nothing is seen."""
    total = weight_TxJx1.sum(1, keepdims=True)
    return (weight_TxJx1 * values_TxJxC).sum(1, keepdims=True) / np.where(total > 0, total, 1)
