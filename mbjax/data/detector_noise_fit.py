"""Fits the table of 2D detection noise to a user's own detector (see data/detector_noise.py).

Shapes in names: N frames, T frames of a clip, J joints. The paper's numbers come from one detector;
with pairs of what another one found and where the joints truly were, this makes its table.
"""

import numpy as np

from mbjax.data.detector_noise import DetectionNoise
from mbjax.pose.skeleton import JOINTS, NUM_JOINTS
from mbjax.safe_files import numpy_files

_FEWEST_FRAMES = 100
_LARGEST = 1e6  # image units; beyond it squares of squares overflow


def read_pairs(path: str) -> tuple[np.ndarray, np.ndarray]:
    """(detected, true) of an .npz, for `fit`; ValueError, in one line, where it holds no such."""
    try:
        arrays = numpy_files.read_npz(path, ("detected", "true"))
    except ValueError as error:
        raise ValueError(f"{path}: not an .npz of numbers ({error})") from error
    missing = {"detected", "true"} - set(arrays)
    if missing:
        raise ValueError(
            f"{path} has no array {' and '.join(sorted(missing))}; it needs detected "
            "(N,17,3) or (N,T,17,3): x, y, confidence, and true (N,17,2) or (N,T,17,2)"
        )
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not (abs(array) < _LARGEST).all():
            raise ValueError(f"{path}: {name} holds what is not a number in image units")
    return arrays["detected"], arrays["true"]


def describe(noise: DetectionNoise) -> list[str]:
    """A line for each joint."""
    lines = []
    for joint, name in enumerate(JOINTS):
        mean, std = noise.mean_Jx2[joint], noise.std_Jx2[joint]
        lines.append(
            f"{name:10s} mean {mean[0]:+.4f} {mean[1]:+.4f}  std {std[0]:.4f} {std[1]:.4f}"
            f"  normal share {noise.weight_J[joint]:.3f}"
        )
    return lines


def fit(detected_NxJx3: np.ndarray, true_NxJx2: np.ndarray) -> tuple[DetectionNoise, list[str]]:
    """The noise table of (N, 17, 3) detections against (N, 17, 2) truth, and notes on the fit.

    Both in one normalised unit (the short side of the image is 2). Detections of confidence 0 are
    left out. Clips, (N, T, 17, ...), also tell the jitter from frame to frame; without them the
    release's is kept. ValueError on shapes that do not fit, NaN, or too few frames.
    """
    detected, true = np.asarray(detected_NxJx3, np.float64), np.asarray(true_NxJx2, np.float64)
    if (
        detected.ndim not in (3, 4)
        or detected.shape[-2:] != (NUM_JOINTS, 3)
        or true.shape != (*detected.shape[:-1], 2)
    ):
        raise ValueError(
            f"detected {detected.shape} and true {true.shape} do not fit: expected (N, 17, 3) and "
            "(N, 17, 2), or with T frames after N"
        )
    if not (np.isfinite(detected).all() and np.isfinite(true).all()):
        raise ValueError("detected or true holds NaN or infinity; leave such frames out")
    offsets = detected[..., :2] - true
    confidence = detected[..., 2]
    release = DetectionNoise.load()
    notes = []
    temporal_std = release.temporal_std
    if detected.ndim == 4 and detected.shape[1] >= 3:
        # Linear stretches have no second difference: what is left is jitter, times sqrt(1+4+1).
        second = np.diff(offsets, n=2, axis=1)
        temporal_std = float(np.median(np.abs(second)) / 0.6745 / np.sqrt(6))
        notes.append(f"jitter from frame to frame: {temporal_std:.5f}")
    else:
        notes.append(f"single frames tell no jitter; the release's {temporal_std} is kept")
    offsets, confidence = offsets.reshape(-1, NUM_JOINTS, 2), confidence.reshape(-1, NUM_JOINTS)
    seen = confidence > 0
    if seen.sum(0).min() < _FEWEST_FRAMES:
        joint = JOINTS[int(seen.sum(0).argmin())]
        raise ValueError(
            f"{joint} is seen in {seen.sum(0).min()} frames; at least {_FEWEST_FRAMES} are needed"
        )
    # Wide enough for all but one in a thousand; what lies outside is a wrong person, not noise.
    side = 2 * float(np.quantile(np.abs(offsets[seen]).max(-1), 0.999))
    mean, std = np.empty((NUM_JOINTS, 2)), np.empty((NUM_JOINTS, 2))
    weight = np.empty(NUM_JOINTS)
    for joint in range(NUM_JOINTS):
        own = offsets[seen[:, joint], joint]
        own = own[np.abs(own).max(-1) <= side / 2]
        mean[joint], std[joint], weight[joint] = _normal_and_uniform(own, side)
    r = np.linalg.norm(offsets, axis=-1)[seen]
    near = r <= side / np.sqrt(2)
    curve = _confidence_curve(r[near], confidence[seen][near])
    notes.append("confidence: " + ", ".join(f"{k} {v:.4g}" for k, v in curve.items()))
    return DetectionNoise(
        mean.astype(np.float32), std.astype(np.float32), weight.astype(np.float32), side, curve,
        release.num_keyframes, temporal_std,
    ), notes  # fmt: skip


def _normal_and_uniform(offsets_Nx2, side, rounds=200):
    """Maximum likelihood of normal (diagonal) plus uniform on a square, by EM."""
    if not len(offsets_Nx2):
        raise ValueError("a joint has no detection within the range of the others")
    mean = np.median(offsets_Nx2, axis=0)
    std = np.maximum(1.4826 * np.median(np.abs(offsets_Nx2 - mean), axis=0), 1e-6)
    weight = 0.9
    for _ in range(rounds):
        density = np.exp(-0.5 * np.square((offsets_Nx2 - mean) / std).sum(-1))
        density /= 2 * np.pi * std.prod()
        normal = weight * density
        share = normal / (normal + (1 - weight) / side**2)
        before = weight
        weight = float(np.clip(share.mean(), 1e-3, 1 - 1e-6))
        mean = share @ offsets_Nx2 / share.sum()
        variance = share @ np.square(offsets_Nx2 - mean) / share.sum()
        std = np.maximum(np.sqrt(variance), 1e-6)
        if abs(weight - before) < 1e-7:
            break
    return mean, std, weight


def _confidence_curve(r, confidence):
    """a, b, m, s of confidence = a / (r + a) + b r + Normal(m, s), in the least squares.

    Values clipped at 0 or 1 do not show what they were; they are left out.
    """
    inside = (confidence > 0) & (confidence < 1)
    if inside.sum() < _FEWEST_FRAMES:  # a detector without graded confidence
        return {"a": 1e6, "b": 0.0, "m": float(confidence.mean() - 1), "s": float(confidence.std())}
    r, confidence = r[inside], confidence[inside]
    best = None
    for a in np.geomspace(1e-3, 1.0, 200):
        rest = confidence - a / (r + a)
        basis = np.stack([r, np.ones_like(r)], axis=-1)
        (b, m), *_ = np.linalg.lstsq(basis, rest, rcond=None)
        residual = rest - basis @ (b, m)
        if best is None or residual.var() < best[0]:
            best = residual.var(), {"a": a, "b": b, "m": m, "s": residual.std()}
    return {name: float(value) for name, value in best[1].items()}
