import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbjax.data.windows import covering_windows, merge_windows


@given(st.integers(1, 300), st.integers(1, 60), st.integers(1, 9))
def test_every_frame_is_covered_and_merging_gives_it_back(length, frames, frame_step):
    windows = covering_windows(length, frames, frame_step)
    assert windows.shape[1] == frames
    assert set(windows.ravel().tolist()) == set(range(length))
    steps = np.diff(windows, axis=1)
    assert ((steps == frame_step) | (steps == 0)).all()
    values = np.random.default_rng(0).normal(size=(length, 2))
    # Equal values are averaged: one rounding of float64.
    np.testing.assert_allclose(merge_windows(windows, values[windows], length), values, rtol=1e-12)


def test_overlaps_are_averaged():
    windows = covering_windows(5, 3)
    np.testing.assert_array_equal(windows, [[0, 1, 2], [2, 3, 4]])
    values = np.array([[1.0, 1, 1], [3, 3, 3]])
    np.testing.assert_array_equal(merge_windows(windows, values, 5), [1, 1, 2, 3, 3])


def test_zero_frames_is_an_error():
    with pytest.raises(ValueError, match="must be >= 1"):
        covering_windows(0, 9)
