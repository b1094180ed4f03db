"""True 3D in camera millimetres as a pose over the image that the 2D was found in.

Shapes: T frames, J = 17 joints.
"""

import numpy as np

from mbjax.pose.skeleton import ROOT, root_relative


def over_image(
    pixels_TxJx2: np.ndarray, pose_mm_TxJx3: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(pose (T, J, 3) in pixels on all axes, mm per pixel (T,)), frame by frame.

    The scale is the one that brings the pose nearest to the 2D in the least squares; the root
    stands at its place in the image, at depth 0. Times the scale, relative to the root, the pose is
    the truth again. ValueError for a frame without extent or whose 2D is turned against its 3D.
    """
    seen = root_relative(np.asarray(pixels_TxJx2, np.float64))
    true = root_relative(np.asarray(pose_mm_TxJx3, np.float64))
    size = np.square(true[..., :2]).sum(axis=(1, 2))
    fit = (seen * true[..., :2]).sum(axis=(1, 2))
    bad = ~((size > 0) & (fit > 0))
    if bad.any():
        raise ValueError(
            f"2D and 3D do not fit together in {bad.sum()} of {len(bad)} frames (frame "
            f"{np.flatnonzero(bad)[0]} first): is y down, x right and depth away in both?"
        )
    mm_per_pixel_T = size / fit
    pose = true / mm_per_pixel_T[:, None, None]
    pose[..., :2] += np.asarray(pixels_TxJx2, np.float64)[:, ROOT, None]
    return pose, mm_per_pixel_T
