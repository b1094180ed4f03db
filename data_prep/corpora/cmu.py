"""The CMU Graphics Lab motion capture database (mocap.cs.cmu.edu): free, 144 subjects.

    SUBJECT/SUBJECT.asf, SUBJECT/SUBJECT_TRIAL.amc      as the database has it
    SUBJECT_TRIAL.bvh, in any folders                   as B. Hahne converted it
    *.html, or *index*.txt                              the database's index, where it is there

T frames, J = 17 joints. A subject is in one split alone. Of a recording that is there in both forms
the AMC is taken. The index says what a recording shows, and the frame rate of its AMC.
"""

import dataclasses
import fnmatch
import re

import numpy as np

from data_prep import asf_amc, bvh_namings, cmu_index, corpus, features, mocap
from data_prep.corpora.joints import sound_frames
from data_prep.resampling import resample
from mbjax.motion.bvh_reader import read_bvh

# As bvh_namings.CMU has them of the conversion: "X" is where bone X begins. The nose is ahead of
# the head, whose axes are the world's in the zero pose, where a body looks along z.
JOINTS = {
    "root": ["rfemur", "lfemur"],
    "rhip": "rfemur", "rknee": "rtibia", "rankle": "rfoot",
    "lhip": "lfemur", "lknee": "ltibia", "lankle": "lfoot",
    "belly": "upperback", "neck": "upperneck", "head": "head.end",
    "nose": {"between": ["head", "head.end"], "share": 0.5, "forward": 0.6, "axis": "+z"},
    "lshoulder": "lhumerus", "lelbow": "lradius", "lwrist": "lwrist",
    "rshoulder": "rhumerus", "relbow": "rradius", "rwrist": "rwrist",
}  # fmt: skip
_NAME = re.compile(r"([^_]+)_.+")


@dataclasses.dataclass(frozen=True)
class CmuOptions:
    test_subjects: str = corpus.option("*9", "subjects of the test split: patterns, by commas")
    only: str = corpus.option("*", "recordings to take, such as 07_*: patterns, by commas")
    without: str = corpus.option("", "recordings to leave out: patterns, by commas")
    activities: str = corpus.option(
        "", "of which the index says so: words or patterns, by commas, such as walk,run"
    )
    fps_in: float = corpus.option(
        120.0, "frame rate of AMC files, where the index does not say it", low=5
    )
    at_60: str = corpus.option("", "recordings whose AMC has 60 frames a second: patterns")
    frames: int = corpus.option(243, "frames of a clip", low=1, high=100_000)
    stride: int = corpus.option(
        81, "frames from one training clip to the next", low=1, high=100_000
    )
    fps: float = corpus.option(60.0, "frame rate of the clips", low=1, high=10_000)


@dataclasses.dataclass(frozen=True)
class Recording(corpus.SourceFile):
    """A raw file and what the index says of it. indexed: whether there is an index."""

    activity: str = ""
    fps: float = 0.0
    indexed: bool = False


class Cmu(corpus.Corpus):
    """3D motion of the 17 joints from the CMU database, as clips in camera axes."""

    TREE = "SUBJECT/SUBJECT_TRIAL.amc beside SUBJECT.asf, or SUBJECT_TRIAL.bvh, in any folders"
    OPTIONS = CmuOptions

    @classmethod
    def record_features(cls, options):
        return features.mocap(options.frames)

    @classmethod
    def source_files(cls, raw, options):
        amc = corpus.found(raw, "**/*.[aA][mM][cC]", "train")
        there = {source.path.stem for source in amc}
        bvh = corpus.found(raw, "**/*.[bB][vV][hH]", "train")
        trials = cmu_index.read(cmu_index.files(raw))
        if options.activities and not trials:
            raise ValueError(
                f"--activities {options.activities} needs the database's index in {raw}: its search"
                " page, saved as index.html, or the conversion's index text"
            )
        sources, of_files = [], set()
        for source in (*amc, *(one for one in bvh if one.path.stem not in there)):
            name, trial = source.path.stem, trials.get(source.path.stem, cmu_index.Trial(""))
            of_files.add(trial.description)
            if (
                mocap.matches(name, options.only)
                and not mocap.matches(name, options.without)
                and (not options.activities or shows(trial.description, options.activities))
            ):
                split = split_of(name, options)
                sources.append(
                    Recording(
                        split, source.name, source.path, trial.description, trial.fps, bool(trials)
                    )
                )
        if of_files and not sources:
            raise ValueError(_none_chosen(raw, options, sorted(of_files - {""})))
        return sources

    @classmethod
    def companions(cls, raw, options):
        return [*sorted(raw.glob("**/*.[aA][sS][fF]")), *cmu_index.files(raw)]

    @classmethod
    def subject_of(cls, name):
        return name.rpartition("/")[2].partition("_")[0]

    @classmethod
    def records(cls, source, options, report):
        report.activity = source.activity
        pose_TxJx3, fps = read_motion(source.path, options, report, source.fps)
        report.read(len(pose_TxJx3), fps)
        if source.indexed and not source.activity:
            report.note("recording that the index does not name")
        if source.indexed and source.path.suffix.lower() == ".amc" and not source.fps:
            report.note("AMC whose frame rate the index does not say: --fps-in or --at-60")
        pose_TxJx3, jumps = mocap.over_jumps(pose_TxJx3, fps)
        if jumps:
            report.note("single-frame jump of a joint interpolated over", len(jumps))
        pose_TxJx3 = resample(pose_TxJx3, fps, options.fps) @ mocap.UP["y"].T
        yield from mocap.clips(
            pose_TxJx3, source.path.stem, options, cover=source.split == "test",
            sound_T=sound_frames(pose_TxJx3, options.fps), report=report,
        )  # fmt: skip


def _none_chosen(raw, options, descriptions):
    chosen = "".join(
        f" --{name} {value!r}"
        for name, value in (
            ("only", options.only), ("without", options.without),
            ("activities", options.activities),
        )
        if value not in ("", "*")
    )  # fmt: skip
    named = "; the index says of them, for example: " + ", ".join(descriptions[:8])
    return f"none of the recordings in {raw} fits{chosen}" + (named if descriptions else "")


def shows(description: str, wanted: str) -> bool:
    """Whether a description has one of the words, or fits one of the patterns, by commas."""
    description = description.lower()
    words = set(re.findall(r"[a-z0-9]+", description))
    return any(
        one in words or fnmatch.fnmatchcase(description, one)
        for one in (part.strip().lower() for part in wanted.split(","))
        if one
    )


def split_of(name: str, options) -> str:
    """Of a recording SUBJECT_TRIAL; ValueError for a name of another form."""
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(f"{name}: the database's recordings are called SUBJECT_TRIAL, as 07_01")
    return "test" if mocap.matches(found[1], options.test_subjects) else "train"


def read_motion(path, options, report, fps: float = 0.0) -> tuple[np.ndarray, float]:
    """((T, J, 3) in metres, y up; frames a second). ValueError, in one line.

    fps: what the index says of an AMC, 0 for nothing.
    """
    if path.suffix.lower() == ".bvh":
        motion = read_bvh(path)
        if len(motion.values_TxD) < 2:
            raise ValueError("no frames besides the calibration pose")
        motion = dataclasses.replace(motion, values_TxD=motion.values_TxD[1:])
        report.note("calibration pose in a file's first frame left out")
        pose_TxJx3 = bvh_namings.joints_of(motion, bvh_namings.CMU["joints"])
        return pose_TxJx3 * bvh_namings.CMU["metres_per_unit"], motion.fps
    skeleton = _skeleton_of(path)
    motion = asf_amc.read_amc(path, skeleton)
    pose_TxJx3 = bvh_namings.joints_of(motion, JOINTS) * skeleton.metres
    if mocap.matches(path.stem, options.at_60):
        return pose_TxJx3, 60.0
    return pose_TxJx3, fps or options.fps_in


def _skeleton_of(path) -> asf_amc.Skeleton:
    """The subject's own; bones of another's would have other lengths."""
    name = f"{path.stem.partition('_')[0]}.asf"
    beside = (p for p in path.parent.iterdir() if p.name.lower() == name.lower())
    own = next(beside, None)
    if own is None:
        raise corpus.BadFile(f"its subject's skeleton, {name}, is not beside it")
    try:
        return asf_amc.read_asf(own)
    except ValueError as error:
        raise corpus.BadFile(f"its skeleton {own.name}: {error}") from None
