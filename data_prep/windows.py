"""Cutting recordings into clips of one length, and bringing them to one frame rate.

T frames of a recording, N frames of a clip. Everything is a function of its arguments: where a
choice is made, it is made by the name of the source.
"""

import hashlib

import numpy as np


def generator(*names) -> np.random.Generator:
    """Random numbers that depend on the names alone, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "little")))


def window_starts(length: int, frames: int, stride: int, cover: bool = False) -> list[int]:
    """First frames of the windows of `frames` at `stride` inside a recording of `length`.

    cover: one more window, aligned to the end, where frames would otherwise be in none: for
    evaluation. A recording shorter than a window has none.
    """
    if frames < 1 or stride < 1:
        raise ValueError(f"windows of {frames} frames at stride {stride}: both must be at least 1")
    starts = list(range(0, length - frames + 1, stride))
    if cover and starts and starts[-1] + frames < length:
        starts.append(length - frames)
    return starts


def clip_frames(length: int, frames: int, stride: int, source: str, cover=False):
    """The clips of one recording as a list of frame numbers (frames,), each not decreasing.

    Windows as window_starts gives them; a recording shorter than a window gives one clip that
    repeats some of its frames, chosen by `source`; one of no frames gives none.
    """
    if 0 < length < frames:
        return [stretched(length, frames, source)]
    return [np.arange(s, s + frames) for s in window_starts(length, frames, stride, cover)]


def stretched(length: int, frames: int, source: str) -> np.ndarray:
    """Frame numbers (frames,) that spread a recording of fewer frames evenly over a clip.

    Between two frames either may be taken, drawn by `source`.
    """
    even_N = np.arange(frames) * (length / frames)
    up_N = generator("stretched", source).integers(2, size=frames)
    places_N = np.where(up_N == 1, np.ceil(even_N), np.floor(even_N))
    return np.sort(np.minimum(places_N, length - 1)).astype(np.int64)


def runs(ids) -> list[tuple[int, int]]:
    """(start, end) of each longest run of equal neighbours: recordings laid end to end."""
    ids = np.asarray(ids)
    if not len(ids):
        return []
    cuts = (np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist()
    return list(zip([0, *cuts], [*cuts, len(ids)], strict=True))


def resample(values_TxC, fps: float, target_fps: float):
    """A recording at another rate, linear between frames: (T, ...) -> (T', ...), same dtype.

    The first frame stays the first; the last result lies at or before the last frame, so nothing
    is extrapolated. ValueError if a rate is not a positive number.
    """
    for rate in (fps, target_fps):
        if not (np.isfinite(rate) and rate > 0):
            raise ValueError(f"frame rate {rate}: a positive number was wanted")
    values_TxC = np.asarray(values_TxC)
    T = len(values_TxC)
    if T < 2 or abs(fps - target_fps) < 1e-3 * target_fps:
        # CMU says .0083333 s for 120 fps: a thousandth is within what files round away.
        return values_TxC
    step = _nice(fps / target_fps)
    place = np.arange(int(np.floor((T - 1) / step + 1e-9)) + 1) * step
    before = np.minimum(np.floor(place + 1e-9).astype(np.int64), T - 2)
    share = (place - before).reshape(-1, *[1] * (values_TxC.ndim - 1))
    mixed = values_TxC[before] * (1 - share) + values_TxC[before + 1] * share
    return mixed.astype(values_TxC.dtype)


def _nice(step):
    """The step, or the whole number within a thousandth of it (frame times are rounded)."""
    whole = round(step)
    return float(whole) if whole and abs(step - whole) < 1e-3 * whole else step
