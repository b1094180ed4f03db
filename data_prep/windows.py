"""Cutting recordings into clips: windows of n frames at a stride, inside one recording.

T frames of a clip, L frames of a recording. Pure functions: the same names and lengths give the
same clips on every machine, in every version of numpy, in any order of work.

Two rules. In training a recording's tail that fills no window is left out. In evaluation
(`cover=True`) one more window, which overlaps the one before and ends with the recording, takes
the tail in, so that every frame is predicted. Under both a recording shorter than a window is
stretched once to a window by repeating frames.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """One clip: which rows of a list of frames it takes, and where it lies in its recording."""

    source: str
    first_frame: int  # of the recording, counted from 0
    rows_T: np.ndarray  # int64, rows of the list that was cut
    stretched: bool = False  # rows repeat: the recording is shorter than a window


def window_starts(length: int, frames: int, stride: int, *, cover: bool = False) -> list[int]:
    """First frames of the windows of `frames` frames in a recording of `length` frames.

    A recording shorter than a window has none. With `cover`, every frame lies in some window: the
    last one may start less than a stride after the one before. ValueError if frames or stride is
    below 1, or if `cover` is asked of a stride that leaves gaps between windows.
    """
    _check(frames, stride, cover)
    starts = list(range(0, length - frames + 1, stride))
    if cover and starts and starts[-1] + frames < length:
        starts.append(length - frames)
    return starts


def stretch(length: int, frames: int, source: str | None = None) -> np.ndarray:
    """(frames,) int64: which of `length` <= `frames` frames stand at each place of a window.

    Never falls. Place i is frame i length / frames, rounded down, which leaves no frame out; or,
    given the name of a recording, rounded up or down by one bit of the name's SHAKE-256 hash per
    place and then sorted (what the release draws from an unseeded generator). ValueError unless
    1 <= length <= frames.
    """
    if not 1 <= length <= frames:
        raise ValueError(f"cannot stretch {length} frames to {frames}")
    scaled = np.arange(frames, dtype=np.int64) * length
    places = scaled // frames
    if source is not None:
        digest = hashlib.shake_256(source.encode("utf-8")).digest(-(-frames // 8))
        up = np.unpackbits(np.frombuffer(digest, np.uint8))[:frames].astype(bool)
        places = np.sort(places + (up & (scaled % frames != 0)))
    return np.minimum(places, length - 1)


def cut_source(
    source: str, length: int, frames: int, stride: int, *, cover: bool = False
) -> list[Clip]:
    """The clips of one recording of `length` frames; rows are its frames. None if length is 0.

    Errors as window_starts.
    """
    starts = window_starts(length, frames, stride, cover=cover)
    window = np.arange(frames, dtype=np.int64)
    clips = [Clip(source, start, start + window) for start in starts]
    if not clips and length > 0:
        # Random rounding may pass over a frame, which evaluation must not.
        rows = stretch(length, frames, None if cover else source)
        clips.append(Clip(source, int(rows[0]), rows, stretched=True))
    return clips


def cut(
    sources: Sequence[str],
    frames: int,
    stride: int,
    *,
    cover: bool = False,
    reference: bool = False,
) -> Iterator[Clip]:
    """The clips of many recordings whose frames lie in one list, by the source of every row.

    A recording is a run of equal names; where a name comes back after another, its frames are
    counted on, and no window spans the gap. `reference` keeps two habits of the release: a
    too short recording is left out if it is the last of the list or if its name has had a clip.
    Errors as window_starts; both `cover` and `reference` is a ValueError.
    """
    if cover and reference:
        raise ValueError("the release's clips do not cover every frame: choose one of the two")
    _check(frames, stride, cover)
    counted, cut_before, row = {}, set(), 0
    for source, run in itertools.groupby(sources):
        length = sum(1 for _ in run)
        first = counted.get(source, 0)
        for clip in cut_source(source, length, frames, stride, cover=cover):
            last = row + length == len(sources)
            if reference and clip.stretched and (last or source in cut_before):
                continue
            cut_before.add(source)
            yield dataclasses.replace(
                clip, first_frame=first + clip.first_frame, rows_T=row + clip.rows_T
            )
        counted[source] = first + length
        row += length


def count_left_out(clips: Sequence[Clip], total: int) -> int:
    """How many of `total` rows no clip holds."""
    held = np.zeros(total, bool)
    for clip in clips:
        held[clip.rows_T] = True
    return int(total - held.sum())


def _check(frames, stride, cover):
    if frames < 1 or stride < 1:
        raise ValueError(f"frames and stride must be at least 1, got {frames} and {stride}")
    if cover and stride > frames:
        raise ValueError(
            f"windows of {frames} frames at a stride of {stride} cannot cover every frame; "
            f"use a stride of {frames} or less"
        )
