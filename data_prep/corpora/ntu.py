"""NTU RGB+D 60 and 120, 2D poses by HRNet, to labelled recordings of up to two persons.

`ntu60_hrnet.pkl`, `ntu120_hrnet.pkl`, `ntu120_hrnet_oneshot.pkl`: {"split": {name: [frame_dir]},
"annotations": [{frame_dir, label, total_frames, img_shape (h, w), keypoint (M, T, K, 2) in pixels,
keypoint_score (M, T, K)}]}. M persons, T frames, K = 17 keypoints of COCO, J = 17 joints.
"""

import dataclasses
import functools

import numpy as np

from data_prep import corpus, features
from mbjax import safe_pickle
from mbjax.data.action.clips import PERSONS, most_confident, track_two
from mbjax.keypoints.layouts import from_layout
from mbjax.pose.skeleton import INDEX

_FPS = 30.0
_KEYPOINTS = 17


@dataclasses.dataclass(frozen=True)
class NtuOptions:
    score_order: str = corpus.option(
        "joints", "order of the scores: that of the joints; or coco, all as the release does it:"
        " scores in COCO's order and positions in float16", ("joints", "coco"),
    )  # fmt: skip


class _Ntu(corpus.Corpus, skip_registration=True):
    OPTIONS = NtuOptions
    FILES: tuple[tuple[str, tuple[str, ...]], ...]  # the splits that each file may hold
    CLASSES: int

    @classmethod
    def record_features(cls, options):
        return features.action()

    @classmethod
    def source_files(cls, raw, options):
        return [
            source
            for name, splits in cls.FILES
            for split in splits
            for source in corpus.found(raw, f"**/{name}", split)
        ]

    @classmethod
    def records(cls, source, options, report):
        # One file holds all splits: it is read once for those that come one after another.
        content = _load(source.path, source.path.stat().st_mtime_ns)
        if source.split not in content["split"]:
            report.note(f"no split {source.split} in the file")
            return
        wanted, seen = set(content["split"][source.split]), set()
        for number, annotation in enumerate(content["annotations"]):
            name = annotation.get("frame_dir") if isinstance(annotation, dict) else None
            if not isinstance(name, str):
                report.leave_out(f"annotation {number}", "missing key 'frame_dir'")
            if name not in wanted:
                continue
            seen.add(name)
            try:
                record = to_record(_two_persons(annotation, options, report), options)
            except KeyError as error:
                report.leave_out(name, f"missing key {error}")
                continue
            except (ValueError, TypeError, OverflowError) as error:
                report.leave_out(name, str(error))
                continue
            if not 0 <= record["label"] < cls.CLASSES:
                report.leave_out(
                    name, f"label {record['label']}, but {cls.name} has 0 to {cls.CLASSES - 1}"
                )
                continue
            report.read(record["keypoints"].shape[1], _FPS)
            yield name, record
        for name in sorted(wanted - seen):
            report.leave_out(name, "in the split, but without an annotation")


class Ntu60(_Ntu):
    """Actions of NTU RGB+D (60 classes) as 2D keypoints of up to two persons."""

    TREE = "ntu60_hrnet.pkl"
    CLASSES = 60
    FILES = (("ntu60_hrnet.pkl", ("xsub_train", "xsub_val", "xview_train", "xview_val")),)


class Ntu120(_Ntu):
    """Actions of NTU RGB+D 120 as 2D keypoints of up to two persons; with one-shot splits."""

    TREE = "ntu120_hrnet.pkl, ntu120_hrnet_oneshot.pkl, or both"
    CLASSES = 120
    FILES = (
        (
            "ntu120_hrnet.pkl",
            ("xsub_train", "xsub_val", "xview_train", "xview_val", "xset_train", "xset_val"),
        ),
        ("ntu120_hrnet_oneshot.pkl", ("oneshot_train", "oneshot_val")),
    )


@functools.lru_cache(maxsize=1)
def _load(path, mtime_ns):
    content = safe_pickle.load(path)
    if not isinstance(content, dict) or not isinstance(content["split"], dict):
        raise corpus.BadFile("not a dict of split and annotations")
    if not isinstance(content["annotations"], list):
        raise corpus.BadFile("annotations is not a list")
    return content


def _two_persons(annotation, options, report):
    """The annotation without persons that nobody saw, and with the two most confident of more.

    With scores as released a second person who was not seen stays: the release counts them.
    """
    scores = np.asarray(annotation["keypoint_score"])
    if scores.ndim != 3 or not scores.size:
        return annotation  # to_record says what is wrong
    kept = most_confident(scores)
    if len(kept) == 0:
        raise ValueError("nobody in it: every score is 0")
    if len(scores) <= PERSONS and options.score_order == "coco":
        return annotation
    empty = int((scores.sum(axis=(1, 2), dtype=np.float64) <= 0).sum())
    if empty:
        report.note("a person with no score above 0 left out", empty)
    if len(scores) - empty > PERSONS:
        report.note("more than two persons: the two most confident kept")
    keypoints = np.asarray(annotation["keypoint"])[kept]
    return {**annotation, "keypoint": keypoints, "keypoint_score": scores[kept]}


def to_record(annotation: dict, options: NtuOptions) -> dict:
    """A record of features.action() from one annotation; ValueError or KeyError if it is wrong.

    Two persons are tracked by where they are. options.score_order "joints": scores go where their
    keypoints go, between persons and to the 17 joints. "coco": they stay as they are in the file,
    and positions pass through float16, off by up to half a pixel: how the released action
    checkpoints were trained.
    """
    keypoints = np.asarray(annotation["keypoint"])
    scores = np.asarray(annotation["keypoint_score"])
    total, (height, width) = annotation["total_frames"], annotation["img_shape"]
    M, T = keypoints.shape[:2] if keypoints.ndim == 4 else (0, 0)
    if T == 0 or M == 0 or total == 0:
        raise ValueError("of zero length, or without persons")
    if keypoints.shape != (M, total, _KEYPOINTS, 2) or scores.shape != keypoints.shape[:3]:
        raise ValueError(
            f"keypoint or keypoint_score of another shape than persons, total_frames, {_KEYPOINTS}"
        )
    if not (width > 0 and height > 0):
        raise ValueError("img_shape is not a size")
    if options.score_order == "coco":
        joints = _joints_as_released(keypoints, max(width, height))
        motion = np.concatenate([joints, scores[..., None]], axis=-1)
    else:
        tracked = np.concatenate(
            track_two(keypoints.astype(np.float64), scores[..., None]), axis=-1
        )
        motion = from_layout(tracked, "coco17")
    return {
        "keypoints": motion.astype(np.float32),
        "label": int(annotation["label"]),
        "width": int(width),
        "height": int(height),
        "source": annotation["frame_dir"],
        "first_frame": 0,
        "fps": _FPS,
    }


def _joints_as_released(keypoints_MxTxKx2, side):
    """Positions (M, T, J, 2) in pixels with the digits that the release loses to float16.

    It normalises in the files' own float16; means of a single person's keypoints are taken in
    float16 too, but belly comes last, from joints that are float64 by then.
    """
    normalised = track_two(keypoints_MxTxKx2.astype(np.float16) / side * 2 - 1)
    if len(normalised) > 1:
        normalised = normalised.astype(np.float64)
    joints = from_layout(normalised, "coco17").astype(np.float64)
    root, neck = joints[..., INDEX["root"], :], joints[..., INDEX["neck"], :]
    joints[..., INDEX["belly"], :] = (root + neck) / 2
    return (joints + 1) * side / 2
