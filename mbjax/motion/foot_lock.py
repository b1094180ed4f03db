"""Planted feet held where they are: legs are bent, or stretched, so that ankles do not slide.

Shapes in names: T frames, J joints (17), 2 sides (left, right). Axes: y up, metres, floor at 0.
"""

import numpy as np

from mbjax.motion.feet import ANKLE_HEIGHT, SIDES, segments, unit
from mbjax.pose.skeleton import INDEX

# Seconds in which a correction comes and goes before and after a contact.
_FADE = 0.15
# An ankle of a planted foot that is within this share of stature of standing on the floor does so.
_ON_FLOOR = 0.06


def lock(body_TxJx3: np.ndarray, planted_Tx2: np.ndarray, fps: float, height: float) -> np.ndarray:
    """The body (T, J, 3) with each planted foot in one place for as long as it is planted.

    The place is the median of where the ankle is; its height is that of someone who stands on the
    floor, if it is near that. Between contacts the correction fades. Bones keep their lengths:
    where a place is out of a leg's reach, the ankle stays short of it.
    """
    locked_TxJx3 = np.array(body_TxJx3, np.float64)
    for side, name in enumerate(SIDES):
        hip, knee, ankle = (INDEX[f"{name}{joint}"] for joint in ("hip", "knee", "ankle"))
        correction_Tx3 = _corrections(locked_TxJx3[:, ankle], planted_Tx2[:, side], fps, height)
        knee_Tx3, ankle_Tx3 = _reach(
            locked_TxJx3[:, hip], locked_TxJx3[:, knee], locked_TxJx3[:, ankle],
            locked_TxJx3[:, ankle] + correction_Tx3,
        )  # fmt: skip
        locked_TxJx3[:, knee], locked_TxJx3[:, ankle] = knee_Tx3, ankle_Tx3
    return locked_TxJx3


def _corrections(ankle_Tx3, planted_T, fps, height):
    """(T, 3): what brings an ankle to its places, and fades between and beside them."""
    fade = max(1, round(_FADE * fps))
    total_Tx3, weight_T = np.zeros_like(ankle_Tx3), np.zeros(len(ankle_Tx3))
    for first, end in segments(planted_T):
        place_3 = np.median(ankle_Tx3[first:end], axis=0)
        standing = ANKLE_HEIGHT * height
        if abs(place_3[1] - standing) < _ON_FLOOR * height:
            place_3[1] = standing
        total_Tx3[first:end] = place_3 - ankle_Tx3[first:end]
        weight_T[first:end] = 1
        for edge, way in ((first, -1), (end - 1, 1)):
            for step in range(1, fade):
                t = edge + way * step
                if not 0 <= t < len(planted_T) or planted_T[t]:
                    break
                share = (1 + np.cos(np.pi * step / fade)) / 2
                total_Tx3[t] += share * (place_3 - ankle_Tx3[edge])
                weight_T[t] += share
    # Two fades that meet are one.
    return total_Tx3 / np.maximum(weight_T, 1)[:, None]


def _reach(hip_Tx3, knee_Tx3, ankle_Tx3, target_Tx3):
    """Knee and ankle (T, 3) of a leg that reaches for a target, bent the way that it was."""
    thigh_T = np.linalg.norm(knee_Tx3 - hip_Tx3, axis=-1)
    shin_T = np.linalg.norm(ankle_Tx3 - knee_Tx3, axis=-1)
    way_Tx3 = unit(target_Tx3 - hip_Tx3)
    # Neither straighter nor more bent than a leg can be.
    far_T = np.clip(
        np.linalg.norm(target_Tx3 - hip_Tx3, axis=-1), np.abs(thigh_T - shin_T) + 1e-6,
        thigh_T + shin_T - 1e-9,
    )  # fmt: skip
    old_Tx3 = unit(ankle_Tx3 - hip_Tx3)
    bend_Tx3 = (knee_Tx3 - hip_Tx3) - ((knee_Tx3 - hip_Tx3) * old_Tx3).sum(-1)[:, None] * old_Tx3
    bend_Tx3 = unit(bend_Tx3 - (bend_Tx3 * way_Tx3).sum(-1)[:, None] * way_Tx3)
    along_T = (thigh_T**2 - shin_T**2 + far_T**2) / (2 * far_T)
    across_T = np.sqrt(np.maximum(thigh_T**2 - along_T**2, 0))
    knee_Tx3 = hip_Tx3 + along_T[:, None] * way_Tx3 + across_T[:, None] * bend_Tx3
    # A leg that was straight has no way to bend; it stays as it was where it need not.
    stiff_T = (np.linalg.norm(bend_Tx3, axis=-1) < 0.5) & (across_T > 1e-6)
    knee_Tx3[stiff_T] = (hip_Tx3 + thigh_T[:, None] * way_Tx3)[stiff_T]
    ankle_Tx3 = np.where(
        stiff_T[:, None], hip_Tx3 + (thigh_T + shin_T)[:, None] * way_Tx3,
        hip_Tx3 + far_T[:, None] * way_Tx3,
    )  # fmt: skip
    return knee_Tx3, ankle_Tx3
