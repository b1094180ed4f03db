"""Errors in the world, against values worked out by hand and by SciPy."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mbjax.pose import world_metrics


def walking(frames=230, seed=0):
    """A person of fixed pose, and a little noise, who walks along a bend; metres."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.4, (1, 17, 3)) + rng.normal(0, 0.05, (frames, 17, 3))
    pose -= pose[:, :1]
    along = np.linspace(0, 3, frames)
    path = np.stack([along, np.zeros(frames), np.sin(along)], axis=-1)
    return pose + path[:, None]


def turned(motion, scale=1.0):
    rotation = Rotation.from_rotvec([0.3, -1.0, 0.2]).as_matrix()
    return scale * motion @ rotation.T + [1.0, -2.0, 3.0]


def test_where_the_world_s_axes_lie_does_not_matter():
    truth = walking()
    for scale in (1.0, 0.7):
        moved = turned(truth, scale)
        # float64 of metres
        assert world_metrics.w_mpjpe(moved, truth).max() < 1e-9
        assert world_metrics.wa_mpjpe(moved, truth).max() < 1e-9
    assert world_metrics.root_translation_error(turned(truth), truth).max() < 1e-9
    assert world_metrics.root_translation_error(turned(truth, 0.7), truth).max() > 1


def test_drift_by_hand():
    """A motion that drifts by 1 mm a frame: a segment's last frame is off by 99, less the fit's."""
    truth = walking(200)
    drifting = truth + np.arange(200)[:, None, None] * [0.0, 0.001, 0.0]
    found = world_metrics.w_mpjpe(drifting, truth)
    assert found.shape == (200,) and found[0] < 1 and found[100] < 1
    # Two frames fix turn and scale of a person of about a metre to 1 mm.
    assert found[99] == pytest.approx(99, abs=3) and found[199] == pytest.approx(99, abs=3)
    whole = world_metrics.wa_mpjpe(drifting, truth)
    assert 0 < whole.mean() < found.mean()
    # As a whole, against SciPy's rotation of the first segment's centred points.
    source, target = (m[:100].reshape(-1, 3) for m in (drifting, truth))
    a, b = source - source.mean(0), target - target.mean(0)
    rotation, _ = Rotation.align_vectors(b, a)
    scale = (rotation.apply(a) * b).sum() / (a**2).sum()
    error = np.linalg.norm(scale * rotation.apply(a) - b, axis=-1).reshape(100, 17).mean(-1)
    np.testing.assert_allclose(whole[:100], 1000 * error, rtol=1e-6)


def test_the_root_s_error_by_hand():
    """On a straight way of 4 m, twice too long: off by half of it at its ends, by none between."""
    truth = np.zeros((5, 17, 3))
    truth[:, :, 0] = np.arange(5)[:, None]
    found = world_metrics.root_translation_error(2 * truth, truth)
    np.testing.assert_allclose(found, [50, 25, 0, 25, 50], atol=1e-9)
    assert np.isnan(world_metrics.root_translation_error(truth, 0 * truth)).all()


def test_jitter_by_hand():
    time = np.arange(10) / 25
    motion = np.zeros((10, 17, 3))
    motion[..., 1] = (time**3)[:, None]  # whose third derivative is 6 m/s^3
    np.testing.assert_allclose(world_metrics.jitter(motion, 25), 0.6, rtol=1e-9)
    motion[..., 1] = (time**2)[:, None]
    np.testing.assert_allclose(world_metrics.jitter(motion, 25), 0, atol=1e-9)
