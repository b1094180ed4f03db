"""Errors of motion in the world, root's path included: numpy, float64, as EMDB 2 is measured.

Definitions of WHAM's evaluation (Shin et al., CVPR 2024), after SLAHMR's. Positions in metres.
Shapes in names: T frames, J joints.
"""

import numpy as np

from mbjax.pose.metrics import mpjpe
from mbjax.pose.rotations import similarity_transform
from mbjax.pose.skeleton import ROOT

SEGMENT = 100  # frames that are aligned together
_FIRST = 2


def w_mpjpe(motion_TxJx3: np.ndarray, truth_TxJx3: np.ndarray) -> np.ndarray:
    """(T,) mm: each segment laid on the truth by its first two frames."""
    return _by_segments(motion_TxJx3, truth_TxJx3, _FIRST)


def wa_mpjpe(motion_TxJx3: np.ndarray, truth_TxJx3: np.ndarray) -> np.ndarray:
    """(T,) mm: each segment laid on the truth as a whole."""
    return _by_segments(motion_TxJx3, truth_TxJx3, SEGMENT)


def errors(motion_TxJx3, truth_TxJx3, fps: float, paths=None) -> dict[str, np.ndarray]:
    """{name: array} of all that EMDB 2 measures of joints.

    paths: (T, 1, 3) of both, whose error is the RTE; by default the roots'.
    """
    return {
        "w_mpjpe_mm": w_mpjpe(motion_TxJx3, truth_TxJx3),
        "wa_mpjpe_mm": wa_mpjpe(motion_TxJx3, truth_TxJx3),
        "rte_percent": root_translation_error(*(paths or (motion_TxJx3, truth_TxJx3))),
        "jitter_10m_s3": jitter(motion_TxJx3, fps),
    }


def _by_segments(motion, truth, aligned):
    motion, truth = np.asarray(motion, np.float64), np.asarray(truth, np.float64)
    errors = []
    for start in range(0, len(truth), SEGMENT):
        moved, target = motion[start : start + SEGMENT], truth[start : start + SEGMENT]
        scale, rotation, translation = similarity_transform(
            moved[:aligned].reshape(-1, 3), target[:aligned].reshape(-1, 3)
        )
        errors.append(1000 * mpjpe(scale * moved @ rotation.T + translation, target))
    return np.concatenate(errors)


def root_translation_error(motion_TxJx3: np.ndarray, truth_TxJx3: np.ndarray) -> np.ndarray:
    """(T,) per cent of the way the root goes: of its path, turned and moved onto the true one.

    NaN for a root that does not move.
    """
    path, target = (np.asarray(m, np.float64)[:, ROOT] for m in (motion_TxJx3, truth_TxJx3))
    _, rotation, _ = similarity_transform(path, target)
    moved = (path - path.mean(0)) @ rotation.T + target.mean(0)
    way = np.linalg.norm(np.diff(target, axis=0), axis=-1).sum()
    error = 100 * np.linalg.norm(moved - target, axis=-1)
    return np.full(len(error), np.nan) if way == 0 else error / way


def jitter(motion_TxJx3: np.ndarray, fps: float) -> np.ndarray:
    """(T-3,) of the third differences of positions, in 10 m/s^3, the unit that papers print."""
    jerk = np.diff(np.asarray(motion_TxJx3, np.float64), n=3, axis=0) * fps**3
    return np.linalg.norm(jerk, axis=-1).mean(-1) / 10
