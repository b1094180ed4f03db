"""Low-pass filters of motion: zero-phase over a whole clip, and causal for a stream.

Shapes in names: T frames; `...` is any number of values a frame.
"""

import numpy as np
from scipy.signal import butter, sosfiltfilt


def butterworth(values: np.ndarray, fps: float, cutoff_hz: float) -> np.ndarray:
    """(T, ...) low-passed without delay: Butterworth of order 2, forwards and backwards.

    As is usual for marker positions (Winter, Biomechanics and Motor Control, 2009): order 4 in
    all, and the cut-off of one pass raised by (sqrt(2) - 1)^(-1/4), so that the amplitude at
    cutoff_hz after both is 1 / sqrt(2). ValueError for a cut-off that the frame rate does not hold.
    """
    if not 0 < cutoff_hz < fps / 2:
        raise ValueError(
            f"a cut-off of {cutoff_hz:g} Hz; at {fps:g} frames/s it is between 0 and {fps / 2:g}"
        )
    # Both passes together take 3 dB where one takes half of that.
    once_hz = min(cutoff_hz / (np.sqrt(2) - 1) ** 0.25, 0.49 * fps)
    sections = butter(2, once_hz, fs=fps, output="sos")
    values = np.asarray(values, np.float64)
    # What is before and after the clip is its own mirror image about the end points.
    pad = min(len(values) - 1, int(3 * fps / cutoff_hz))
    if pad < 1:
        return values.copy()
    return sosfiltfilt(sections, values, axis=0, padtype="odd", padlen=pad)


class OneEuro:
    """Causal smoothing whose cut-off rises with speed (Casiez, Roussel and Vogel, CHI 2012).

    Slow motion is smoothed at `min_cutoff_hz`; each unit per second of speed adds `beta` Hz, so
    that fast motion is not late. Speed is itself low-passed at `speed_cutoff_hz`.
    """

    def __init__(
        self,
        fps: float,
        min_cutoff_hz: float = 1.5,
        beta: float = 1.0,
        speed_cutoff_hz: float = 1.0,
    ):
        if not (fps > 0 and min_cutoff_hz > 0 and speed_cutoff_hz > 0 and beta >= 0):
            raise ValueError(
                f"fps {fps}, min_cutoff_hz {min_cutoff_hz}, beta {beta}, speed_cutoff_hz "
                f"{speed_cutoff_hz}: all are positive, beta may be 0"
            )
        self.fps, self.min_cutoff_hz, self.beta = fps, min_cutoff_hz, beta
        self.speed_cutoff_hz = speed_cutoff_hz
        self.reset()

    def reset(self) -> None:
        """Forgets what came before."""
        self._value, self._speed = None, np.zeros(())

    def __call__(self, value: np.ndarray) -> np.ndarray:
        """The smoothed value (...) of the newest one (...); speeds are over the last axis."""
        value = np.asarray(value, np.float64)
        if self._value is None:
            self._value, self._speed = value, np.zeros_like(value)
            return value
        speed = (value - self._value) * self.fps
        self._speed = self._speed + self._share(self.speed_cutoff_hz) * (speed - self._speed)
        fast = np.linalg.norm(self._speed, axis=-1, keepdims=True)
        share = self._share(self.min_cutoff_hz + self.beta * fast)
        self._value = self._value + share * (value - self._value)
        return self._value

    def _share(self, cutoff_hz):
        """Of the new value that goes into the smoothed one, of a low-pass of first order."""
        return 1 / (1 + self.fps / (2 * np.pi * cutoff_hz))
