"""Changing the frame rate keeps duration, frames and smooth motions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.resampling import interpolate, positions, resample


def test_positions_in_time():
    np.testing.assert_array_equal(positions(5, 60, 60), np.arange(5))
    np.testing.assert_array_equal(positions(5, 1 / 0.0083333, 60), [0, 2, 4])
    np.testing.assert_array_equal(positions(3, 30, 60), [0, 0.5, 1, 1.5, 2])
    # 59.94 is not 60: a thousand frames of it last one frame longer.
    assert len(positions(1001, 59.94, 60)) == 1002
    assert len(positions(1, 100, 60)) == 1 and len(positions(0, 100, 60)) == 0
    for bad in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive"):
            positions(5, bad, 60)


@given(st.integers(1, 3000), st.floats(5, 500), st.sampled_from([25.0, 30.0, 60.0]))
def test_duration_is_kept(frames, fps, target):
    places = positions(frames, fps, target)
    # The last frame lies inside the recording and the next would not, but for a thousandth that
    # the rate may be taken to be rounded by.
    slack = 1.1e-3 * frames
    assert places[0] == 0 and places[-1] <= frames - 1 + 1e-6
    assert places[-1] + fps / target > frames - 1 - slack


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_same_rate_changes_nothing(frames, seed):
    track = np.random.default_rng(seed).normal(size=(frames, 17, 3)).astype(np.float32)
    np.testing.assert_array_equal(resample(track, 60, 60), track)
    np.testing.assert_array_equal(resample(track, 120, 60), track[::2])
    np.testing.assert_array_equal(resample(track, 30, 60)[::2], track)


@given(st.floats(10, 300), st.floats(-5, 5), st.floats(-5, 5), st.floats(-10, 10))
def test_a_parabola_in_time_stays_one(fps, a, b, c):
    frames = int(2 * fps)
    time = np.arange(frames) / fps
    track = (a + b * time + c * time**2)[:, None]
    places = positions(frames, fps, 60)
    at = places / fps
    inner = (places >= 1) & (places <= frames - 2)
    error = abs(interpolate(track, places)[:, 0] - (a + b * at + c * at**2))
    # Exact to rounding of numbers up to 60 inside; where a slope is one-sided, off by c / fps^2
    # at the slope, of which at most t (1 - t)^2 < 0.15 comes through.
    assert error[inner].max(initial=0) < 1e-12
    assert error.max() <= 0.15 * abs(c) / fps**2 + 1e-12


def test_nothing_to_resample():
    assert resample(np.zeros((0, 17, 3)), 100, 60).shape == (0, 17, 3)
    assert resample(np.ones((1, 17, 3)), 100, 60).shape == (1, 17, 3)
