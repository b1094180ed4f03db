"""Prepared 3D motion as four cameras and a 2D detector would see it, as pairs of 2D and 3D.

'sample:pairs' is the sample motion before fixed cameras, which have its whole path in the picture;
'pairs:FOLDER' any folder of prepared motion (or 'pairs:sample:motion3d'), each clip in the middle
of its picture. Made when they are opened, the same every time: nothing of them is stored.
Records are those of a prepared pose corpus (data_prep/features.py, `lifting`), at 30 fps.
Shapes in names: T frames of a recording, J joints.
"""

import functools

import jax
import numpy as np

from mbjax.data import augment, detector_noise
from mbjax.data.records import SAMPLE, RecordReader

NAME = SAMPLE + "pairs"
OF_FOLDER = "pairs:"
SIZE = 1000  # of the square image, pixels
_YAWS, _PITCH = (20, 110, 200, 290), 10  # of the cameras, degrees
_FRAMES, _STRIDE = 81, {"train": 27}
# The whole path of a recording lies within this share of the image.
_FILLS = 0.9
# A detector's errors change on this scale: the table's key frames over so many frames (60 fps).
_NOISE_FRAMES = 243


class MotionPairs:
    """One split of them, with what the rest of the code uses of a RecordReader.

    directory: 'sample:pairs' or 'pairs:FOLDER'. ValueError where FOLDER has no clips of 3D motion.
    """

    def __init__(self, directory: str, split: str):
        self.directory, self.split = directory, split
        self._follows = directory != NAME
        motion = directory.removeprefix(OF_FOLDER) if self._follows else SAMPLE + "motion3d"
        reader = RecordReader(motion, split)
        self.info = {"name": f"{reader.info['name']}_pairs" if self._follows else "sample_pairs"}
        self._shards = reader.index()["shards"]
        if "metres_per_unit" not in reader[0]:
            raise ValueError(f"{directory}: {motion} has no 3D motion (mbjax prepare joints, bvh)")
        self._fps = float(reader[0].get("fps", 60.0))
        self._frame_step = max(1, round(self._fps / 30))
        noise = detector_noise.DetectionNoise.load()
        self._records = []
        rows = 0
        for source, motion_TxJx3, metres in _recordings(reader):
            frames = len(motion_TxJx3[:: self._frame_step])
            starts = self._starts(frames)
            for number, yaw in enumerate(_YAWS):
                made = self._follow if self._follows else self._watch
                for start, pose, keypoints, mm_per_unit in made(
                    motion_TxJx3, starts, metres, number, np.radians(yaw), noise
                ):
                    self._add(source, number, pose, keypoints, mm_per_unit, start, rows)
                rows += frames
        if not self._records:
            raise ValueError(f"{directory}: no recording of {_FRAMES} frames at 30 a second")

    def _watch(self, motion_TxJx3, starts, metres, number, yaw, noise):
        """Clips before a camera that has the whole recording in its picture."""
        seen = np.asarray(_view(motion_TxJx3, yaw, np.radians(_PITCH)))
        pose, mm_per_unit = _in_image(seen, metres)
        keypoints = _detected(pose[..., :2], number, noise)[:: self._frame_step]
        pose = pose[:: self._frame_step]
        for start in starts:
            own = slice(start, start + _FRAMES)
            yield start, pose[own], keypoints[own], mm_per_unit

    def _follow(self, motion_TxJx3, starts, metres, number, yaw, noise):
        """Clips of which each has a picture of its own."""
        for start in starts:
            clip = motion_TxJx3[self._frame_step * start :][: self._frame_step * _FRAMES]
            if np.isnan(clip).any():  # a gap in the recording
                continue
            seen = np.asarray(_view(clip, yaw, np.radians(_PITCH)))
            # A detector's errors change at the rate of the motion, so frames are left out last.
            step = slice(None, None, self._frame_step)
            pose, mm_per_unit = _in_image(seen, metres, step)
            keypoints = _detected(pose[..., :2], number, noise, start)
            yield start, pose[step], keypoints[step], mm_per_unit

    def _starts(self, frames) -> list[int]:
        """Of a recording's clips; the last ends with it."""
        starts = list(range(0, frames - _FRAMES + 1, _STRIDE.get(self.split, _FRAMES)))
        if starts and starts[-1] + _FRAMES < frames:
            starts.append(frames - _FRAMES)
        return starts

    def _add(self, source, camera, pose_TxJx3, keypoints_TxJx3, mm_per_unit, start, first_row):
        self._records.append(
            {
                "keypoints": keypoints_TxJx3,
                "pose": pose_TxJx3,
                "frames": first_row + np.arange(start, start + _FRAMES),
                "source": f"{source}_{camera}",
                "first_frame": start,
                "fps": self._fps / self._frame_step,
                "camera": str(camera),
                "action": source,
                "width": SIZE,
                "height": SIZE,
                "factor_2_5d": np.full(_FRAMES, mm_per_unit * 2 / SIZE, np.float32),
                "pose_mm": (pose_TxJx3.astype(np.float64) * mm_per_unit).astype(np.float32),
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
        motion = np.full((end, *records[0]["pose"].shape[1:]), np.nan, np.float32)
        for record in records:
            motion[record["first_frame"] :][: len(record["pose"])] = record["pose"]
        yield source, motion, float(records[0]["metres_per_unit"])


def _in_image(motion_TxJx3, metres_per_unit, kept=slice(None)):
    """(pose over half the image's width, mm per unit of it); depth starts at the first root's.

    kept: the frames that fill the image.
    """
    seen_TxJx3 = motion_TxJx3[kept]
    low, high = seen_TxJx3.min(axis=(0, 1)), seen_TxJx3.max(axis=(0, 1))
    scale = 2 * _FILLS / float((high - low)[:2].max())
    centre = np.append((low + high)[:2] / 2, motion_TxJx3[0, 0, 2]).astype(np.float32)
    pose = ((motion_TxJx3 - centre) * scale).astype(np.float32)
    return pose, 1000 * metres_per_unit / scale


def _detected(xy_TxJx2, camera: int, noise, first_stretch: int = 0):
    """A detector's x, y and confidence; its errors follow the table, stretch by stretch."""
    parts = []
    for number, start in enumerate(range(0, len(xy_TxJx2), _NOISE_FRAMES), first_stretch):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), camera), number)
        # Whole stretches, so that one program does for all.
        part = xy_TxJx2[start : start + _NOISE_FRAMES]
        filled = np.resize(part, (_NOISE_FRAMES, *part.shape[1:]))
        parts.append(np.asarray(_noisy(key[None], filled[None], noise))[0, : len(part)])
    return np.concatenate(parts)


_view = jax.jit(augment.view)
_noisy = jax.jit(detector_noise.add_noise, static_argnums=2)


@functools.cache
def open_split(directory: str, split: str) -> MotionPairs:
    """A split, made once in a process."""
    return MotionPairs(directory, split)


def is_made(directory: str) -> bool:
    """Whether pairs of this name are made here rather than read."""
    return directory == NAME or directory.startswith(OF_FOLDER)
