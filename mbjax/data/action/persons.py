"""The persons of a keypoint file side by side, as action recognition takes them.

Shapes in names: M persons, T frames of the recording, K keypoints of a layout, J = 17 joints.
"""

import dataclasses

import numpy as np

from mbjax.data.action.clips import PERSONS, most_confident
from mbjax.keypoints import outliers
from mbjax.keypoints.layouts import LAYOUTS, from_layout
from mbjax.keypoints.read import Keypoints


@dataclasses.dataclass(frozen=True, eq=False)
class Persons:
    """keypoints: pixels and confidence, from first_frame on. size: (width, height) of the image,
    or what the keypoints reach where that is not known. notes: what a user should know."""

    keypoints_MxTxJx3: np.ndarray
    first_frame: int
    size: tuple[int, int]
    notes: tuple[str, ...]


def side_by_side(
    keypoints: Keypoints, size: tuple[float, float] | None = None, score_order: str = "joints"
) -> Persons:
    """The most confident person or two of a file, at every frame of the recording.

    Within a person's track missed keypoints, and those where no joint of a body can be
    (mbjax.keypoints.outliers), are interpolated in time with confidence 0; before and
    after it the person is absent, all zero. score_order 'coco': scores stay in the order of COCO's
    keypoints, as released action checkpoints were trained. ValueError for that and another layout.
    """
    if score_order == "coco" and keypoints.layout not in ("coco17", "coco23"):
        raise ValueError(
            f"{keypoints.source}: score order 'coco' is for keypoints of layout coco17, these are "
            f"{keypoints.layout}"
        )
    first = min(int(track.frames_N[0]) for track in keypoints.tracks)
    last = max(int(track.frames_N[-1]) for track in keypoints.tracks)
    confidence_MxTxK = np.zeros(
        (len(keypoints.tracks), last - first + 1, keypoints.tracks[0].keypoints_NxKx3.shape[1])
    )
    for row, track in zip(confidence_MxTxK, keypoints.tracks, strict=True):
        row[track.frames_N - first] = np.minimum(track.keypoints_NxKx3[..., 2], 1)
    kept = most_confident(confidence_MxTxK)
    notes = list(keypoints.notes)
    if len(keypoints.tracks) > PERSONS:
        numbers = " and ".join(str(keypoints.tracks[m].person) for m in kept)
        notes.append(
            f"{len(keypoints.tracks)} persons: the two most confident are kept ({numbers})"
        )
    joints_MxTxJx3 = np.zeros((len(kept), last - first + 1, 17, 3), np.float32)
    for row, m in zip(joints_MxTxJx3, kept, strict=True):
        track = keypoints.tracks[m]
        frames_T, points_TxKx3, _, wild = outliers.fill_without(
            track.frames_N, track.keypoints_NxKx3, LAYOUTS[keypoints.layout].names
        )
        if wild:
            notes.append(f"person {track.person}: {wild}" if len(kept) > 1 else wild)
        never_K = np.isnan(points_TxKx3[..., 0]).all(axis=0)
        points_TxKx3[:, never_K] = 0
        points_TxKx3[..., 2] = np.minimum(points_TxKx3[..., 2], 1)
        joints_TxJx3 = from_layout(points_TxKx3, keypoints.layout)
        if score_order == "coco":
            joints_TxJx3[..., 2] = points_TxKx3[:, :17, 2]
        row[frames_T - first] = joints_TxJx3
    return Persons(joints_MxTxJx3, first, _size(joints_MxTxJx3, size), tuple(notes))


def _size(joints_MxTxJx3, size):
    if size:
        return int(size[0]), int(size[1])
    seen_Nx2 = joints_MxTxJx3[..., :2][joints_MxTxJx3[..., 2] > 0]
    return tuple(int(max(1, np.ceil(reach))) for reach in seen_Nx2.max(axis=0))
