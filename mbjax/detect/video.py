"""Every person's keypoints in a video, and the file that keeps them.

Shapes in names: T pictures, M persons, K keypoints of the detector's layout; 3 is x, y (pixels of
the picture as it is shown), confidence.
"""

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.detect import detectors
from mbjax.detect.frames import Video, pictures, probe
from mbjax.keypoints import tracking
from mbjax.keypoints.found import Found
from mbjax.keypoints.read import Keypoints, settled
from mbjax.keypoints.tracking import Observation

# Whoever is seen in fewer pictures is a shadow or a poster, unless the video is that short.
_FEWEST = 5
# A rate that varies by more than this share of its mean is told.
_STEADY = 0.2


@dataclasses.dataclass(frozen=True, eq=False)
class Detected:
    """What was found in a video. times: of each picture, in seconds from the first."""

    keypoints: Keypoints
    video: Video
    times_T: np.ndarray


def detect(
    path: str | os.PathLike,
    detector: str = "blazepose",
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Detected:
    """The persons of a video, one picture in memory at a time.

    detector: a name in `detectors.DETECTORS`. progress: called after each picture with how many
    are done and how many there are (None: the file does not say it). Persons are numbered from 0 as
    they come into view; who is seen in fewer than 5 pictures is left out.
    FileNotFoundError, ImportError without the extra [video], ValueError in one line: not a video,
    nobody in it.
    """
    video = probe(path)
    find = detectors.make(detector)
    notes: list[str] = []
    observations, times = [], []
    for picture in pictures(video, notes):
        times.append(picture.time)
        for keypoints in find(picture.rgb_HxWx3):
            observations.append(Observation(picture.number, None, keypoints))
        progress(len(times), video.frames)
    return gathered(observations, np.array(times), video, find.layout, detector, notes)


def gathered(
    observations: list[Observation], times_T: np.ndarray, video: Video, layout: str,
    detector: str, notes: list[str],
) -> Detected:  # fmt: skip
    """The persons of all pictures from what was found in each; ValueError where there is nobody.

    observations: (picture's number, None, keypoints); notes: of the reading, told before others.
    """
    observations = _persons(observations, len(times_T), notes)
    if not observations:
        raise ValueError(
            f"{video.path}: {detector} finds nobody in its {len(times_T)} pictures; it looks for "
            "whole persons of at least a fifth of the picture's height"
        )
    notes += _about_rate(times_T)
    keypoints = settled(Found(observations, layout, video.fps), None, None, video.path)
    notes.append(f"keypoints found by {detector}")
    keypoints = dataclasses.replace(keypoints, notes=(*notes, *keypoints.notes))
    return Detected(keypoints, video, times_T)


def _persons(observations, pictures_seen, notes):
    """The observations of those who are seen for long enough, numbered from 0."""
    linked = tracking.link(observations)
    counts: dict[int, int] = {}
    for number in linked:
        counts[number] = counts.get(number, 0) + 1
    fewest = min(_FEWEST, pictures_seen)
    stay = [person for person, count in counts.items() if count >= fewest]
    if len(stay) < len(counts):
        notes.append(
            f"{len(counts) - len(stay)} found in fewer than {fewest} pictures are left out"
        )
    numbers_of = {person: number for number, person in enumerate(stay)}
    return [
        dataclasses.replace(o, person=numbers_of[number])
        for o, number in zip(observations, linked, strict=True)
        if number in numbers_of
    ]


def _about_rate(times_T):
    steps = np.diff(times_T)
    if len(steps) < 2 or np.abs(steps - steps.mean()).max() <= _STEADY * steps.mean():
        return []
    return [
        f"the frame rate varies ({1 / steps.max():.3g} to {1 / steps.min():.3g} a second); files "
        "have its mean, keypoints.npz each picture's time"
    ]


def write(detected: Detected, path: str | os.PathLike) -> None:
    """An .npz that `mbjax infer --keypoints` reads: the same persons, without detecting again.

    keypoints (T, M, K, 3), all 0 where a person is not seen; layout, fps, times (T,) in seconds,
    image_size (width, height).
    """
    keypoints = detected.keypoints
    count = len(keypoints.tracks[0].keypoints_NxKx3[0])
    persons = 1 + max(track.person for track in keypoints.tracks)
    array = np.zeros((len(detected.times_T), persons, count, 3), np.float32)
    for track in keypoints.tracks:
        array[track.frames_N, track.person] = track.keypoints_NxKx3
    arrays = {
        "keypoints": array, "layout": np.array(keypoints.layout), "times": detected.times_T,
        "image_size": np.array(detected.video.size),
    }  # fmt: skip
    if detected.video.fps:
        arrays["fps"] = np.array(detected.video.fps)
    with written_beside(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(file, **arrays)
