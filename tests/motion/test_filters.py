"""Low-passes: what passes, what does not, and when it comes."""

import numpy as np
import pytest

from mbjax.motion.filters import OneEuro, butterworth

FPS = 60.0
TIME = np.arange(600) / FPS


def test_butterworth_has_its_cutoff_and_no_delay():
    for hz, gain in ((0.5, 1.0), (6.0, 0.5**0.5), (20.0, 0.0)):
        wave = np.sin(2 * np.pi * hz * TIME)
        out = butterworth(np.stack([wave, 2 * wave], axis=1), FPS, 6.0)
        middle = slice(120, 480)
        # Order 4: 1 + (20 / 6)^4 is 124 in power; below the cut-off the digital filter is off 1e-3.
        np.testing.assert_allclose(out[middle, 0], gain * wave[middle], atol=0.02)
        np.testing.assert_allclose(out[:, 1], 2 * out[:, 0], atol=1e-12)


def test_butterworth_leaves_straight_lines_alone():
    line = np.stack([3 + 2 * TIME, -TIME], axis=1)
    # Padded by its own odd mirror image, which for a line is the line.
    np.testing.assert_allclose(butterworth(line, FPS, 6.0), line, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_butterworth_of_a_few_frames(frames):
    assert np.isfinite(butterworth(np.ones((frames, 17, 3)), FPS, 6.0)).all()


@pytest.mark.parametrize("hz", [0, -1, 30, 1000])
def test_butterworth_refuses_what_the_rate_does_not_hold(hz):
    with pytest.raises(ValueError, match="between 0 and 30"):
        butterworth(np.zeros((9, 1)), FPS, hz)


def test_one_euro_smooths_rest_and_follows_motion():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (600, 3))
    still = OneEuro(FPS, min_cutoff_hz=1.0, beta=1.0)
    rest = np.stack([still(value) for value in noise])
    # A first-order low-pass of 1 Hz at 60 frames/s passes a twentieth of white noise's power.
    assert rest[60:].std() < 0.4 * noise.std()
    ramp = np.outer(2 * TIME, np.ones(3))  # 2 m/s
    late = {}
    for beta in (0.0, 2.0):
        smooth = OneEuro(FPS, min_cutoff_hz=1.0, beta=beta)
        late[beta] = (ramp - np.stack([smooth(value) for value in ramp]))[-1, 0]
    # Behind by speed / (2 pi cutoff): 2 m/s over 1 Hz is 0.32 m.
    assert late[0.0] == pytest.approx(2 / (2 * np.pi), rel=0.01) and late[2.0] < 0.06


def test_one_euro_begins_anew():
    smooth = OneEuro(30.0)
    smooth(np.zeros((17, 3)))
    smooth(np.ones((17, 3)))
    smooth.reset()
    np.testing.assert_array_equal(smooth(np.full((17, 3), 5.0)), np.full((17, 3), 5.0))
    with pytest.raises(ValueError, match="positive"):
        OneEuro(30.0, min_cutoff_hz=0)
