"""One skeleton for a person over a whole clip: bones of constant length, left as long as right.

Shapes in names: T frames, J joints (17, mbjax.pose.skeleton.JOINTS).
Joints lifted from a perspective picture have the leg that is nearer to the camera longer, and bones
that change from frame to frame; the directions of the bones are the better part of them.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mbjax.motion.motion import stature
from mbjax.pose.skeleton import INDEX, MIRROR, NUM_JOINTS, PARENTS, ROOT

# Seconds over which a person's size is averaged.
_SIZE_SECONDS = 0.5


def bone_lengths(pose_TxJx3: np.ndarray, usable_T: np.ndarray | None = None) -> np.ndarray:
    """(J,): from each joint to its parent, in the pose's unit; 0 for the root.

    The median over the frames that are `usable` (all, where none is), then the mean of left and
    right.
    """
    if usable_T is not None and usable_T.any():
        pose_TxJx3 = pose_TxJx3[usable_T]
    bones_TxJx3 = pose_TxJx3 - pose_TxJx3[:, PARENTS]
    lengths_J = np.median(np.linalg.norm(bones_TxJx3, axis=-1), axis=0)
    return (lengths_J + lengths_J[MIRROR]) / 2


def with_lengths(pose_TxJx3: np.ndarray, lengths_J: np.ndarray) -> np.ndarray:
    """The pose (T, J, 3) rebuilt from its root with bones of these lengths in its own directions.

    A bone without a length in some frame keeps the direction of the frame before.
    """
    bones_TxJx3 = pose_TxJx3 - pose_TxJx3[:, PARENTS]
    reach_TxJ = np.linalg.norm(bones_TxJx3, axis=-1)
    fitted_TxJx3 = np.array(pose_TxJx3, np.float64)
    for joint in range(NUM_JOINTS):  # parents stand before their children
        if joint == ROOT:
            continue
        known_T = reach_TxJ[:, joint] > 1e-9
        direction_Tx3 = np.zeros((len(pose_TxJx3), 3))
        if known_T.any():
            row_T = np.maximum.accumulate(np.where(known_T, np.arange(len(known_T)), -1))
            row_T = np.where(row_T < 0, np.argmax(known_T), row_T)
            direction_Tx3 = (
                bones_TxJx3[:, joint] / np.maximum(reach_TxJ[:, joint], 1e-9)[:, None]
            )[row_T]
        fitted_TxJx3[:, joint] = fitted_TxJx3[:, PARENTS[joint]] + lengths_J[joint] * direction_Tx3
    return fitted_TxJx3


def fit(
    pose_TxJx3: np.ndarray, height: float, usable_T: np.ndarray | None = None,
    head_height: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The pose (T, J, 3) in metres with one skeleton of a person this tall, and its lengths (J,).

    The root's place is scaled too. height: stature in metres; head_height: see
    mbjax.motion.motion.stature. A head point below the top of the head is moved up to it, along the
    line from the neck.
    """
    lengths_J = bone_lengths(pose_TxJx3, usable_T)
    fitted_TxJx3 = with_lengths(pose_TxJx3, lengths_J)
    scale = height / max(stature(fitted_TxJx3, head_height), 1e-9)
    fitted_TxJx3 *= scale
    if head_height < 1:
        head_Tx3 = fitted_TxJx3[:, INDEX["head"]]
        up_Tx3 = head_Tx3 - fitted_TxJx3[:, INDEX["neck"]]
        up_Tx3 /= np.maximum(np.linalg.norm(up_Tx3, axis=-1, keepdims=True), 1e-9)
        fitted_TxJx3[:, INDEX["head"]] = head_Tx3 + (1 - head_height) * height * up_Tx3
    return fitted_TxJx3, scale * lengths_J


def leg_lengths(pose_TxJx3: np.ndarray) -> tuple[float, float]:
    """Left and right, hip to ankle along the knee: the medians over the frames."""
    bones_TxJx3 = pose_TxJx3 - pose_TxJx3[:, PARENTS]
    lengths_J = np.median(np.linalg.norm(bones_TxJx3, axis=-1), axis=0)
    left, right = (
        float(lengths_J[INDEX[f"{side}knee"]] + lengths_J[INDEX[f"{side}ankle"]]) for side in "lr"
    )
    return left, right


def of_steady_size(pose_TxJx3: np.ndarray, fps: float) -> np.ndarray:
    """The pose (T, J, 3) with slow changes of the person's size taken out, its root in its place.

    Networks lift to the picture's own size: who comes nearer grows. Each frame is divided by its
    bones' length over the whole clip's, smoothed over half a second either side.
    """
    bones_TxJx3 = pose_TxJx3 - pose_TxJx3[:, PARENTS]
    lengths_TxJ = np.linalg.norm(bones_TxJx3, axis=-1)
    size_T = lengths_TxJ.sum(1)
    typical = np.median(size_T)
    log_T = np.log(np.maximum(size_T, 1e-6 * max(typical, 1e-12)) / max(typical, 1e-12))
    share_T = np.exp(gaussian_filter1d(log_T, _SIZE_SECONDS * fps, mode="nearest"))
    root_Tx1x3 = pose_TxJx3[:, ROOT : ROOT + 1]
    return (pose_TxJx3 - root_Tx1x3) / share_T[:, None, None] + root_Tx1x3
