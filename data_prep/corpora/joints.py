"""Motion of the 17 joints in arrays: whatever other programs made, as .npy or .npz.

    NAME.npy            (T, 17, 3) of one recording
    ANY.npz             such an array for each recording, by the name of it or by SPLIT/NAME

T frames, J = 17 joints of mbjax.pose.skeleton (Human3.6M's order), in world axes and one unit.
"""

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from data_prep import corpus, features, mocap
from data_prep.resampling import resample
from mbjax.pose.skeleton import NUM_JOINTS, ROOT, limb_lengths
from mbjax.safe_files import numpy_files

# Metres a second of a joint seen from the root: a pitcher's hand reaches 8.
_FASTEST = 9.0
# A body's bones together, in metres: the 16 of a child and of a giant.
_SMALLEST, _LARGEST = 1.5, 8.0

_MOST_TIMES = 1000


@dataclasses.dataclass(frozen=True)
class JointsOptions:
    fps_in: float = corpus.option(60.0, "frame rate of the arrays", low=5, high=10_000)
    up: str = corpus.option("y", "the axis that points up", tuple(mocap.UP))
    metres_per_unit: float = corpus.option(1.0, "metres of the arrays' unit", low=1e-6, high=1000)
    train: str = corpus.option("*", "recordings of the training split: patterns, by commas")
    test: str = corpus.option(
        "", "recordings of the test split: patterns, by commas; else as SPLIT/ says"
    )
    repeat: str = corpus.option(
        "", "training recordings that come several times, beside many of another kind:"
        " PATTERN:TIMES, by commas; the first that a name matches counts"
    )  # fmt: skip
    frames: int = corpus.option(243, "frames of a clip", low=1, high=100_000)
    stride: int = corpus.option(
        81, "frames from one training clip to the next", low=1, high=100_000
    )
    fps: float = corpus.option(60.0, "frame rate of the clips", low=1, high=10_000)

    def __post_init__(self):
        list(_repeats(self.repeat))


class Joints(corpus.Corpus):
    """3D motion of the 17 joints from arrays, as clips in camera axes."""

    TREE = "*.npy of (frames, 17, 3), or *.npz with such arrays by NAME or SPLIT/NAME"
    OPTIONS = JointsOptions

    @classmethod
    def record_features(cls, options):
        return features.mocap(options.frames)

    @classmethod
    def source_files(cls, raw, options):
        found = [
            *corpus.found(raw, "**/*.[nN][pP][yY]", "train"),
            *corpus.found(raw, "**/*.[nN][pP][zZ]", "train"),
        ]
        return [
            corpus.SourceFile(split, source.name, source.path)
            for source in found
            for split in ("train", "test")
            if split == "train" or _has_test(source, options)
        ]

    @classmethod
    def records(cls, source, options, report):
        for name, array in recordings(source).items():
            if _split_of(name, options) != source.split:
                continue
            try:
                pose_TxJx3 = in_metres(array, options)
            except ValueError as error:
                report.leave_out(name, str(error))
                continue
            pose_TxJx3, jumps = mocap.over_jumps(pose_TxJx3, options.fps_in)
            if jumps:
                report.note("single-frame jump of a joint interpolated over", len(jumps))
            pose_TxJx3 = resample(pose_TxJx3, options.fps_in, options.fps)
            times = _times(name, options.repeat) if source.split == "train" else 1
            if times > 1:
                report.note(f"recordings that come {times} times")
            for again in range(times):
                report.read(len(pose_TxJx3), options.fps)
                one = f"{name}_again{again}" if again else name
                yield from _clips(pose_TxJx3, one, source.split, options, report)


def _clips(pose_TxJx3, name, split, options, report):
    sound_T = sound_frames(pose_TxJx3, options.fps)
    for key, record in mocap.clips(
        pose_TxJx3, name, options, cover=split == "test", sound_T=sound_T, report=report
    ):
        yield f"{name}/{key}", record


def recordings(source) -> dict[str, np.ndarray]:
    """The arrays of a file, by their names, or by its own."""
    arrays = numpy_files.read(source.path)
    return arrays if isinstance(arrays, dict) else {source.name.rsplit(".", 1)[0]: arrays}


def _has_test(source, options):
    with contextlib.suppress(ValueError):  # of what cannot be read, in `records`
        return any(_split_of(name, options) == "test" for name in recordings(source))
    return False


def _split_of(name, options):
    """train, test, or neither ('')."""
    if mocap.matches(name, options.test) or (not options.test and name.startswith("test/")):
        return "test"
    return "train" if mocap.matches(name, options.train) else ""


def _repeats(text: str) -> Iterator[tuple[str, int]]:
    """(pattern, times) of PATTERN:TIMES by commas; ValueError for anything else."""
    for one in filter(None, text.split(",")):
        pattern, colon, times = one.rpartition(":")
        if not (colon and pattern and times.isdecimal() and 1 <= int(times) <= _MOST_TIMES):
            raise ValueError(
                f"--repeat has {one!r}; PATTERN:TIMES is wanted, as 'jump*:3', 1 to {_MOST_TIMES}"
            )
        yield pattern, int(times)


def _times(name, text):
    return next((n for pattern, n in _repeats(text) if mocap.matches(name, pattern)), 1)


def in_metres(array, options) -> np.ndarray:
    """(T, J, 3) float64 in camera axes; ValueError for another shape, NaN, or what is no body."""
    if array.ndim != 3 or array.shape[1:] != (NUM_JOINTS, 3) or not len(array):
        raise ValueError(f"an array of {array.shape}; (frames, {NUM_JOINTS}, 3) was wanted")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"an array of {array.dtype}; numbers were wanted")
    pose_TxJx3 = array.astype(np.float64) * options.metres_per_unit
    if not np.isfinite(pose_TxJx3).all():
        raise ValueError("not a number in it")
    length = float(np.median(limb_lengths(pose_TxJx3).sum(axis=-1)))
    if not _SMALLEST <= length <= _LARGEST:
        raise ValueError(
            f"the bones are {length:.3g} m together, a person's {_SMALLEST:g} to {_LARGEST:g}; see"
            " --metres-per-unit"
        )
    return pose_TxJx3 @ mocap.UP[options.up].T


def sound_frames(pose_TxJx3, fps) -> np.ndarray:
    """(T,) bool: frames into and out of which no joint moves faster from the root than a body's."""
    from_root_TxJx3 = pose_TxJx3 - pose_TxJx3[:, ROOT : ROOT + 1]
    speed_TxJ = np.linalg.norm(np.diff(from_root_TxJx3, axis=0), axis=-1) * fps
    slow = (speed_TxJ <= _FASTEST).all(axis=1)
    return np.concatenate([[True], slow]) & np.concatenate([slow, [True]])
