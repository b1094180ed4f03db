"""Feet of a lifted person, when they are planted, and where the floor is.

Shapes in names: T frames, J joints (17), 2 sides (left, right), P = 4 points of the feet (left toe,
left heel, right toe, right heel). Axes: y up, metres.
Networks of 17 joints end at the ankle. The foot goes on from there by the detector's own toes and
heels where it has them, else at a right angle to the shin, the way the pelvis faces.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mbjax.pose.skeleton import INDEX

# Shares of stature: height of the ankle, length of the foot (Drillis and Contini, 1966, in Winter,
# Biomechanics and Motor Control, 2009), and how far of it lies behind the ankle.
ANKLE_HEIGHT, FOOT_LENGTH, BEHIND_ANKLE = 0.039, 0.152, 0.26
SIDES = ("l", "r")

# A foot is planted where it is slower than this, in m/s over the picture's plane for a person of
# 1.70 m, and not higher above the lower foot's usual height than this share of stature.
_SLOW, _LOW = 0.55, 0.05
# Shorter contacts, and shorter gaps in one, are not believed, in seconds.
_SHORTEST = 0.1
# A step to another level, in m; seconds over which a floor's drift is smoothed.
_LEVEL, _DRIFT_SECONDS = 0.6, 0.2


def directions(pose_TxJx3: np.ndarray) -> np.ndarray:
    """Derived feet (T, 2, 3, 3): columns are each foot's own x (left), y (up) and z (to the toes).

    Each stands at a right angle to its shin and points where the pelvis faces; of a shin that lies
    along that, as of a foot held straight out, it points along the pelvis' up.
    """
    hips_Tx3 = pose_TxJx3[:, INDEX["lhip"]] - pose_TxJx3[:, INDEX["rhip"]]
    trunk_Tx3 = pose_TxJx3[:, INDEX["neck"]] - pose_TxJx3[:, INDEX["root"]]
    ahead_Tx3 = unit(np.cross(hips_Tx3, trunk_Tx3))
    feet = []
    for side in SIDES:
        up_Tx3 = unit(pose_TxJx3[:, INDEX[f"{side}knee"]] - pose_TxJx3[:, INDEX[f"{side}ankle"]])
        along_T = (ahead_Tx3 * up_Tx3).sum(-1)
        # As the shin comes near the way ahead, the trunk's up takes over.
        share_T = np.clip((np.abs(along_T) - 0.8) / 0.2, 0, 1)
        way_Tx3 = (1 - share_T)[:, None] * ahead_Tx3
        way_Tx3 += (share_T * np.sign(along_T))[:, None] * unit(trunk_Tx3)
        way_Tx3 -= (way_Tx3 * up_Tx3).sum(-1)[:, None] * up_Tx3
        feet.append(frame(way_Tx3, up_Tx3))
    return np.stack(feet, axis=1)


def seen_directions(
    derived_Tx2x3x3: np.ndarray, seen_TxPx3: np.ndarray, metres_per_pixel_T: np.ndarray,
    height: float,
) -> np.ndarray:  # fmt: skip
    """Feet (T, 2, 3, 3) that point as the detector's toes and heels do in the picture.

    seen: x, y in pixels (y down), confidence. How far a foot points into the picture is what is
    missing from its length, forwards or backwards as the derived foot. Where toe or heel is not
    seen (confidence up to 0.3) the foot is the derived one.
    """
    feet = []
    for side in range(2):
        toe_Tx3, heel_Tx3 = seen_TxPx3[:, 2 * side], seen_TxPx3[:, 2 * side + 1]
        derived_Tx3x3 = derived_Tx2x3x3[:, side]
        xy_Tx2 = (toe_Tx3 - heel_Tx3)[:, :2] * [1, -1] * metres_per_pixel_T[:, None]
        share_Tx2 = np.nan_to_num(xy_Tx2) / (FOOT_LENGTH * height)
        flat_T = np.linalg.norm(share_Tx2, axis=-1)
        into_T = np.sqrt(np.clip(1 - flat_T**2, 0, 1)) * np.sign(derived_Tx3x3[:, 2, 2])
        way_Tx3 = np.concatenate([share_Tx2, into_T[:, None]], axis=-1)
        seen_T = (toe_Tx3[:, 2] > 0.3) & (heel_Tx3[:, 2] > 0.3) & np.isfinite(xy_Tx2).all(-1)
        way_Tx3 = np.where(seen_T[:, None], way_Tx3, derived_Tx3x3[:, :, 2])
        feet.append(frame(way_Tx3, derived_Tx3x3[:, :, 1]))
    return np.stack(feet, axis=1)


def points(pose_TxJx3: np.ndarray, feet_Tx2x3x3: np.ndarray, height: float) -> np.ndarray:
    """(T, 4, 3): left toe, left heel, right toe, right heel of a person this tall."""
    down, behind = -ANKLE_HEIGHT * height, -BEHIND_ANKLE * FOOT_LENGTH * height
    ahead = behind + FOOT_LENGTH * height
    both = []
    for side, name in enumerate(SIDES):
        ankle_Tx3 = pose_TxJx3[:, INDEX[f"{name}ankle"]]
        for offset_3 in ((0, down, ahead), (0, down, behind)):
            both.append(ankle_Tx3 + feet_Tx2x3x3[:, side] @ np.array(offset_3))
    return np.stack(both, axis=1)


def planted(ankles_Tx2x3: np.ndarray, fps: float, height: float) -> np.ndarray:
    """(T, 2) bool: whether the left and the right foot stand still on something.

    ankles: where they are, by the path from the picture. A foot stands that is slow, and low: no
    higher above the lower of both feet than a step lifts it.
    """
    T = len(ankles_Tx2x3)
    if T < 3:
        return np.ones((T, 2), bool)
    speed_Tx2 = np.linalg.norm(np.gradient(ankles_Tx2x3, axis=0)[..., :2], axis=-1) * fps
    half = max(1, round(0.05 * fps))
    speed_Tx2 = _running(speed_Tx2, half, np.median)
    lower_T = ankles_Tx2x3[..., 1].min(1)
    low_Tx2 = ankles_Tx2x3[..., 1] - lower_T[:, None] < _LOW * height
    is_planted = (speed_Tx2 < _SLOW * height / 1.7) & low_Tx2
    return np.stack([_without_short(is_planted[:, s], _SHORTEST * fps) for s in range(2)], axis=1)


def floor_height(lowest_Tx2: np.ndarray, planted_Tx2: np.ndarray) -> float:
    """y of the floor: the lowest level that the feet (T, 2: each one's lowest point) stand on.

    Of the contacts, those within 15 cm above the lowest tenth; their median. Without contacts,
    the twentieth part of all.
    """
    heights = lowest_Tx2[planted_Tx2]
    if len(heights) < 3:
        return float(np.quantile(lowest_Tx2.min(1), 0.05))
    low = np.quantile(heights, 0.1)
    return float(np.median(heights[heights < low + 0.15]))


def floor_drift(heights_Tx2: np.ndarray, planted_Tx2: np.ndarray, fps: float) -> np.ndarray:
    """(T,): how the floor that feet (T, 2) are planted on goes up and down over time, about 0.

    Of a path without depth, someone who walks away from a camera that looks down climbs: contacts
    one after the other differ by a little. A step of 60 cm and more from one contact to the next is
    another level, and not part of it; stairs and chairs are not told from a walk.
    """
    contacts = sorted(
        ((first + end - 1) / 2, float(np.median(heights_Tx2[first:end, side])))
        for side in range(2)
        for first, end in segments(planted_Tx2[:, side])
    )
    if len(contacts) < 2:
        return np.zeros(len(heights_Tx2))
    middle_N, height_N = np.array(contacts).T
    steps_N = np.diff(height_N, prepend=height_N[0])
    drift_N = np.cumsum(np.where(np.abs(steps_N) < _LEVEL, steps_N, 0))
    drift_T = np.interp(np.arange(len(heights_Tx2)), middle_N, drift_N)
    drift_T = gaussian_filter1d(drift_T, _DRIFT_SECONDS * fps, mode="nearest")
    return drift_T - np.median(drift_T)


def segments(is_on_T: np.ndarray) -> list[tuple[int, int]]:
    """[(first, after the last)] of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_on_T, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _without_short(is_on_T, shortest):
    is_on_T = is_on_T.copy()
    for first, end in segments(~is_on_T):
        if first > 0 and end < len(is_on_T) and end - first < shortest:
            is_on_T[first:end] = True
    for first, end in segments(is_on_T):
        if end - first < shortest and end - first < len(is_on_T):
            is_on_T[first:end] = False
    return is_on_T


def _running(values, half, what):
    """`what` over windows of 2 half + 1 frames; the ends are held."""
    padded = np.pad(values, [(half, half), *[(0, 0)] * (values.ndim - 1)], mode="edge")
    return what(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0), axis=-1)


def frame(way_Tx3: np.ndarray, up_Tx3: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) whose z is `way` and whose y is the nearest to `up` across it."""
    z_Tx3 = unit(way_Tx3)
    x_Tx3 = unit(np.cross(up_Tx3, z_Tx3))
    lost_T = np.linalg.norm(x_Tx3, axis=-1) < 0.5  # up along the way: any across will do
    x_Tx3[lost_T] = unit(np.cross([0.0, 0.0, 1.0], z_Tx3[lost_T]) + [1e-6, 0, 0])
    return np.stack([x_Tx3, np.cross(z_Tx3, x_Tx3), z_Tx3], axis=-1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) of length 1; zero where there is no length."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 1e-12, length, 1)


def settled(
    feet_Tx2x3x3: np.ndarray, ankles_Tx2x3: np.ndarray, planted_Tx2: np.ndarray, fps: float,
    height: float,
) -> np.ndarray:  # fmt: skip
    """Feet (T, 2, 3, 3) that lie flat on the floor (y = 0) while they are planted on it.

    Feet near the floor that are not planted are brought towards that too, so that toes do not go
    into it. The change takes a tenth of a second.
    """
    high_Tx2 = ankles_Tx2x3[..., 1] / height
    near_Tx2 = np.clip((0.11 - high_Tx2) / (0.11 - 1.3 * ANKLE_HEIGHT), 0, 1)
    share_Tx2 = np.maximum(near_Tx2**2, (planted_Tx2 & (high_Tx2 < 0.1)).astype(float))
    share_Tx2 = gaussian_filter1d(share_Tx2, 0.04 * fps, axis=0, mode="nearest")
    feet = []
    for side in range(2):
        share_Tx1 = share_Tx2[:, side, None]
        way_Tx3, up_Tx3 = feet_Tx2x3x3[:, side, :, 2], feet_Tx2x3x3[:, side, :, 1]
        flat_Tx3 = unit(way_Tx3 * [1, 0, 1])
        feet.append(
            frame(
                (1 - share_Tx1) * way_Tx3 + share_Tx1 * flat_Tx3,
                (1 - share_Tx1) * up_Tx3 + share_Tx1 * np.array([0.0, 1.0, 0.0]),
            )
        )
    return np.stack(feet, axis=1)
