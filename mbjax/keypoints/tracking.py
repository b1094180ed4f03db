"""Who is who from frame to frame, and what to put where a person was missed.

Shapes in names: N observations, T frames of a track, K keypoints of any layout, 3 is x, y,
confidence. Plain numpy.
"""

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

# A person not seen for so many frames is somebody new when seen again.
_PATIENCE = 30
# A person is looked for within this share of their own size, per frame since last seen (up to
# three frames' worth): walking moves a few percent of it per frame, and a person beside another
# stands about half of it away.
_REACH = 0.25
# How much of the newest displacement goes into the velocity that places are predicted by.
_VELOCITY_GAIN = 0.5
# Pairs of persons and observations past which they are looked up by place; pairs at once.
_CROWD, _AT_ONCE = 400, 20_000


@dataclasses.dataclass(eq=False)
class Observation:
    """One person in one frame. person: the detector's tracking id, or None."""

    frame: int
    person: int | None
    keypoints_Kx3: np.ndarray
    score: float = 0.0


@dataclasses.dataclass(eq=False)
class _Seen:
    frame: int
    keypoints_Kx3: np.ndarray
    velocity_2: np.ndarray


def link(observations: list[Observation]) -> list[int]:
    """A person's number for each observation, from positions alone; numbers start at 1.

    Frame by frame, each known person is predicted by a constant velocity, and the nearest pairs of
    predicted and observed persons are joined first. Distance is the mean over keypoints that both
    have (confidence > 0), in units of the person's size; pairs too far apart begin a new person.
    """
    people: dict[int, _Seen] = {}  # those who may still come back
    newest_number = 0
    numbers = [0] * len(observations)
    by_frame: dict[int, list[int]] = {}
    for i, observation in enumerate(observations):
        by_frame.setdefault(observation.frame, []).append(i)
    for frame in sorted(by_frame):
        here = by_frame[frame]
        people = {n: seen for n, seen in people.items() if frame - seen.frame <= _PATIENCE}
        taken = set()
        for person, i in _pairs(people, frame, here, observations):
            if numbers[i] or person in taken:
                continue
            numbers[i] = person
            taken.add(person)
        for i in here:
            keypoints = observations[i].keypoints_Kx3
            if not numbers[i]:
                newest_number += 1
                numbers[i] = newest_number
                people[numbers[i]] = _Seen(frame, keypoints, np.zeros(2))
                continue
            seen = people[numbers[i]]
            moved = _displacement(seen.keypoints_Kx3, keypoints)
            change = moved / (frame - seen.frame) - seen.velocity_2
            velocity = seen.velocity_2 + _VELOCITY_GAIN * change
            people[numbers[i]] = _Seen(frame, keypoints, velocity)
    return numbers


def _displacement(before_Kx3, after_Kx3):
    """Mean movement (2,) of the keypoints seen in both."""
    both = (before_Kx3[:, 2] > 0) & (after_Kx3[:, 2] > 0)
    if not both.any():
        return np.zeros(2)
    return (after_Kx3[both, :2] - before_Kx3[both, :2]).mean(0)


def _pairs(people, frame, here, observations) -> list[tuple[int, int]]:
    """(person, observation) of all who are near enough to be the same, nearest first."""
    if not people:
        return []
    numbers = np.array(list(people))
    gap_P = frame - np.array([seen.frame for seen in people.values()])
    known_PxKx3 = np.stack([seen.keypoints_Kx3 for seen in people.values()])
    velocity_Px2 = np.stack([seen.velocity_2 for seen in people.values()])
    predicted_PxKx2 = known_PxKx3[..., :2] + (gap_P[:, None] * velocity_Px2)[:, None]
    seen_PxK = known_PxKx3[..., 2] > 0
    # Of keypoints that are seen, so the infinities are in no result.
    low, high = (
        np.where(seen_PxK[..., None], known_PxKx3[..., :2], at) for at in (np.inf, -np.inf)
    )
    size_P = (high.max(1) - low.min(1)).max(-1)
    reach_P = np.where(size_P > 0, _REACH * np.minimum(gap_P, 3) * size_P, -1)
    found_OxKx3 = np.stack([observations[i].keypoints_Kx3 for i in here])
    p, o = _candidates(predicted_PxKx2, seen_PxK, reach_P, found_OxKx3)
    mean_C, both_C = np.empty(len(p)), np.empty(len(p), bool)
    for first in range(0, len(p), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        both_CxK = seen_PxK[p[part]] & (found_OxKx3[o[part], :, 2] > 0)
        apart_CxK = np.linalg.norm(found_OxKx3[o[part], :, :2] - predicted_PxKx2[p[part]], axis=-1)
        mean_C[part] = (apart_CxK * both_CxK).sum(1) / np.maximum(both_CxK.sum(1), 1)
        both_C[part] = both_CxK.any(1)
    near_C = both_C & (mean_C <= reach_P[p])
    p, o, relative = p[near_C], o[near_C], mean_C[near_C] / size_P[p[near_C]]
    order = np.lexsort((o, numbers[p], relative))
    return list(zip(numbers[p[order]].tolist(), np.array(here)[o[order]].tolist(), strict=True))


def _candidates(predicted_PxKx2, seen_PxK, reach_P, found_OxKx3):
    """Numbers (C,), (C,) of persons and observations that may be near: of a crowd only those who
    have one keypoint within reach, since a mean is no less than its least part."""
    P, O = len(predicted_PxKx2), len(found_OxKx3)
    everybody = np.repeat(np.arange(P), O), np.tile(np.arange(O), P)
    if P * O <= _CROWD:
        return everybody
    pairs = [np.zeros(0, np.int64)]
    for k in range(predicted_PxKx2.shape[1]):
        persons = np.flatnonzero(seen_PxK[:, k] & (reach_P >= 0))
        found = np.flatnonzero(found_OxKx3[:, k, 2] > 0)
        if not len(persons) or not len(found):
            continue
        tree = cKDTree(found_OxKx3[found, k, :2])
        where = predicted_PxKx2[persons, k], reach_P[persons]
        counts = tree.query_ball_point(*where, return_length=True)
        if counts.sum() > P * O / 4:  # all in one place: a list of them would be no shorter
            return everybody
        numbers = np.concatenate(tree.query_ball_point(*where)).astype(np.int64)
        pairs.append(np.repeat(persons, counts) * O + found[numbers])
    return np.divmod(np.unique(np.concatenate(pairs)), O)


def fill(frames_N: np.ndarray, keypoints_NxKx3: np.ndarray):
    """Every frame from the first to the last: (frames (T,), keypoints (T, K, 3), filled (T,)).

    frames: ascending and distinct. Where a keypoint has no confidence (or its frame is missing) its
    x, y are interpolated in time between the frames that have it, held at the ends, and its
    confidence is 0. A keypoint that no frame has is NaN. filled: frames that were not there.
    """
    frames_T = np.arange(frames_N[0], frames_N[-1] + 1)
    row_of_N = frames_N - frames_N[0]
    filled_T = np.ones(len(frames_T), bool)
    filled_T[row_of_N] = False
    keypoints_TxKx3 = np.zeros((len(frames_T), *keypoints_NxKx3.shape[1:]))
    keypoints_TxKx3[row_of_N] = keypoints_NxKx3
    for k in range(keypoints_NxKx3.shape[1]):
        seen = keypoints_TxKx3[:, k, 2] > 0
        if not seen.any():
            keypoints_TxKx3[:, k, :2] = np.nan
            continue
        for axis in (0, 1):
            values = keypoints_TxKx3[seen, k, axis]
            keypoints_TxKx3[:, k, axis] = np.interp(frames_T, frames_T[seen], values)
    return frames_T, keypoints_TxKx3, filled_T
