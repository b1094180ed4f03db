"""Bringing recordings to one frame rate, and random numbers that depend on names alone.

T frames as recorded, N frames at the wanted rate.
"""

import hashlib

import numpy as np

# Rates are rounded in files (CMU says .0083333 s for 120 fps, others .0333 for 30): within a
# thousandth of a whole ratio it is that one. 59.94 fps stays what it is, just outside.
_ROUNDED = 1e-3


def generator(*names) -> np.random.Generator:
    """Random numbers that depend on the names alone, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "little")))


def positions(frames: int, fps: float, target_fps: float) -> np.ndarray:
    """Where the frames at the target rate lie, in frames of a recording: (N,) float64.

    From frame 0 to the last step that the recording still holds, so nothing is extrapolated;
    whole numbers where the target divides the rate. ValueError if a rate is not a positive number.
    """
    for rate in (fps, target_fps):
        if not (np.isfinite(rate) and rate > 0):
            raise ValueError(f"frame rate {rate}: a positive number was wanted")
    step = fps / target_fps
    for whole in (round(step), 1 / max(round(1 / step), 1)):
        if abs(step - whole) < _ROUNDED * whole:
            step = float(whole)
    count = int(np.floor(max(frames - 1, 0) / step + 1e-9)) + 1
    return np.arange(count if frames else 0) * step


def interpolate(values_TxC: np.ndarray, places_N: np.ndarray) -> np.ndarray:
    """A recording (T, ...) at fractional frames: (N, ...), same dtype; as it is at whole frames.

    Between two frames, the cubic whose slopes at them are the central differences (Catmull-Rom),
    one-sided at both ends, so that velocities do not jump as along straight lines: exact for a
    motion that is quadratic in time, but for the first and last interval. Places in [0, T - 1].
    """
    last = len(values_TxC) - 1
    left = np.clip(np.floor(places_N).astype(np.int64), 0, max(last - 1, 0))
    right = np.minimum(left + 1, last)

    def per_frame(numbers):
        return numbers.reshape(-1, *[1] * (values_TxC.ndim - 1))

    t = per_frame(places_N - left)
    start, end = values_TxC[left], values_TxC[right]
    before = values_TxC[np.maximum(left - 1, 0)]
    after = values_TxC[np.minimum(right + 1, last)]
    slope_at_start = (end - before) / per_frame(np.where(left > 0, 2, 1))
    slope_at_end = (after - start) / per_frame(np.where(right < last, 2, 1))
    straight = end - start
    bend = (1 - t) * (slope_at_start - straight) - t * (slope_at_end - straight)
    return ((1 - t) * start + t * end + t * (1 - t) * bend).astype(values_TxC.dtype)


def resample(values_TxC, fps: float, target_fps: float) -> np.ndarray:
    """A recording at another rate: (T, ...) -> (N, ...), same dtype, cubic between frames.

    The first frame stays the first. Errors as positions.
    """
    values_TxC = np.asarray(values_TxC)
    places_N = positions(len(values_TxC), fps, target_fps)
    return interpolate(values_TxC, places_N) if len(values_TxC) else values_TxC
