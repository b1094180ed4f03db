"""Recordings of up to two persons as the clips that action recognition reads.

M persons, T frames, K keypoints, J joints, C channels. numpy only; everything random takes a
generator.
"""

import numpy as np

from mbjax.pose.normalise import by_longer_side, crop_scale

PERSONS = 2


def track_two(positions_MxTxKxC, *along):
    """Two persons whose places in the list change are put in order by how far they move.

    positions (M, T, K, 2 or 3): person 0 of a frame is taken to be person 1 of the frame before if
    its keypoints lie nearer to that one's (sum of distances). One person comes back unchanged.
    along: further arrays (M, T, ...) that change places alike (scores). Returns the positions, or
    a tuple with the others. ValueError for more than two persons.
    """
    if len(positions_MxTxKxC) > PERSONS:
        raise ValueError(f"{len(positions_MxTxKxC)} persons, at most {PERSONS} can be tracked")
    if len(positions_MxTxKxC) == PERSONS:
        now, before = positions_MxTxKxC[0, 1:], positions_MxTxKxC[:, :-1]
        far_MxT = np.linalg.norm(now - before, axis=-1).sum(axis=-1)
        swapped_T = np.concatenate([[0], np.cumsum(far_MxT[0] > far_MxT[1]) % 2])
        person_MxT = np.stack([swapped_T, 1 - swapped_T]).astype(int)
        frame_T = np.arange(positions_MxTxKxC.shape[1])
        positions_MxTxKxC = positions_MxTxKxC[person_MxT, frame_T]
        along = tuple(array[person_MxT, frame_T] for array in along)
    return (positions_MxTxKxC, *along) if along else positions_MxTxKxC


def even_frames(length: int, frames: int) -> np.ndarray:
    """(frames,) frame numbers spread evenly over a recording of `length` frames, not decreasing."""
    _need_frames(length, frames)
    return np.minimum(np.linspace(0, length, frames, endpoint=False).astype(np.int64), length - 1)


def jittered_frames(length: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """The same with a random place inside each even step, for training."""
    _need_frames(length, frames)
    even = np.linspace(0, length, frames, endpoint=False)
    if length < frames:
        # Between two frames: either.
        place = np.sort(np.where(rng.random(frames) < 0.5, np.floor(even), np.ceil(even)))
    else:
        place = even + rng.random(frames) * (length / frames)
    return np.minimum(place.astype(np.int64), length - 1)


def _need_frames(length, frames):
    if length < 1 or frames < 1:
        raise ValueError(f"cannot take {frames} frames of a recording of {length}")


def most_confident(confidence_MxTxK, persons: int = PERSONS) -> np.ndarray:
    """Numbers of the persons to keep, ascending: seen at all, and most confident over the whole."""
    total_M = np.asarray(confidence_MxTxK, np.float64).sum(axis=(1, 2))
    best = np.argsort(-total_M, kind="stable")[:persons]
    return np.sort(best[total_M[best] > 0])


def to_persons(keypoints_MxTxJx3, width, height, frame_ids, persons: int = PERSONS) -> np.ndarray:
    """A record's pixels (M, T, J, 3) over the image's longer side: (persons, len(frame_ids), J, 3).

    Absent persons are all zero; of more than `persons` the most confident stay. float32.
    """
    clip = np.asarray(keypoints_MxTxJx3)[:, frame_ids]
    if len(clip) > persons:
        clip = clip[most_confident(np.asarray(keypoints_MxTxJx3)[..., 2], persons)]
    clip = by_longer_side(clip, width, height)
    missing = np.zeros((persons - len(clip), *clip.shape[1:]), clip.dtype)
    return np.concatenate([clip, missing]).astype(np.float32)


def to_clip(keypoints_MxTxJx3, width, height, frame_ids, ratio=2.0, persons: int = PERSONS):
    """A record's pixels (M, T, J, 3) as the net's input (persons, len(frame_ids), J, 3), float32.

    `to_persons`, then crop-scaled with all persons in one square that they fill to 1 / ratio. A
    person who is not there has confidence 0 and stands, as in the release, where crop-scale puts
    (0, 0).
    """
    return crop_scale(to_persons(keypoints_MxTxJx3, width, height, frame_ids, persons), ratio)
