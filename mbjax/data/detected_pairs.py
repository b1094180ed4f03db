"""'sample:pairs': the sample motion as four fixed cameras and a 2D detector would see it.

Made from 'sample:motion3d' when it is opened, the same every time: nothing of it is stored.
Records are those of a prepared pose corpus (data_prep/features.py, `lifting`), at 30 fps.
Shapes in names: T frames of a recording, J joints.
"""

import functools

import jax
import numpy as np

from mbjax.data import augment, detector_noise
from mbjax.data.records import SAMPLE, RecordReader

NAME = SAMPLE + "pairs"
SIZE = 1000  # of the square image, pixels
_YAWS, _PITCH = (20, 110, 200, 290), 10  # of the cameras, degrees
_FRAME_STEP = 2
_FRAMES, _STRIDE = {"train": 81, "test": 81}, {"train": 27, "test": 81}
# The whole path of a recording lies within this share of the image.
_FILLS = 0.9
# A detector's errors change on this scale: the table's key frames over so many frames (60 fps).
_NOISE_FRAMES = 243


class SamplePairs:
    """One split of it, with what the rest of the code uses of a RecordReader."""

    def __init__(self, split: str):
        self.directory, self.split, self.info = NAME, split, {"name": "sample_pairs"}
        noise = detector_noise.DetectionNoise.load()
        self._records = []
        rows = 0
        reader = RecordReader(SAMPLE + "motion3d", split)
        self._shards = reader.index()["shards"]
        for source, motion_TxJx3, metres in _recordings(reader):
            for number, yaw in enumerate(_YAWS):
                seen = np.asarray(_view(motion_TxJx3, np.radians(yaw), np.radians(_PITCH)))
                pose, mm_per_unit = _in_image(seen, metres)
                keypoints = _detected(pose[..., :2], number, noise)
                pose, keypoints = pose[::_FRAME_STEP], keypoints[::_FRAME_STEP]
                self._cut(f"{source}_{number}", source, pose, keypoints, mm_per_unit, rows)
                rows += len(pose)

    def _cut(self, name, action, pose_TxJx3, keypoints_TxJx3, mm_per_unit, first_row):
        T, frames = len(pose_TxJx3), _FRAMES[self.split]
        starts = list(range(0, T - frames + 1, _STRIDE[self.split]))
        if starts[-1] + frames < T:
            starts.append(T - frames)
        for start in starts:
            own = slice(start, start + frames)
            pose = pose_TxJx3[own]
            self._records.append(
                {
                    "keypoints": keypoints_TxJx3[own],
                    "pose": pose,
                    "frames": first_row + np.arange(start, start + frames),
                    "source": name,
                    "first_frame": start,
                    "fps": 60.0 / _FRAME_STEP,
                    "camera": name[-1],
                    "action": action,
                    "width": SIZE,
                    "height": SIZE,
                    "factor_2_5d": np.full(frames, mm_per_unit * 2 / SIZE, np.float32),
                    "pose_mm": (pose.astype(np.float64) * mm_per_unit).astype(np.float32),
                }
            )

    def index(self) -> dict:
        """As `RecordReader.index`; the shards are those of the motion the pairs are made of."""
        return {"records": len(self), "shards": self._shards}

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index: int) -> dict:
        return self._records[int(index)]


def _recordings(reader):
    """(name, motion (T, J, 3), metres per unit) of each recording, its clips put together."""
    clips: dict = {}
    for number in range(len(reader)):
        record = reader[number]
        clips.setdefault(record["source"], []).append(record)
    for source, records in sorted(clips.items()):
        end = max(record["first_frame"] + len(record["pose"]) for record in records)
        motion = np.empty((end, *records[0]["pose"].shape[1:]), np.float32)
        for record in records:
            motion[record["first_frame"] :][: len(record["pose"])] = record["pose"]
        yield source, motion, float(records[0]["metres_per_unit"])


def _in_image(motion_TxJx3, metres_per_unit):
    """(pose over half the image's width, mm per unit of it); depth starts at the first root's."""
    low, high = motion_TxJx3.min(axis=(0, 1)), motion_TxJx3.max(axis=(0, 1))
    scale = 2 * _FILLS / float((high - low)[:2].max())
    centre = np.append((low + high)[:2] / 2, motion_TxJx3[0, 0, 2]).astype(np.float32)
    pose = ((motion_TxJx3 - centre) * scale).astype(np.float32)
    return pose, 1000 * metres_per_unit / scale


def _detected(xy_TxJx2, camera: int, noise):
    """A detector's x, y and confidence; its errors follow the table, stretch by stretch."""
    parts = []
    for number, start in enumerate(range(0, len(xy_TxJx2), _NOISE_FRAMES)):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), camera), number)
        # Whole stretches, so that one program does for all.
        part = xy_TxJx2[start : start + _NOISE_FRAMES]
        filled = np.resize(part, (_NOISE_FRAMES, *part.shape[1:]))
        parts.append(np.asarray(_noisy(key[None], filled[None], noise))[0, : len(part)])
    return np.concatenate(parts)


_view = jax.jit(augment.view)
_noisy = jax.jit(detector_noise.add_noise, static_argnums=2)


@functools.cache
def open_split(split: str) -> SamplePairs:
    """A split, made once in a process."""
    return SamplePairs(split)
