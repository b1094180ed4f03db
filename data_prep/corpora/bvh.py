"""Anybody's motion capture in BVH files to 3D clips of the 17 joints.

T frames, J = 17 joints. Which node is which joint is told from the file's names and checked by how
it moves, or said by a naming (data_prep/bvh_namings.py).
"""

import dataclasses
import pathlib

import numpy as np

from data_prep import bvh_namings, corpus, features, mocap
from data_prep.bvh_namings import AUTO, NAMINGS
from data_prep.resampling import resample
from mbjax.motion.bvh_reader import read_bvh

# Frames a second of a recording; a slower one would be mostly made up.
_SLOWEST, _FASTEST = 5, 10_000


@dataclasses.dataclass(frozen=True)
class BvhOptions:
    naming: str = corpus.option(
        AUTO,
        "which node is which joint: auto tells it from each file's names; else cmu, mbjax, mixamo,"
        " blender, vrm, or a JSON file",
    )
    up: str = corpus.option(AUTO, "the axis that points up; auto tells it", (AUTO, *mocap.UP))
    test: str = corpus.option("", "files of the test split: patterns of names, by commas")
    frames: int = corpus.option(243, "frames of a clip", low=1, high=100_000)
    stride: int = corpus.option(
        81, "frames from one training clip to the next", low=1, high=100_000
    )
    fps: float = corpus.option(60.0, "frame rate of the clips", low=1, high=10_000)
    metres_per_unit: float = corpus.option(
        0.0, "metres of the file's unit; 0: as the naming says", high=1000
    )
    drop_first_frame: str = corpus.option(
        "naming", "leave out each file's first frame", ("naming", "yes", "no")
    )
    repair: bool = corpus.option(True, "interpolate over single-frame jumps of a joint")


class Bvh(corpus.Corpus):
    """3D motion of the 17 joints from BVH files, as clips in camera axes."""

    TREE = "*.bvh, in any folders; --test PATTERN names those of the test split"
    OPTIONS = BvhOptions

    @classmethod
    def record_features(cls, options):
        return features.mocap(options.frames)

    @classmethod
    def source_files(cls, raw, options):
        if options.naming != AUTO:  # a broken one stops everything, before it starts
            bvh_namings.read_naming(options.naming)
        sources = corpus.found(raw, "**/*.[bB][vV][hH]", "train")
        return [
            dataclasses.replace(source, split="test")
            if mocap.matches(source.name, options.test)
            else source
            for source in sources
        ]

    @classmethod
    def companions(cls, raw, options):
        return (
            []
            if options.naming in (AUTO, *NAMINGS)
            else [pathlib.Path(options.naming).expanduser()]
        )

    @classmethod
    def records(cls, source, options, report):
        pose_TxJx3 = read_motion(source.path, options, report)
        report.read(len(pose_TxJx3), options.fps)
        name = source.name.rsplit(".", 1)[0]
        yield from mocap.clips(pose_TxJx3, name, options, cover=source.split == "test")


def read_motion(path, options, report) -> np.ndarray:
    """(T, J, 3) in metres, camera axes (x right, y down, z away), at options.fps.

    Errors as read_bvh, and ValueError for a naming that does not fit the file.
    """
    motion = read_bvh(path)
    if not _SLOWEST <= motion.fps <= _FASTEST:
        raise ValueError(f"{motion.fps:.3g} frames a second; motion has {_SLOWEST} to {_FASTEST:,}")
    if not np.isfinite(motion.values_TxD).all():
        row = int(np.argmin(np.isfinite(motion.values_TxD).all(axis=1)))
        raise ValueError(f"not a number in frame {row}")
    if options.naming == AUTO:
        whose, naming = bvh_namings.told(motion, options.metres_per_unit)
        report.note(f"names of {whose}, {naming['metres_per_unit']:.4g} m a unit")
    else:
        naming = bvh_namings.read_naming(options.naming)
    drop = {"yes": True, "no": False, "naming": naming["drop_first_frame"]}
    if drop[options.drop_first_frame]:
        if len(motion.values_TxD) == 1:
            raise ValueError("no frames besides the calibration pose")
        motion = dataclasses.replace(motion, values_TxD=motion.values_TxD[1:])
        report.note("calibration pose in a file's first frame left out")
    pose_TxJx3 = bvh_namings.joints_of(motion, naming["joints"])
    pose_TxJx3 *= options.metres_per_unit or naming["metres_per_unit"]
    if options.repair:
        pose_TxJx3, jumps = mocap.over_jumps(pose_TxJx3, motion.fps)
        if jumps:
            report.note("single-frame jump of a joint interpolated over", len(jumps))
    up = mocap.up_axis(pose_TxJx3) if options.up == AUTO else options.up
    if up != "y":
        report.note(f"axis that points up: {up}")
    return resample(pose_TxJx3, motion.fps, options.fps) @ mocap.UP[up].T
