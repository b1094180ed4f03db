"""PoseTrack18 annotations to 2D clips of 30 frames.

T frames, K = 17 keypoints of PoseTrack, J = 17 joints. Annotation files are COCO-style JSON.
"""

import dataclasses
import itertools
import json

import numpy as np

from data_prep import corpus, features
from data_prep.resampling import generator
from mbjax.keypoints.layouts import from_layout
from mbjax.pose.normalise import crop_scale
from mbjax.pose.skeleton import ROOT

_KEYPOINTS = 17
# The release's 306 of 30 frames x 17 keypoints.
_VISIBLE_SHARE = 0.6


@dataclasses.dataclass(frozen=True)
class PosetrackOptions:
    frames: int = corpus.option(
        30, "frames of a clip: the first so many of each track", low=1, high=100_000
    )
    gaps: str = corpus.option(
        "respect", "frames missing in a track: respect begins anew after one, ignore closes the"
        " ranks as the release does", ("respect", "ignore"),
    )  # fmt: skip
    crop_low: float = corpus.option(
        0.25, "least ratio of crop-scale; below 1 it cuts into people", low=0.01, high=10
    )
    crop_high: float = corpus.option(1.0, "greatest ratio of crop-scale", low=0.01, high=10)


class Posetrack(corpus.Corpus):
    """People in the annotated videos of PoseTrack18, as clips of 2D keypoints."""

    TREE = "posetrack18_annotations/train/*.json"
    OPTIONS = PosetrackOptions

    @classmethod
    def record_features(cls, options):
        return features.keypoints(options.frames)

    @classmethod
    def source_files(cls, raw, options):
        found = corpus.found(raw, "**/train/*.json", "train")
        return found or corpus.found(raw, "*.json", "train")

    @classmethod
    def records(cls, source, options, report):
        content = json.loads(source.path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content["annotations"], list):
            raise corpus.BadFile("not an object with images and annotations")
        first_image = min((int(image["id"]) for image in content["images"]), default=0)
        video = source.name.rsplit(".", 1)[0]
        for track, frames in _tracks(content["annotations"], report).items():
            where = f"track {track}"
            report.read(len(frames))
            try:
                motion_TxKx3, start = _first_clip(frames, options)
            except ValueError as error:
                report.leave_out(where, str(error))
                continue
            ratio = generator("posetrack", video, track).uniform(
                options.crop_low, options.crop_high
            )
            clip_TxJx3 = from_layout(crop_scale(motion_TxKx3, ratio), "posetrack17")
            clip_TxJx3 = np.where(clip_TxJx3[..., 2:] == 0, 0, clip_TxJx3)
            if clip_TxJx3[:, ROOT, 2].sum() < options.frames:
                report.leave_out(where, "the root is not visible in all frames")
                continue
            yield (
                where,
                {
                    "keypoints": clip_TxJx3.astype(np.float32),
                    "source": f"{video}/{track}",
                    "first_frame": start - first_image,
                    "fps": 0.0,
                },
            )


def _tracks(annotations, report):
    """{track: [(image, keypoints (K, 3))]} in the file's order; broken annotations left out."""
    tracks = {}
    for number, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            report.leave_out(f"annotation {number}", "not an object")
            continue
        where = f"annotation {str(annotation.get('id', number)):.40}"
        missing = [k for k in ("track_id", "image_id", "keypoints") if k not in annotation]
        if missing:
            report.leave_out(where, f"missing key {', '.join(missing)}")
            continue
        try:
            keypoints = np.asarray(annotation["keypoints"], dtype=np.float64)
            track, image = int(annotation["track_id"]), int(annotation["image_id"])
        except (TypeError, ValueError, OverflowError):
            report.leave_out(where, "not numbers in keypoints, track_id or image_id")
            continue
        if keypoints.shape != (3 * _KEYPOINTS,):
            report.leave_out(where, f"wrong number of keypoints, {_KEYPOINTS} x 3 wanted")
            continue
        if not np.isfinite(keypoints).all():
            report.leave_out(where, "not a number in keypoints")
            continue
        if abs(image) >= 1 << 60:
            report.leave_out(where, "image_id is not a number of an image")
            continue
        tracks.setdefault(track, []).append((image, keypoints.reshape(_KEYPOINTS, 3)))
    return tracks


def _first_clip(frames, options):
    """The first clip (T, K, 3) of a track and its first image; ValueError says why there is none.

    A person who is annotated twice in an image, or images out of order, make no motion.
    """
    images = np.array([image for image, _ in frames])
    steps = np.diff(images)
    if (steps <= 0).any():
        raise ValueError("frames of the track are not in increasing order")
    start = 0
    if options.gaps == "respect":
        run_starts = [0, *(np.flatnonzero(steps > 1) + 1), len(frames)]
        whole = [a for a, b in itertools.pairwise(run_starts) if b - a >= options.frames]
        if not whole and len(frames) >= options.frames:
            raise ValueError(f"no {options.frames} frames without a gap")
        start = whole[0] if whole else 0
    if len(frames) - start < options.frames:
        raise ValueError(f"shorter than {options.frames} frames")
    motion = np.stack([keypoints for _, keypoints in frames[start : start + options.frames]])
    if motion[..., 2].sum() <= _VISIBLE_SHARE * options.frames * _KEYPOINTS:
        raise ValueError("too few visible keypoints")
    return motion, int(images[start])
