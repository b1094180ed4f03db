import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.pose import metrics


def test_metrics_agree_with_reference(golden):
    values = golden("losses.npz")
    pose, target = values["pred"][0], values["gt"][0]
    # The release computes in float32, we in float64.
    np.testing.assert_allclose(metrics.mpjpe(pose, target), values["metric_mpjpe"], rtol=1e-6)
    np.testing.assert_allclose(metrics.p_mpjpe(pose, target), values["metric_p_mpjpe"], rtol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_alignment_undoes_any_similarity(seed, scale):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(3, 17, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    pose = scale * target @ rotation.T + rng.normal(size=3)
    assert metrics.p_mpjpe(pose, target).max() < 1e-9  # float64 rounding of numbers of size 1


def test_alignment_does_not_mirror():
    target = np.random.default_rng(0).normal(size=(1, 17, 3))
    assert metrics.p_mpjpe(target * [-1, 1, 1], target)[0] > 0.1


def test_degenerate_poses_are_finite():
    zero, target = np.zeros((2, 17, 3)), np.ones((2, 17, 3))
    assert np.isfinite(metrics.p_mpjpe(zero, target)).all()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 17, 3\) and \(3, 17, 3\)"):
        metrics.mpjpe(np.zeros((2, 17, 3)), np.zeros((3, 17, 3)))
