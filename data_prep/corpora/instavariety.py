"""InstaVariety to 2D clips: the release's pair of arrays, or the authors' tracks of OpenPose.

T frames, N frames of all videos end to end, J = 17 joints. `motion_all.npy` (N, J, 3) with
`id_all.npy` (N,) beside it; or folders TAG/VIDEO/TRACK of one JSON file per frame, each
{"frame": 12, "R Knee": {"x": .., "y": .., "logits": ..}, ...}. The authors' TFRecords are not read:
their keypoints lie in crops whose offsets they do not all keep.
"""

import dataclasses
import itertools
import json

import numpy as np

from data_prep import corpus, features
from data_prep.resampling import generator
from data_prep.windows import cut, cut_source
from mbjax.pose.normalise import crop_scale
from mbjax.pose.skeleton import NUM_JOINTS, ROOT
from mbjax.remarks import one_line
from mbjax.safe_files import numpy_files

# OpenPose's names in the order of mbjax.pose.skeleton.JOINTS. The release has neither belly nor
# head (they stay unseen), and the tracks are brought to the same.
_NAMES = (
    "Hip", "R Hip", "R Knee", "R Ankle", "L Hip", "L Knee", "L Ankle", None, "Neck", "Nose", None,
    "L Shoulder", "L Elbow", "L Wrist", "R Shoulder", "R Elbow", "R Wrist",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class InstavarietyOptions:
    frames: int = corpus.option(81, "frames of a clip", low=1, high=100_000)
    stride: int = corpus.option(27, "frames from one clip to the next", low=1, high=100_000)
    crop_low: float = corpus.option(
        0.25, "least ratio of crop-scale; below 1 it cuts into people", low=0.01, high=10
    )
    crop_high: float = corpus.option(1.0, "greatest ratio of crop-scale", low=0.01, high=10)


class Instavariety(corpus.Corpus):
    """People in the videos of InstaVariety as OpenPose saw them, as clips of 2D keypoints."""

    TREE = "motion_all.npy and id_all.npy, or TAG/VIDEO/TRACK/*.json"
    OPTIONS = InstavarietyOptions

    @classmethod
    def record_features(cls, options):
        return features.keypoints(options.frames)

    @classmethod
    def source_files(cls, raw, options):
        pairs = corpus.found(raw, "**/motion_all.npy", "train")
        if pairs:
            return pairs
        # A track is one unit of work; its frames are far too small for one each.
        tracks = sorted({path.parent for path in raw.glob("**/*.json")})
        return [
            corpus.SourceFile("train", track.relative_to(raw).as_posix(), track) for track in tracks
        ]

    @classmethod
    def companions(cls, raw, options):
        return [path.with_name("id_all.npy") for path in sorted(raw.glob("**/motion_all.npy"))]

    @classmethod
    def records(cls, source, options, report):
        if source.path.is_dir():
            clips = _clips_of_track(source, options, report)
        else:
            clips = _clips_of_arrays(source, options, report)
        for where, name, first_frame, clip_TxJx3 in clips:
            if not clip_TxJx3[0, ROOT, 2] > 0:
                report.leave_out(where, "the first frame's root is unseen")
                continue
            # Asked here, since crop-scale would make such a clip all zeros.
            if not np.isfinite(clip_TxJx3).all():
                report.leave_out(where, "not a number in keypoints")
                continue
            ratio = generator("instavariety", name, first_frame).uniform(
                options.crop_low, options.crop_high
            )
            record = _record(clip_TxJx3, ratio, name, first_frame)
            if not record["keypoints"].any():
                report.leave_out(where, "too few keypoints seen to say where the person is")
                continue
            yield where, record


def _record(clip_TxJx3, ratio, name, first_frame):
    def unseen_at_zero(keypoints):
        return np.where(keypoints[..., 2:] == 0, 0, keypoints)

    keypoints = unseen_at_zero(crop_scale(clip_TxJx3.astype(np.float64), ratio))
    return {
        "keypoints": keypoints.astype(np.float32),
        "source": name,
        "first_frame": first_frame,
        "fps": 0.0,
    }


def _clips_of_arrays(source, options, report):
    motion_NxJx3 = numpy_files.Rows(source.path)
    ids_N = numpy_files.read_npy(source.path.with_name("id_all.npy"))
    if motion_NxJx3.shape[1:] != (NUM_JOINTS, 3):
        raise ValueError(f"shape {motion_NxJx3.shape}, (N, {NUM_JOINTS}, 3) wanted")
    if motion_NxJx3.dtype.kind != "f" or ids_N.dtype.kind not in "iuf":
        raise ValueError("not arrays of numbers")
    if ids_N.shape != motion_NxJx3.shape[:1]:
        raise ValueError(f"{len(motion_NxJx3)} frames, but id_all.npy has shape {ids_N.shape}")
    report.read(len(motion_NxJx3))
    # Whole numbers in floats in the release.
    names = [f"{video:g}" for video in ids_N.tolist()]
    for clip in cut(names, options.frames, options.stride):
        if clip.stretched:
            report.note("video shorter than a clip stretched to one")
        where = f"video {clip.source} frame {clip.first_frame}"
        first, last = int(clip.rows_T[0]), int(clip.rows_T[-1])
        clip_TxJx3 = motion_NxJx3[first : last + 1][clip.rows_T - first]
        yield where, clip.source, clip.first_frame, clip_TxJx3


def _clips_of_track(source, options, report):
    frames = []
    for path in sorted(source.path.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            frames.append((int(content["frame"]), _joints(content)))
            if abs(frames[-1][0]) >= 1 << 60:
                raise ValueError(f"frame {frames.pop()[0]:.3g}")
        except KeyError as error:
            report.leave_out(path.name, f"missing key {error}")
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            report.leave_out(path.name, f"not a frame of a track: {one_line(error)}")
    # Names need not sort as numbers do; a frame that is there twice makes no motion.
    frames.sort(key=lambda frame: frame[0])
    numbers = np.array([number for number, _ in frames])
    steps = np.diff(numbers)
    if (steps == 0).any():
        raise ValueError("a frame number comes twice in the track")
    report.read(len(frames))
    cuts = [0, *(np.flatnonzero(steps > 1) + 1).tolist(), len(frames)]
    for start, end in itertools.pairwise(cuts):
        # A whole track may be stretched to a clip; a piece between two gaps is no motion to learn.
        if end - start < options.frames and len(cuts) > 2:
            report.leave_out(f"frame {numbers[start]}", "a piece between gaps shorter than a clip")
            continue
        for clip in cut_source(source.name, end - start, options.frames, options.stride):
            motion = np.stack([frames[start + row][1] for row in clip.rows_T])
            first = int(numbers[start]) + clip.first_frame
            yield f"frame {first}", source.name, first, motion


def _joints(content):
    """(J, 3) of one frame; a keypoint that is not there is unseen."""
    joints_Jx3 = np.zeros((NUM_JOINTS, 3))
    for joint, name in enumerate(_NAMES):
        if name is not None and content.get(name) is not None:
            point = content[name]
            joints_Jx3[joint] = point["x"], point["y"], min(max(point["logits"], 0.0), 1.0)
    return joints_Jx3
