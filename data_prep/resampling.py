"""Bringing recordings to one frame rate, and random numbers that depend on names alone."""

import hashlib

import numpy as np


def generator(*names) -> np.random.Generator:
    """Random numbers that depend on the names alone, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "little")))


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
