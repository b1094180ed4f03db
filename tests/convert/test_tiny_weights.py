"""The weights in the package: what the README says of them."""

import numpy as np
import pytest

import mbjax
from mbjax import configuration
from mbjax.models.trained_on import TrainedOn
from mbjax.tasks import pretrain


@pytest.mark.slow
def test_tiny_is_small_and_lifts_any_length():
    model = mbjax.load("tiny", verbose=False)
    assert model.config.maxlen == 81 and model.config.num_heads == 4
    assert model.trained_on == TrainedOn(27, 30.0, 0.7654, 0.75)
    rng = np.random.default_rng(0)
    for frames in (1, 81):
        x = rng.uniform(-1, 1, (1, frames, 17, 3)).astype(np.float32)
        assert np.isfinite(model(x)).all()


@pytest.mark.slow
def test_tiny_is_two_thirds_below_the_baseline_on_motion_it_never_saw():
    """33.6 mm, and 35.4 mm on corrupted input, against 109.9 mm; the card has `evaluation.fill`."""
    config = configuration.load("configs/pretrain.py:tiny_long", [])
    found = pretrain.evaluate_checkpoint(config, "tiny").metrics
    assert found["error_corrupted_mm"] < 0.34 * found["flat_mm"]
    assert found["error_mm"] < found["error_corrupted_mm"]
