"""Windows of a fixed length that together cover every frame of a longer recording."""

import numpy as np


def covering_windows(length: int, frames: int, frame_step: int = 1) -> np.ndarray:
    """Frame numbers of windows, (W, frames), that hold every frame 0 .. length-1 at least once.

    Frames of a window are frame_step apart; windows of one phase follow each other without
    overlap, but for the last, which ends with the recording. A recording shorter than a window
    repeats its last frame.
    """
    if length < 1 or frames < 1 or frame_step < 1:
        raise ValueError(
            f"length {length}, frames {frames}, frame_step {frame_step}: all must be >= 1"
        )
    windows = []
    for phase in range(min(frame_step, length)):
        own = np.arange(phase, length, frame_step)
        starts = list(range(0, len(own) - frames + 1, frames)) or [0]
        if starts[-1] + frames < len(own):
            starts.append(len(own) - frames)
        for start in starts:
            index = np.minimum(start + np.arange(frames), len(own) - 1)
            windows.append(own[index])
    return np.array(windows)


def merge_windows(windows_WxT: np.ndarray, values_WxTx: np.ndarray, length: int) -> np.ndarray:
    """Per-frame means of what the windows say, (length, ...), each window counting a frame once."""
    total = np.zeros((length, *values_WxTx.shape[2:]), np.float64)
    count = np.zeros(length)
    for frames, values in zip(windows_WxT, values_WxTx, strict=True):
        unique, first = np.unique(frames, return_index=True)
        total[unique] += values[first]
        count[unique] += 1
    return total / count.reshape(-1, *[1] * (total.ndim - 1))
