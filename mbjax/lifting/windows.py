"""Cutting a long motion into overlapping windows, and joining what a model says of each.

Shapes in names: W windows, L frames of a window, T frames of the whole, J joints. Plain numpy.
"""

import numpy as np

from mbjax.pose.skeleton import ROOT


def window_starts(length: int, window: int) -> np.ndarray:
    """First frames (W,) of windows that cover 0 .. length-1, each inside it; length >= window.

    As few as overlap by at least half a window, evenly spread. With a third the joins could be
    measured: they bent a smooth motion more than the network did between them.
    """
    overlap = window // 2
    count = 1 + max(0, -(-(length - window) // (window - overlap)))
    return np.round(np.linspace(0, length - window, count)).astype(int)


def cut(motion_TxJxC: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """(first frames (W,), windows (W, L, J, C)) that cover a motion.

    A motion shorter than the window is played there and back in one.
    """
    if len(motion_TxJxC) < window:
        return np.zeros(1, int), motion_TxJxC[there_and_back(len(motion_TxJxC), window)][None]
    starts_W = window_starts(len(motion_TxJxC), window)
    return starts_W, np.stack([motion_TxJxC[start : start + window] for start in starts_W])


def cut_all(
    motions: list[np.ndarray], window: int, frame_step: int
) -> tuple[list[np.ndarray], list[list[tuple[np.ndarray, int]]]]:
    """(windows (L, J, C) of all motions, plan): each shows every frame_step-th frame.

    A motion has frame_step parts, of the frames from 0, 1, ... on; all windows have one length, the
    longest part's if that is less. plan: of each motion the parts' (first frames, length), in the
    order of the windows; for `join_all`.
    """
    parts = [[x[p::frame_step] for p in range(min(frame_step, len(x)))] for x in motions]
    window = min(window, max(len(x) for own in parts for x in own))
    windows, plan = [], []
    for own in parts:
        pairs = [cut(x, window) for x in own]
        windows += [x_LxJxC for _, cut_WxLxJxC in pairs for x_LxJxC in cut_WxLxJxC]
        plan.append([(starts_W, len(x)) for (starts_W, _), x in zip(pairs, own, strict=True)])
    return windows, plan


def join_all(plan, pose_NxLxJx3: np.ndarray, global_depth: bool) -> list[np.ndarray]:
    """The motions (T, J, 3) whose windows `cut_all` made; float64. See `join`, `merge_phases`."""
    results, first = [], 0
    for parts in plan:
        joined = []
        for starts_W, length in parts:
            pose_WxLxJx3 = pose_NxLxJx3[first : first + len(starts_W)]
            first += len(starts_W)
            joined.append(join(starts_W, pose_WxLxJx3, global_depth)[:length])
        whole = sum(length for _, length in parts)
        results.append(merge_phases(joined, whole, global_depth))
    return results


def join(starts_W: np.ndarray, pose_WxLxJx3: np.ndarray, global_depth: bool) -> np.ndarray:
    """One motion (T, J, 3) from windows of it, cross-faded where they overlap. float64.

    global_depth: a window knows depth only up to a constant (it is trained with the first frame's
    root at 0), so each is moved in z to agree with those before it where they overlap. Weights rise
    and fall over half a window, with no velocity and no acceleration at either end of the ramp, and
    are never zero: where a window begins or ends, nothing jumps or bends.
    """
    W, L = pose_WxLxJx3.shape[:2]
    length = starts_W[-1] + L
    total_TxJx3 = np.zeros((length, *pose_WxLxJx3.shape[2:]))
    weight_Tx1x1 = np.zeros((length, 1, 1))
    for w, start in enumerate(starts_W):
        pose_LxJx3 = np.asarray(pose_WxLxJx3[w], np.float64)
        weight_Lx1x1 = _weights(L, first=w == 0, last=w == W - 1)
        place = slice(start, start + L)
        known = weight_Tx1x1[place] > 0
        if global_depth and known.any():
            both = np.minimum(weight_Tx1x1[place], weight_Lx1x1)[:, 0, 0] * known[:, 0, 0]
            before = total_TxJx3[place, ROOT, 2] / np.where(known, weight_Tx1x1[place], 1)[:, 0, 0]
            offset = np.average(before - pose_LxJx3[:, ROOT, 2], weights=both)
            pose_LxJx3 = pose_LxJx3 + [0, 0, offset]
        total_TxJx3[place] += weight_Lx1x1 * pose_LxJx3
        weight_Tx1x1[place] += weight_Lx1x1
    return total_TxJx3 / weight_Tx1x1


def _weights(window, first, last):
    ramp = window // 2
    weights = np.ones(window)
    t = (np.arange(ramp) + 0.5) / max(ramp, 1)
    rise = t**3 * (10 - 15 * t + 6 * t**2)
    if not first:
        weights[:ramp] = rise
    if not last:
        weights[window - ramp :] = rise[::-1]
    return weights[:, None, None]


def there_and_back(length: int, window: int) -> np.ndarray:
    """Frame numbers (window,) that play 0 .. length-1 forwards, then backwards, and so on.

    What fills up a window that is longer than the motion: every frame keeps its true neighbours.
    """
    period = max(1, 2 * (length - 1))
    place = np.arange(window) % period
    return np.minimum(place, period - place) if length > 1 else np.zeros(window, int)


def merge_phases(pose_PxTxJx3: list[np.ndarray], length: int, global_depth: bool) -> np.ndarray:
    """The whole motion (length, J, 3) from P motions of every P-th frame, beginning at 0 .. P-1.

    Each is interpolated linearly to every frame it spans, moved in depth to agree with the first,
    and the mean is taken: what differs from one phase to the next would tremble at the video's own
    rate otherwise.
    """
    step = len(pose_PxTxJx3)
    total, count = 0.0, np.zeros((length, 1, 1))
    first = None
    for phase, pose_TxJx3 in enumerate(pose_PxTxJx3):
        place = (np.arange(length) - phase) / step
        inside = (place >= 0) & (place <= len(pose_TxJx3) - 1)
        place = np.clip(place, 0, len(pose_TxJx3) - 1)
        low = np.minimum(place.astype(int), max(len(pose_TxJx3) - 2, 0))
        high = np.minimum(low + 1, len(pose_TxJx3) - 1)
        share = (place - low)[:, None, None]
        every = pose_TxJx3[low] * (1 - share) + pose_TxJx3[high] * share
        if first is None:
            first, first_inside = every, inside
        elif global_depth and (both := inside & first_inside).any():
            every = every + [0, 0, (first - every)[both, ROOT, 2].mean()]
        total = total + every * inside[:, None, None]
        count += inside[:, None, None]
    return total / count
