"""Who is who from frame to frame, and what to put where a person was missed.

Shapes in names: N observations, T frames of a track, K keypoints of any layout, 3 is x, y,
confidence. Plain numpy.
"""

import dataclasses

import numpy as np

# A person not seen for so many frames is somebody new when seen again.
_PATIENCE = 30
# A person is looked for within this share of their own size, per frame since last seen (up to
# three frames' worth): walking moves a few percent of it per frame, and a person beside another
# stands about half of it away.
_REACH = 0.25
# How much of the newest displacement goes into the velocity that places are foretold by.
_VELOCITY_GAIN = 0.5


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

    Frame by frame, each known person is foretold by a constant velocity, and the nearest pairs of
    foretold and observed persons are joined first. Distance is the mean over keypoints that both
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
        pairs = []
        people = {n: seen for n, seen in people.items() if frame - seen.frame <= _PATIENCE}
        for person, seen in people.items():
            gap = frame - seen.frame
            for i in here:
                apart = _distance(seen, observations[i].keypoints_Kx3, gap)
                if apart <= _REACH * min(gap, 3):
                    pairs.append((apart, person, i))
        taken = set()
        for _, person, i in sorted(pairs):
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
            moved, _ = _displacement(seen.keypoints_Kx3, keypoints)
            change = moved / (frame - seen.frame) - seen.velocity_2
            velocity = seen.velocity_2 + _VELOCITY_GAIN * change
            people[numbers[i]] = _Seen(frame, keypoints, velocity)
    return numbers


def _displacement(before_Kx3, after_Kx3):
    """Mean movement (2,) of the keypoints seen in both, and which those are."""
    both = (before_Kx3[:, 2] > 0) & (after_Kx3[:, 2] > 0)
    if not both.any():
        return np.zeros(2), both
    return (after_Kx3[both, :2] - before_Kx3[both, :2]).mean(0), both


def _distance(seen, keypoints_Kx3, gap):
    _, both = _displacement(seen.keypoints_Kx3, keypoints_Kx3)
    if not both.any():
        return np.inf
    foretold = seen.keypoints_Kx3[both, :2] + gap * seen.velocity_2
    apart = np.linalg.norm(keypoints_Kx3[both, :2] - foretold, axis=-1).mean()
    visible = seen.keypoints_Kx3[seen.keypoints_Kx3[:, 2] > 0, :2]
    size = np.ptp(visible, axis=0).max()
    return apart / size if size > 0 else np.inf


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
    for k in range(keypoints_TxKx3.shape[1]):
        seen = keypoints_TxKx3[:, k, 2] > 0
        if not seen.any():
            keypoints_TxKx3[:, k, :2] = np.nan
            continue
        for axis in (0, 1):
            values = keypoints_TxKx3[seen, k, axis]
            keypoints_TxKx3[:, k, axis] = np.interp(frames_T, frames_T[seen], values)
    return frames_T, keypoints_TxKx3, filled_T
