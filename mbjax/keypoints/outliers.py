"""Keypoints where no joint of the person can be: far from the body, or there and back in a moment.

One such keypoint would make the square round the person many times too large, and the person in it
a dot. Shapes in names: T frames one after another, K keypoints of any layout, 3 is x, y,
confidence. Plain numpy.
"""

import dataclasses

import numpy as np

from mbjax.keypoints import tracking

# How far from the body's middle, and how far from its own place in the frames around, a keypoint
# may be, in units of the body's size: the distance from the middle that 85 % of its keypoints are
# within (some 0.55 of its extent), the median of the frames around. In 280 views of motion capture
# at 30 and at 10 frames a second (walking, ball games, jumping, signalling; 2.3 million keypoints)
# the most was 0.95 and 0.88 for the trunk, 1.5 and 1.7 for the middle of limbs and the head, 2.3
# and 2.5 for their ends; of a detector's boxer at 30 a second 1.3 and 0.5. (2026-11)
_TRUNK = ("hip", "shoulder", "root", "belly", "neck")
_ENDS = ("wrist", "ankle", "toe", "heel", "foot", "pinky", "index", "thumb")
_FAR = {"trunk": 1.8, "middle": 2.4, "end": 4.0}
_JUMP = {"trunk": 1.2, "middle": 2.0, "end": 2.8}
# Shares of these for a keypoint of no confidence; between them in proportion.
_FAR_UNSURE, _JUMP_UNSURE = 0.6, 0.5
# Keypoints of one small part of the body count together as so many, in middle and size: a detector
# gives up to eleven of a face, and somebody at a desk would be little else.
_PARTS, _OF_A_PART = (("nose", "eye", "ear", "mouth"), ("pinky", "index", "thumb")), 2
_SHARE = 0.85
_AROUND_SIZE, _AROUND_PLACE = 15, 3  # frames to each side
_ENOUGH = 4  # keypoints that say where a body is
_NAMED_AT_MOST = 3  # in one line


@dataclasses.dataclass(frozen=True)
class Outlier:
    """One keypoint of a frame. row: of the frames given. away: pixels from the body's middle."""

    row: int
    keypoint: int
    away: float


def find(keypoints_TxKx3: np.ndarray, names: tuple[str, ...]) -> list[Outlier]:
    """The keypoints that cannot be the person's, in the order of frames.

    keypoints: confidence 0 is 'not seen'. names: of the K, as layouts have them. A keypoint is out
    of place where it is further from the body's middle than it can be, or where it leaves for a few
    frames what it was before and is after. How far that is depends on what it is, and on its
    confidence as a share of the median. Middle and size are medians weighted by confidence, so that
    some wild keypoints do not move them.
    """
    confidence_TxK = keypoints_TxKx3[..., 2]
    weights_TxK = confidence_TxK * _weights(names)
    seen_TxK = confidence_TxK > 0
    enough_T = seen_TxK.sum(1) >= _ENOUGH
    if not enough_T.any():
        return []
    xy_TxKx2 = np.where(seen_TxK[..., None], keypoints_TxKx3[..., :2], np.nan)
    middle_Tx2 = np.stack(
        [_weighted_quantile(xy_TxKx2[..., axis], weights_TxK, 0.5) for axis in (0, 1)], axis=-1
    )
    middle_Tx2 = _interpolated(middle_Tx2, enough_T)
    relative_TxKx2 = xy_TxKx2 - middle_Tx2[:, None]
    away_TxK = np.linalg.norm(relative_TxKx2, axis=-1)
    size_T = np.where(enough_T, _weighted_quantile(away_TxK, weights_TxK, _SHARE), np.nan)
    size_T = np.maximum(_running_median(size_T, _AROUND_SIZE), 1e-9)
    trust_TxK = np.minimum(confidence_TxK / np.median(confidence_TxK[seen_TxK]), 1)
    far_TxK = away_TxK / size_T[:, None] > _limits(names, _FAR, _FAR_UNSURE, trust_TxK)
    usual_TxKx2 = _running_median(relative_TxKx2, _AROUND_PLACE)
    left_TxK = np.linalg.norm(relative_TxKx2 - usual_TxKx2, axis=-1) / size_T[:, None]
    jump_TxK = left_TxK > _limits(names, _JUMP, _JUMP_UNSURE, trust_TxK)
    jump_TxK &= _between(seen_TxK, _AROUND_PLACE)
    rows, numbers = np.nonzero((far_TxK | jump_TxK) & seen_TxK)
    return [
        Outlier(int(t), int(k), float(away_TxK[t, k])) for t, k in zip(rows, numbers, strict=True)
    ]


def without(keypoints_TxKx3: np.ndarray, outliers: list[Outlier]) -> np.ndarray:
    """The keypoints with confidence 0 at the outliers; the same array where there are none."""
    if not outliers:
        return keypoints_TxKx3
    result = keypoints_TxKx3.copy()
    for one in outliers:
        result[one.row, one.keypoint, 2] = 0
    return result


def fill_without(
    frames_N: np.ndarray, keypoints_NxKx3: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """`tracking.fill` of a track, outliers taken as not seen; and what they were, '' for none."""
    frames_T, points_TxKx3, filled_T = tracking.fill(frames_N, keypoints_NxKx3)
    found = find(points_TxKx3, names)
    if not found:
        return frames_T, points_TxKx3, filled_T, ""
    points_TxKx3 = tracking.fill(frames_T, without(points_TxKx3, found))[1]
    return frames_T, points_TxKx3, filled_T, describe(found, frames_T, names)


def describe(outliers: list[Outlier], frames_T: np.ndarray, names: tuple[str, ...]) -> str:
    """What was found, in one line. frames: of the rows, in the video. names: of the keypoints."""
    worst = sorted(outliers, key=lambda one: -one.away)[:_NAMED_AT_MOST]
    texts = [
        f"frame {frames_T[one.row]}: {names[one.keypoint]} {one.away:,.0f} px from the body"
        for one in sorted(worst, key=lambda one: (one.row, one.keypoint))
    ]
    more = len(outliers) - len(worst)
    rest = f" and {more} more keypoints" if more else ""
    return f"{', '.join(texts)}{rest}: taken as not seen"


def _limits(names, sure, unsure, trust_TxK):
    def kind(name):
        if any(part in name for part in _TRUNK):
            return "trunk"
        return "end" if any(part in name for part in _ENDS) else "middle"

    return np.array([sure[kind(name)] for name in names]) * (unsure + (1 - unsure) * trust_TxK)


def _weights(names):
    weights_K = np.ones(len(names))
    for part in _PARTS:
        of_it_K = np.array([any(one in name for one in part) for name in names])
        weights_K[of_it_K] = min(1, _OF_A_PART / max(of_it_K.sum(), 1))
    return weights_K


def _weighted_quantile(values_TxK, weights_TxK, share):
    """Of each row, the value below which that share of the weights lies; NaN weigh nothing."""
    order = np.argsort(values_TxK, axis=1)  # NaN last
    values = np.take_along_axis(values_TxK, order, 1)
    weights = np.take_along_axis(np.where(np.isnan(values_TxK), 0, weights_TxK), order, 1)
    reached = np.cumsum(weights, axis=1)
    place = (reached < share * reached[:, -1:]).sum(1)
    return np.take_along_axis(values, np.minimum(place, values.shape[1] - 1)[:, None], 1)[:, 0]


def _interpolated(values_Tx2, known_T):
    t = np.arange(len(values_Tx2))
    return np.stack([np.interp(t, t[known_T], v[known_T]) for v in values_Tx2.T], axis=-1)


def _running_median(values, reach):
    edge = np.full((reach, *values.shape[1:]), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([edge, values, edge]), 2 * reach + 1, axis=0
    )
    # Of frames without a value, NaN: sorted last, and the middle of the rest is looked up.
    ordered = np.sort(windows, axis=-1)
    count = (~np.isnan(ordered)).sum(-1)
    low, high = (np.maximum(at, 0)[..., None] for at in ((count - 1) // 2, count // 2))
    middle = [np.take_along_axis(ordered, at, -1)[..., 0] for at in (low, high)]
    return (middle[0] + middle[1]) / 2


def _between(seen_TxK, reach):
    """Whether a keypoint is also seen within `reach` frames before and after."""
    before, after = np.zeros_like(seen_TxK), np.zeros_like(seen_TxK)
    for step in range(1, reach + 1):
        before[step:] |= seen_TxK[:-step]
        after[:-step] |= seen_TxK[step:]
    return before & after
