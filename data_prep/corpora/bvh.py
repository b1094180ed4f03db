"""Anybody's motion capture in BVH files to 3D clips of the 17 joints.

T frames, N nodes of the file's skeleton, J = 17 joints. Which node is which joint is said by a
naming: CMU's (as in Hahne's conversion of the CMU database) and those that `mbjax infer` writes are
built in, others are JSON files:

    {"joints": {"root": ["LeftUpLeg", "RightUpLeg"], "rhip": "RightUpLeg", ... "head": "Head.end",
                "nose": {"between": ["Head", "Head.end"], "share": 0.5, "forward": 0.6,
                         "axis": "+z"}},
     "metres_per_unit": 0.01, "drop_first_frame": false}

A joint is a node, or the mean of several; "X.end" is the end site of X. The nose, which motion
capture rarely has, may stand `share` of the way between two nodes and `forward` of their distance
along an axis of the first node.
"""

import dataclasses
import pathlib

import numpy as np

from data_prep import corpus, features, mocap
from data_prep.resampling import resample
from mbjax.motion import rig
from mbjax.motion.bvh_reader import read_bvh
from mbjax.pose.skeleton import JOINTS
from mbjax.safe_files import json_files

CMU = {
    "joints": {
        "root": ["LeftUpLeg", "RightUpLeg"],
        "rhip": "RightUpLeg", "rknee": "RightLeg", "rankle": "RightFoot",
        "lhip": "LeftUpLeg", "lknee": "LeftLeg", "lankle": "LeftFoot",
        "belly": "Spine", "neck": "Neck1", "head": "Head.end",
        "nose": {"between": ["Head", "Head.end"], "share": 0.5, "forward": 0.6, "axis": "+z"},
        "lshoulder": "LeftArm", "lelbow": "LeftForeArm", "lwrist": "LeftHand",
        "rshoulder": "RightArm", "relbow": "RightForeArm", "rwrist": "RightHand",
    },
    # CMU's own unit is 1 / 0.45 inch.
    "metres_per_unit": 0.0254 / 0.45,
    # Row 0 of every file of the conversion is a calibration pose with the arms out.
    "drop_first_frame": True,
}  # fmt: skip


def _of_rig(names) -> dict:
    """The naming of a BVH that `mbjax infer` wrote with a rig's names (mbjax.motion.rig.RIGS)."""
    name = dict(zip(rig.BONES, names, strict=True))
    joints = {"root": [name["left_thigh"], name["right_thigh"]], "belly": name["chest"]}
    joints |= {
        joint: name[bone]
        for bone, joint in rig.JOINT_OF_BONE.items()
        if joint not in ("root", "belly")
    }
    head, top = name["head"], f"{name['head']}.end"
    # Where lifted noses are: a little above where the head begins, two thirds of it ahead.
    joints |= {"head": top}
    joints["nose"] = {"between": [head, top], "share": 0.1, "forward": 0.7, "axis": "+z"}
    return {"joints": joints, "metres_per_unit": 1.0, "drop_first_frame": False}


# mbjax: what `mbjax infer` writes; --rig mixamo, blender and vrm likewise. Its --rig cmu is read as
# cmu, with --metres-per-unit 1 --drop-first-frame no.
NAMINGS = {"cmu": CMU, "mbjax": _of_rig(rig.RIGS["plain"])}
NAMINGS |= {name: _of_rig(rig.RIGS[name]) for name in ("mixamo", "blender", "vrm")}

# Frames a second of a recording; a slower one would be mostly made up.
_SLOWEST, _FASTEST = 5, 10_000


@dataclasses.dataclass(frozen=True)
class BvhOptions:
    naming: str = corpus.option(
        "cmu", "which node is which joint: cmu, mbjax, mixamo, blender, vrm, or a JSON file"
    )
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
        read_naming(options.naming)  # a broken one stops everything, before it starts
        sources = corpus.found(raw, "**/*.[bB][vV][hH]", "train")
        return [
            dataclasses.replace(source, split="test")
            if mocap.matches(source.name, options.test)
            else source
            for source in sources
        ]

    @classmethod
    def companions(cls, raw, options):
        return [] if options.naming in NAMINGS else [pathlib.Path(options.naming).expanduser()]

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
    naming = read_naming(options.naming)
    motion = read_bvh(path)
    if not _SLOWEST <= motion.fps <= _FASTEST:
        raise ValueError(f"{motion.fps:.3g} frames a second; motion has {_SLOWEST} to {_FASTEST:,}")
    if not np.isfinite(motion.values_TxD).all():
        row = int(np.argmin(np.isfinite(motion.values_TxD).all(axis=1)))
        raise ValueError(f"not a number in frame {row}")
    drop = {"yes": True, "no": False, "naming": naming["drop_first_frame"]}
    if drop[options.drop_first_frame]:
        if len(motion.values_TxD) == 1:
            raise ValueError("no frames besides the calibration pose")
        motion = dataclasses.replace(motion, values_TxD=motion.values_TxD[1:])
        report.note("calibration pose in a file's first frame left out")
    pose_TxJx3 = joints_of(motion, naming["joints"])
    pose_TxJx3 *= options.metres_per_unit or naming["metres_per_unit"]
    if options.repair:
        pose_TxJx3, jumps = mocap.over_jumps(pose_TxJx3, motion.fps)
        if jumps:
            report.note("single-frame jump of a joint interpolated over", len(jumps))
    # BVH has y up and looks along -z; ours has y down and looks along z.
    return resample(pose_TxJx3, motion.fps, options.fps) * [1, -1, -1]


def read_naming(name: str) -> dict:
    """A built-in naming, or one from a JSON file; ValueError if it is not complete and sound."""
    if name in NAMINGS:
        return NAMINGS[name]
    path = pathlib.Path(name).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"naming {name!r} is neither built in ({', '.join(NAMINGS)}) nor a JSON file"
        )
    naming = json_files.read_object(path)
    naming = {"metres_per_unit": 0.01, "drop_first_frame": False, **naming}
    joints = naming.get("joints")
    missing = sorted(set(JOINTS) - set(joints if isinstance(joints, dict) else ()))
    if missing:
        raise ValueError(f"naming {name}: 'joints' lacks {', '.join(missing)}")
    for joint in JOINTS:
        if not _is_rule(joints[joint]):
            raise ValueError(
                f"naming {name}: {joint} is not a node's name, a list of names, or the four of"
                " between, share, forward and axis"
            )
    metres = naming["metres_per_unit"]
    if not _is_number(metres) or not 0 < metres <= 1000:
        raise ValueError(f"naming {name}: metres_per_unit is not a number from 0 to 1000")
    if not isinstance(naming["drop_first_frame"], bool):
        raise ValueError(f"naming {name}: drop_first_frame is not true or false")
    return naming


def _is_rule(rule):
    """Whether it says where a joint is: one of the three forms of the module's docstring."""
    if isinstance(rule, dict):
        return (
            set(rule) == {"between", "share", "forward", "axis"}
            and isinstance(rule["between"], list)
            and len(rule["between"]) == 2
            and all(isinstance(name, str) for name in rule["between"])
            and all(_is_number(rule[key]) and abs(rule[key]) < 100 for key in ("share", "forward"))
            and rule["axis"] in ("x", "y", "z", "+x", "+y", "+z", "-x", "-y", "-z")
        )
    names = [rule] if isinstance(rule, str) else rule
    return isinstance(names, list) and bool(names) and all(isinstance(n, str) for n in names)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def joints_of(motion, rules: dict) -> np.ndarray:
    """(T, J, 3): the 17 joints by the rules of a naming, in the file's unit and axes."""
    places_TxNx3, turns_TxNx3x3 = motion.positions()

    def mean(names):
        names = [names] if isinstance(names, str) else names
        return places_TxNx3[:, [motion.place_of(name) for name in names]].mean(axis=1)

    def between(between, share, forward, axis):
        start_Tx3, end_Tx3 = (mean(name) for name in between)
        sign = -1.0 if axis.startswith("-") else 1.0
        column = "xyz".index(axis[-1])
        ahead_Tx3 = sign * turns_TxNx3x3[:, motion.place_of(between[0]), :, column]
        length_Tx1 = np.linalg.norm(end_Tx3 - start_Tx3, axis=-1, keepdims=True)
        return start_Tx3 + share * (end_Tx3 - start_Tx3) + forward * length_Tx1 * ahead_Tx3

    joints = [
        between(**rules[name]) if isinstance(rules[name], dict) else mean(rules[name])
        for name in JOINTS
    ]
    return np.stack(joints, axis=1)
