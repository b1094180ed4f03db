"""Joint angles over time, by the conventions of gait analysis.

Shapes in names: T frames, J joints (17). Axes: y up, metres.
Angles are between segments, from joint centres alone, so there are none about a bone's own axis (no
rotation of hip or shoulder). 0 is the upright stance; flexion is positive. Hip and shoulder are
turned as cardan angles in the pelvis' and the trunk's frame, flexion first, then abduction
(Wu et al., ISB recommendations, J. Biomechanics 2002 and 2005, leave the shoulder's order open).
"""

import numpy as np

from mbjax.motion.feet import frame, unit
from mbjax.pose.skeleton import INDEX

# Columns, all in degrees. trunk_*: of the trunk's frame against the vertical, forwards and to the
# person's right; trunk_rotation: of the shoulders against the pelvis, to the person's left.
NAMES = tuple(
    f"{side}_{angle}"
    for angle in ("hip_flexion", "hip_abduction", "knee_flexion", "ankle_dorsiflexion",
                  "shoulder_flexion", "shoulder_abduction", "elbow_flexion")
    for side in ("left", "right")
) + ("trunk_forward_lean", "trunk_right_lean", "trunk_rotation")  # fmt: skip


def joint_angles(body_TxJx3: np.ndarray, feet_Tx2x3x3: np.ndarray) -> np.ndarray:
    """(T, 17) degrees, in the order of NAMES. feet: rotations, see mbjax.motion.feet.

    hip_flexion: thigh forwards of the pelvis; hip_abduction: outwards. knee_flexion: 0 is straight.
    ankle_dorsiflexion: 0 is a foot at a right angle to the shin, toes up is positive.
    shoulder_flexion: upper arm forwards of the trunk, up to 180; shoulder_abduction: outwards;
    elbow_flexion: 0 is straight. Hyperextension of knee and elbow does not show: they are never
    negative.
    """
    at = {name: body_TxJx3[:, i] for name, i in INDEX.items()}
    pelvis_Tx3x3 = _upright(at["lhip"] - at["rhip"], at["belly"] - at["root"])
    trunk_Tx3x3 = _upright(at["lshoulder"] - at["rshoulder"], at["neck"] - at["root"])
    angles = {}
    for place, (side, name) in enumerate((("l", "left"), ("r", "right"))):
        outwards = 1 if side == "l" else -1
        thigh_Tx3, shin_Tx3 = (
            at[f"{side}knee"] - at[f"{side}hip"],
            at[f"{side}ankle"] - at[f"{side}knee"],
        )
        upper_Tx3 = at[f"{side}elbow"] - at[f"{side}shoulder"]
        fore_Tx3 = at[f"{side}wrist"] - at[f"{side}elbow"]
        flexion_T, abduction_T = _swing(pelvis_Tx3x3, thigh_Tx3, outwards)
        angles[f"{name}_hip_flexion"], angles[f"{name}_hip_abduction"] = flexion_T, abduction_T
        flexion_T, abduction_T = _swing(trunk_Tx3x3, upper_Tx3, outwards)
        angles[f"{name}_shoulder_flexion"] = flexion_T
        angles[f"{name}_shoulder_abduction"] = abduction_T
        angles[f"{name}_knee_flexion"] = _between(thigh_Tx3, shin_Tx3)
        angles[f"{name}_elbow_flexion"] = _between(upper_Tx3, fore_Tx3)
        toes_Tx3 = feet_Tx2x3x3[:, place, :, 2]
        angles[f"{name}_ankle_dorsiflexion"] = 90 - _between(-shin_Tx3, toes_Tx3)
    up_Tx3, ahead_Tx3 = trunk_Tx3x3[..., 1], trunk_Tx3x3[..., 2] * [1, 0, 1]
    ahead_Tx3 = unit(ahead_Tx3)
    right_Tx3 = np.cross(ahead_Tx3, [0.0, 1.0, 0.0])
    lean_T = np.degrees(np.arctan2((up_Tx3 * ahead_Tx3).sum(-1), up_Tx3[:, 1]))
    angles["trunk_forward_lean"] = lean_T
    angles["trunk_right_lean"] = np.degrees(np.arctan2((up_Tx3 * right_Tx3).sum(-1), up_Tx3[:, 1]))
    shoulders_Tx3 = np.einsum("tji,tj->ti", pelvis_Tx3x3, trunk_Tx3x3[..., 0])
    angles["trunk_rotation"] = np.degrees(np.arctan2(-shoulders_Tx3[:, 2], shoulders_Tx3[:, 0]))
    return np.stack([angles[name] for name in NAMES], axis=1)


def _swing(frame_Tx3x3, bone_Tx3, outwards):
    """Flexion and abduction of a bone that hangs down at rest, in a frame x left, y up, z ahead."""
    x_T, y_T, z_T = np.einsum("tji,tj->it", frame_Tx3x3, unit(bone_Tx3))
    flexion_T = np.degrees(np.arctan2(z_T, -y_T))
    abduction_T = np.degrees(np.arcsin(np.clip(outwards * x_T, -1, 1)))
    return flexion_T, abduction_T


def _between(a_Tx3, b_Tx3):
    """Degrees (T,) between two directions, by arctan2: exact near 0 too."""
    cross_T = np.linalg.norm(np.cross(a_Tx3, b_Tx3), axis=-1)
    return np.degrees(np.arctan2(cross_T, (a_Tx3 * b_Tx3).sum(-1)))


def _upright(left_Tx3, up_Tx3):
    """(T, 3, 3): y along up_Tx3, x the nearest to left_Tx3, z ahead."""
    yxz = frame(up_Tx3, left_Tx3)  # z along up, y the nearest to left
    return np.stack([yxz[..., 1], yxz[..., 2], yxz[..., 0]], axis=-1)
